"""What a web server in front says of a request: believed of as many as are expected, and only where it can be true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from outbox.shared import KeyValues

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

_SEGMENT = r"/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+"
_CHECKED = {
    # "//evil.example" would make each of our links one to another site.
    "HTTP_X_FORWARDED_PREFIX": re.compile(rf"(?:{_SEGMENT})*/?"),
    "HTTP_X_FORWARDED_HOST": re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"),
    "HTTP_X_FORWARDED_PROTO": re.compile(r"https?"),
}
FORWARDED = "HTTP_X_FORWARDED_FOR"


class Unexpected:
    """When requests last came as if by a proxy although none is expected: the owner of its namespace.

    Noted for `flask check`, since then all visitors count as one address.
    """

    NAMESPACE, KEY = "proxies", "unexpected"
    EVERY = 3600.0
    LASTS = 7 * 24 * 3600.0

    def __init__(
        self, key_values: Callable[[], KeyValues], now: Callable[[], float], told: Callable[[], None] = lambda: None
    ) -> None:
        self._key_values, self._now, self._told = key_values, now, told
        self._noted: float | None = None
        self._waits = False

    def note(self) -> None:
        """Such a request came. Costs next to nothing: once an hour it is written, by somebody else."""
        now = self._now()
        if self._noted is None or abs(now - self._noted) >= self.EVERY:
            self._noted, self._waits = now, True
            self._told()

    def flush(self) -> None:
        """Raises what the store raises."""
        if self._waits:
            self._key_values().put(self.NAMESPACE, self.KEY, {"at": self._noted})
            self._waits = False

    def lately(self) -> bool:
        """Whether there was one within a week."""
        entry = self._key_values().get(self.NAMESPACE, self.KEY)
        return entry is not None and self._now() - entry.updated_at <= self.LASTS


def behind(inner: Wsgi, hops: int) -> Wsgi:
    """The application behind so many proxies."""
    fixed = ProxyFix(inner, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)

    def checked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        for name, pattern in _CHECKED.items():
            said = environ.get(name)
            if said is not None and not all(pattern.fullmatch(one.strip()) for one in said.split(",")):
                del environ[name]
        return fixed(environ, start_response)

    return checked


def direct(inner: Wsgi, unexpected: Unexpected) -> Wsgi:
    """The application without a proxy: what one would say is not believed."""

    def noted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if FORWARDED in environ:
            unexpected.note()
        return inner(environ, start_response)

    return noted
