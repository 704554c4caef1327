"""The HTTP server: takes a request through limits, faults and services, and books it in the log."""

import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sandbox import control, effects, page
from sandbox.amocrm import routes
from sandbox.erp import rest
from sandbox.wire import Request, Response, as_html, gateway_page

if TYPE_CHECKING:
    from sandbox.world import World


@dataclass
class Answer:
    """What goes out: a response, slowly if `drip` seconds are given, or nothing at all."""

    response: Response | None
    drip: float = 0.0


def answer(world: "World", request: Request) -> Answer:
    """The one way that every request goes."""
    if request.path.startswith("/_sandbox"):
        return Answer(control.answer(world, request))
    if request.path == rest.PATH:
        return _serve(world, request, "erp")
    if routes.belongs(request.path):
        return _serve(world, request, "amocrm")
    if request.path == "/" and control.is_own(world, request):
        return Answer(as_html(page.render(world)))
    return _serve(world, request, "amocrm")


def _serve(world: "World", request: Request, part: str) -> Answer:
    entry = world.log.begin(part, request)
    in_api = part == "amocrm" and request.path not in routes.BROWSER
    if request.path == "/oauth2/access_token" and isinstance(entry.body, dict):
        _note_refresh(world, request, entry.refresh)
    refusal = world.limits.refusal() if in_api else None
    if refusal:
        if refusal.status == 429:
            entry.retry_after = None if world.settings.limit_html else world.settings.limit_retry_after
        world.log.finish(entry, refusal.status, False)
        return Answer(refusal)
    latency = world.settings.erp_latency_ms if part == "erp" else world.settings.latency_ms
    if latency:
        world.stopping.wait(latency / 1000)
    fault = world.faults.take(part, request)
    if fault is None:
        response = _act(world, request, part)
        world.log.finish(entry, response.status, response.was_carried_out)
        return Answer(response)
    entry.fault = fault.label()
    outcome, acted, drip = effects.apply(
        fault, request, lambda sent: _act(world, sent, part), lambda seconds: world.stopping.wait(seconds)
    )
    if fault.kind == "status" and fault.retry_after is not None:
        entry.retry_after = fault.retry_after
    world.log.finish(entry, outcome.status if outcome else 0, acted)
    return Answer(outcome, drip)


def _act(world: "World", request: Request, part: str) -> Response:
    response = rest.answer(world.erp, request) if part == "erp" else routes.answer(world, request)
    if request.method != "GET" and response.was_carried_out and request.path != "/oauth2/access_token":
        world.changed()
    return response


def _note_refresh(world: "World", request: Request, note: dict[str, Any]) -> None:
    try:
        token = request.data().get("refresh_token")
    except (ValueError, AttributeError):
        return
    if token:
        note["successor_used"] = world.oauth.successor_used(token)


TLS_HANDSHAKE = b"\x16"
PLAYED = (".amocrm.ru", ".amocrm.com", ".kommo.com")


class Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    # Without this each request on a kept connection costs 43 ms: Nagle's algorithm waits for a delayed ACK.
    disable_nagle_algorithm = True
    server: "Server"

    def _handle(self) -> None:
        address = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = self._body()
        except ValueError:
            self.close_connection = True
            self._send(Answer(gateway_page(400)))
            return
        secure = isinstance(self.connection, ssl.SSLSocket)
        request = Request(self.command, address.path or "/", address.query, headers, body, secure)
        self._send(answer(self.server.world, request))

    def _body(self) -> bytes:
        """The body by its length or in chunks. Raises ValueError when neither can be read."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length) if length else b""
        pieces = []
        while size := int(self.rfile.readline(1024).split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline(1024)
        while self.rfile.readline(65_537).strip():
            continue
        return b"".join(pieces)

    def setup(self) -> None:
        """A connection that begins as TLS does is taken as such, on the same port."""
        tls = self.server.tls
        if tls and self.request.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
            self.request = self.server.secured(self.request, tls)
        super().setup()

    def finish(self) -> None:
        super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            self.request.close()

    def do_CONNECT(self) -> None:
        """As a client's proxy, for amoCRM's own names only: whatever is asked of them is answered here."""
        host = self.path.rpartition(":")[0]
        if self.server.tls is None or not host.endswith(PLAYED):
            self.close_connection = True
            self._send(Answer(gateway_page(403)))
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        super().finish()
        self.setup()
        self.close_connection = False

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = _handle

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` of an answer: the services' clock, and `date_offset` beside it."""
        world = self.server.world
        return super().date_time_string(world.clock.time() + world.settings.date_offset)

    def _send(self, outgoing: Answer) -> None:
        response = outgoing.response
        if response is None:
            self.close_connection = True
            return
        self.send_response(response.status)
        if response.content_type:
            self.send_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command == "HEAD" or response.status == 204:
            return
        if outgoing.drip:
            self._drip(response.body, outgoing.drip)
        else:
            self.wfile.write(response.body)

    def _drip(self, body: bytes, seconds: float) -> None:
        """Byte by byte, so that a timeout per read never strikes."""
        pieces = [
            body[place : place + max(1, len(body) // 40)] for place in range(0, len(body), max(1, len(body) // 40))
        ]
        for piece in pieces:
            if self.server.world.stopping.wait(seconds / len(pieces)):
                return
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """The request log is kept elsewhere."""


class Server(ThreadingHTTPServer):
    """Listens for one world; `close` ends every connection and thread."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, world: "World", host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.world = world
        self.tls = tls
        self._connections: dict[Any, Any] = {}
        self._change = threading.Condition()
        super().__init__((host, port), Handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, name="sandbox", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._change:
            self._connections[request] = request
        super().process_request(request, client_address)

    def secured(self, request: Any, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """The connection as TLS, ended by `close` like any other."""
        made = tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        with self._change:
            self._connections[request] = made
        try:
            made.do_handshake()
        except OSError:
            made.close()
            raise
        return made

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._change:
            self._connections.pop(request, None)
            self._change.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no news; anything else is printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        self.world.stopping.set()
        self.shutdown()
        self._thread.join()
        with self._change:
            for connection in self._connections.values():
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            deadline = time.monotonic() + 5
            while self._connections and time.monotonic() < deadline:
                self._change.wait(0.1)
        self.server_close()
