"""A store as after a month of a busy school, made by the engine itself: a million deliveries in half a minute."""

from __future__ import annotations

from outbox.message import Known
from outbox.sql import people
from outbox.sql.maintenance import Maintenance
from outbox.store import Store

NOW = 1_800_000_000.0
MOMENT = 86_400.0 * 30
STUDENTS = 50_000

# Lessons of students, changes of their deals, and records that name nobody. The newest ones wait, a few are dead, some
# were skipped; all others were delivered within seconds, as their only attempt tells.
NUMBERS = f"""WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?), parts AS (
    SELECT i, i % 10 AS kind, (i * CAST(7919 AS bigint)) % {STUDENTS} AS student, (i * 37) % 100 AS took,
        CAST(? AS double precision) + CAST(? AS double precision) * i / ? AS at FROM numbers)"""
EVENTS = f"""INSERT INTO events (id, name, data, source, sender, received_at, email, lead_id) {NUMBERS}
    SELECT 'event-' || i,
        CASE WHEN kind < 7 THEN 'lesson.completed' WHEN kind < 9 THEN 'amocrm/webhook' ELSE 'crm/create-deal' END,
        CASE WHEN kind < 7 THEN '{{"email":"student' || student || '@example.com","lesson":' || (1 + i % 3) || '}}'
            WHEN kind < 9 THEN '{{"lead_id":' || student || ',"status_id":2,"pipeline_id":1,"dealName":"Deal"}}'
            ELSE '{{"dealName":"Order ' || i || '","amount":"990"}}' END,
        CASE WHEN kind < 7 THEN 'lessons' WHEN kind < 9 THEN 'webhook' ELSE 'events' END, 'platform', at,
        CASE WHEN kind < 7 THEN 'student' || student || '@example.com' END, CASE WHEN kind < 9 THEN student END
    FROM parts ORDER BY i"""
DELIVERIES = """INSERT INTO deliveries (event_id, event_name, destination, key, state, reason, cause, due_at,
        created_at, changed_at, ended_at, received_at, email, lead_id, reference, person)
    SELECT id, name, destination, CASE WHEN email IS NOT NULL THEN 'email:' || email WHEN lead_id IS NOT NULL
        THEN 'lead:' || lead_id END, state, CASE WHEN state = 'dead' THEN cause || ': words' ELSE '' END,
        CASE WHEN state = 'dead' THEN cause ELSE '' END, received_at, received_at, received_at + took,
        CASE WHEN state <> 'pending' THEN received_at + took END, received_at, email, lead_id,
        CASE WHEN state = 'delivered' THEN CAST(seq AS TEXT) ELSE '' END,
        CASE WHEN email IS NOT NULL THEN 'Student ' || lead_id END
    FROM (SELECT *, CASE WHEN name = 'lesson.completed' THEN 'amocrm' ELSE 'erp' END AS destination,
        CASE WHEN seq > ? THEN 'pending' WHEN seq % 1000 = 3 THEN 'dead' WHEN seq % 20 = 7 THEN 'skipped'
            ELSE 'delivered' END AS state,
        CASE WHEN seq % 10 > 6 THEN 'erp_refused' WHEN seq % 3 = 0 THEN 'stage_deleted' WHEN seq % 3 = 1
            THEN 'deal_refused' ELSE 'contact_not_found' END AS cause,
        0.3 + ((seq * 37) % 100) / 25.0 AS took FROM events) AS made ORDER BY seq"""
ATTEMPTS = """INSERT INTO attempts (delivery_id, at, finished_at, outcome, status, cause)
    SELECT id, changed_at - 0.2, changed_at, state, 200, cause FROM deliveries WHERE state <> 'pending' ORDER BY id"""


def known(number: int) -> Known:
    """Every student has a name and a telephone."""
    phone = f"+7 (900) {number // 10_000:03}-{number // 100 % 100:02}-{number % 100:02}"
    return Known(f"Svetlana {number}", (phone,), (f"student{number}@example.com",))


def fill(store: Store, count: int) -> None:
    """Deliveries with the numbers 1 to `count`, a hundredth of which waits, in an empty store."""
    assert isinstance(store.maintenance, Maintenance)
    with store.maintenance.database.write(3600.0) as db:
        db.execute(EVENTS, (count, NOW - MOMENT, MOMENT, count))
        db.execute(DELIVERIES, (count - min(10_000, count // 100),))
        db.execute(ATTEMPTS)
        for first in range(0, STUDENTS, 1000):
            people.learn(db, [known(number) for number in range(first, first + 1000)])
    store.maintenance.checkpoint()
