/* Loaded before libc: each fsync and fdatasync takes DELAY_US microseconds more, as on the disks of small servers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_as_a_disk(void) {
    const char *delay = getenv("DELAY_US");
    if (delay) usleep((useconds_t)atoi(delay));
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_as_a_disk();
    return real(file);
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_as_a_disk();
    return real(file);
}
