"""Whether the files of the store are still those that this process has open: a commit elsewhere would be lost."""

from __future__ import annotations

import os
from contextlib import suppress

from outbox.message import StoreNotWritable, StoreUnavailable

LOG, INDEX = "-wal", "-shm"

Identity = tuple[int, int]  # device and inode


class Files:
    """Looks at names only. Opening and closing one of these files would drop the locks that SQLite has on it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._known: dict[str, Identity] = {}

    @property
    def known(self) -> bool:
        """Whether this process has opened the database before."""
        return "" in self._known

    def opened(self, before: os.stat_result) -> None:
        """A connection was opened; before: what the path named until then. Raises StoreUnavailable."""
        self._known.setdefault("", _identity(before))
        self._check("")

    def read(self) -> None:
        """A connection has read, so that the log and its index are there, unless the database is a new one."""
        for suffix in (LOG, INDEX):
            with suppress(FileNotFoundError):
                self._known.setdefault(suffix, _identity(os.stat(self.path + suffix)))

    def check_rights(self) -> None:
        """Before a connection is opened: without the right to write SQLite opens the files for reading, for as long as
        the process lives, also when the rights are mended. Raises StoreNotWritable."""
        there = [self.path + suffix for suffix in ("", LOG, INDEX) if os.path.exists(self.path + suffix)]
        # What is made beside the database needs the folder.
        needed = there if len(there) == 3 else [*there, os.path.dirname(self.path)]
        for path in needed:
            if not os.access(path, os.W_OK):
                raise StoreNotWritable(
                    f"{path} may not be written by this user. Give the user that runs the service the right to write "
                    "it, or mount its disk for writing"
                )

    def check(self) -> int:
        """Before a commit. -> the size of the log in bytes. Raises StoreUnavailable."""
        self._check("")
        self._check(INDEX)
        return self._check(LOG)

    def check_known(self) -> None:
        """As far as this process has seen them. Raises StoreUnavailable."""
        for suffix in tuple(self._known):
            self._check(suffix)

    def _check(self, suffix: str) -> int:
        path = self.path + suffix
        try:
            found = os.stat(path)
        except OSError as error:
            raise StoreUnavailable(
                f"{path} is no longer there ({error.strerror}), but this process still has it open. Put the same file "
                "back, or restart the service"
            ) from None
        if self._known.setdefault(suffix, _identity(found)) != _identity(found):
            raise StoreUnavailable(
                f"{path} is another file than the one that this process has open. Put that one back, or restart the "
                "service"
            )
        return found.st_size


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino
