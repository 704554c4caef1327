"""The one owner of the tokens: whoever needs access asks here, and of all that ask at once one refreshes.

Refresh tokens are one-time, and nobody knows for sure when the old one dies. So: one refresh at a time across all
threads, processes and hosts; the new pair is committed before it is used; after a lost answer the same old token is
sent again; and nothing is declared lost before the stored pair was read again.
Reference: https://www.amocrm.ru/developers/content/oauth/oauth
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from outbox.outcome import DeliveryError, PauseKind
from service.amocrm import payloads
from service.amocrm.oauth.backoff import Backoff
from service.amocrm.oauth.connection import StoredConnection, reconnect
from service.amocrm.oauth.endpoint import ALLOWED_HOST, DAY, Issued, TokenEndpoint, TokenRefused, host_of
from service.amocrm.oauth.token_store import Connection, Kept, claims
from service.config import Amocrm
from service.failpoints import failpoint

if TYPE_CHECKING:
    from outbox.shared import Lease, Leases

LEASE = "token-refresh:amocrm"
LEASE_SECONDS = 20.0
"""Longer than the token endpoint's total of 15 s, since it is renewed right before the request leaves."""

WAIT_FOR_OTHER = 40.0
"""Seconds to wait for another process's refresh; its lease ends before that, should it have died."""

MARGIN = 300.0
"""Seconds before its end from which on an access token is renewed before it is used."""

REFRESH_LIFE = 90 * DAY
AT_LEAST = 7 * DAY
"""However long access tokens live: the refresh token's own three months begin anew with each refresh."""

PROOF = 120.0
"""Seconds between two refusals of a refresh token after which it counts as revoked. Until then it is sent again."""

COMMIT_TRIES = 8


@dataclass(frozen=True)
class TokenStatus:
    """What may be shown of the connection. Times in seconds since the epoch.

    state: connected, reconnect (somebody has to press Connect), not_connected, long_lived, expired (a long-lived one).
    """

    state: str
    expires_at: float | None = None
    refresh_expires_at: float | None = None
    last_refresh: float | None = None
    next_refresh: float | None = None
    who: str = ""
    host: str = ""
    account_id: int | None = None
    account_name: str = ""
    detail: str = ""
    unreadable: bool = False  # TOKEN_KEYS has changed, so that what is stored cannot be opened

    @property
    def usable(self) -> bool:
        """Whether requests can be sent with it."""
        return self.state in ("connected", "long_lived")


class TokenOwner:
    """Gives out access tokens. Safe to use from any thread and any number of processes over one store.

    wait: how to rest while another process refreshes; may raise Stopping. sleep: how to rest while a new pair cannot be
    committed; a refresh in hand is finished also when the process is asked to stop, so it must not raise.
    """

    def __init__(
        self,
        settings: Amocrm,
        *,
        stored: StoredConnection,
        endpoint: TokenEndpoint,
        backoff: Backoff,
        leases: Leases,
        now: Callable[[], float],
        owner: str,
        wait: Callable[[float], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._stored = stored
        self._endpoint = endpoint
        self._backoff = backoff
        stored.on_taken_over = backoff.clear
        self._leases = leases
        self._now = now
        self._owner = f"{owner}:{uuid.uuid4().hex[:12]}"  # two processes must never pass for one
        self._wait = wait
        self._sleep = sleep
        self._lock = threading.Lock()

    # -- asked by the client

    def access_token(self) -> str:
        """A token to send now. Raises DeliveryError when there is none that may work."""
        connection = self._stored.usable()
        if connection.long_lived:
            return connection.access  # whether it has expired is for amoCRM to say, not for our clock
        left = (connection.expires_at or 0.0) - self._now()
        if connection.access and left > MARGIN:
            return connection.access
        try:
            return self._renew(connection.access)
        except DeliveryError:
            if connection.access and left > 0 and self._stored.usable().access == connection.access:
                return connection.access
            raise

    def renewed(self, rejected: str) -> str:
        """Another token than the one that amoCRM has just answered 401 to. Raises DeliveryError."""
        connection = self._stored.usable()
        if connection.access != rejected:
            return connection.access  # another process was faster
        if connection.long_lived:
            return connection.access  # there is none but this, and one refusal is no verdict
        return self._renew(rejected)

    def base_url(self) -> str:
        """Where the account's API lives, "" while unknown. Only allow-listed hosts and what the settings name."""
        kept = self._stored.load()
        return self._stored.base_url(kept.connection if kept else None)

    def follow(self) -> bool:
        """Look where the account has gone, after it was not found where it was. -> whether it is elsewhere now."""
        try:
            connection = self._stored.usable()
            base_url = self._stored.base_url(connection)
            moved = self._moved_to(connection, base_url)
        except DeliveryError:
            return False
        return bool(moved) and self._stored.move(connection, moved)

    # -- asked by people and the schedule

    def refresh(self, force: bool = False) -> bool:
        """Renew the pair when it is due, or now. -> whether the pair changed. Raises DeliveryError."""
        connection = self._stored.usable()
        due = self.due_at()
        if connection.long_lived or (not force and (due is None or self._now() < due)):
            return False
        refused = force and self._backoff.cause == "amocrm_reconnect"
        if force:
            self._backoff.clear()
        changed = self._renew(connection.access) != connection.access
        if changed and refused:
            self._stored.begin_anew()  # what waits for another pair goes out, as after a connect
        return changed

    def due_at(self) -> float | None:
        """When `refresh` has something to do: at half the access token's life, weekly at least. None: never."""
        try:
            connection = self._stored.usable()
        except DeliveryError:
            return None
        if connection.long_lived:
            return None
        life = max((connection.expires_at or 0.0) - connection.received_at, 0.0) if connection.access else 0.0
        due = connection.received_at + min(life / 2, AT_LEAST)
        return max(due, self._backoff.retry_at)

    def status(self) -> TokenStatus:
        """The connection's state, for the page. Sends nothing."""
        try:
            kept: Kept | None = self._stored.current()
        except DeliveryError:  # what is stored says why it is not usable
            kept = self._stored.load()
        if kept is None:
            return TokenStatus("not_connected", detail=self._stored.lacking() or "amoCRM was never connected")
        one = kept.connection
        shown = TokenStatus(
            "connected",
            expires_at=one.expires_at,
            last_refresh=one.received_at or None,
            who=one.who,
            host=host_of(self._stored.base_url(one)),
            account_id=one.account_id,
            account_name=one.account_name,
        )
        if not kept.readable:
            detail = (
                "the stored tokens cannot be opened: TOKEN_KEYS has changed; bring the old key back, or connect anew"
            )
            return replace(shown, state="not_connected", detail=detail, unreadable=True)
        if one.long_lived:
            over = one.expires_at is not None and self._now() >= one.expires_at
            lost = one.revoked or self._backoff.is_doubt
            state = "expired" if over else "reconnect" if lost else "long_lived"
            return replace(shown, state=state, detail=one.revoked or self._backoff.detail if lost else "")
        cause = self._backoff.cause
        alive = bool(one.access) and self._now() < (one.expires_at or 0.0)
        lost = one.revoked or cause == "amocrm_reconnect" or (cause == "amocrm_credentials" and not alive)
        return replace(
            shown,
            state="reconnect" if lost else "connected",
            refresh_expires_at=one.received_at + REFRESH_LIFE if one.received_at else None,
            next_refresh=self.due_at(),
            detail=one.revoked or self._backoff.detail,
        )

    def import_pair(
        self,
        access: str,
        refresh: str = "",
        *,
        who: str,
        expires_in: float | None = None,
        base_url: str = "",
        account_id: int | None = None,
    ) -> None:
        """Take tokens over from a person, in place of whatever is stored. Raises NoKeys, ValueError without a token."""
        if not access and not refresh:
            raise ValueError("expected an access token, a refresh token or both, got neither")
        self._stored.replace(access, refresh, who, expires_in, base_url, account_id)
        self._backoff.clear()

    def rotate_keys(self) -> bool:
        """Seal the stored tokens with the newest key. -> False when there are none that can be opened."""
        return self._stored.rotate_keys()

    def disconnected(self, why: str) -> None:
        """amoCRM told that access was withdrawn: from now on "reconnect"."""
        kept = self._stored.load()
        if kept is not None and kept.readable:
            self._stored.revoke(kept.connection, why)

    def note_account(self, account: Mapping[str, Any]) -> None:
        """Remember id and name of the account that the tokens turned out to belong to."""
        self._stored.name(account)

    def note_answer(self, good: bool) -> None:
        """Whether amoCRM accepts the token: while it refuses even a freshly renewed one, or the long-lived one twice
        running, the page says "reconnect". The first good answer, in whatever process, ends that."""
        if not good:
            self._backoff.note(DeliveryError("amoCRM refuses our token", cause="amocrm_reconnect"), 0.0, doubt=True)
        elif self._backoff.is_doubt:
            self._backoff.clear()
            if self.is_long_lived():
                self._stored.reinstate()

    def is_lost(self) -> bool:
        """Whether our access has been refused for minutes: one refusal is no verdict."""
        kept = self._stored.load()
        revoked = kept is not None and bool(kept.connection.revoked)
        return revoked or self._backoff.refused_for("amocrm_reconnect") >= PROOF

    def for_support(self) -> dict[str, str]:
        """What amoCRM's support asks for when a block is to be lifted."""
        status = self.status()
        return {
            "account": f"{status.account_id or '?'} ({status.host})",
            "address": host_of(self._settings.redirect_uri) or "?",
            "since": datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    @property
    def generation(self) -> str:
        """Changes with every connect and import, and when access is lost; not with a refresh."""
        try:
            kept = self._stored.current()
        except DeliveryError:
            return ""
        return f"{kept.connection.generation}{'!' if kept.connection.revoked else ''}"

    def is_long_lived(self) -> bool:
        """Whether the stored token, or the one in the settings, needs no renewing and so no client's secret."""
        kept = self._stored.load()
        if kept is None:
            return bool(self._settings.access_token) and not self._settings.refresh_token
        return kept.connection.long_lived

    def connected(self) -> bool:
        """Whether there is anything to send: False is "not connected", also with a lost TOKEN_KEYS."""
        try:
            return self._stored.current().readable
        except DeliveryError:
            return False

    # -- refreshing

    def _renew(self, stale: str) -> str:
        """Another access token than this one. Raises DeliveryError."""
        with self._lock:
            lease = self._lease(stale)
            if lease is None:
                return self._stored.usable().access
            try:
                connection = self._stored.usable()  # read again: now nobody else can change it
                return connection.access if connection.access != stale else self._exchange(connection, lease)
            finally:
                with contextlib.suppress(Exception):  # a store that fails here lets the lease run out
                    self._leases.release(lease)

    def _lease(self, stale: str) -> Lease | None:
        """The right to refresh, or None when another process has done it meanwhile."""
        until = self._now() + WAIT_FOR_OTHER
        while True:
            if self._stored.usable().access != stale:
                return None
            self._backoff.respect()
            lease = self._leases.acquire(LEASE, self._owner, LEASE_SECONDS)
            if lease is not None:
                return lease
            if self._now() >= until:
                raise DeliveryError(
                    "Another process has been renewing the access to amoCRM for too long; we ask again",
                    cause="amocrm_down",
                    pause=PauseKind.OUTAGE,
                )
            self._wait(0.2)

    def _exchange(self, connection: Connection, lease: Lease) -> str:
        failpoint("token-before-request")
        try:
            issued, base_url = self._ask(connection, lease)
        except TokenRefused as refused:
            return self._refused(connection, refused)
        except DeliveryError as error:
            if error.status == 403:
                error.params.update(self.for_support())
            if error.status is not None or error.retry_after is None:  # else nothing was asked: an earlier wait holds
                self._backoff.note(error)
            raise
        failpoint("token-after-response")
        now = self._now()
        fresh = replace(
            connection,
            access=issued.access,
            refresh=issued.refresh,
            received_at=now,
            expires_at=now + issued.expires_in,
            base_url=base_url,
            base_setting=self._settings.base_url,
            account_id=connection.account_id or payloads.whole(claims(issued.access).get("account_id")),
        )
        access = self._commit(fresh, connection.refresh)
        failpoint("token-after-commit")
        self._backoff.clear()
        return access

    def _ask(self, connection: Connection, lease: Lease) -> tuple[Issued, str]:
        """The new pair and the host that gave it, following an account that was renamed or moved."""

        def still_ours() -> None:
            if self._leases.renew(lease, LEASE_SECONDS) is None:
                # This process slept. Who holds the lease now may have used the token that we were about to send.
                raise DeliveryError(
                    "Another process has taken the renewing over", cause="amocrm_down", pause=PauseKind.OUTAGE
                )

        base_url = self._stored.base_url(connection)
        grant = {"grant_type": "refresh_token", "refresh_token": connection.refresh}
        try:
            return self._endpoint.ask(base_url, grant, still_ours), base_url
        except TokenRefused as refused:
            moved = "" if refused.kind == "client" else self._moved_to(connection, base_url)
            if not moved:
                raise
            return self._endpoint.ask(moved, grant, still_ours), moved

    def _moved_to(self, connection: Connection, base_url: str) -> str:
        """Where the account has gone, "" when it is where it was. Asked only of hosts of amoCRM itself."""
        domain = str(claims(connection.access).get("api_domain") or "").lower()
        if self._settings.overridden or not connection.refresh or not ALLOWED_HOST.fullmatch(domain):
            return ""
        try:
            number, host = self._endpoint.home_of(domain, connection.refresh)
        except DeliveryError as error:
            if error.pause is PauseKind.OUTAGE and error.status != 401 and self._backoff.failures < 3:
                raise
            return ""
        ours = connection.account_id is None or number is None or number == connection.account_id
        return f"https://{host}" if ours and host != host_of(base_url) else ""

    def _refused(self, connection: Connection, refused: TokenRefused) -> str:
        kept = self._stored.load()
        if kept is not None and kept.readable and kept.connection.refresh != connection.refresh:
            return kept.connection.access  # another process has rotated it: nothing is lost
        if refused.kind == "grant":
            lost = reconnect(refused.detail)
            if self._backoff.refused_for(lost.cause) >= PROOF:
                self._stored.revoke(connection, refused.detail)
            self._backoff.note(lost)
            raise lost
        if refused.kind == "place":
            # A host that is between two names says so for a while, and then everything goes on.
            host = host_of(self._stored.base_url(connection))
            moved = DeliveryError(
                f"amoCRM knows no account at {host} ({refused.detail}): we ask again",
                cause="amocrm_moved",
                pause=PauseKind.OUTAGE,
                disprovable=True,
                status=refused.status,
                params={"detail": refused.detail, "host": host},
            )
            self._backoff.note(moved)
            raise moved
        mend = "check AMOCRM_CLIENT_ID, AMOCRM_CLIENT_SECRET and AMOCRM_REDIRECT_URI (byte for byte)"
        error = DeliveryError(
            f"amoCRM gives no new access ({refused.detail}): {mend}",
            cause="amocrm_credentials",
            pause=PauseKind.SETTINGS,
            status=refused.status,
            params={"detail": refused.detail, "mend": mend},
        )
        self._backoff.note(error)
        raise error

    def _commit(self, fresh: Connection, parent: str) -> str:
        """Store the new pair before anybody uses it. -> the access token that holds now."""
        for attempt in range(COMMIT_TRIES):
            try:
                return self._stored.commit(fresh, parent)
            except Exception:  # whatever the engine says: this pair exists nowhere else
                self._sleep(min(0.1 * 2**attempt, 2.0))
        self._stored.keep_for_later(fresh, parent)
        raise DeliveryError(
            "The new access to amoCRM could not be stored, so it is not used yet; we try again",
            cause="internal",
            pause=PauseKind.OUTAGE,
        )
