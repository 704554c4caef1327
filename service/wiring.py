"""Settings into destinations: the only module that sees both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from outbox import pauses
from outbox.outcome import Destination
from outbox.store import Store
from service.config import Settings


class ConnectFailed(Exception):
    """The account was not connected; the text is for the person who pressed Connect."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class TokenStatus:
    state: str = "not_connected"
    expires_at: float | None = None


class Wiring:
    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings, self.store = settings, store
        self.destinations: dict[str, Destination] = {}
        self.stopping: Callable[[], bool] = lambda: False

    def account_id(self) -> int | None:
        return None

    def token_status(self) -> TokenStatus:
        return TokenStatus()

    def pauses(self) -> dict[str, pauses.Paused]:
        found = {name: pauses.read(self.store.memory, name) for name in ("amocrm", "erp")}
        return {name: paused for name, paused in found.items() if paused}

    def lacking_for_consent(self) -> tuple[str, ...]:
        return ()

    def consent_url(self, state: str) -> str:
        return state

    def exchange(self, code: str, referer: str, who: str) -> str:
        raise ConnectFailed("not yet")

    def disconnected(self, args: Mapping[str, str]) -> bool:
        return False

    def refresh_tokens(self) -> bool:
        return False

    def check_hook(self, alert: Callable[[str, Mapping[str, Any]], None]) -> str:
        return ""

    def fetch_missed(self) -> int:
        return 0

    def ping(self) -> bool:
        return False
