"""The one seam to the network: one request under one total deadline, and whether the other side may have acted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from service.network.reply import MAX_BYTES, Limits
from service.network.reply import NoAnswer as NoAnswer
from service.network.reply import Reply as Reply
from service.network.reply import Unreadable as Unreadable

if TYPE_CHECKING:
    from service.network.sender import Sender


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
        self._limits = Limits(connect, total, max_bytes, verify)
        self._monotonic = monotonic
        self._told = told

    @cached_property
    def _sender(self) -> Sender:
        # requests takes megabytes, and the web's processes send hardly anything.
        from service.network.sender import Sender

        return Sender(self._limits, self._monotonic, self._told)

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
        return self._sender.send(method.upper(), url, headers, params, json, data, total)

    def close(self) -> None:
        """Close the connections that this thread keeps."""
        if "_sender" in vars(self):
            self._sender.close()
