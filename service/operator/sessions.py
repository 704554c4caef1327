"""Sessions of people who signed in on the page: a signed cookie that ends with the password, the role or a log-out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta

from flask import session

from outbox.message import StoreUnavailable
from outbox.shared import KeyValues
from service.operator.people import People, User

LASTS = timedelta(days=14)
"""From the last look on."""

NAMESPACE = "signed_out"


class SignedOut:
    """Sessions that were ended by a log-out, for as long as their cookie could come back."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values, self._now = key_values, now

    def add(self, session_id: str) -> None:
        self._key_values.put(NAMESPACE, session_id, self._now())

    def holds(self, session_id: str) -> bool:
        """Where the store cannot be read, nobody is turned away: the page has to say what is wrong with it."""
        try:
            return self._key_values.get(NAMESPACE, session_id) is not None
        except StoreUnavailable:
            return False

    def tidy(self) -> None:
        """Forget those whose cookie has lapsed by itself."""
        now, longest = self._now(), 2 * LASTS.total_seconds()
        entries = self._key_values.items(NAMESPACE)
        self._key_values.delete(NAMESPACE, [one for one, entry in entries.items() if now - entry.updated_at > longest])


def begin(user: User, people: People) -> None:
    """Sign in. What the cookie held before is dropped: nobody can have prepared it."""
    session.clear()
    session.permanent = True
    session["user"], session["mark"], session["id"] = user.name, people.mark(user.name), secrets.token_urlsafe(16)


def signed_in(people: People, signed_out: Callable[[], SignedOut]) -> User | None:
    """Who the cookie says is signed in, by the settings as they are now."""
    name, mark, session_id = session.get("user"), session.get("mark"), session.get("id")
    if not (isinstance(name, str) and isinstance(mark, str) and isinstance(session_id, str)):
        return None
    role = people.role(name)
    if not role or not secrets.compare_digest(mark, people.mark(name)) or _ended(signed_out, session_id):
        return None
    return User(name, role)


def _ended(signed_out: Callable[[], SignedOut], session_id: str) -> bool:
    try:
        return signed_out().holds(session_id)
    except StoreUnavailable:
        return False


def end(signed_out: SignedOut) -> None:
    """Log out: this session's cookie opens nothing any more, wherever it was copied to."""
    session_id = session.get("id")
    session.clear()
    if isinstance(session_id, str):
        signed_out.add(session_id)
