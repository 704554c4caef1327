"""Which disks outlive a restart, from samples of /proc/self/mountinfo."""

import pytest

from service.disks import Mount, host_of, mount_of

CONTAINER = """\
702 589 0:62 / / rw,relatime master:241 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u,workdir=/w
703 702 0:65 / /proc rw,nosuid - proc proc rw
704 702 0:66 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
711 702 254:1 /volumes/post/_data /app/var rw,relatime master:1 - ext4 /dev/vda1 rw,discard
712 702 254:1 /srv/my\\040files /mnt/my\\040files rw,relatime shared:1 master:2 - ext4 /dev/vda1 rw
"""
SERVER = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
25 27 0:23 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=24684084k
30 25 8:1 / /tmp/kept rw,relatime - xfs /dev/sda1 rw
31 27 0:30 / /run rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("mountinfo", "path", "mount"),
    [
        (CONTAINER, "/app", Mount("/", "overlay")),
        (CONTAINER, "/app/var", Mount("/app/var", "ext4")),
        (CONTAINER, "/app/var/deeper", Mount("/app/var", "ext4")),
        (CONTAINER, "/app/variant", Mount("/", "overlay")),
        (CONTAINER, "/mnt/my files/x", Mount("/mnt/my files", "ext4")),
        (SERVER, "/srv/dealpost/var", Mount("/", "ext4")),
        (SERVER, "/tmp/x", Mount("/tmp", "tmpfs")),
        (SERVER, "/tmp/kept/x", Mount("/tmp/kept", "xfs")),
    ],
)
def test_the_innermost_mount_holds_the_file(mountinfo: str, path: str, mount: Mount) -> None:
    assert mount_of(mountinfo, path) == mount


def test_of_two_mounts_on_one_point_the_later_one_is_seen() -> None:
    both = SERVER + "40 27 0:40 / /tmp rw - ext4 /dev/vdb rw\n"
    assert mount_of(both, "/tmp/x") == Mount("/tmp", "ext4")


def test_a_text_that_tells_nothing_is_no_mount() -> None:
    assert mount_of("", "/x") is None
    assert mount_of("nonsense\n - \n1 2 - ext4\n", "/x") is None


@pytest.mark.parametrize("name", ["DYNO", "RENDER", "RAILWAY_ENVIRONMENT_NAME", "FLY_MACHINE_ID", "K_SERVICE"])
def test_hosts_make_themselves_known(name: str) -> None:
    assert host_of({name: "x"}) == name
    assert host_of({name: ""}) == ""


@pytest.mark.parametrize("name", ["FLY_API_TOKEN", "RAILWAY_TOKEN", "RAILWAY_API_TOKEN", "RENDER_API_KEY", "FLYING"])
def test_a_developers_tools_are_no_host(name: str) -> None:
    assert host_of({name: "x"}) == ""
