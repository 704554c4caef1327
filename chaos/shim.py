"""A wall clock that jumps and a disk that fails, for processes that are started with `environ`: see shim.c."""

from __future__ import annotations

import errno
import mmap
import pathlib
import shutil
import struct
import subprocess

SOURCE = pathlib.Path(__file__).with_name("shim.c")
WRITES_FROM, SYNCS_FROM, LENGTH, ERRNO, WRITES, SYNCS, FAILURES = range(7)


def available() -> bool:
    """Whether there is a C compiler to build it with."""
    return shutil.which("gcc") is not None


class Shim:
    """Builds the library in `folder`; whoever is started with `environ` beside its own obeys this object.

    disk_name: operations on files whose path holds this text can fail.
    """

    def __init__(self, folder: pathlib.Path, disk_name: str = "") -> None:
        library, clock, disk = folder / "shim.so", folder / "clock", folder / "disk"
        command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lm"]
        subprocess.run(command, check=True)
        clock.write_bytes(bytes(8))
        disk.write_bytes(bytes(64))
        self._clock, self._disk = _mapped(clock), _mapped(disk)
        self.environ = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(clock), "CHAOS_DISK": str(disk)}
        if disk_name:
            self.environ["CHAOS_DISK_NAME"] = disk_name

    @property
    def offset(self) -> float:
        """Seconds by which the processes' wall clock is ahead of the machine's."""
        return float(struct.unpack("d", self._clock[:8])[0])

    def jump(self, seconds: float) -> None:
        """The wall clock goes forward, or back, at once."""
        self._clock[:8] = struct.pack("d", self.offset + seconds)

    def fail(self, *, write: int = 0, sync: int = 0, length: int = 1, error: int = errno.EIO) -> None:
        """The `write`-th write and the `sync`-th sync from now on fail (0: none), and so many after it."""
        values = [write, sync, length, error, 0, 0, 0, 0]
        self._disk[:64] = struct.pack("8q", *values)

    def heal(self) -> None:
        self.fail(length=0)

    def seen(self, what: int) -> int:
        """WRITES, SYNCS or FAILURES since the last `fail`."""
        return int(struct.unpack("8q", self._disk[:64])[what])

    def close(self) -> None:
        self._clock.close()
        self._disk.close()


def _mapped(path: pathlib.Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
