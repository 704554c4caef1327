"""Named places where a test can kill the process: DEALPOST_FAILPOINT=name ends it there, as a SIGKILL would.

A testing aid. Unset, as it is outside of tests, nothing happens.
"""

from __future__ import annotations

import os


def failpoint(name: str) -> None:
    """End the process at once, without cleaning up, if DEALPOST_FAILPOINT is this name."""
    if os.environ.get("DEALPOST_FAILPOINT") == name:
        os._exit(137)
