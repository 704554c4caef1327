"""The stored connection: what the settings offer is taken over once, what amoCRM refused is marked, nothing is lost.

Reference: https://www.amocrm.ru/developers/content/oauth/step-by-step
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from outbox.message import StoreUnavailable
from outbox.outcome import DeliveryError, PauseKind
from service.amocrm import payloads
from service.amocrm.oauth.token_store import Connection, Kept, NoKeys, TokenStore, claims, fingerprint
from service.config import Amocrm

DAY = 24 * 3600.0


class StoredConnection:
    """What is stored of the connection, and how it changes. Sends nothing."""

    def __init__(self, settings: Amocrm, token_store: TokenStore, now: Callable[[], float]) -> None:
        self._settings = settings
        self._token_store = token_store
        self._now = now
        self.on_taken_over: Callable[[], object] = lambda: None  # the settings offered something new
        self._unsaved: tuple[Connection, str] | None = None  # a pair that could not be committed yet, and its parent

    def load(self) -> Kept | None:
        """What is stored, as it is; None when nothing ever was."""
        return self._token_store.load()

    def current(self) -> Kept:
        """What is stored, after taking over what the settings newly offer. Raises DeliveryError for nothing."""
        self._save_unsaved()
        kept = self._token_store.load()
        offered = self._offered(kept)
        if offered is not None:
            try:
                # Of several processes that start at once one is the first; the others find its work.
                if self._token_store.save(offered, kept.version if kept else 0) is not None:
                    self.on_taken_over()
            except NoKeys as fault:
                raise self.not_set_up(str(fault)) from None
            except StoreUnavailable:  # read, but not written: it is taken over when it can be
                return kept or Kept(offered, 0)
            kept = self._token_store.load()
        if kept is None:
            raise self.not_set_up(self.lacking() or "a connection: press Connect")
        return kept

    def usable(self) -> Connection:
        """The connection, if it may work. A long-lived token is tried whatever was said of it: nothing else can show
        that it works again. Raises DeliveryError."""
        kept = self.current()
        if not kept.readable:
            raise self.not_set_up("TOKEN_KEYS (the stored tokens cannot be opened with the present keys)")
        if kept.connection.revoked and not kept.connection.long_lived:
            raise reconnect(kept.connection.revoked)
        return kept.connection

    def replace(
        self, access: str, refresh: str, who: str, expires_in: float | None, base_url: str, account_id: int | None
    ) -> None:
        """Store these tokens in place of whatever is stored. Raises NoKeys."""
        kept = self._token_store.load()
        seen = kept.connection.seen if kept else ()
        # What the settings say now is older than this.
        new = self._new(access, refresh, who, (*seen, *(one for one in self._prints() if one not in seen)))
        if expires_in:
            new = replace(new, expires_at=self._now() + expires_in)
        account_id = account_id if account_id is not None else new.account_id
        self._unsaved = None
        self._token_store.save(replace(new, base_url=base_url or new.base_url, account_id=account_id), None)

    def commit(self, fresh: Connection, parent: str) -> str:
        """Store a pair that was given for the refresh token `parent`. -> the access token that holds now: another, if
        somebody connected anew or went on from the same parent meanwhile. Raises whatever the engine raises."""
        while True:
            kept = self._token_store.load()
            if kept is not None and kept.readable and kept.connection.refresh != parent:
                return kept.connection.access
            seen = kept.connection.seen if kept else ()
            if self._token_store.save(replace(fresh, seen=seen), kept.version if kept else 0) is not None:
                return fresh.access

    def keep_for_later(self, fresh: Connection, parent: str) -> None:
        """A pair that could not be committed: it exists nowhere else, and goes first at the next question."""
        self._unsaved = (fresh, parent)

    def revoke(self, connection: Connection, why: str) -> None:
        """Mark this connection as lost, unless another one is stored by now."""
        while True:
            kept = self._token_store.load()
            if kept is None or not kept.readable:
                return
            now = kept.connection
            if (now.access, now.refresh) != (connection.access, connection.refresh) or now.revoked:
                return
            if self._token_store.save(replace(now, revoked=why or "access was revoked"), kept.version) is not None:
                return

    def reinstate(self) -> None:
        """amoCRM accepts what was marked as lost."""
        kept = self._token_store.load()
        if kept is not None and kept.readable and kept.connection.revoked:
            self._token_store.save(replace(kept.connection, revoked=""), kept.version)

    def move(self, connection: Connection, base_url: str) -> bool:
        """The account lives at this address now. -> False where another connection is stored by now."""
        kept = self._token_store.load()
        if kept is None or not kept.readable or kept.connection.access != connection.access:
            return False
        moved = replace(kept.connection, base_url=base_url, base_setting=self._settings.base_url)
        return self._token_store.save(moved, kept.version) is not None

    def name(self, account: Mapping[str, Any]) -> None:
        """Remember id and name of the account that the tokens turned out to belong to."""
        kept = self._token_store.load()
        number, name = payloads.whole(account.get("id")), str(account.get("name") or "")
        if kept is None or not kept.readable or number is None:
            return
        known = kept.connection
        if (known.account_id, known.account_name) != (number, name):
            # Somebody else's commit goes first: this is told again with the next reading of the account.
            self._token_store.save(replace(known, account_id=number, account_name=name), kept.version)

    def begin_anew(self) -> None:
        """Count the stored pair as another connection than before."""
        kept = self._token_store.load()
        if kept is not None and kept.readable:
            generation = fingerprint(kept.connection.generation, str(self._now()))[:16]
            self._token_store.save(replace(kept.connection, generation=generation), kept.version)

    def rotate_keys(self) -> bool:
        """Seal what is stored with the newest key. -> whether there was anything that could be opened."""
        return self._token_store.rotate()

    def base_url(self, connection: Connection | None) -> str:
        """Where the account lives: as the settings say, or where it was found since they said so; "" if unknown."""
        if connection is None or self._settings.overridden:
            return self._settings.base_url
        if connection.base_setting == self._settings.base_url and connection.base_url:
            return connection.base_url
        return self._settings.base_url or connection.base_url

    def lacking(self) -> str:
        """The settings without which nobody can connect."""
        names = ("client_id", "client_secret", "redirect_uri")
        return ", ".join(f"AMOCRM_{name.upper()}" for name in names if not getattr(self._settings, name))

    def not_set_up(self, missing: str) -> DeliveryError:
        return DeliveryError(
            f"amoCRM is not connected. Missing: {missing}",
            cause="amocrm_not_set_up",
            pause=PauseKind.SETTINGS,
            params={"missing": missing},
        )

    def _offered(self, kept: Kept | None) -> Connection | None:
        """Tokens from the settings, each value once: a newly pasted one is the operator's wish, an old one is spent."""
        seen = kept.connection.seen if kept else ()
        access, refresh = self._settings.access_token, self._settings.refresh_token
        new_access = bool(access) and fingerprint(access) not in seen
        new_refresh = bool(refresh) and fingerprint(refresh) not in seen
        if not new_access and not new_refresh:
            return None
        seen = (*seen, *(one for one in self._prints() if one not in seen))
        # A new access token beside a refresh token that is spent does not belong to it: it is a long-lived one.
        return self._new(access if new_access else "", refresh if new_refresh else "", "settings", seen)

    def _prints(self) -> list[str]:
        return [fingerprint(one) for one in (self._settings.access_token, self._settings.refresh_token) if one]

    def _new(self, access: str, refresh: str, who: str, seen: tuple[str, ...]) -> Connection:
        """A connection that begins now. A JWT's exp is only a hint here: when it was given is not known."""
        now = self._now()
        told = claims(access)
        expires_at = _time(told.get("exp"))
        if refresh and expires_at is None:
            expires_at = now + DAY if access else now
        return Connection(
            access=access,
            refresh=refresh,
            received_at=now if access else 0.0,
            expires_at=expires_at,
            connected_at=now,
            who=who,
            base_url=self._settings.base_url,
            base_setting=self._settings.base_url,
            account_id=payloads.whole(told.get("account_id")),
            generation=fingerprint(access, refresh, str(now))[:16],
            seen=seen,
        )

    def _save_unsaved(self) -> None:
        if self._unsaved is not None:
            self.commit(*self._unsaved)
            self._unsaved = None


def reconnect(detail: str = "") -> DeliveryError:
    """Somebody has to connect the account again."""
    said = f" ({detail})" if detail else ""
    return DeliveryError(
        f"amoCRM no longer accepts our access{said}: somebody has to connect the account again",
        cause="amocrm_reconnect",
        pause=PauseKind.RECONNECT,
        disprovable=True,
        status=401,
        params={"detail": detail},
    )


def _time(exp: Any) -> float | None:
    """The time in a JWT's exp, if it is one that a calendar knows."""
    number = payloads.whole(exp)
    try:
        return float(number) if number and datetime.fromtimestamp(number, UTC) else None
    except (ValueError, OverflowError, OSError):
        return None
