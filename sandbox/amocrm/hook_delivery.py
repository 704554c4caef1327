"""A webhook's subscription, one delivery of it, and the request that carries it."""

import http.client
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

AGENT = "amoCRM-WebHook-client/{}"
TIMED_OUT = 499


@dataclass
class Hook:
    """A subscription; `stages` are those of the digital pipeline that send a hook of their own. `bad`
    holds when it answered badly, in the sandbox's monotonic seconds."""

    id: int
    destination: str
    settings: list[str]
    created_at: int
    updated_at: int
    disabled: bool = False
    stages: list[int] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)


@dataclass(order=True)
class Job:
    """One delivery to one address; `status` 0 is no connection, 499 no answer in time."""

    due: float
    number: int
    destination: str = field(compare=False)
    body: bytes = field(compare=False)
    action: str = field(compare=False, default="")
    deal_id: int = field(compare=False, default=0)
    cut: int = field(compare=False, default=0)
    attempts: list[int] = field(compare=False, default_factory=list)
    sent_at: list[float] = field(compare=False, default_factory=list)
    state: str = field(compare=False, default="waiting")


def post(destination: str, body: bytes, timeout: float, version: str = "1.0", cut: int = 0) -> int:
    """Sends one hook; 0 when there was no connection, 499 when the answer took longer than `timeout` in all. The last
    `cut` bytes of the body are promised and not sent."""
    address = urlsplit(destination)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=timeout)
    started = time.monotonic()
    try:
        connection.putrequest("POST", (address.path or "/") + (f"?{address.query}" if address.query else ""))
        connection.putheader("User-Agent", AGENT.format(version))
        connection.putheader("Content-Type", "application/x-www-form-urlencoded")
        connection.putheader("Accept", "*/*")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[: len(body) - cut])
        if cut and connection.sock:
            connection.sock.shutdown(socket.SHUT_WR)
        status = connection.getresponse().status
        return TIMED_OUT if time.monotonic() - started > timeout else status
    except TimeoutError:
        return TIMED_OUT
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
