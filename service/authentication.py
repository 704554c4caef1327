"""Who sends: API keys, compared in constant time and kept only as digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import Any

from flask import Request

from service.config import ApiKey
from service.problem_json import Refusal
from service.secrets import digest


class ApiKeys:
    """The keys of the settings."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = [(digest(one.key.encode()), one) for one in keys]

    def find(self, presented: bytes) -> ApiKey | None:
        """The key that was presented. Looks at all of them, so that the time tells nothing."""
        presented_digest = digest(presented)
        found = None
        for known, key in self._keys:
            if compare_digest(known, presented_digest):
                found = key
        return found

    def of(self, environ: Mapping[str, Any]) -> ApiKey | None:
        """Of a request by WSGI: `Authorization: Bearer <key>` or `X-API-Key: <key>`."""
        header = environ.get("HTTP_AUTHORIZATION", "")
        presented = environ.get("HTTP_X_API_KEY", "")
        if header[:7].lower() == "bearer ":
            presented = header[7:]
        # WSGI hands over header bytes as Latin-1 text.
        return self.find(presented.strip().encode("latin-1", "replace")) if presented else None

    def require(self, request: Request) -> ApiKey:
        """Raises Refusal 401."""
        key = self.of(request.environ)
        if key is None:
            raise self.unknown(bool(request.headers.get("Authorization") or request.headers.get("X-API-Key")))
        return key

    def require_reader(self, request: Request) -> ApiKey:
        """A key that may also read. Raises Refusal 401 or 403."""
        key = self.require(request)
        if key.ingest_only:
            raise Refusal(403, f"The key {key.name!r} may only send events; reading needs a key without :ingest.")
        return key

    def unknown(self, given: bool) -> Refusal:
        """The 401 for a missing or wrong key."""
        if not self._keys:
            mend = "No API key is set up here yet: set API_KEYS=name:key and restart."
        elif given:
            mend = "The key is not one of API_KEYS. Check it for a typing error, or ask the operator for a new one."
        else:
            mend = "No key was sent; expected `Authorization: Bearer <key>` or `X-API-Key: <key>`."
        return Refusal(401, mend, headers={"WWW-Authenticate": 'Bearer realm="Dealpost"'})
