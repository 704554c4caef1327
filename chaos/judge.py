"""What the other side's books say: whether all that was acknowledged arrived, once, in order, never backwards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.producers import Acknowledged
from sandbox import defaults

STAGES = (
    defaults.STAGE_NEW,
    defaults.STAGE_PAID,
    defaults.STAGE_LESSON_1,
    defaults.STAGE_LESSON_2,
    defaults.STAGE_LESSON_3,
)
STAGE_OF = {1: defaults.STAGE_LESSON_1, 2: defaults.STAGE_LESSON_2, 3: defaults.STAGE_LESSON_3}
NAME = "1039"


@dataclass
class Books:
    """What the sandbox has: deals by id (name, e-mail), changes of stage in their order, names of records."""

    deals: Mapping[int, str]
    people: Mapping[int, str]
    changes: Sequence[tuple[int, int, int]]  # deal, from, to
    records: Counter[str]


@dataclass
class Verdict:
    """All must be zero. Each list holds a few words about the first ones."""

    missing: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    backward: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.doubles or self.backward or self.disorder or self.stuck)


def read_books(ask: Any) -> Books:
    """From the sandbox's control; ask(method, path) -> the answer."""
    deals = ask("GET", "deals?limit=100000")["deals"]
    contacts = {one["id"]: one for one in ask("GET", "contacts?limit=100000")["contacts"]}
    people = {}
    for deal in deals:
        emails = [email for one in deal["contact_ids"] for email in contacts[one]["emails"]]
        people[deal["id"]] = emails[0] if emails else ""
    changes = [
        (one["entity_id"], one["before"][1], one["after"][1])
        for one in ask("GET", "events")["events"]
        if one["type"] == "lead_status_changed"
    ]
    records = Counter(str(one[NAME]) for one in ask("GET", "erp/records")["records"])
    return Books({deal["id"]: deal["name"] for deal in deals}, people, changes, records)


def judge(book: Acknowledged, books: Books, waiting: Sequence[str] = (), *, hooks: bool = True) -> Verdict:
    """waiting: what the service itself says of deliveries that are not over. hooks: amoCRM tells of changes of stage,
    and each makes a record, those too that the service made itself."""
    verdict = Verdict(stuck=list(waiting))
    paths: dict[str, list[tuple[int, int]]] = defaultdict(list)
    expected: Counter[str] = Counter()
    for deal, before, after in books.changes:
        expected[books.deals[deal]] += hooks
        if email := books.people[deal]:
            paths[email].append((before, after))
    expected.update(book.records)
    for name, count in expected.items():
        if books.records[name] < count:
            verdict.missing.append(f"record {name}: {books.records[name]} of {count}")
        if books.records[name] > count:
            verdict.doubles.append(f"record {name}: {books.records[name]} instead of {count}")
    for name, count in books.records.items():
        if name not in expected and count > 1:  # taken, though its answer was lost
            verdict.doubles.append(f"record {name}: {count} instead of 1")
    reached = {email: [after for _, after in path] for email, path in paths.items()}
    for email, lesson in book.lessons:
        if STAGE_OF[lesson] not in reached.get(email, ()):
            verdict.missing.append(f"{email} lesson {lesson}")
    for email, path in paths.items():
        for before, after in path:
            if STAGES.index(after) <= STAGES.index(before):
                verdict.backward.append(f"{email}: {before} -> {after}")
        order = [STAGES.index(after) for after in reached[email]]
        if order != sorted(set(order)) or order != list(range(order[0], order[0] + len(order))):
            verdict.disorder.append(f"{email}: stages {order}")
    return verdict
