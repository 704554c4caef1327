"""From one store into another, of whatever engines: all rows as they are, in parts, and then compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from outbox.sql.database import Database
from outbox.sql.intake import insert
from outbox.sql.maintenance import Maintenance
from outbox.store import Store

PART = 1000
"""Rows in one transaction."""


@dataclass(frozen=True)
class Table:
    """key: the columns by which its rows are in order, so that a copy that was broken off goes on where it was."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


# In an order in which no row refers to one that is not there yet. The figures are counted anew by the triggers.
TABLES = (
    Table(
        "events",
        ("seq",),
        (
            "seq",
            *("id", "name", "data", "source", "sender", "received_at", "email", "lead_id", "dedupe", "fingerprint"),
            "raw",
        ),
    ),
    # Before the deliveries, whose triggers make the rows that are not there.
    Table("students", ("email",), ("email", "name", "phones", "words")),
    Table("deals", ("lead_id",), ("lead_id", "email", "name", "phones", "words")),
    Table(
        "deliveries",
        ("id",),
        (
            *("id", "event_id", "event_name", "destination", "key", "state", "reason", "cause", "due_at", "not_before"),
            *("created_at", "changed_at", "ended_at", "received_at", "email", "lead_id", "reference", "failures"),
            *("person", "interrupted", "facts", "fence"),
        ),
    ),
    Table(
        "attempts",
        ("id",),
        (
            *("id", "delivery_id", "at", "finished_at", "outcome", "status", "detail", "cause", "params"),
            "exchanges",
        ),
    ),
    Table("key_values", ("namespace", "key"), ("namespace", "key", "value", "version", "updated_at")),
    Table("leases", ("name",), ("name", "owner", "fence", "until")),
    Table("requests", ("ticket",), ("ticket", "name", "started_at", "done_at")),
    Table("actions", ("id",), ("id", "at", "who", "what", "count", "detail")),
)

MARK = "copy"
"""The namespace in the target that tells from where it is being filled, or was. It is no part of what is copied."""

Tell = Callable[[str, int, int], None]
"""tell(table, how many rows are there, of how many)"""


class CopyRefused(Exception):
    """Nothing was copied, or what was copied is not the same; it says why and what to do."""


def copy_store(source: Store, target: Store, origin: str, tell: Tell) -> dict[str, int]:
    """Copy all rows and compare them, while nobody uses either. -> how many rows of which table.

    origin: names the source, so that a copy that was broken off is known again and goes on. Raises CopyRefused and
    StoreUnavailable.
    """
    assert isinstance(source.maintenance, Maintenance) and isinstance(target.maintenance, Maintenance)
    old, new = source.maintenance.database, target.maintenance.database
    entry = target.key_values.get(MARK, "from")
    mark = entry.value if entry else {"origin": origin, "done": False}
    if entry is None:
        if full := [table.name for table in TABLES if new.row(f"SELECT 1 FROM {table.name} LIMIT 1")]:
            raise CopyRefused(f"The target is in use: it has rows in {', '.join(full)}. Expected an empty database.")
        target.key_values.put(MARK, "from", mark, 0)
    elif mark["origin"] != origin:
        raise CopyRefused(f"The target was filled from {mark['origin']}, not from {origin}. Expected an empty one.")
    totals = {table.name: count(old, table) for table in TABLES}
    if not mark["done"]:  # one that was finished may be in use since: then it is only compared
        for table in TABLES:
            copy_table(old, new, table, totals[table.name], tell)
        target.maintenance.go_on_from(source.maintenance.last_numbers())
    for table in TABLES:
        if digest(old, table) != digest(new, table):
            raise CopyRefused(
                f"{table.name}: the target has {count(new, table)} rows, the source {count(old, table)}, and they are "
                "not the same: one of them was used meanwhile. Empty the target and copy anew."
            )
    if faults := target.maintenance.verify():
        raise CopyRefused(f"The target is not sound: {'; '.join(faults)}. Nothing of the source was changed.")
    target.key_values.put(MARK, "from", {"origin": origin, "done": True})
    return totals


def copy_table(old: Database, new: Database, table: Table, total: int, tell: Tell) -> None:
    order = ", ".join(f"{column} DESC" for column in table.key)
    last = new.row(f"SELECT {', '.join(table.key)} FROM {table.name} WHERE {own(table)} ORDER BY {order} LIMIT 1")
    done = count(new, table)
    tell(table.name, done, total)
    for rows in parts(old, table, [last[column] for column in table.key] if last else None):
        try:
            with new.write() as db:
                insert(db, f"INSERT INTO {table.name} ({names(table)})", rows)
        except new.refusals as error:
            raise CopyRefused(
                f"{table.name}: rows do not fit to what is there: the source is in use, or another copy fills the "
                "target. Stop the service, or the other copy, and copy again."
            ) from error
        done += len(rows)
        tell(table.name, done, total)


def parts(db: Database, table: Table, after: Sequence[Any] | None = None) -> Iterator[list[tuple[Any, ...]]]:
    """All rows behind `after`, in their order."""
    keys = ", ".join(table.key)
    while True:
        beyond = f" AND ({keys}) > ({', '.join('?' * len(table.key))})" if after is not None else ""
        sql = f"SELECT {names(table)} FROM {table.name} WHERE {own(table)}{beyond} ORDER BY {keys} LIMIT {PART}"
        rows = [tuple(row[column] for column in table.columns) for row in db.rows(sql, after or ())]
        if rows:
            yield rows
        if len(rows) < PART:
            return
        after = [rows[-1][table.columns.index(column)] for column in table.key]


def names(table: Table) -> str:
    return ", ".join(table.columns)


def own(table: Table) -> str:
    return f"namespace <> '{MARK}'" if table.name == "key_values" else "1 = 1"


def count(db: Database, table: Table) -> int:
    return int(db.value(f"SELECT count(*) FROM {table.name} WHERE {own(table)}"))


def digest(db: Database, table: Table) -> str:
    """A sum over all values of all rows. U+0000, which PostgreSQL cannot hold, counts as what stands in its place."""
    found = hashlib.sha256()
    for rows in parts(db, table):
        for row in rows:
            plain = [value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row]
            found.update(json.dumps(plain).encode() + b"\n")
    return found.hexdigest()
