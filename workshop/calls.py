"""Plain HTTP calls to our own processes on this machine, past any proxy."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    method: str,
    url: str,
    *,
    body: Any = None,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> tuple[int, Any]:
    """-> (status, the answer: parsed when it is JSON, else its text). `body` goes out as JSON, `form` as a form.

    Raises OSError when there is no answer, or only a part of one.
    """
    data, sent = None, dict(headers or {})
    if body is not None:
        data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
    elif form is not None:
        data, sent["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        try:
            answer = _direct.open(request, timeout=timeout)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            status, text = answer.status, answer.read().decode("utf-8", "replace")
    except HTTPException as error:
        raise ConnectionError(f"{method} {url}: the answer broke off: {error!r}") from error
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def answers(url: str) -> bool:
    """Whether a GET gets a 200."""
    try:
        return call("GET", url, timeout=3)[0] == 200
    except OSError:
        return False
