"""What start scripts and tests call our own processes by."""

import socket
import threading

import pytest

from workshop.calls import call
from workshop.processes import OURS, free_port


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"HTTP/1.1 2", b""])
def test_an_answer_that_breaks_off_is_none(part: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError):
            call("GET", f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


def test_a_free_port_is_none_that_linux_gives_away_by_itself() -> None:
    assert OURS.start > 1024 and OURS.stop <= 32768
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] in OURS
