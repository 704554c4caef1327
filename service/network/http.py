"""The one seam to the network: one request under one total deadline, and whether the other side may have acted."""

from __future__ import annotations

import json as json_module
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url
from urllib3.exceptions import HTTPError

from outbox.whole_numbers import whole_number
from service.network.deadline import Call, Pool, TlsPool, thread, tls_context
from service.network.redaction import hide, masked, masked_url, sent_secrets
from service.version import VERSION

MAX_BYTES = 32 * 1024 * 1024
REPEATABLE = ("GET", "HEAD")

# Its warnings and debug lines quote whole URLs: people's e-mails in queries, tokens in the paths of alert services.
logging.getLogger("urllib3").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Reply:
    """An answer that came in whole. seconds: from the call to the last byte. url: as sent, its secrets masked.

    secrets: what the request bore, which the other side may repeat.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)  # case-insensitive
    body: bytes = field(repr=False)  # may hold tokens, which must not reach a log by way of a traceback
    seconds: float
    method: str
    url: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def words(self) -> bytes:
        """The body for what is kept of its words: without what the request bore, and other secrets."""
        return masked(hide(self.text, self.secrets), errors=True).encode()

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
    told: called with the status of each answer, or with what stood in its way (NoAnswer.kind).
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
        told: Callable[[str], None] = lambda status: None,
    ) -> None:
        self.connect = connect
        self.total = total
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._verify = verify
        self._told = told
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
        secrets = sent_secrets(url, sent_headers, json, data)
        method = method.upper()
        repeat = method in REPEATABLE
        while True:
            call = Call(self._monotonic, self.connect, end)
            try:
                reply = self._once(call, started, method, url, sent_headers, params, data, secrets)
            except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
                fault = _fault(error, call, method, url, self._monotonic() - started)
            else:
                self._told(str(reply.status))
                return reply
            self._told(fault.kind)
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
        call: Call,
        started: float,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Any,
        data: Mapping[str, Any] | bytes | None,
        secrets: tuple[str, ...],
    ) -> Reply:
        thread.call = call
        try:
            session = self._session()
            response = session.send(
                session.prepared(method, url, headers, params, data),
                timeout=(self.connect, max(call.left(), 0.001)),
                allow_redirects=False,
                **session.settings_for(url, self._verify),
            )
            with response:
                return Reply(
                    status=response.status_code,
                    headers=CaseInsensitiveDict(response.headers),
                    body=self._read(response, call, started, method, url),
                    seconds=self._monotonic() - started,
                    method=method,
                    url=masked_url(response.url or url),
                    secrets=secrets,
                )
        finally:
            thread.call = None

    def _read(self, response: requests.Response, call: Call, started: float, method: str, url: str) -> bytes:
        size = (whole_number(response.headers.get("Content-Length")) or 0) if method != "HEAD" else 0
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


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=tls_context(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if not proxy.lower().startswith(("http://", "https://")):
            raise requests.exceptions.InvalidProxyURL("expected an http:// or https:// proxy")
        manager = super().proxy_manager_for(proxy, ssl_context=tls_context(), **kwargs)
        manager.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
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
        self._settings: dict[tuple[str, str], Any] = {}

    def prepared(
        self, method: str, url: str, headers: Mapping[str, str], params: Any, data: Any
    ) -> requests.PreparedRequest:
        """As Session.request would prepare it, without the defaults and cookies that it merges each time."""
        request = requests.PreparedRequest()
        own = {**self.headers, **headers}
        request.prepare(method=method, url=url, headers=own, params=params, data=data, auth=_url_auth(url))
        return request

    def settings_for(self, url: str, verify: bool | str) -> Any:
        """What the environment says of this place (proxies, certificates): read once, as nobody changes it later."""
        place = urlsplit(url)[:2]
        if place not in self._settings:
            self._settings[place] = self.merge_environment_settings(url, {}, True, verify, None)
        return self._settings[place]

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # Even with allow_redirects=False requests would read a redirect's whole body, past our cap.
        return None


def _url_auth(url: str) -> Callable[[Any], Any]:
    """An auth of our own for every request, since without one requests puts .netrc in place of our Authorization."""
    user, password = get_auth_from_url(url)
    return HTTPBasicAuth(user, password) if user or password else _as_it_is


def _as_it_is(prepared: Any) -> Any:
    return prepared


def _fault(error: Exception, call: Call, method: str, url: str, seconds: float) -> NoAnswer:
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
