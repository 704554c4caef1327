"""What the page counts: tallies by destination, causes of failures, the throughput chart, what comes in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from outbox.message import State
from outbox.queries import Bar, CauseGroup, Filter, SourceTally, Tally
from outbox.sql import filters
from outbox.sql.database import Database, Row, Transaction
from outbox.sql.rows import by_ids, earlier

SAMPLE = 2000
"""From how many of the newest deliveries a percentile is taken."""

ENOUGH = 20
"""How many deliveries of the last hour are enough to speak of the hour alone."""

HOUR, DAY = 3600.0, 86400.0


class Figures:
    """The figures of outbox.store.Reading."""

    database: Database

    def tallies(self) -> dict[str, Tally]:
        found: dict[str, Tally] = {}
        with self.database.read() as db:
            now = self.database.now()
            for destination in destinations(db):
                states = filters.by_state(db, Filter(destination=destination))
                since = now - HOUR
                took = seconds(db, [destination], since, math.inf, SAMPLE)
                if len(took) < ENOUGH:
                    since = now - DAY
                    took = seconds(db, [destination], since, math.inf, SAMPLE)
                due = (
                    f"SELECT min(due_at) FROM deliveries {db.index('deliveries_due')} "
                    "WHERE destination = ? AND state = 'pending'"
                )
                found[destination] = Tally(
                    states=states,
                    oldest_pending=oldest(db, destination),
                    next_due=db.value(due, (destination,)),
                    delivered_hour=ended(db, destination, State.DELIVERED, now - HOUR),
                    delivered_day=ended(db, destination, State.DELIVERED, now - DAY),
                    seconds_p50=percentile(took, 0.50),
                    seconds_p99=percentile(took, 0.99),
                    seconds_since=since,
                )
        return found

    def causes(self, where: Filter) -> list[CauseGroup]:
        """Failures by cause, those that need a person first: dead ones, then by count."""
        with self.database.read() as db:
            now = self.database.now()
            found = []
            for row in db.rows(*causes_sql(db, where)):
                alike = replace(
                    where, destination=row["destination"], cause=row["cause"], states=(State(row["state"]),)
                )
                sample = by_ids(db, filters.matching(db, alike, 3, oldest_first=True))
                newest = by_ids(db, filters.matching(db, alike, 1))
                found.append(
                    CauseGroup(
                        destination=row["destination"],
                        cause=row["cause"],
                        state=State(row["state"]),
                        count=row["n"],
                        first_at=row["first_at"],
                        last_at=row["last_at"],
                        params=params_of(db, newest[0].id, row["cause"]) if newest else {},
                        reason=newest[0].reason if newest else "",
                        sample=tuple(sample),
                        max_id=row["max_id"],
                        due_at=first_due(db, row, now) if row["state"] == State.PENDING else None,
                    )
                )
        return sorted(found, key=lambda group: (group.state != State.DEAD, -group.count))

    def bars(self, since: float, width: float, count: int) -> list[Bar]:
        with self.database.read() as db:
            names = destinations(db)
            most = min(SAMPLE, 30_000 // max(1, count))
            return [bar(db, names, since + width * index, width, most) for index in range(count)]

    def sources(self, since: float, most: int | None = None, known: Sequence[str] = ()) -> list[SourceTally]:
        found: list[SourceTally] = []
        end = "" if most is None else f" LIMIT {most}"
        with self.database.read() as db:
            for pair in pairs(db, known):
                sql = f"FROM events {db.index('events_source')} WHERE source = ? AND name = ?"
                first, last = (db.value(f"SELECT {which}(received_at) {sql}", pair) for which in ("min", "max"))
                counted = f"SELECT count(*) FROM (SELECT 1 {sql} AND received_at >= ?{end}) AS lately"
                count = db.value(counted, (*pair, since))
                found.append(SourceTally(*pair, last_at=last, count=count, first_at=first))
        return found


NAMES = 50
"""Event names that are told of each source: a sender may make up as many as it likes."""


def pairs(db: Transaction, known: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Each source with its event names, by leaps along the index: the first NAMES of each, and those that are known."""
    source, name, told = "", "", 0
    leap = f"FROM events {db.index('events_source')} WHERE"
    while True:
        sql = f"SELECT source, name {leap} source = ? AND name > ? ORDER BY name LIMIT 1"
        row = db.row(sql, (source, name)) if told < NAMES else None
        if row is None:
            for other in sorted(set(known)):
                there = f"SELECT 1 AS found {leap} source = ? AND name = ? LIMIT 1"
                if other > name and db.row(there, (source, other)):
                    yield source, other
            sql = f"SELECT source, name {leap} source > ? ORDER BY source, name LIMIT 1"
            row = db.row(sql, (source,))
        if row is None:
            return
        told = told + 1 if row["source"] == source else 1
        source, name = row["source"], row["name"]
        yield source, name


def first_due(db: Transaction, group: Row, now: float) -> float | None:
    """When the first waiting row of a group is due, of those that no earlier one of their key holds up."""
    sql = (
        f"SELECT min(d.due_at) FROM deliveries d {db.index('deliveries_cause')} "
        "WHERE d.destination = ? AND d.cause = ? AND d.cause <> '' AND d.state = 'pending' "
        f"AND (d.key IS NULL OR NOT EXISTS ({earlier(db)}))"
    )
    found: float | None = db.value(sql, (group["destination"], group["cause"], now))
    return found


def causes_sql(db: Transaction, where: Filter) -> tuple[str, list[object]]:
    """Grouped along the index of causes, which holds the rows that failed and no others."""
    rest, rest_params = filters.residual(where)
    narrow, narrow_params = "", list[object]()
    if filters.narrow(where):
        person = Filter(search=where.search, email=where.email, lead_id=where.lead_id, ids=where.ids)
        source, narrow_params = filters.by_ids(db, person)
        narrow = f" AND d.id IN (SELECT d.id FROM {source})"
    plain, plain_params = filters.columns(where)
    sql = (
        "SELECT d.destination, d.cause, d.state, count(*) AS n, min(d.created_at) AS first_at, "
        f"max(d.changed_at) AS last_at, max(d.id) AS max_id FROM deliveries d {db.index('deliveries_cause')} "
        f"WHERE d.cause <> '' AND d.state IN ('dead', 'pending'){narrow}{plain}{rest} "
        "GROUP BY d.destination, d.cause, d.state"
    )
    return sql, [*narrow_params, *plain_params, *rest_params]


def destinations(db: Transaction) -> list[str]:
    return [row["destination"] for row in db.rows("SELECT DISTINCT destination FROM counters ORDER BY destination")]


def oldest(db: Transaction, destination: str) -> float | None:
    """When the delivery that has waited longest was accepted."""
    found = []
    for group in filters.groups(db, Filter(destination=destination, states=(State.PENDING,))):
        sql = (
            f"SELECT min(created_at) FROM deliveries {db.index('deliveries_list')} "
            "WHERE destination = ? AND event_name = ? AND state = ?"
        )
        found.append(db.value(sql, group[:3]))
    return min((at for at in found if at is not None), default=None)


def ended(db: Transaction, destination: str, state: State, since: float, until: float = math.inf) -> int:
    return int(db.value(f"SELECT count(*) {ended_rows(db)}", (destination, state.value, since, until)))


def ended_rows(db: Transaction) -> str:
    index = db.index("deliveries_ended")
    return f"FROM deliveries {index} WHERE destination = ? AND state = ? AND ended_at >= ? AND ended_at < ?"


def seconds(db: Transaction, names: Sequence[str], since: float, until: float, most: int) -> list[float]:
    """From received_at to delivered, of the newest ones, sorted."""
    found: list[float] = []
    for name in names:
        sql = f"SELECT ended_at - received_at AS took {ended_rows(db)} ORDER BY ended_at DESC LIMIT ?"
        rows = db.rows(sql, (name, State.DELIVERED.value, since, until, most))
        found += [max(0.0, row["took"]) for row in rows]
    return sorted(found)


def percentile(values: Sequence[float], part: float) -> float | None:
    """By nearest rank, of sorted values."""
    return values[max(0, math.ceil(part * len(values)) - 1)] if values else None


def bar(db: Transaction, names: Sequence[str], start: float, width: float, most: int) -> Bar:
    end = start + width
    took = seconds(db, names, start, end, most)
    return Bar(
        start=start,
        delivered={name: ended(db, name, State.DELIVERED, start, end) for name in names},
        dead=sum(ended(db, name, State.DEAD, start, end) for name in names),
        seconds_p50=percentile(took, 0.50),
        seconds_p99=percentile(took, 0.99),
    )


def params_of(db: Transaction, delivery_id: int, cause: str) -> dict[str, object]:
    sql = "SELECT params FROM attempts WHERE delivery_id = ? AND cause = ? ORDER BY id DESC LIMIT 1"
    row = db.row(sql, (delivery_id, cause))
    found: dict[str, object] = json.loads(row["params"]) if row else {}
    return found
