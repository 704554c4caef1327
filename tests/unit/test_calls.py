"""Calls to our own processes: whoever polls one that starts or ends is told by one kind of error that there is none."""

import socket
import threading

import pytest

from workshop.calls import answers, call


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"no HTTP\r\n\r\n"])
def test_an_answer_that_breaks_off_is_no_answer(sent: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(sent)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(OSError):
            call("GET", url)
        assert not answers(url)
        thread.join()
