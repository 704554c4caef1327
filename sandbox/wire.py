"""Requests and responses between the HTTP server and the fake services."""

import json
from dataclasses import dataclass, field
from typing import Any

from sandbox import forms


class BadJSON(ValueError):
    """The body is not JSON."""


@dataclass
class Request:
    """One request as it came in; `headers` have lower-case names."""

    method: str
    path: str
    raw_query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    secure: bool = False

    @property
    def query(self) -> dict[str, Any]:
        return forms.parse(self.raw_query)

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    @property
    def is_json(self) -> bool:
        return "json" in self.headers.get("content-type", "")

    def json(self) -> Any:
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise BadJSON(str(error)) from error

    def data(self) -> Any:
        """The body as JSON, or a form with bracket keys as the same data. Raises BadJSON."""
        if "x-www-form-urlencoded" in self.headers.get("content-type", "") and self.body[:1] not in (b"{", b"["):
            return forms.as_data(forms.parse(self.body.decode("utf-8", "replace")))
        return self.json()

    def parsed(self) -> Any:
        """The body for the log: JSON, else a form, else its text."""
        if not self.body:
            return None
        text = self.body.decode("utf-8", "replace")
        if self.is_json or text[:1] in "{[":
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return text
        return forms.parse(text) if "=" in text else text


@dataclass
class Response:
    """An answer; `acted` None means: carried out if the status is below 400."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    acted: bool | None = None

    @property
    def was_carried_out(self) -> bool:
        return self.status < 400 if self.acted is None else self.acted


def as_json(data: Any, status: int = 200, content_type: str = "application/json") -> Response:
    return Response(status, json.dumps(data, ensure_ascii=False).encode("utf-8"), content_type)


def as_html(text: str, status: int = 200) -> Response:
    return Response(status, text.encode("utf-8"), "text/html; charset=utf-8")


def redirect(location: str) -> Response:
    return Response(302, b"", "", {"Location": location})


REASONS = {
    301: "Moved Permanently",
    302: "Found",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Time-out",
}


def gateway_page(status: int) -> Response:
    """The bare page that nginx shows in place of the application."""
    title = f"{status} {REASONS.get(status, 'Error')}"
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(status, text.encode("ascii"), "text/html")
