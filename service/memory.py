"""How a process asks its system for memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8
"""Reference: https://man7.org/linux/man-pages/man3/mallopt.3.html"""


def share_one_heap() -> None:
    """Let all threads of this process, and of those forked from it, allocate from one heap.

    glibc gives each thread one of its own, which keeps what it once held; threads that take turns under the
    interpreter's lock gain nothing by that. Elsewhere nothing changes.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
