"""Erasing a person: what is theirs goes; where the rows of others tell of them, that part is blanked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from outbox.failpoints import failpoint
from outbox.masking import masked_email
from outbox.message import Json
from outbox.sql import people
from outbox.sql.database import Row, Transaction
from outbox.sql.operations import write_action
from outbox.sql.rows import chunks, encode, marks

FORGOTTEN = "[forgotten]"
BODIES = ("request_body", "response_body")
"""Of an exchange: where one of them tells of the person, it also tells what is not known here, such as a telephone."""

LONG_NAME, LONG_ID = 5, 5
"""Characters from which on a name or the number of a deal is looked for: a shorter one is in every text."""

ROUNDS = 3
"""How often a text may have been coded: a form in JSON in JSON."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)


class Person:
    """Finds an address in texts, in whatever case and however it was coded there, and what else tells of the person."""

    def __init__(self, email: str) -> None:
        self.email = email.casefold()
        spellings = "|".join(re.escape(one) for one in {self.email, self.email.replace("+", " ")})
        self._address = re.compile(rf"(?<![\w.+%'-])(?:{spellings})(?![\w-]|\.\w)")
        self.needle = max(re.findall("[a-z0-9]+", self.email), key=len, default="")
        """What stands in every coding of the address: where it is not, nobody needs to look closer."""
        self.names: set[str] = set()
        self.phones: set[str] = set()
        self.deals: set[int] = set()

    def is_in(self, text: str) -> bool:
        """Whether the text bears the address."""
        return any(self._address.search(one) for one in _decoded(text))

    def is_told_of(self, text: str) -> bool:
        """Whether it bears the address, the name, a telephone or a deal of theirs."""
        if self.is_in(text):
            return True
        plain = list(_decoded(text))
        if any(name.casefold() in one for name in self.names for one in plain):
            return True
        if any(phone in one for phone in self.phones for one in plain):
            return True
        return any(re.search(rf"(?<!\d){deal}(?!\d)", text) for deal in self.deals)

    def needles(self) -> Iterator[str]:
        """What a text must bear, in lower case, to be worth a closer look; an empty one: look at all."""
        yield self.needle
        yield from map(str, self.deals)
        yield from self.phones
        for name in self.names:
            word = max(re.findall(r"\w+", name), key=len)
            yield word.lower() if word.isascii() else word  # an engine may know no other capital letters
            yield json.dumps(word)[1:-1].replace("\\", "\\\\").lower()  # as JSON in a text of JSON has it

    def know(self, rows: Sequence[Row]) -> None:
        """What is kept of them as a student, and of their deals."""
        for row in rows:
            if row["name"] and len(row["name"].strip()) >= LONG_NAME:
                self.names.add(row["name"])
            self.phones |= {phone.casefold() for phone in row["phones"].split(", ") if len(phone) >= LONG_NAME}

    def learn(self, rows: Sequence[Row]) -> None:
        """What deliveries of theirs say of their name and their deals."""
        for row in rows:
            facts = json.loads(row["facts"])
            names = [row["person"], facts.get("contact_name")] if isinstance(facts, dict) else [row["person"]]
            self.names |= {name for name in names if isinstance(name, str) and len(name.strip()) >= LONG_NAME}
            if row["lead_id"] is not None and len(str(row["lead_id"])) >= LONG_ID:
                self.deals.add(row["lead_id"])


def forget(db: Transaction, email: str, who: str, now: float) -> int:
    """Erase a person. -> how many events."""
    person = Person(email)
    ids = of_person(db, person)
    count = delete(db, sorted(ids))
    blank_events(db, person)
    blank_deliveries(db, person)
    blank_attempts(db, person)
    blank_people(db, person)
    forget_values(db, person)
    forget_actions(db, person)
    failpoint("forget-before-commit")
    write_action(db, now, who, "forget", count, {"email": masked_email(email)})
    return count


def of_person(db: Transaction, person: Person) -> set[int]:
    """The deliveries of their events and of those without an address that tell of them; what is over of their deals."""
    columns = "d.id, d.lead_id, d.person, d.facts"
    sql = (
        f"SELECT {columns} FROM deliveries d {db.index('deliveries_email')} WHERE d.email = ? UNION "
        f"SELECT {columns} FROM events e JOIN deliveries d ON d.event_id = e.id WHERE e.email = ?"
    )
    rows = db.rows(sql, (person.email, person.email))
    person.learn(rows)
    ids = {row["id"] for row in rows}
    student = "SELECT name, phones FROM students WHERE email = ?"
    deals = db.rows(f"SELECT * FROM deals {db.index('deals_email')} WHERE email = ?", (person.email,))
    person.know([*db.rows(student, (person.email,)), *deals])
    for lead_id in {*(row["lead_id"] for row in rows), *(row["lead_id"] for row in deals)} - {None}:
        sql = (
            f"SELECT id FROM deliveries {db.index('deliveries_lead')} WHERE lead_id = ? AND email IS NULL "
            "AND ended_at IS NOT NULL"
        )
        ids |= {row["id"] for row in db.rows(sql, (lead_id,))}
    sql = f"SELECT id, data, raw FROM events WHERE email IS NULL AND ({db.contains('lower(data)')} OR raw IS NOT NULL)"
    for event in list(db.rows(sql, (person.needle,))):
        if person.is_in(event["data"]) or person.is_in(event["raw"] or ""):
            ids |= {row["id"] for row in db.rows("SELECT id FROM deliveries WHERE event_id = ?", (event["id"],))}
    return ids


def blank_events(db: Transaction, person: Person) -> None:
    sql = f"SELECT id, data, raw FROM events WHERE {db.contains('lower(data)')} OR raw IS NOT NULL"
    for row in list(db.rows(sql, (person.needle,))):
        if person.is_in(row["data"]):
            data = encode(blanked(json.loads(row["data"]), person))
            db.execute("UPDATE events SET data = ? WHERE id = ?", (data, row["id"]))
        if row["raw"] and person.is_in(row["raw"]):
            db.execute("UPDATE events SET raw = ? WHERE id = ?", (FORGOTTEN, row["id"]))


def blank_deliveries(db: Transaction, person: Person) -> None:
    told = "lower(reason || ' ' || coalesce(person, '') || ' ' || facts)"
    sql = f"SELECT id, reason, person, facts FROM deliveries WHERE {db.contains(told)}"
    for row in list(db.rows(sql, (person.needle,))):
        values = {
            "reason": FORGOTTEN if person.is_in(row["reason"]) else row["reason"],
            "person": None if person.is_in(row["person"] or "") else row["person"],
            "facts": encode(blanked(json.loads(row["facts"]), person)),
        }
        db.execute(
            "UPDATE deliveries SET reason = ?, person = ?, facts = ? WHERE id = ?", (*values.values(), row["id"])
        )


def blank_attempts(db: Transaction, person: Person) -> None:
    """Batches tell of several people: others' attempts have this one's answers in them."""
    for needle in dict.fromkeys(person.needles()):
        told = "lower(detail || ' ' || params || ' ' || exchanges)"
        sql = f"SELECT id, detail, params, exchanges FROM attempts WHERE {db.contains(told)}"
        for row in list(db.rows(sql, (needle,))):
            detail = FORGOTTEN if person.is_told_of(row["detail"]) else row["detail"]
            params = encode(blanked(json.loads(row["params"]), person))
            exchanges = encode([without(one, person) for one in json.loads(row["exchanges"])])
            sql = "UPDATE attempts SET detail = ?, params = ?, exchanges = ? WHERE id = ?"
            db.execute(sql, (detail, params, exchanges, row["id"]))


def blank_people(db: Transaction, person: Person) -> None:
    """What is still sent of their deals says no more whose they are; nor do other people's names say it."""
    nobody = "UPDATE deals SET email = NULL, name = NULL, phones = '', words = '' WHERE"
    db.execute("DELETE FROM students WHERE email = ?", (person.email,))
    db.execute(f"{nobody} email = ?", (person.email,))
    for part in chunks(sorted(person.deals)):
        db.execute(f"{nobody} lead_id IN ({marks(part)})", part)
    for row in list(db.rows(f"SELECT * FROM deals WHERE {db.contains('words')}", (person.needle,))):
        if person.is_in(row["words"]):
            db.execute(f"{nobody} lead_id = ?", (row["lead_id"],))
    for row in list(db.rows(f"SELECT * FROM students WHERE {db.contains('words')}", (person.needle,))):
        if person.is_in(row["name"] or ""):
            words = people.words_of([row["email"]], None, row["phones"])
            db.execute("UPDATE students SET name = NULL, words = ? WHERE email = ?", (words, row["email"]))


def without(exchange: Json, person: Person) -> Json:
    """An exchange in which nothing tells of the person."""
    if not person.is_told_of(encode(exchange)):
        return exchange
    if isinstance(exchange, dict):
        exchange = {name: FORGOTTEN if name in BODIES and value else value for name, value in exchange.items()}
        if isinstance(exchange.get("url"), str):
            exchange["url"] = exchange["url"].partition("?")[0]
    return blanked(exchange, person)


def forget_values(db: Transaction, person: Person) -> None:
    for row in list(db.rows("SELECT namespace, key, value FROM key_values")):
        place = (row["namespace"], row["key"])
        if person.is_in(row["key"]):
            db.execute("DELETE FROM key_values WHERE namespace = ? AND key = ?", place)
        elif person.needle in row["value"].lower() and person.is_in(row["value"]):
            value = encode(blanked(json.loads(row["value"]), person))
            db.execute(
                "UPDATE key_values SET value = ?, version = version + 1 WHERE namespace = ? AND key = ?",
                (value, *place),
            )


def forget_actions(db: Transaction, person: Person) -> None:
    for row in list(db.rows("SELECT id, detail FROM actions")):
        if person.is_in(row["detail"]):
            db.execute("UPDATE actions SET detail = ? WHERE id = ?", (encode({"forgotten": True}), row["id"]))


def blanked(value: Json, person: Person) -> Json:
    """The same, without texts that bear the address."""
    if isinstance(value, str):
        return FORGOTTEN if person.is_in(value) else value
    if isinstance(value, dict):
        return {name: blanked(inner, person) for name, inner in value.items() if not person.is_in(name)}
    if isinstance(value, list):
        return [blanked(inner, person) for inner in value]
    return value


def delete(db: Transaction, ids: list[int]) -> int:
    """Delete deliveries and those of their events that have no other. -> how many events."""
    count, emails, leads = 0, set[Any](), set[Any]()
    for part in chunks(ids):
        sql = f"SELECT event_id, email, lead_id FROM deliveries WHERE id IN ({marks(part)})"
        rows = db.rows(sql, part)
        events = sorted({row["event_id"] for row in rows})
        emails |= {row["email"] for row in rows}
        leads |= {row["lead_id"] for row in rows}
        db.execute(f"DELETE FROM deliveries WHERE id IN ({marks(part)})", part)
        count += db.execute(
            f"DELETE FROM events WHERE id IN ({marks(events)}) "
            "AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = events.id)",
            events,
        )
    if ids:
        people.drop(db, emails, leads)
    return count


def _decoded(text: str) -> Iterator[str]:
    """The text as it is and without its codings, in lower case; a plus may stand for a space."""
    for _ in range(ROUNDS + 1):
        yield text.casefold()
        plain = unquote(_ESCAPE.sub(_unescaped, text))
        if plain == text:
            break
        text = plain
    yield text.replace("+", " ").casefold()


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return " " if found[2] in "nrtbf" else str(found[2])
