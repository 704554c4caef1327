"""Whether what is written on this host is still there after its next start. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Their disks never last, whatever is mounted: Heroku has none, Cloud Run's are memory or a network's.
DISKLESS = ("DYNO", "K_SERVICE")
# Their root is wiped; a volume of theirs is mounted and lasts.
WITH_VOLUMES = ("RENDER",)
WITH_VOLUMES_BEGINNINGS = ("RAILWAY_", "FLY_")
# What their command-line tools need on anybody's machine tells nothing of where we are.
OF_CLIENTS = ("TOKEN", "API_KEY")

VANISHING = ("tmpfs", "ramfs", "devtmpfs", "overlay", "aufs", "fuse.fuse-overlayfs")
"""File systems of memory, and of a container's own layer."""


@dataclass(frozen=True)
class Mount:
    """Where a file system is mounted, and its kind."""

    point: str
    kind: str


def mount_of(mountinfo: str, path: str) -> Mount | None:
    """The mount that holds this absolute path, links resolved. mountinfo: the text of /proc/self/mountinfo.

    Reference: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    found = None
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(), after.partition(" ")[0]
        if not separator or len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # Of two on the same point the later one is seen.
        if inside and (found is None or len(point) >= len(found.point)):
            found = Mount(point, kind)
    return found


def host_of(environ: Mapping[str, str]) -> str:
    """The variable by which a host that routes to us, and wipes its disk, makes itself known; "" elsewhere."""
    for name in (*DISKLESS, *WITH_VOLUMES):
        if environ.get(name, "").strip():
            return name
    named = (one for one in environ if one.startswith(WITH_VOLUMES_BEGINNINGS) and not one.endswith(OF_CLIENTS))
    return next((one for one in sorted(named) if environ[one].strip()), "")


def wiped(environ: Mapping[str, str], mount: Mount | None) -> str:
    """Why a file there would not outlive a restart; "" when it would, as far as can be seen."""
    host = host_of(environ)
    if host in DISKLESS:
        return f"this host's disk is wiped at each restart ({host} is set)"
    if mount and mount.kind in VANISHING:
        return f"its folder is on {mount.kind} (mounted at {mount.point}), which is wiped at each restart"
    if host and (mount is None or mount.point == "/"):
        return f"this host's disk is wiped at each restart ({host} is set) and its folder is on no volume"
    return ""
