"""A proxy before a service that loses answers: the request arrives, the answer does not."""

import http.client
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


class LossyProxy:
    """Passes requests on to `target`, and hangs up on the first `lose` of them once the target has answered.

    busy: how many requests, before those, are answered 503 and go no further.
    go: while it is clear, no answer goes back.
    """

    def __init__(self, target: str, lose: int = 0, busy: int = 0) -> None:
        self.target, self.lose, self.busy = target, lose, busy
        self.statuses: list[int] = []  # of the target's answers, lost or not
        self.bodies: list[bytes] = []
        self.go = threading.Event()
        self.go.set()
        proxy, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    busy, proxy.busy = proxy.busy > 0, proxy.busy - 1
                if busy:
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                to = urlsplit(proxy.target)
                connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=30)
                names = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                connection.request(self.command, self.path, body, names)
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
                with lock:
                    proxy.statuses.append(answer.status)
                    proxy.bodies.append(body)
                    lost = len(proxy.statuses) <= proxy.lose
                if lost:
                    self.close_connection = True
                    return
                proxy.go.wait(30)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_HEAD = handle_any

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that has left

        self._server: socketserver.BaseServer = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "LossyProxy":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
