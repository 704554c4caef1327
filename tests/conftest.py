"""Fixtures for real processes, and the rule that the continuous integration skips nothing."""

import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as of_hypothesis

from tests.support import processes
from tests.support.processes import Finished, Process, Processes
from workshop import postgres

if TYPE_CHECKING:
    from sandbox import Sandbox


# No test depends on how fast a machine is.
of_hypothesis.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
of_hypothesis.load_profile("any machine")


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _as_failure(report: Any) -> None:
    """A skip counts as a failure where everything that a test needs must be there."""
    if report.skipped and not hasattr(report, "wasxfail") and in_ci():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: nothing may be skipped with CI set ({reason})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    report = yield
    _as_failure(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    _as_failure(report)
    return report


@pytest.fixture(autouse=True)
def _stores_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes what a test leaves open: from Python 3.13 on SQLite warns of that, whenever it is collected."""
    from outbox.postgres.database import PostgresDatabase
    from outbox.sqlite.database import SqliteDatabase
    from outbox.sqlite.memory import MemoryDatabase

    opened: list[SqliteDatabase | MemoryDatabase | PostgresDatabase] = []

    def noting(inner: Callable[..., None]) -> Callable[..., None]:
        def init(self: Any, *args: Any, **more: Any) -> None:
            inner(self, *args, **more)
            opened.append(self)

        return init

    for kind in (SqliteDatabase, MemoryDatabase, PostgresDatabase):
        monkeypatch.setattr(kind, "__init__", noting(kind.__init__))
    yield
    for database in opened:
        database.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL in which databases may be made: TEST_POSTGRES_URL, or one started for the tests."""
    given = os.environ.get("TEST_POSTGRES_URL", "")
    if given:
        yield given
        return
    if postgres.programs() is None:
        pytest.skip("no PostgreSQL (apt install postgresql, or set TEST_POSTGRES_URL)")
    with postgres.Server() as server:
        yield server.url()


@pytest.fixture(scope="session")
def _postgres_database(postgres_server: str) -> Iterator[str]:
    with postgres.new_database(postgres_server) as url:
        yield url


@pytest.fixture
def postgres_url(_postgres_database: str) -> Iterator[str]:
    """The address of a database without any row. Made once, and emptied after each test."""
    yield _postgres_database
    postgres.empty(_postgres_database)


@pytest.fixture
def sandbox() -> Iterator["Sandbox"]:
    """An amoCRM account and an ERP, played in this process on a free port."""
    from sandbox import Sandbox

    with Sandbox() as running:
        yield running


@pytest.fixture
def service_env(tmp_path: pathlib.Path, sandbox: "Sandbox") -> dict[str, str]:
    """The environment of a service with a database of its own, connected to the sandbox."""
    return processes.bare_environ(
        **sandbox.env,
        SANDBOX="1",
        DATABASE_URL=f"sqlite:///{tmp_path}/dealpost.db",
        API_KEYS=f"platform:{processes.API_KEY},intake:{processes.INGEST_KEY}:ingest",
        ADMIN_USERNAME=processes.ADMIN[0],
        ADMIN_PASSWORD=processes.ADMIN[1],
    )


@pytest.fixture
def started(tmp_path: pathlib.Path) -> Iterator[Processes]:
    """Starts processes and stops those that a test leaves running."""
    all_of_them = Processes(tmp_path)
    yield all_of_them
    all_of_them.stop()


@pytest.fixture
def run_web(started: Processes, service_env: dict[str, str]) -> Callable[..., Process]:
    """run_web(**settings): gunicorn in the service's environment, ready."""

    def start(ready: bool = True, **settings: str) -> Process:
        return started.web({**service_env, **settings}, ready)

    return start


@pytest.fixture
def run_worker(started: Processes, service_env: dict[str, str]) -> Callable[..., Process]:
    """run_worker(**settings): scheduler.py in the service's environment."""

    def start(**settings: str) -> Process:
        return started.worker({**service_env, **settings})

    return start


@pytest.fixture
def run_flask(service_env: dict[str, str]) -> Callable[..., Finished]:
    """run_flask("outbox", "list", **settings): a flask command, run to its end."""

    def run(*arguments: str, **settings: str) -> Finished:
        environ: Mapping[str, str] = {**service_env, **settings}
        return processes.run([processes.PYTHON, "-m", "flask", *arguments], environ)

    return run
