"""What the page and the lanes ask of a store, for tests that look at how an engine finds the answers."""

from collections.abc import Callable

from outbox.message import Result, State
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import claim, lane

KNOWN = ("amocrm/webhook", "lesson.completed", "tripwire.purchased", "no such")


def record(store: Store) -> None:
    lease = lane(store)
    rows = claim(store, lease)
    store.lanes.begin(lease, [row.id for row in rows])
    paused = [Result(row.id, State.PENDING, "paused", due_at=row.due_at) for row in rows]
    store.lanes.record(lease, paused)


QUESTIONS: dict[str, Callable[[Store], object]] = {
    "the list": lambda store: store.reading.find(Filter(), 50),
    "the list's next page": lambda store: store.reading.find(Filter(), 2, store.reading.find(Filter(), 1).after),
    "the list, oldest first": lambda store: store.reading.find(Filter(), 50, oldest_first=True),
    "the list of some states": lambda store: store.reading.find(Filter(states=(State.DEAD, State.PENDING)), 50),
    "the list of a day": lambda store: store.reading.find(Filter(since=1.0, until=9e9), 50),
    "the list of a cause": lambda store: store.reading.find(Filter(cause="deal_refused", since=1.0), 50),
    "the list of overdue ones": lambda store: store.reading.find(Filter(overdue_at=9e9), 50),
    "the list of an e-mail": lambda store: store.reading.find(Filter(email="ann@x"), 50),
    "the list of a deal": lambda store: store.reading.find(Filter(lead_id=5), 50),
    "the list of ticked rows": lambda store: store.reading.find(Filter(ids=(1, 2)), 50),
    "a search by e-mail": lambda store: store.reading.find(Filter(search="ann@x"), 50),
    "a search by number": lambda store: store.reading.find(Filter(search="77"), 50),
    "a count": lambda store: store.reading.count(Filter(states=(State.DEAD,))),
    "a count of what was shown": lambda store: store.reading.count(Filter(states=(State.DEAD,), max_id=3)),
    "a count of one's waiting ones": lambda store: store.reading.count(
        Filter(states=(State.PENDING,), destination="amocrm", email="ann@x")
    ),
    "the tabs": lambda store: store.reading.count_states(Filter(destination="amocrm", since=5.0)),
    "the tabs of a day, not on the hour": lambda store: store.reading.count_states(
        Filter(since=1_799_999_000.5, until=1_800_086_000.5)
    ),
    "a count of overdue ones": lambda store: store.reading.count(Filter(overdue_at=9e9)),
    "the tabs of a search": lambda store: store.reading.count_states(Filter(search="ann@x")),
    "the tallies": lambda store: store.reading.tallies(),
    "the causes": lambda store: store.reading.causes(Filter()),
    "the causes of a day": lambda store: store.reading.causes(Filter(since=5.0, destination="amocrm")),
    "the causes of a search": lambda store: store.reading.causes(Filter(search="ann@x")),
    "the chart": lambda store: store.reading.bars(1_800_000_000.0, 60.0, 3),
    "the chart of a day, not on the hour": lambda store: store.reading.bars(1_799_990_000.5, 3600.0, 24),
    "what comes in": lambda store: store.reading.sources(5.0),
    "what comes in under known names": lambda store: store.reading.sources(5.0, 200, KNOWN),
    "a delivery": lambda store: (store.reading.delivery(1), store.reading.attempts([1, 2])),
    "an event": lambda store: store.reading.event("0193"),
    "a journey": lambda store: store.reading.events_of("ann@x", 5),
    "a student's journey": lambda store: store.reading.events_of("ann@x", None),
    "the people": lambda store: store.reading.students(Filter(search=""), 10),
    "the people that match": lambda store: store.reading.students(Filter(search="ann"), 10),
    "the next due": lambda store: store.lanes.next_due("amocrm"),
    "making due": lambda store: store.lanes.make_due("amocrm"),
    "a claim": lambda store: claim(store, lane(store), whole_keys=True, newest_first=True),
    "results": record,
    "a prune": lambda store: store.maintenance.prune(9e9),
    "a bulk retry": lambda store: store.operations.retry(Filter(states=(State.DEAD,)), "olga"),
}
