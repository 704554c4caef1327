"""A server that is started anew, hangs, cuts connections or stands behind a pooler; processes that start at once."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psycopg
import pytest

from outbox.engines import open_store
from outbox.message import Dedupe, State, StoreUnavailable
from outbox.postgres import PostgresStore, database, migrations, notify
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, finish, lane, only
from tests.support.waiting import eventually
from workshop.postgres import Server, new_database
from workshop.processes import free_port

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def cut(url: str) -> None:
    """End all connections to this database, and return once they have ended: each does so when it comes to it."""
    with psycopg.connect(url, autocommit=True) as one:
        pids = [pid for (pid, _) in one.execute(f"SELECT pid, pg_terminate_backend(pid) {OTHERS}".encode())]
        eventually(lambda: not one.execute(f"SELECT 1 {OTHERS} AND pid = ANY(%s)".encode(), [pids]).fetchall())


def connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def accepted(store: Store) -> bool:
    try:
        return bool(store.intake.accept([event()]))
    except StoreUnavailable:
        return False


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server to stop and start, which syncs to disk as in production."""
    try:
        server = Server(durable=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def of_own_server(own_server: Server) -> Iterator[PostgresStore]:
    with new_database(own_server.url()) as url:
        store = PostgresStore(url)
        store.maintenance.migrate()
        yield store
        store.close()


# -- the schema


def test_ten_processes_that_start_at_once_make_one_schema(postgres_server: str, engine: str) -> None:
    with new_database(postgres_server) as url:
        barrier = threading.Barrier(10)

        def start(_: int) -> None:
            store = open_store(url)
            barrier.wait(30)
            store.maintenance.migrate()
            store.intake.accept([event()])
            store.close()

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(start, range(10)))
        store = open_store(url)
        assert store.reading.count(Filter()) == 10 and store.maintenance.verify() == []
        store.close()


def test_during_a_deploy_the_old_version_goes_on_beside_the_new_one(
    postgres_server: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_database(postgres_server) as url:
        old = open_store(url)
        old.maintenance.migrate()
        later = [*migrations.STEPS, ("later", "ALTER TABLE deliveries ADD COLUMN colour text")]
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "STEPS", later)
            new = open_store(url)
            new.maintenance.migrate()
            new.maintenance.migrate()
        old.intake.accept([event("old@x")])
        new.intake.accept([event("new@x")])
        assert len(claim(old, lane(old))) == 2
        old.maintenance.migrate()
        assert new.reading.count(Filter()) == 2
        old.close()
        new.close()


OLD_FOLD = """WITH gone AS (DELETE FROM counter_changes RETURNING destination, event_name, state, n)
    INSERT INTO counter_changes (destination, event_name, state, n)
    SELECT destination, event_name, state, sum(n) FROM gone GROUP BY destination, event_name, state
    HAVING sum(n) <> 0"""
"""How the version before adds up its figures."""


def test_figures_by_time_are_made_of_the_rows_that_are_there_while_the_version_before_is_at_work(
    postgres_server: str, engine: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with new_database(postgres_server) as url:
        store = open_store(url, now=clock)
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "STEPS", migrations.STEPS[:2])
            store.maintenance.migrate()
        (done, *_) = store.intake.accept([event(f"s{number}@x", key=None) for number in range(3)])
        finish(store, State.DELIVERED, only(store, done.id).id)
        store.maintenance.migrate()
        with psycopg.connect(url, autocommit=True) as old:
            old.execute(OLD_FOLD.encode())
            store.intake.accept([event("later@x", at=clock())])
            old.execute(OLD_FOLD.encode())
            sql = b"SELECT state, n FROM counters WHERE destination = 'amocrm' AND n > 0 ORDER BY state"
            assert old.execute(sql).fetchall() == [("delivered", 1), ("pending", 3)]
        store.maintenance.checkpoint()
        assert store.maintenance.verify() == []
        assert store.reading.count_states(Filter(since=clock.now))[State.PENDING] == 3
        (bar,) = store.reading.bars(clock.now - 900, 1800, 1)
        assert bar.delivered == {"amocrm": 1}
        store.close()


def test_figures_that_several_add_up_at_once_stay_right(store: Store, clock: Clock) -> None:
    def work(number: int) -> None:
        for _ in range(10):
            store.intake.accept([event(f"s{number}@x", at=clock.now)])
            store.maintenance.checkpoint()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert store.reading.count_states(Filter(since=clock.now))[State.PENDING] == 60
    assert store.maintenance.verify() == []


# -- connections


def test_connections_that_were_cut_are_replaced_without_a_fault(store: Store, address: str) -> None:
    def everything() -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: store.key_values.put("x", str(n), n), range(16)))
        store.intake.accept([event()])
        store.reading.tallies()

    everything()
    for number in range(2, 4):
        cut(address)
        everything()
        assert store.reading.count(Filter()) == number


def test_a_transaction_whose_connection_is_cut_is_undone_and_says_so(store: PostgresStore, address: str) -> None:
    with pytest.raises(StoreUnavailable), store.database.write() as db:
        db.execute("INSERT INTO actions (at, who, what, count, detail) VALUES (1, 'x', 'x', 1, '{}')")
        cut(address)
        db.rows("SELECT 1")
    assert store.reading.actions(10) == []


def test_who_stops_in_the_middle_of_a_transaction_holds_up_nobody_for_long(
    store: PostgresStore, opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process under SIGSTOP, or one behind a cable that was pulled out."""
    monkeypatch.setattr(database, "STOPPED", 300)
    with pytest.raises(StoreUnavailable), store.database.write() as db:
        db.lock("lane:amocrm")
        assert opened().leases.acquire("lane:amocrm", "next", 30.0) is not None
        db.rows("SELECT 1")


def test_a_child_uses_connections_of_its_own(store: Store) -> None:
    store.intake.accept([event("parent@x")])
    assert store.lanes.notified()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.intake.accept([event("child@x")])
            code = 0 if store.reading.count(Filter()) == 2 and store.lanes.notified() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.intake.accept([event("parent@x")])
    assert store.reading.count(Filter()) == 3 and store.maintenance.verify() == []


def test_the_same_keys_from_two_processes_in_opposite_orders(store: Store, opened: Callable[[], Store]) -> None:
    stores = [store, opened()]
    numbers = [list(range(40)), list(reversed(range(40)))]

    def send(which: int) -> int:
        events = [event(f"s{n}@x", dedupe=Dedupe(f"k:{n}", "f")) for n in numbers[which % 2]]
        return sum(not one.duplicate for one in stores[which % 2].intake.accept(events, timeout=60.0))

    with ThreadPoolExecutor(8) as pool:
        fresh = sum(pool.map(send, range(16)))
    assert fresh == 40 and store.reading.count(Filter()) == 40


# -- the server


def test_what_was_acknowledged_survives_the_server_and_all_goes_on(
    own_server: Server, of_own_server: PostgresStore, engine: str
) -> None:
    store = of_own_server
    known: list[str] = []
    assert store.lanes.notified()
    for number in range(3):
        known += [store.intake.accept([event(f"s{number}-{n}@x")])[0].id for n in range(5)]
        own_server.stop(signal.SIGQUIT)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.intake.accept([event("lost@x")], timeout=0.5)
        assert time.monotonic() - began < 5.0
        own_server.start()
        eventually(lambda: accepted(store), 20)
    assert all(store.reading.event(one) for one in known)
    assert store.reading.count(Filter()) == 18 and store.maintenance.verify() == []


def test_who_waits_is_woken_again_once_the_server_is_back(own_server: Server, of_own_server: PostgresStore) -> None:
    store, other = of_own_server, PostgresStore(of_own_server.database.url)
    assert store.lanes.notified()
    own_server.restart()
    eventually(lambda: accepted(other), 20)
    assert store.lanes.wait(20.0, lambda: False)
    eventually(store.lanes.notified, 20)
    while store.lanes.wait(0.2, lambda: False):
        pass
    other.intake.accept([event()])
    assert store.lanes.wait(20.0, lambda: False)
    other.close()


class Heard:
    """A connection that hears what is put into `payloads`."""

    def __init__(self, payloads: list[str]) -> None:
        self.payloads = payloads
        self.limit = 0.0

    def __enter__(self) -> "Heard":
        return self

    def __exit__(self, *_: object) -> None: ...
    def execute(self, sql: bytes) -> None: ...

    def notifies(self, timeout: float, stop_after: int) -> Iterator[SimpleNamespace]:
        threading.Event().wait(0 if self.payloads else min(timeout, 0.05))
        if self.payloads:
            yield SimpleNamespace(payload=self.payloads.pop(0))


def test_whoever_waits_for_the_listener_to_begin_is_not_woken_by_that_later(engine: str) -> None:
    payloads: list[str] = []
    begun: list[bool] = []
    listener = notify.Listener(
        "ours",
        lambda: Heard(payloads),  # type: ignore[return-value]
        payloads.append,
        lambda: begun.append(listener._known.is_set()),
    )
    assert listener.works()
    assert begun == [False]
    listener.close()


def test_a_server_that_hangs_is_as_one_that_is_gone(own_server: Server, of_own_server: PostgresStore) -> None:
    store = of_own_server
    store.intake.accept([event()])
    own_server.send(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.intake.accept([event("hangs@x")], timeout=0.5)
        assert time.monotonic() - began < 10.0
    finally:
        own_server.send(signal.SIGCONT)
    eventually(lambda: accepted(store), 20)


def test_a_process_that_starts_waits_for_a_server_that_does_so_too(
    own_server: Server, of_own_server: PostgresStore, engine: str
) -> None:
    own_server.stop()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(of_own_server.maintenance.migrate)
        own_server.start()
        started.result(30)


def test_a_process_that_starts_waits_for_a_connection_that_is_to_be_had(postgres_server: str, engine: str) -> None:
    with new_database(postgres_server) as url, ThreadPoolExecutor(1) as pool:
        with psycopg.connect(url, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0'.encode())
            role = "a_user_like_others"
            connection.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN".encode())
            connection.execute(f'ALTER DATABASE "{name}" OWNER TO {role}'.encode())
            store = PostgresStore(psycopg.conninfo.make_conninfo(url, user=role))
            started = pool.submit(store.maintenance.migrate)
            with pytest.raises(psycopg.OperationalError, match="too many connections"):
                psycopg.connect(psycopg.conninfo.make_conninfo(url, user=role))
            assert not started.done()
            connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1'.encode())
            started.result(30)
        store.close()


def test_why_there_is_no_connection_is_told_at_the_start(postgres_server: str, engine: str) -> None:
    parts = urlsplit(postgres_server)
    store = open_store(parts._replace(path="/nobody_made_it").geturl())
    with pytest.raises(StoreUnavailable, match="nobody_made_it"):
        store.maintenance.migrate()
    store.close()


@pytest.mark.parametrize(
    ("sql", "user", "words"),
    [
        ("CREATE TABLE events (id int)", "", '"events" already exists: it belongs to another program'),
        ("REVOKE ALL ON SCHEMA public FROM public", "stranger", "needs the rights to make tables"),
        ("CREATE TABLE dealpost_migrations (name text)", "stranger", "permission denied for table"),
    ],
)
def test_a_database_in_which_no_tables_can_be_made_is_told_with_the_mend(
    postgres_server: str, engine: str, sql: str, user: str, words: str
) -> None:
    with new_database(postgres_server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql)
            # Another process of the tests may make it on the same server at the same moment.
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute("CREATE ROLE stranger LOGIN")
        options = f"-c role={user}" if user else ""
        store = PostgresStore(psycopg.conninfo.make_conninfo(url, options=options))
        with pytest.raises(StoreUnavailable, match=words):
            store.maintenance.migrate()
        store.close()


def test_tables_that_are_taken_away_make_the_store_unavailable_and_blame_no_request(
    store: PostgresStore, address: str
) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ALTER TABLE events RENAME TO taken_away")
        try:
            with pytest.raises(StoreUnavailable, match="events"):
                store.intake.accept([event()])
        finally:
            connection.execute("ALTER TABLE taken_away RENAME TO events")
    assert accepted(store)


@pytest.mark.parametrize("password", ["sec/ret", "sec@ret", "sec%ret", "7/ret"])
def test_an_address_that_cannot_be_read_is_refused_without_its_password(password: str, engine: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL") as raised:
        open_store(f"postgresql://u:{password}@host/db")
    assert "sec" not in str(raised.value) and "ret" not in str(raised.value)


# -- a pooler


@contextmanager
def pooler(url: str, folder: Path) -> Iterator[str]:
    """PgBouncer in transaction mode with two connections to the server. -> the address behind it."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer (apt install pgbouncer)")
    given = psycopg.conninfo.conninfo_to_dict(url)
    host = "127.0.0.1" if str(given["host"]).startswith("/") else given["host"]  # its socket is another user's
    port = free_port()
    lines = [
        "[databases]",
        f"* = host={host} port={given.get('port', 5432)} user={given.get('user', '')}",
        "[pgbouncer]",
        f"listen_port = {port}",
        "listen_addr = 127.0.0.1",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        "default_pool_size = 2",
    ]
    file = folder / "pgbouncer.ini"
    file.write_text("\n".join(lines) + "\n")
    folder.chmod(0o755)
    file.chmod(0o644)
    command = [program, str(file), *(["-u", "nobody"] if os.geteuid() == 0 else [])]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"postgresql://127.0.0.1:{port}/{given['dbname']}"
    try:
        eventually(lambda: connects(address), 20)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def test_behind_a_transaction_pooler_all_works_and_waiting_rows_are_looked_for(
    store: Store,
    address: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(notify, "PROBE", 0.5)
    monkeypatch.setattr(notify, "POLL", 0.05)
    with tempfile.TemporaryDirectory() as folder, pooler(address, Path(folder)) as url:
        behind = PostgresStore(url, clock)
        behind.maintenance.migrate()
        assert not behind.lanes.notified()
        while behind.lanes.wait(0.0, lambda: False):
            pass
        store.intake.accept([event("direct@x")])
        assert behind.lanes.wait(20.0, lambda: False)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: behind.intake.accept([event(f"s{n}@x")], timeout=30.0), range(50)))
        lease = lane(behind)
        rows = claim(behind, lease, 100, whole_keys=True)
        behind.lanes.begin(lease, [row.id for row in rows])
        assert len(rows) == 51 and behind.leases.renew(lease, 30.0) is not None
        behind.close()
    assert caplog.text.count("passes on no notifications") == 1


def test_the_clock_that_nobody_asked_yet_is_not_asked_by_one_who_must_not_wait(own_server: Server) -> None:
    with new_database(own_server.url()) as url:
        store = PostgresStore(url)
        assert store.now_at_once() is None
        asked, told = store.now(), store.now_at_once()
        assert told is not None and 0 <= told - asked < 60
        store.close()
