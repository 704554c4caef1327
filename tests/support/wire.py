"""A wire to the database's server that can be cut: into a network namespace of its own, or, where none can be made,
through a proxy that stops passing bytes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Protocol

LOOPBACK = "127.0.0.1"


class Wire(Protocol):
    """server_host, other_host: the addresses of this machine by which whoever is at the other end of the wire reaches
    the server, and all else. before: what stands before a command that runs there."""

    server_host: str
    other_host: str
    before: tuple[str, ...]

    def to(self, port: int) -> int:
        """The port at the other end that leads to the server's."""

    def cut(self) -> None:
        """No byte comes through any more, and nobody is told."""

    def mend(self) -> None: ...

    def close(self) -> None: ...


class Namespace:
    """Two wires lead into it, one to the server and one to all else. Raises OSError or CalledProcessError where the
    system does not let one be made."""

    def __init__(self) -> None:
        number = os.getpid()
        self._name = f"dealpost-{number}"
        net = f"10.213.{number % 256}"
        self.server_host, self.other_host = f"{net}.1", f"{net}.5"
        self.before: tuple[str, ...] = ("ip", "netns", "exec", self._name)
        self._outer = f"cut{number}s"
        _ip("netns", "add", self._name)
        try:
            self._lead(f"cut{number}", "s", self.server_host, f"{net}.2")
            self._lead(f"cut{number}", "o", self.other_host, f"{net}.6")
            _ip("-n", self._name, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def _lead(self, name: str, kind: str, outer: str, inner: str) -> None:
        here, there = f"{name}{kind}", f"{name}{kind}i"
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", self._name)
        _ip("addr", "add", f"{outer}/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", self._name, "addr", "add", f"{inner}/30", "dev", there)
        _ip("-n", self._name, "link", "set", there, "up")

    def to(self, port: int) -> int:
        return port

    def cut(self) -> None:
        _ip("link", "set", self._outer, "down")

    def mend(self) -> None:
        _ip("link", "set", self._outer, "up")

    def close(self) -> None:
        _ip("netns", "del", self._name)  # its ends of the wires go with it, and so do ours


class Valve:
    """A proxy on this machine. What it holds back while it is shut comes through afterwards, as TCP would bring it."""

    server_host = other_host = LOOPBACK
    before: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._target = 0

    def to(self, port: int) -> int:
        self._target = port
        listener = socket.create_server((LOOPBACK, 0))
        self._sockets.append(listener)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return int(listener.getsockname()[1])

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self._sockets.append(near)
                with contextlib.suppress(ConnectionError):
                    far = socket.create_connection((LOOPBACK, self._target))
                    self._sockets.append(far)
                    for one, other in ((near, far), (far, near)):
                        threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._open.wait()
                other.sendall(data)
            self._open.wait()
            other.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.set()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    """The most real one that can be had. That no namespace could be made is said; what uses the wire runs anyway."""
    made: Wire
    try:
        made = Namespace()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no network namespace ({error}): a proxy stands in for it")
        made = Valve()
    try:
        yield made
    finally:
        made.close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
