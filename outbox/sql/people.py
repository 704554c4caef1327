"""Who is behind the deliveries: a row for each student and each deal, with the names and telephones that are known.

The rows are made by triggers as deliveries come in, one for each person and not for each event. There are far fewer of
them than deliveries, so that a part of a name or of an address is looked for here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from outbox.message import Known
from outbox.queries import People
from outbox.sql.database import Row, Transaction
from outbox.sql.rows import chunks, marks
from outbox.whole_numbers import whole_number

SHORTEST = 2
"""Letters that a part of a name or of an e-mail has at least."""

DIGITS = 4
"""Of the end of a telephone, at least."""

PEOPLE = 100
"""How many students, and how many deals, a search takes at most."""

LONGEST, MOST = 255, 10
"""Characters of a name or a telephone, and telephones of one person, that are kept."""

NATIONAL = 10
"""Digits of a number in Russia and Kazakhstan, without the 8 or +7 in front."""

_BETWEEN = "+()-\u2010\u2011\u2012\u2013. \u00a0\u202f\t/"
_PARTS = re.compile(r"[,;\n]|[^\W\d_]")  # an extension begins with a letter


def fold(text: str) -> str:
    """As it is compared: letters of one size, one kind of space, no ё."""
    return " ".join(text.casefold().replace("ё", "е").split())


def digits_of(text: str) -> str:
    """The digits of a telephone however it is written, without what may stand in front within its country; empty for
    what is none."""
    text = text.strip()
    if text.strip(_BETWEEN + "0123456789") or not text:
        return ""
    found = "".join(one for one in text if one in "0123456789")
    return found[1:] if len(found) == NATIONAL + 1 and found[0] in "78" else found


def words_of(emails: Iterable[str], name: str | None, phones: str) -> str:
    """What is searched: a line for each e-mail, the name and each telephone."""
    numbers = [digits_of(part) for part in _PARTS.split(phones)]
    lines = [*map(fold, emails), fold(name or ""), *(one for one in numbers if len(one) >= DIGITS)]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines) if line)


def learn(db: Transaction, known: Sequence[Known]) -> None:
    """Keep what was found out about students and deals that there are deliveries of, as far as it is new. In order, so
    that two who learn of the same ones do not wait for each other."""
    for table, key, row, columns in news(db, known):
        sets = ", ".join(f"{name} = ?" for name in columns)
        db.execute(f"UPDATE {table} SET {sets} WHERE {key} = ?", (*columns.values(), row[key]))


def is_new(db: Transaction, known: Sequence[Known]) -> bool:
    return next(news(db, known), None) is not None


def news(db: Transaction, known: Sequence[Known]) -> Iterator[tuple[str, str, Row, dict[str, Any]]]:
    """(table, its key, the row as it is, the columns that change with what is known now)."""
    by_email = _first((email, one) for one in known if not one.is_title for email in one.emails)
    for part in chunks(sorted(by_email)):
        for row in db.rows(f"SELECT * FROM students WHERE email IN ({marks(part)}) ORDER BY email", part):
            name, phones = _better(row, by_email[row["email"]])
            if (name, phones) != (row["name"], row["phones"]):
                words = words_of([row["email"]], name, phones)
                yield "students", "email", row, {"name": name, "phones": phones, "words": words}
    by_lead = _first((lead_id, one) for one in known for lead_id in one.lead_ids)
    for part in chunks(sorted(by_lead)):
        for row in db.rows(f"SELECT * FROM deals WHERE lead_id IN ({marks(part)}) ORDER BY lead_id", part):
            name, phones = _better(row, by_lead[row["lead_id"]])
            email = row["email"] or next(iter(by_lead[row["lead_id"]].emails), None)
            if (email, name, phones) != (row["email"], row["name"], row["phones"]):
                words = words_of([email] if email else [], name, phones)
                yield "deals", "lead_id", row, {"email": email, "name": name, "phones": phones, "words": words}


def meet(db: Transaction, deliveries: Sequence[int]) -> None:
    """The e-mail or the deal of these deliveries has changed: there may be somebody new among them."""
    for part in chunks(sorted(deliveries)):
        of = f"FROM deliveries d WHERE d.id IN ({marks(part)}) AND"
        rows = db.rows(
            f"SELECT DISTINCT d.email {of} d.email IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM students s WHERE s.email = d.email) ORDER BY d.email",
            part,
        )
        for row in rows:
            db.execute(
                "INSERT INTO students (email, words) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (row["email"], words_of([row["email"]], None, "")),
            )
        rows = db.rows(
            f"SELECT d.lead_id, max(d.email) AS email {of} d.lead_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deals l "
            "WHERE l.lead_id = d.lead_id AND (d.email IS NULL OR l.email = d.email)) "
            "GROUP BY d.lead_id ORDER BY d.lead_id",
            part,
        )
        for row in rows:
            db.execute(
                "INSERT INTO deals (lead_id, email) VALUES (?, ?) ON CONFLICT (lead_id) DO UPDATE SET "
                "email = coalesce(excluded.email, deals.email)",
                (row["lead_id"], row["email"]),
            )


def drop(db: Transaction, emails: Iterable[Any], leads: Iterable[Any]) -> None:
    """Forget those of these students and deals that no delivery tells of any more."""
    db.alone("students")
    for part in chunks(sorted(set(emails) - {None})):
        db.execute(
            f"DELETE FROM students WHERE email IN ({marks(part)}) AND NOT EXISTS "
            "(SELECT 1 FROM deliveries d WHERE d.email = students.email)",
            part,
        )
    db.alone("deals")
    for part in chunks(sorted(set(leads) - {None})):
        db.execute(
            f"DELETE FROM deals WHERE lead_id IN ({marks(part)}) AND NOT EXISTS "
            "(SELECT 1 FROM deliveries d WHERE d.lead_id = deals.lead_id)",
            part,
        )


def find(db: Transaction, text: str, *, wide: bool = True) -> People:
    """The students and deals that a text means: by a whole e-mail, or else a part of it or of a name, or the end of a
    telephone. Up to PEOPLE of each. wide: of a number, too, any part may be meant."""
    folded, number = fold(text), digits_of(text)
    if "@" in folded and db.row("SELECT 1 FROM students WHERE email = ?", (text.casefold(),)) is not None:
        return People((text.casefold(),), ())
    if len(number) >= DIGITS:
        found = _containing(db, [f"{number}\n"])
        if found.emails or found.lead_ids or whole_number(folded) is None:
            return found
    if len(folded) < SHORTEST or (whole_number(folded) is not None and not wide):
        return People()
    return _containing(db, folded.split())


def _containing(db: Transaction, parts: Sequence[str]) -> People:
    where = " AND ".join([db.contains("words")] * len(parts))
    students = db.rows(f"SELECT email FROM students WHERE {where} LIMIT {PEOPLE}", parts)
    named = f"deals {db.index('deals_named')} WHERE words <> ''"
    deals = db.rows(f"SELECT lead_id FROM {named} AND {where} LIMIT {PEOPLE}", parts)
    emails, lead_ids = tuple(row["email"] for row in students), tuple(row["lead_id"] for row in deals)
    return People(emails, lead_ids, max(len(emails), len(lead_ids)) >= PEOPLE)


def meet_all(db: Transaction) -> None:
    """For a store that has deliveries already: make the rows of all who are in it, by their newest names."""
    named = "SELECT email, lead_id, person FROM deliveries WHERE person IS NOT NULL ORDER BY id"
    names = {(row["email"], None if row["email"] else row["lead_id"]): row["person"] for row in db.rows(named)}
    sql = "SELECT DISTINCT email FROM deliveries WHERE email IS NOT NULL ORDER BY email"
    students = [
        (one, name, words_of([one], name, ""))
        for one, name in ((row["email"], names.get((row["email"], None))) for row in db.rows(sql))
    ]
    sql = "SELECT lead_id, max(email) AS email FROM deliveries WHERE lead_id IS NOT NULL GROUP BY lead_id"
    deals = [
        (lead_id, email, name, words_of([], name, ""))
        for lead_id, email, name in (
            (row["lead_id"], row["email"], names.get((None, row["lead_id"]))) for row in db.rows(sql)
        )
    ]
    for table, columns, rows in (
        ("students", "email, name, words", students),
        ("deals", "lead_id, email, name, words", deals),
    ):
        for part in chunks(rows, 250):
            values = ",".join([f"({marks(list(part[0]))})"] * len(part))
            sql = f"INSERT INTO {table} ({columns}) VALUES {values} ON CONFLICT DO NOTHING"
            db.execute(sql, [value for row in part for value in row])


def _first(pairs: Iterable[tuple[Any, Known]]) -> dict[Any, Known]:
    found: dict[Any, Known] = {}
    for key, one in pairs:
        found.setdefault(key, one)
    return found


def _better(row: Row, one: Known) -> tuple[str | None, str]:
    """(name, telephones), with what is known now. A deal's own title never takes the place of a person's name."""
    name = row["name"] if one.is_title and row["name"] else one.name.strip()[:LONGEST] or row["name"]
    phones = ", ".join(dict.fromkeys(phone.strip()[:LONGEST] for phone in one.phones[:MOST] if phone.strip()))
    return name, phones or row["phones"]
