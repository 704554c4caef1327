"""The one seam to the network: one request under one total deadline, and what is kept of it with its secrets masked.

It is longer than its neighbours because three things must not be told apart by their callers: when a request is cut,
whether the other side may have acted, and what may be shown of it afterwards.
"""

from __future__ import annotations

import json as json_module
import logging
import os
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from http.client import HTTPException, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

VERSION = "0.1.0"
MAX_BYTES = 32 * 1024 * 1024
IDLE_SECONDS = (
    4.0  # Apache closes an idle connection after 5 s by default: not to write into its closing is worth a handshake
)
BODY_KEPT = 4096
HIDDEN = "[hidden]"
REPEATABLE = ("GET", "HEAD")

# Its warnings and debug lines quote whole URLs: people's e-mails in queries, tokens in the paths of alert services.
logging.getLogger("urllib3").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Reply:
    """An answer that came in whole. seconds: from the call to the last byte. url: as sent, its secrets masked."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # case-insensitive
    body: bytes = field(repr=False)  # may hold tokens, which must not reach a log by way of a traceback
    seconds: float
    method: str
    url: str

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON, whatever the content type says. Raises Unreadable."""
        try:
            return json_module.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("Content-Type", "no content type")
            raise Unreadable(
                f"{self.method} {_place(self.url)}: expected JSON, got {len(self.body)} bytes ({kind[:80]}) "
                f"with status {self.status}"
            ) from None


class Unreadable(ValueError):
    """An answer came whose body is not what it should be. The message never holds the body."""


class NoAnswer(Exception):
    """No whole answer came.

    kind: connect (no connection, its time limit included), tls (no trust in it), timeout (the total ran out after
        the request began to leave), dropped (the connection ended or what came was no HTTP), too_large.
    acted: whether the other side may have acted: False only when not one byte of the request had left.
    """

    def __init__(self, message: str, *, kind: str, acted: bool, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.acted = acted
        self.seconds = seconds


class Http:
    """Requests to one system. Safe to share between threads and across a fork: connections are kept per thread and pid.

    connect, total: seconds; connect covers name, TCP, proxy and TLS, total covers all of it down to the last byte.
    max_bytes: the longest body that is read, after decompression. verify: as in requests (a path: a CA bundle).
    HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE are honoured; .netrc, cookies and redirects are not.
    """

    def __init__(
        self,
        *,
        connect: float,
        total: float,
        monotonic: Callable[[], float] = time.monotonic,
        max_bytes: int = MAX_BYTES,
        verify: bool | str = True,
    ) -> None:
        self.connect = connect
        self.total = total
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._verify = verify
        self._kept = threading.local()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Any = None,
        json: Any = None,
        data: Mapping[str, Any] | str | bytes | None = None,
        total: float | None = None,
    ) -> Reply:
        """Send one request and read its whole answer, whatever its status. Raises NoAnswer.

        params: as in requests (a mapping or pairs). json: is sent as JSON. data: a mapping is sent as a form.
        total: seconds, in place of the one given at the start.

        A write is never sent twice. A GET is, once, when a kept connection turns out to have been closed before any
        of the answer came: the server had dropped it while it was idle.
        """
        started = self._monotonic()
        end = started + (self.total if total is None else total)
        sent_headers = dict(headers or {})
        if json is not None:
            data = json_module.dumps(json, ensure_ascii=False, allow_nan=False).encode()
            sent_headers.setdefault("Content-Type", "application/json")
        elif isinstance(data, str):
            data = data.encode()
        method = method.upper()
        repeat = method in REPEATABLE
        while True:
            call = _Call(self._monotonic, self.connect, end)
            try:
                return self._once(call, started, method, url, sent_headers, params, data)
            except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
                fault = _fault(error, call, method, url, self._monotonic() - started)
            if not (repeat and fault.kind == "dropped" and call.reused and not call.received):
                raise fault
            repeat = False

    def close(self) -> None:
        """Close the connections that this thread keeps."""
        session = getattr(self._kept, "session", None)
        if session is not None and self._kept.pid == os.getpid():
            session.close()
        self._kept.session = None

    def _session(self) -> _Session:
        # After a fork the parent's sockets are in the child too: two processes on one connection would read each
        # other's answers. The child drops its copies without a word on the wire.
        if getattr(self._kept, "session", None) is None or self._kept.pid != os.getpid():
            self._kept.session = _Session()
            self._kept.pid = os.getpid()
        session: _Session = self._kept.session
        return session

    def _once(
        self,
        call: _Call,
        started: float,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Any,
        data: Mapping[str, Any] | bytes | None,
    ) -> Reply:
        _thread.call = call
        try:
            response = self._session().request(
                method,
                url,
                headers=headers,
                params=params,
                data=data,
                auth=_url_auth(url),
                timeout=(self.connect, max(call.left(), 0.001)),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
            )
            with response:
                return Reply(
                    status=response.status_code,
                    headers=CaseInsensitiveDict(response.headers),
                    body=self._read(response, call, started, method, url),
                    seconds=self._monotonic() - started,
                    method=method,
                    url=masked_url(response.url or url),
                )
        finally:
            _thread.call = None

    def _read(self, response: requests.Response, call: _Call, started: float, method: str, url: str) -> bytes:
        announced = response.headers.get("Content-Length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() and method != "HEAD" else 0
        chunks = []
        if size <= self._max_bytes:
            size = 0
            for chunk in response.iter_content(64 * 1024):
                call.left_or_raise()
                size += len(chunk)
                if size > self._max_bytes:
                    break
                chunks.append(chunk)
            else:
                return b"".join(chunks)
        raise NoAnswer(
            f"{method} {_place(url)}: expected at most {self._max_bytes} bytes, got {size} or more "
            f"with status {response.status_code}",
            kind="too_large",
            acted=True,
            seconds=self._monotonic() - started,
        )


@dataclass
class _Call:
    """How far one try of a request has come. Its thread's sockets look here before they wait."""

    monotonic: Callable[[], float]
    connect: float
    end: float
    limit: float | None = None  # while the connection opens: the end of that
    seen: bool = False  # it went through our connections (not so under a mock)
    reused: bool = False
    sent: bool = False
    received: bool = False
    ended: bool = False  # the other side closed the connection

    def left(self) -> float:
        return (self.end if self.limit is None else self.limit) - self.monotonic()

    def left_or_raise(self) -> float:
        left = self.left()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _Thread(threading.local):
    call: _Call | None = None


_thread = _Thread()


def _left(sock: socket.socket) -> None:
    """Give a socket no more time than its request has left: a server that drips bytes is cut, in headers too."""
    if _thread.call is not None:
        sock.settimeout(_thread.call.left_or_raise())


def _received(count: int) -> None:
    if _thread.call is not None:
        _thread.call.received |= count > 0
        _thread.call.ended |= count == 0


class _Socket(socket.socket):
    """A socket whose every wait ends with its request's deadline. (In sendall the time limit covers the whole.)"""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        _left(self)
        got = super().recv(bufsize, flags)
        _received(len(got))
        return got

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        _left(self)
        count = super().recv_into(buffer, nbytes, flags)
        _received(count)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        _left(self)
        super().sendall(data, flags)


class _TlsSocket(ssl.SSLSocket):
    """The same under TLS; its sendall is a loop over send."""

    def do_handshake(self, block: bool = False) -> None:
        _left(self)
        super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        _left(self)
        got = super().recv(buflen, flags)
        _received(len(got))
        return got

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        _left(self)
        count = super().recv_into(buffer, nbytes, flags)
        _received(count)
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        _left(self)
        return super().send(data, flags)


class _Connection(HTTPConnection):
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        call = _call()
        addresses = _addresses(self._dns_host, self.port, call.left_or_raise())
        error = OSError("no address")
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            left = call.left_or_raise()
            sock = _Socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                # A dead address must leave time for the next.
                sock.settimeout(max(left / (len(addresses) - place), min(left, 1.0)))
                sock.connect(address)
                return sock
            except OSError as fault:
                sock.close()
                error = fault
        try:
            raise error
        finally:
            del error  # its traceback holds this frame: a cycle that would keep sockets until the collector comes

    def connect(self) -> None:
        call = _call()
        call.seen = True
        call.limit = min(call.end, call.monotonic() + call.connect)
        super().connect()
        call.limit = None

    def send(self, data: Any) -> None:
        call = _call()
        if self.sock is None:
            self.connect()
        if call.limit is None:  # else it is the CONNECT to a proxy
            call.seen = call.sent = True
            call.received = call.ended = False
        super().send(data)

    def getresponse(self) -> Any:
        response: Any = super().getresponse()
        if _call().ended:  # http.client takes the end of the connection for the end of the head
            response.close()
            raise RemoteDisconnected("the connection ended within the head of the answer")
        return response


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn: Any = super()._get_conn(timeout)
        call = _call()
        if conn.sock is not None and call.monotonic() - conn.idle_since > IDLE_SECONDS:
            conn.close()
        call.reused = conn.sock is not None
        return conn

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and _thread.call is not None:
            conn.idle_since = _thread.call.monotonic()
        super()._put_conn(conn)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=_context(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if not proxy.lower().startswith(("http://", "https://")):
            raise requests.exceptions.InvalidProxyURL("expected an http:// or https:// proxy")
        manager = super().proxy_manager_for(proxy, ssl_context=_context(), **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager

    def close(self) -> None:
        # urllib3 leaves that to the garbage collector.
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                manager.pools[key].close()
        super().close()


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        adapter = _Adapter(max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers["User-Agent"] = f"dealpost/{VERSION}"

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # Even with allow_redirects=False requests would read a redirect's whole body, past our cap.
        return None


def _context() -> ssl.SSLContext:
    context = create_urllib3_context()
    context.sslsocket_class = _TlsSocket
    return context


def _call() -> _Call:
    if _thread.call is None:
        raise RuntimeError("a connection was used outside of Http.request")
    return _thread.call


def _addresses(host: str, port: int | None, seconds: float) -> list[Any]:
    """getaddrinfo under a time limit: it has none of its own, so it is left behind in its thread."""
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True, name="getaddrinfo").start()
    try:
        got = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(got, UnicodeError):
        raise OSError("the name is no host name")
    if isinstance(got, OSError):
        raise got
    return list(got)


def _url_auth(url: str) -> Callable[[Any], Any]:
    """An auth of our own for every request, since without one requests puts .netrc in place of our Authorization."""
    user, password = get_auth_from_url(url)
    return HTTPBasicAuth(user, password) if user or password else _as_it_is


def _as_it_is(prepared: Any) -> Any:
    return prepared


def _fault(error: Exception, call: _Call, method: str, url: str, seconds: float) -> NoAnswer:
    causes = list(_causes(error))
    acted = call.sent if call.seen else not isinstance(error, (ValueError, requests.ConnectTimeout))
    if not acted:
        kind = "tls" if any(isinstance(cause, ssl.SSLError) for cause in causes) else "connect"
    elif any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        kind = "timeout"
    else:
        kind = "dropped"
    words = {
        "connect": f"expected a connection within {call.connect:g} s, got none",
        "tls": "expected a TLS connection that can be trusted, got none",
        "timeout": "expected the whole answer before the deadline, got none",
        "dropped": "expected an answer, got the end of the connection or something that is no HTTP",
    }[kind]
    root = causes[-1]
    # Names and errno only: a library's own message may quote the URL, and with it what must not be shown.
    what = type(root).__name__
    if isinstance(root, ssl.SSLError):
        what = f"{what}: {getattr(root, 'verify_message', '') or root.reason or 'no reason'}"
    elif isinstance(root, OSError) and isinstance(root.errno, int) and root.strerror:
        what = f"{what}: {os.strerror(root.errno) if root.errno > 0 else root.strerror}"
    return NoAnswer(
        f"{method} {_place(url)}: {words} ({what}) after {seconds:.1f} s", kind=kind, acted=acted, seconds=seconds
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what lies beneath it, as requests and urllib3 wrap it: in args, reason, cause or context."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        one = todo.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


def _place(url: str) -> str:
    """Host and path of a URL: what a message may show."""
    try:
        parts = urlsplit(url)
        return masked(f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}")
    except ValueError:
        return "(no URL)"


# ---- what is kept of a request ----

_NAMES = "key|password|username|client_secret|refresh_token|access_token|api_key|secret|code"
_IN_JSON = re.compile(rf'(?<![A-Za-z0-9_])(?:{_NAMES})(?P<quote>\\*")\s*:\s*', re.IGNORECASE)
_IN_FORM = re.compile(rf"((?:^|[?&;])(?:{_NAMES})=)[^&#\"'\s\\<]*", re.IGNORECASE)
_IN_PATH = re.compile(r"(webhooks\\?/amocrm\\?/)[^\s\"'\\/?&#<]+")  # our own hook's address, as amoCRM is told it
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NESTED = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
_SCALAR = re.compile(r'[^\s,}\]"\\]*')
_SECRET_HEADERS = {"authorization", "proxy-authorization", "x-refresh-token", "x-api-key", "cookie", "set-cookie"}
_SECRET_KEYS = frozenset(_NAMES.split("|"))


@dataclass(frozen=True)
class Exchange:
    """One request and what came of it, as a person may see it: secrets are masked here already, bodies are cut.

    at: seconds since the epoch. status None: no answer came, and fault says why. Bodies are text as it went over the
    wire, so that long integers stay exact.
    """

    at: float
    method: str
    url: str
    request_headers: Mapping[str, str] = field(default_factory=dict)
    request_body: str = ""
    status: int | None = None
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: str = ""
    seconds: float = 0.0
    fault: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Exchange:
        """Back from as_dict; unknown fields are left out."""
        return cls(**{name: kept[name] for name in cls.__dataclass_fields__ if name in kept})


def exchange_of(
    at: float,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Any = None,
    json: Any = None,
    data: Mapping[str, Any] | str | bytes | None = None,
    answer: Reply | NoAnswer,
) -> Exchange:
    """What is kept of one request: the arguments are those of Http.request and what it returned or raised.

    Hidden are the headers that carry credentials; the values of key, password, username, client_secret, refresh_token,
    access_token, api_key, secret and code in bodies and queries, whole JSON or cut; our hook's address; and wherever
    else the same values turn up in the answer. In answers `code` stays: there it is the code of an error.
    """
    secrets = tuple(_secrets(json)) + tuple(_secrets(data if isinstance(data, Mapping) else None))
    for name, value in (headers or {}).items():
        if name.lower() in _SECRET_HEADERS:
            secrets += (value.rpartition(" ")[2],)
    if json is not None:
        body = json_module.dumps(json, ensure_ascii=False)
    elif isinstance(data, Mapping):
        body = urlencode(
            {k: HIDDEN if k.lower() in _SECRET_KEYS else v for k, v in data.items()}, doseq=True, safe="[]"
        )
    else:
        body = data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""
    reply = answer if isinstance(answer, Reply) else None
    return Exchange(
        at=at,
        method=method.upper(),
        url=reply.url if reply else masked_url(_with_params(url, params)),
        request_headers=_masked_headers(headers or {}, ()),
        request_body=_kept(body, ()),
        status=reply.status if reply else None,
        response_headers=_masked_headers(reply.headers, secrets) if reply else {},
        response_body=_kept(reply.text, secrets, errors=True) if reply else "",
        seconds=round(answer.seconds, 3),
        fault="" if reply else str(answer),
    )


def _with_params(url: str, params: Any) -> str:
    try:
        return requests.Request("GET", url, params=params).prepare().url or url
    except ValueError:  # no URL at all: the fault says so
        return url


def masked(text: str, *, errors: bool = False) -> str:
    """A text with the values of secret names hidden: in JSON (also cut or quoted in a string), forms and queries.

    errors: the text is an answer, where `code` names an error.
    """
    out = []
    done = 0
    while match := _IN_JSON.search(text, done):
        out.append(text[done : match.end()])
        done = match.end()
        if errors and match[0].lower().startswith("code"):
            continue
        quote = match["quote"]
        done = _end_of_value(text, done, quote)
        out.append(f"{quote}{HIDDEN}{quote}")
    out.append(text[done:])
    text = _IN_PATH.sub(rf"\1{HIDDEN}", "".join(out))
    return _IN_FORM.sub(lambda m: m[0] if errors and "code=" in m[1].lower() else m[1] + HIDDEN, text)


def masked_url(url: str) -> str:
    """A URL without its user and password, the values of secret names hidden."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        return masked(urlunsplit((parts.scheme, place, parts.path, parts.query, "")))
    except ValueError:
        return HIDDEN


def _end_of_value(text: str, start: int, quote: str) -> int:
    """Where a JSON value ends, or a cut text. quote: as the key bore it, with backslashes inside a string."""
    if text.startswith(quote, start):
        if quote == '"':
            found = _STRING.match(text, start)
            return found.end() if found else len(text)
        inner = re.compile(r"(?<!\\)" + re.escape(quote)).search(text, start + len(quote))
        return inner.end() if inner else len(text)
    if text.startswith(("{", "["), start):
        depth = 0
        for token in _NESTED.finditer(text, start):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        return len(text)
    scalar = _SCALAR.match(text, start)
    return scalar.end() if scalar else start


def _secrets(value: Any) -> Iterator[str]:
    """The values that a request sends under secret names, to be hidden where an answer repeats them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if str(name).lower() in _SECRET_KEYS - {"username"} and isinstance(inner, str):
                yield inner
            else:
                yield from _secrets(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _secrets(inner)


def _hide(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if len(secret) >= 6:  # a shorter one would tear innocent figures out of the answer
            text = text.replace(secret, HIDDEN).replace(json_module.dumps(secret)[1:-1], HIDDEN)
    return text


def _kept(text: str, secrets: tuple[str, ...], *, errors: bool = False) -> str:
    size = len(text.encode("utf-8", "replace"))
    # Cut first, since masking all of a long answer is wasted; far enough for masked text to fill what is kept.
    text = masked(_hide(text[: BODY_KEPT * 8], secrets), errors=errors)
    if size <= BODY_KEPT:
        return text
    return text.encode("utf-8", "replace")[:BODY_KEPT].decode("utf-8", "ignore") + f"… ({size} bytes in all)"


def _masked_headers(headers: Mapping[str, str], secrets: tuple[str, ...]) -> dict[str, str]:
    return {
        name: HIDDEN if name.lower() in _SECRET_HEADERS else masked(_hide(value, secrets))[:512]
        for name, value in list(headers.items())[:50]
    }
