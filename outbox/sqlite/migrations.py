"""The schema of the embedded engine, as migrations of sqlite-utils."""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from outbox.failpoints import failpoint
from outbox.sql.counters import VIEWS
from outbox.sql.people import meet_all
from outbox.sqlite.connection import Connection, unavailable
from outbox.sqlite.database import SqliteDatabase

migrations = Migrations("outbox")

TABLES = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    source TEXT NOT NULL,
    sender TEXT NOT NULL,
    received_at REAL NOT NULL,
    email TEXT,
    lead_id INTEGER,
    dedupe TEXT,
    fingerprint TEXT,
    raw TEXT
) STRICT;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL REFERENCES events (id),
    event_name TEXT NOT NULL,
    destination TEXT NOT NULL,
    key TEXT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'delivered', 'skipped', 'dead', 'discarded')),
    reason TEXT NOT NULL,
    cause TEXT NOT NULL,
    due_at REAL NOT NULL,
    not_before REAL,
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    ended_at REAL,
    received_at REAL NOT NULL,
    email TEXT,
    lead_id INTEGER,
    reference TEXT NOT NULL DEFAULT '',
    failures INTEGER NOT NULL DEFAULT 0,
    person TEXT,
    interrupted INTEGER NOT NULL DEFAULT 0,
    facts TEXT NOT NULL DEFAULT '{}',
    fence INTEGER
) STRICT;

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    at REAL NOT NULL,
    finished_at REAL,
    outcome TEXT NOT NULL,
    status INTEGER,
    detail TEXT NOT NULL DEFAULT '',
    cause TEXT NOT NULL DEFAULT '',
    params TEXT NOT NULL DEFAULT '{}',
    exchanges TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE TABLE counters (
    destination TEXT NOT NULL,
    event_name TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (destination, event_name, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    fence INTEGER NOT NULL,
    until REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    started_at REAL NOT NULL,
    done_at REAL
) STRICT;

CREATE TABLE actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT;
"""

INDEXES = """
CREATE UNIQUE INDEX events_dedupe ON events (dedupe) WHERE dedupe IS NOT NULL;
CREATE INDEX events_source ON events (source, name, received_at);
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_list ON deliveries (destination, event_name, state, created_at);
CREATE INDEX deliveries_due ON deliveries (destination, due_at, key, state) WHERE state = 'pending';
CREATE INDEX deliveries_key ON deliveries (destination, key) WHERE state IN ('pending', 'sending') AND key IS NOT NULL;
CREATE INDEX deliveries_sending ON deliveries (destination) WHERE state = 'sending';
CREATE INDEX deliveries_ended ON deliveries (destination, state, ended_at, received_at) WHERE ended_at IS NOT NULL;
CREATE INDEX deliveries_cause ON deliveries (destination, cause, state, created_at, changed_at) WHERE cause <> '';
CREATE INDEX deliveries_email ON deliveries (email) WHERE email IS NOT NULL;
CREATE INDEX deliveries_lead ON deliveries (lead_id) WHERE lead_id IS NOT NULL;
CREATE INDEX deliveries_reference ON deliveries (reference) WHERE reference <> '';
CREATE INDEX attempts_delivery ON attempts (delivery_id);
CREATE INDEX attempts_open ON attempts (delivery_id) WHERE outcome = 'open';
CREATE INDEX requests_name ON requests (name, started_at);
"""

COUNTING = """
CREATE TRIGGER deliveries_counted AFTER INSERT ON deliveries BEGIN
    INSERT INTO counters (destination, event_name, state, n) VALUES (new.destination, new.event_name, new.state, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER deliveries_recounted AFTER UPDATE OF state ON deliveries WHEN new.state <> old.state BEGIN
    UPDATE counters SET n = n - 1
    WHERE destination = old.destination AND event_name = old.event_name AND state = old.state;
    INSERT INTO counters (destination, event_name, state, n) VALUES (new.destination, new.event_name, new.state, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER deliveries_discounted AFTER DELETE ON deliveries BEGIN
    UPDATE counters SET n = n - 1
    WHERE destination = old.destination AND event_name = old.event_name AND state = old.state;
END;
"""


PEOPLE = """
CREATE TABLE students (
    email TEXT PRIMARY KEY,
    name TEXT,
    phones TEXT NOT NULL DEFAULT '',
    words TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deals (
    lead_id INTEGER PRIMARY KEY,
    email TEXT,
    name TEXT,
    phones TEXT NOT NULL DEFAULT '',
    words TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX deals_email ON deals (email) WHERE email IS NOT NULL;
CREATE INDEX deals_named ON deals (words) WHERE words <> '';
CREATE INDEX deliveries_deal ON deliveries (lead_id) WHERE email IS NULL AND lead_id IS NOT NULL;

CREATE TRIGGER deliveries_students AFTER INSERT ON deliveries WHEN new.email IS NOT NULL BEGIN
    INSERT INTO students (email, words) VALUES (new.email, replace(new.email, 'ё', 'е') || char(10))
    ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER deliveries_deals AFTER INSERT ON deliveries WHEN new.lead_id IS NOT NULL BEGIN
    INSERT INTO deals (lead_id, email) VALUES (new.lead_id, new.email) ON CONFLICT DO NOTHING;
END;
"""

MOVED = """INSERT INTO movements (destination, event_name, state, hour, quarter, n) VALUES ({row}.destination,
        {row}.event_name, {row}.state, CAST({row}.created_at AS INTEGER) / 3600,
        coalesce(CAST({row}.ended_at AS INTEGER) / 900, -1), {by})
    ON CONFLICT DO UPDATE SET n = n + excluded.n;"""
COME, GONE = MOVED.format(row="new", by=1), MOVED.format(row="old", by=-1)

COUNTING_BY_TIME = f"""
DROP TRIGGER deliveries_counted;
DROP TRIGGER deliveries_recounted;
DROP TRIGGER deliveries_discounted;
DROP TABLE counters;

CREATE TABLE movements (
    destination TEXT NOT NULL,
    event_name TEXT NOT NULL,
    state TEXT NOT NULL,
    hour INTEGER NOT NULL,
    quarter INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (destination, event_name, state, hour, quarter)
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    destination TEXT NOT NULL,
    event_name TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (destination, event_name, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE created_hours (
    hour INTEGER NOT NULL,
    destination TEXT NOT NULL,
    event_name TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (hour, destination, event_name, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE ended_quarters (
    destination TEXT NOT NULL,
    state TEXT NOT NULL,
    quarter INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (destination, state, quarter)
) STRICT, WITHOUT ROWID;

{VIEWS}
CREATE VIEW recounted AS SELECT destination, event_name, state, CAST(created_at AS INTEGER) / 3600 AS hour,
    coalesce(CAST(ended_at AS INTEGER) / 900, -1) AS quarter, count(*) AS n FROM deliveries GROUP BY 1, 2, 3, 4, 5;

CREATE TRIGGER deliveries_counted AFTER INSERT ON deliveries BEGIN
    {COME}
END;
CREATE TRIGGER deliveries_recounted AFTER UPDATE OF state, ended_at ON deliveries
    WHEN new.state <> old.state OR new.ended_at IS NOT old.ended_at BEGIN
    {GONE}
    {COME}
END;
CREATE TRIGGER deliveries_discounted AFTER DELETE ON deliveries BEGIN
    {GONE}
END;

INSERT INTO movements (destination, event_name, state, hour, quarter, n) SELECT * FROM recounted;
"""


@migrations()
def first_tables(db: Database) -> None:
    for script in (TABLES, INDEXES, COUNTING):
        db.executescript(script)


@migrations()
def name_the_key_value_store(db: Database) -> None:
    db.execute("ALTER TABLE memory RENAME TO key_values")


@migrations()
def know_the_people(db: Database) -> None:
    db.executescript(PEOPLE)
    meet_all(Connection(db.conn))


@migrations()
def count_by_time(db: Database) -> None:
    db.executescript(COUNTING_BY_TIME)


def migrate(database: SqliteDatabase) -> None:
    """Bring the schema up to date. One process at a time: another that starts waits and then finds all done."""
    db = Database(database.db(), execute_plugins=False)
    with database.lock.held(60.0), unavailable(database.path):
        # Both must be said before the first table, and outside of a transaction.
        if not db.table_names():
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        if db.table(migrations.migrations_table).exists() and not migrations.pending(db):
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            migrations.apply(db)
            failpoint("migration-before-commit")
            database.commit(Connection(database.db()))
        except BaseException:
            db.rollback()
            raise
