BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'outbox','first_tables','2026-11-26 22:43:34.709648+00:00');
CREATE TABLE actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT;
INSERT INTO "actions" VALUES(1,1800000000.0,'olga','discard',1,'{"delivery":3}');
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
INSERT INTO "attempts" VALUES(1,1,1800000000.0,1800000000.0,'delivered',NULL,'','','{}','[{"request":{"method":"PATCH"}}]');
CREATE TABLE counters (
    destination TEXT NOT NULL,
    event_name TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (destination, event_name, state)
) STRICT, WITHOUT ROWID;
INSERT INTO "counters" VALUES('amocrm','lesson.completed','dead',0);
INSERT INTO "counters" VALUES('amocrm','lesson.completed','delivered',1);
INSERT INTO "counters" VALUES('amocrm','lesson.completed','discarded',1);
INSERT INTO "counters" VALUES('amocrm','lesson.completed','pending',1);
INSERT INTO "counters" VALUES('amocrm','lesson.completed','sending',0);
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
INSERT INTO "deliveries" VALUES(1,'0193a000-0000-7000-8000-000000000001','lesson.completed','amocrm','email:ann@example.com','delivered','','',1800000000.0,NULL,1800000000.0,1800000000.0,1800000000.0,1800000000.0,'ann@example.com',NULL,'77',0,NULL,0,'{}',NULL);
INSERT INTO "deliveries" VALUES(2,'0193a000-0000-7000-8000-000000000002','lesson.completed','amocrm','email:bob@example.com','pending','','',1800000000.0,NULL,1800000000.0,1800000000.0,NULL,1800000000.0,'bob@example.com',NULL,'',0,NULL,0,'{}',NULL);
INSERT INTO "deliveries" VALUES(3,'0193a000-0000-7000-8000-000000000003','lesson.completed','amocrm','email:cid@example.com','discarded','refused: no such stage','stage_deleted',1800000000.0,NULL,1800000000.0,1800000000.0,1800000000.0,1800000000.0,'cid@example.com',NULL,'',0,NULL,0,'{}',NULL);
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
INSERT INTO "events" VALUES(1,'0193a000-0000-7000-8000-000000000001','lesson.completed','{"email":"ann@example.com","lesson":1}','lessons','platform',1800000000.0,'ann@example.com',NULL,'platform:1','f',NULL);
INSERT INTO "events" VALUES(2,'0193a000-0000-7000-8000-000000000002','lesson.completed','{"email":"bob@example.com","lesson":1}','lessons','platform',1800000000.0,'bob@example.com',NULL,'platform:2','f',NULL);
INSERT INTO "events" VALUES(3,'0193a000-0000-7000-8000-000000000003','lesson.completed','{"email":"cid@example.com","lesson":1}','lessons','platform',1800000000.0,'cid@example.com',NULL,'platform:3','f',NULL);
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    fence INTEGER NOT NULL,
    until REAL NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "leases" VALUES('lane:amocrm','worker',1,1800000030.0);
CREATE TABLE memory (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "memory" VALUES('choices','stage:1','{"id":6}',2,1800000000.0);
INSERT INTO "memory" VALUES('directory','amocrm:ann@example.com','{"lead":1}',1,1800000000.0);
CREATE TABLE requests (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    started_at REAL NOT NULL,
    done_at REAL
) STRICT;
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('deliveries',3);
INSERT INTO "sqlite_sequence" VALUES('attempts',1);
INSERT INTO "sqlite_sequence" VALUES('actions',1);
COMMIT;
