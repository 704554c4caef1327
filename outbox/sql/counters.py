"""How many deliveries there are of each kind, were created since a time, and ended in a span: kept by triggers, so that
nobody has to count the rows.

Each change of a delivery leaves its kind, the hour in which it was created and the quarter of an hour in which it ended
(-1: not yet) in `movements`. A checkpoint adds those up in `totals`, `created_hours` and `ended_quarters`; who reads
takes both together, by the views. Quarters, since not every time zone is whole hours away from the next.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from outbox.message import State
from outbox.sql.database import Transaction
from outbox.sql.rows import marks, together

HOUR, QUARTER = 3600, 900

VIEWS = """
CREATE VIEW counters AS SELECT destination, event_name, state, CAST(sum(n) AS bigint) AS n FROM (
        SELECT destination, event_name, state, n FROM totals
        UNION ALL SELECT destination, event_name, state, n FROM movements) AS parts
    GROUP BY destination, event_name, state HAVING sum(n) <> 0;
CREATE VIEW created_counters AS SELECT hour, destination, event_name, state, n FROM created_hours
    UNION ALL SELECT hour, destination, event_name, state, n FROM movements;
CREATE VIEW ended_counters AS SELECT destination, state, quarter, n FROM ended_quarters
    UNION ALL SELECT destination, state, quarter, n FROM movements WHERE quarter >= 0;
CREATE INDEX totals_empty ON totals (n) WHERE n = 0;
CREATE INDEX created_hours_empty ON created_hours (n) WHERE n = 0;
CREATE INDEX ended_quarters_empty ON ended_quarters (n) WHERE n = 0;
"""

FOLDED = {
    "totals": "destination, event_name, state",
    "created_hours": "hour, destination, event_name, state",
    "ended_quarters": "destination, state, quarter",
}
EMPTY = [f"DELETE FROM {table} WHERE n = 0" for table in FOLDED]

OFF = """SELECT count(*) FROM (SELECT {key} FROM (SELECT {key}, n FROM {view}
    UNION ALL SELECT {key}, -n FROM recounted{ended}) AS sides GROUP BY {key} HAVING sum(n) <> 0) AS different"""
"""How many figures differ from what is there."""

FAULTS = {
    "figures that differ from what is there": OFF.format(key=FOLDED["totals"], view="counters", ended=""),
    "figures of an hour that differ from what is there": OFF.format(
        key=FOLDED["created_hours"], view="created_counters", ended=""
    ),
    "figures of what ended that differ from what is there": OFF.format(
        key=FOLDED["ended_quarters"], view="ended_counters", ended=" WHERE quarter >= 0"
    ),
}

Group = tuple[str, str, str, int]
"""Destination, event name, state, and how many there are."""


def folded(table: str, source: str) -> str:
    """Add what has moved to one of the tables."""
    key, ended = FOLDED[table], "WHERE quarter >= 0" if table == "ended_quarters" else ""
    return (
        f"INSERT INTO {table} ({key}, n) SELECT {key}, sum(n) FROM {source} {ended} GROUP BY {key} "
        f"HAVING sum(n) <> 0 ORDER BY {key} ON CONFLICT ({key}) DO UPDATE SET n = {table}.n + excluded.n"
    )


def every_group(db: Transaction) -> list[Group]:
    rows = db.rows("SELECT destination, event_name, state, n FROM counters")
    return [(row["destination"], row["event_name"], row["state"], row["n"]) for row in rows]


def created_since(db: Transaction, there: Sequence[Group], since: float) -> list[int]:
    """How many of each group were created then or later: whole hours by the counters, the hour in which it begins by
    its shorter part."""
    hour = math.floor(since) // HOUR
    start, end = float(hour * HOUR), float((hour + 1) * HOUR)
    known = db.row(
        "SELECT (SELECT min(hour) FROM created_hours) AS first, (SELECT max(hour) FROM created_hours) AS last"
    )
    # By what came before it, where that is less to add up.
    early = bool(known and known["first"] is not None and hour - known["first"] < known["last"] - hour)
    sql = (
        "SELECT destination, event_name, state, CAST(sum(CASE WHEN hour = ? THEN n ELSE 0 END) AS bigint) AS within, "
        "CAST(sum(CASE WHEN hour = ? THEN 0 ELSE n END) AS bigint) AS beyond FROM created_counters "
        f"WHERE hour {'<=' if early else '>='} ? GROUP BY destination, event_name, state"
    )
    rows = db.rows(sql, (hour, hour, hour))
    found = {(row["destination"], row["event_name"], row["state"]): (row["within"], row["beyond"]) for row in rows}
    within = [found.get(group[:3], (0, 0))[0] for group in there]
    before = [0] * len(there)
    if since > start:
        first, last = (start, since) if since - start <= end - since else (since, end)
        sql = (
            f"AS place, count(*) AS n FROM deliveries {db.index('deliveries_list')} WHERE destination = ? "
            "AND event_name = ? AND state = ? AND created_at >= ? AND created_at < ?"
        )
        parts: list[tuple[str, list[Any]]] = [
            (f"SELECT {place} {sql}", [*group[:3], first, last]) for place, group in enumerate(there) if within[place]
        ]
        for row in together(db, parts):
            place = row["place"]
            before[place] = row["n"] if first == start else within[place] - row["n"]
    counts = []
    for place, group in enumerate(there):
        beyond = found.get(group[:3], (0, 0))[1]
        counts.append(group[3] - beyond - before[place] if early else beyond + within[place] - before[place])
    return counts


Ended = Counter[tuple[int, str, State]]
"""By the number of the span, destination and state."""


def counts_ended(
    db: Transaction, names: Sequence[str], states: Sequence[State], starts: Sequence[float], width: float
) -> Ended:
    """How many deliveries of these destinations and states ended in each span of `width` seconds (infinite: from then
    on). The spans follow each other."""
    if not names or not starts:
        return Counter()
    first = math.floor(starts[0]) // QUARTER
    step = 2**40 if width == math.inf else int(width // QUARTER)
    even = step > 0 and (width == math.inf or width % QUARTER == 0)
    if not even or any(math.floor(at) // QUARTER != first + step * place for place, at in enumerate(starts)):
        return counted(db, names, states, [(start, start + width) for start in starts])
    edges = [*starts] if width == math.inf else [*starts, starts[-1] + width]
    cut = starts[0] > first * QUARTER
    whole, parts = by_quarters(db, names, states, first, step, len(starts), cut)
    if cut:
        # Each edge cuts a quarter in two, of which the shorter part is counted.
        halves = []
        for place, edge in enumerate(edges):
            start = float((first + step * place) * QUARTER)
            halves.append((start, edge) if edge - start <= QUARTER / 2 else (edge, start + QUARTER))
        halved = counted(db, names, states, halves)
        for (place, name, state), n in parts.items():
            part = halved[place, name, state]
            before, after = (part, n - part) if halves[place][1] == edges[place] else (n - part, part)
            whole[place - 1, name, state] += before
            whole[place, name, state] += after
    return whole


CUT = "CASE WHEN (quarter - CAST(? AS bigint)) % CAST(? AS bigint) = 0 THEN 1 ELSE 0 END"


def by_quarters(
    db: Transaction, names: Sequence[str], states: Sequence[State], first: int, step: int, count: int, cut: bool
) -> tuple[Ended, Ended]:
    """(what ended in the whole quarters of each span, and in the one that an edge of it cuts)."""
    sql = (
        "SELECT destination, state, (quarter - CAST(? AS bigint)) / CAST(? AS bigint) AS place, "
        f"{CUT if cut else '0'} AS cut, CAST(sum(n) AS bigint) AS n "
        f"FROM ended_counters WHERE destination IN ({marks(list(names))}) AND state IN ({marks(list(states))}) "
        "AND quarter >= ? AND quarter < ? GROUP BY 1, 2, 3, 4"
    )
    steps = (first, step, first, step) if cut else (first, step)
    rows = db.rows(sql, (*steps, *names, *(state.value for state in states), first, first + step * count + cut))
    whole: Ended = Counter()
    parts: Ended = Counter()
    for row in rows:
        (parts if row["cut"] else whole)[row["place"], row["destination"], State(row["state"])] += row["n"]
    return whole, parts


def counted(
    db: Transaction, names: Sequence[str], states: Sequence[State], spans: Iterable[tuple[float, float]]
) -> Ended:
    """The rows themselves."""
    spans = list(spans)
    given = ", ".join(
        f"({place}, CAST(? AS double precision), CAST(? AS double precision))" for place in range(len(spans))
    )
    kinds = [(name, state.value) for name in names for state in states]
    sql = (
        f"SELECT s.column1 AS place, k.column1 AS destination, k.column2 AS state, (SELECT count(*) FROM deliveries "
        f"{db.index('deliveries_ended')} WHERE destination = k.column1 AND state = k.column2 "
        "AND ended_at >= s.column2 AND ended_at < s.column3) AS n "
        f"FROM (VALUES {given}) AS s CROSS JOIN (VALUES {', '.join(['(?, ?)'] * len(kinds))}) AS k"
    )
    rows = db.rows(sql, [*(edge for span in spans for edge in span), *(text for kind in kinds for text in kind)])
    return Counter({(row["place"], row["destination"], State(row["state"])): row["n"] for row in rows})
