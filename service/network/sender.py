"""Sending by requests: each try with its deadline, on connections that a thread keeps."""

from __future__ import annotations

import json as json_module
import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
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
from service.network.redaction import masked_url, sent_secrets
from service.network.reply import Limits, NoAnswer, Reply, place_of
from service.version import VERSION

REPEATABLE = ("GET", "HEAD")

# Its warnings and debug lines quote whole URLs: people's e-mails in queries, tokens in the paths of alert services.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Sender:
    """What Http does, once it has something to send."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float], told: Callable[[str], None]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._told = told
        self._kept = threading.local()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Any,
        json: Any,
        data: Mapping[str, Any] | str | bytes | None,
        total: float | None,
    ) -> Reply:
        """See Http.request."""
        started = self._monotonic()
        end = started + (self._limits.total if total is None else total)
        sent_headers = dict(headers or {})
        if json is not None:
            data = json_module.dumps(json, ensure_ascii=False, allow_nan=False).encode()
            sent_headers.setdefault("Content-Type", "application/json")
        elif isinstance(data, str):
            data = data.encode()
        secrets = sent_secrets(url, sent_headers, json, data)
        repeat = method in REPEATABLE
        while True:
            call = Call(self._monotonic, self._limits.connect, end)
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
                timeout=(self._limits.connect, max(call.left(), 0.001)),
                allow_redirects=False,
                **session.settings_for(url, self._limits.verify),
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
        if size <= self._limits.max_bytes:
            size = 0
            for chunk in response.iter_content(64 * 1024):
                call.left_or_raise()
                size += len(chunk)
                if size > self._limits.max_bytes:
                    break
                chunks.append(chunk)
            else:
                return b"".join(chunks)
        raise NoAnswer(
            f"{method} {place_of(url)}: expected at most {self._limits.max_bytes} bytes, got {size} or more "
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
        f"{method} {place_of(url)}: {words} ({what}) after {seconds:.1f} s", kind=kind, acted=acted, seconds=seconds
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
