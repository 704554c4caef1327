/* Preloaded into the processes under test (LD_PRELOAD): a clock that jumps and a disk that fails, both told what to do
   through small files that the test maps as well.

   CHAOS_CLOCK: a file of one double, the seconds by which the wall clock is off.
   CHAOS_DISK: a file of 8 int64: fail writes from the n-th on, fail syncs from the n-th on (0: never), how many fail,
   errno, and then what was seen: writes, syncs, failures. CHAOS_DISK_NAME: files whose path holds this text count. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WRITES_FROM, SYNCS_FROM, LENGTH, ERRNO, WRITES, SYNCS, FAILURES };

static volatile double *offset;
static volatile int64_t *disk;
static const char *name;

static void *mapped(const char *variable, size_t size)
{
    const char *path = getenv(variable);
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return NULL;
    void *found = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return found == MAP_FAILED ? NULL : found;
}

__attribute__((constructor)) static void start(void)
{
    offset = mapped("CHAOS_CLOCK", sizeof(double));
    disk = mapped("CHAOS_DISK", 8 * sizeof(int64_t));
    name = getenv("CHAOS_DISK_NAME");
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (!failed && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        double whole = floor(*offset);
        at->tv_sec += (time_t)whole;
        at->tv_nsec += (long)((*offset - whole) * 1e9);
        if (at->tv_nsec >= 1000000000L) {
            at->tv_nsec -= 1000000000L;
            at->tv_sec++;
        }
    }
    return failed;
}

int gettimeofday(struct timeval *at, void *zone)
{
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

static int counts(int file)
{
    char link[64], path[1024];
    if (!disk || !name)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return strstr(path, name) != NULL;
}

/* 1: this operation is to fail, and errno says how. */
static int fails(int file, int from, int seen)
{
    if (!counts(file))
        return 0;
    int64_t number = __sync_add_and_fetch(&disk[seen], 1);
    if (!disk[from] || number < disk[from] || number >= disk[from] + disk[LENGTH])
        return 0;
    __sync_add_and_fetch(&disk[FAILURES], 1);
    errno = (int)disk[ERRNO];
    return 1;
}

ssize_t write(int file, const void *data, size_t size)
{
    return fails(file, WRITES_FROM, WRITES) ? -1 : syscall(SYS_write, file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    return fails(file, WRITES_FROM, WRITES) ? -1 : syscall(SYS_pwrite64, file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    return fails(file, WRITES_FROM, WRITES) ? -1 : syscall(SYS_pwrite64, file, data, size, at);
}

int fsync(int file)
{
    return fails(file, SYNCS_FROM, SYNCS) ? -1 : (int)syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    return fails(file, SYNCS_FROM, SYNCS) ? -1 : (int)syscall(SYS_fdatasync, file);
}
