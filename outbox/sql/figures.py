"""What the page counts: tallies by destination, causes of failures, the throughput chart, what comes in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from outbox.message import State
from outbox.queries import EVENT_NAMES, Bar, CauseGroup, Filter, SourceTally, Tally
from outbox.sql import filters
from outbox.sql.counters import Group, counts_ended
from outbox.sql.database import Database, Row, Transaction
from outbox.sql.rows import by_ids, earlier, together

SAMPLE = 2000
"""From how many of the newest deliveries a percentile is taken."""

FEWEST = 20
"""From how many those of a bar are taken at least, however many bars share that sample."""

ENDS = (State.DELIVERED, State.DEAD)
"""What the chart shows."""

SAMPLE_ROWS = 3
"""How many of the oldest deliveries that failed alike are told of."""

ENOUGH = 20
"""How many deliveries of the last hour are enough to speak of the hour alone."""

HOUR, DAY = 3600.0, 86400.0


class Figures:
    """The figures of outbox.store.Reading."""

    database: Database

    def tallies(self) -> dict[str, Tally]:
        with self.database.read() as db:
            now = self.database.now()
            there = filters.groups(db, Filter())
            names = sorted({group[0] for group in there})
            hour, day = (
                counts_ended(db, names, [State.DELIVERED], [now - seconds], math.inf) for seconds in (HOUR, DAY)
            )
            return {
                name: tally(db, name, there, now, hour[0, name, State.DELIVERED], day[0, name, State.DELIVERED])
                for name in names
            }

    def causes(self, where: Filter) -> list[CauseGroup]:
        """Failures by cause, those that need a person first: dead ones, then by count."""
        with self.database.read() as db:
            now = self.database.now()
            rows = db.rows(*causes_sql(db, where))
            alike = [
                replace(where, destination=row["destination"], cause=row["cause"], states=(State(row["state"]),))
                for row in rows
            ]
            samples = filters.matching_each(db, alike, SAMPLE_ROWS, oldest_first=True)
            newest = [ids[0] if ids else None for ids in filters.matching_each(db, alike, 1)]
            shown = {one for ids in samples for one in ids} | {one for one in newest if one is not None}
            known = {one.id: one for one in by_ids(db, sorted(shown))}
            params = params_of(db, [(one, row["cause"]) for one, row in zip(newest, rows, strict=True) if one])
            due = first_due(db, [row for row in rows if row["state"] == State.PENDING], now)
            found = [
                CauseGroup(
                    destination=row["destination"],
                    cause=row["cause"],
                    state=State(row["state"]),
                    count=row["n"],
                    first_at=row["first_at"],
                    last_at=row["last_at"],
                    params=params.get(last or 0, {}),
                    reason=known[last].reason if last in known else "",
                    sample=tuple(known[one] for one in ids if one in known),
                    max_id=row["max_id"],
                    due_at=due.get((row["destination"], row["cause"])) if row["state"] == State.PENDING else None,
                )
                for row, ids, last in zip(rows, samples, newest, strict=True)
            ]
        return sorted(found, key=lambda group: (group.state != State.DEAD, -group.count))

    def bars(self, since: float, width: float, count: int) -> list[Bar]:
        starts = [since + width * index for index in range(count)]
        with self.database.read() as db:
            names = destinations(db)
            ended = counts_ended(db, names, ENDS, starts, width)
            speeds = db.speeds(names, starts, width, max(FEWEST, SAMPLE // max(1, count)))
        return [
            Bar(
                start,
                delivered={name: ended[place, name, State.DELIVERED] for name in names},
                dead=sum(ended[place, name, State.DEAD] for name in names),
                seconds_p50=usual,
                seconds_p99=slow,
            )
            for place, (start, (usual, slow)) in enumerate(zip(starts, speeds, strict=True))
        ]

    def sources(self, since: float, most: int | None = None, known: Sequence[str] = ()) -> list[SourceTally]:
        end = "" if most is None else f" LIMIT {most}"
        with self.database.read() as db:
            index = db.index("events_source")
            rows = f"FROM events e {index} WHERE e.source = p.source AND e.name = p.name"
            asked = sorted(set(known))
            # No EXISTS: PostgreSQL would make a join with all events of it.
            named = (
                f"UNION SELECT p.source, k.column1 FROM pairs p "
                f"CROSS JOIN (VALUES {', '.join(['(?)'] * len(asked))}) AS k "
                f"WHERE p.source IS NOT NULL AND (SELECT 1 FROM events e {index} "
                "WHERE e.source = p.source AND e.name = k.column1 LIMIT 1) = 1 "
                if asked
                else ""
            )
            sql = (
                f"{PAIRS.format(index=index, most=EVENT_NAMES)} SELECT p.source, p.name, "
                f"(SELECT min(e.received_at) {rows}) AS first_at, (SELECT max(e.received_at) {rows}) AS last_at, "
                f"(SELECT count(*) FROM (SELECT 1 {rows} AND e.received_at >= ?{end}) AS lately) AS n "
                f"FROM (SELECT source, name FROM pairs WHERE name IS NOT NULL {named}) AS p "
                "ORDER BY p.source, p.name"
            )
            return [
                SourceTally(row["source"], row["name"], row["last_at"], row["n"], row["first_at"])
                for row in db.rows(sql, (since, *asked))
            ]


# By leaps along the index: the next name of a source, up to so many; without one (NULL) the first of the next source.
PAIRS = """WITH RECURSIVE pairs (source, name, told) AS (
    SELECT (SELECT min(e.source) FROM events e {index}),
        (SELECT e.name FROM events e {index} ORDER BY e.source, e.name LIMIT 1), 1
    UNION ALL SELECT
        CASE WHEN p.name IS NULL THEN (SELECT min(e.source) FROM events e {index} WHERE e.source > p.source)
            ELSE p.source END,
        CASE WHEN p.name IS NULL THEN
                (SELECT e.name FROM events e {index} WHERE e.source > p.source ORDER BY e.source, e.name LIMIT 1)
            WHEN p.told < {most} THEN
                (SELECT min(e.name) FROM events e {index} WHERE e.source = p.source AND e.name > p.name) END,
        CASE WHEN p.name IS NULL THEN 1 ELSE p.told + 1 END
    FROM pairs p WHERE p.source IS NOT NULL)"""


def first_due(db: Transaction, groups: Sequence[Row], now: float) -> dict[tuple[str, str], float | None]:
    """By destination and cause: when the first waiting row of a group is due, of those that no earlier one of their key
    holds up."""
    sql = (
        "SELECT CAST(? AS text) AS destination, CAST(? AS text) AS cause, "
        f"(SELECT min(d.due_at) FROM deliveries d {db.index('deliveries_cause')} "
        "WHERE d.destination = ? AND d.cause = ? AND d.cause <> '' AND d.state = 'pending' "
        f"AND (d.key IS NULL OR NOT EXISTS ({earlier(db)}))) AS due"
    )
    pairs = [[row["destination"], row["cause"]] for row in groups]
    rows = together(db, [(sql, [*pair, *pair, now]) for pair in pairs])
    return {(row["destination"], row["cause"]): row["due"] for row in rows}


def causes_sql(db: Transaction, where: Filter) -> tuple[str, list[object]]:
    """Grouped along the index of causes, which holds the rows that failed and no others."""
    rest, rest_params = filters.residual(where)
    narrow, narrow_params = "", list[object]()
    if filters.narrow(where):
        person = Filter(
            search=where.search, people=where.people, email=where.email, lead_id=where.lead_id, ids=where.ids
        )
        source, narrow_params = filters.by_ids(db, person)
        narrow = " AND " + db.within("d.id", f"SELECT d.id FROM {source}")
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


def tally(db: Transaction, destination: str, there: Sequence[Group], now: float, hour: int, day: int) -> Tally:
    """hour, day: how many were delivered in the last one."""
    states, waiting = dict.fromkeys(State, 0), list[tuple[str, list[object]]]()
    for name, event_name, state, n in there:
        if name == destination:
            states[State(state)] += n
            if state == State.PENDING:
                first = (
                    f"SELECT min(created_at) AS at FROM deliveries {db.index('deliveries_list')} "
                    "WHERE destination = ? AND event_name = ? AND state = ?"
                )
                waiting.append((first, [destination, event_name, state]))
    oldest = min((row["at"] for row in together(db, waiting) if row["at"] is not None), default=None)
    first = (
        f"SELECT min(due_at) FROM deliveries {db.index('deliveries_due')} WHERE destination = ? AND state = 'pending'"
    )
    due = db.value(first, (destination,)) if states[State.PENDING] else None
    since = now - (HOUR if hour >= ENOUGH else DAY)
    ((usual, slow),) = db.speeds([destination], [since], math.inf, SAMPLE) if day else ((None, None),)
    return Tally(states, oldest, due, hour, day, usual, slow, since)


def speeds(
    db: Transaction, names: Sequence[str], starts: Sequence[float], width: float, most: int
) -> Iterator[tuple[float | None, float | None]]:
    """See Transaction.speeds; for an engine to which many small questions cost nothing."""
    sql = (
        f"SELECT ended_at - received_at AS took FROM deliveries {db.index('deliveries_ended')} WHERE destination = ? "
        "AND state = ? AND ended_at >= ? AND ended_at < ? ORDER BY ended_at DESC LIMIT ?"
    )
    for start in starts:
        took: list[float] = []
        for name in names:
            rows = db.rows(sql, (name, State.DELIVERED.value, start, start + width, most))
            took += [max(0.0, row["took"]) for row in rows]
        took.sort()
        yield percentile(took, 0.50), percentile(took, 0.99)


def percentile(values: Sequence[float], part: float) -> float | None:
    """By nearest rank, of sorted values."""
    return values[max(0, math.ceil(part * len(values)) - 1)] if values else None


def params_of(db: Transaction, causes: Sequence[tuple[int, str]]) -> dict[int, dict[str, object]]:
    """By delivery: the params of its newest attempt that failed by this cause."""
    sql = (
        "SELECT delivery_id, params FROM attempts WHERE id = "
        f"(SELECT max(id) FROM attempts {db.index('attempts_delivery')} WHERE delivery_id = ? AND cause = ?)"
    )
    rows = together(db, [(sql, [delivery_id, cause]) for delivery_id, cause in causes])
    return {row["delivery_id"]: json.loads(row["params"]) for row in rows}
