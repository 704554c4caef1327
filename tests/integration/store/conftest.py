"""One store per test, of each engine that there is."""

import pathlib
from collections.abc import Callable, Iterator

import pytest

from outbox.engines import open_store
from outbox.sqlite.memory import MemoryStore
from outbox.store import Store
from tests.integration.store.make import Clock

ENGINES = ("sqlite", "memory", "postgres")
"""Every test of this folder runs on each of them. Another engine is one more name here, its address in `address` (of
an empty database), and `opened`, where a second store at the same address takes more than opening it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module test_<engine>_... is about that engine alone; one with ENGINES, about those."""
    if "engine" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        own = [engine for engine in ENGINES if module.startswith(f"test_{engine}_")]
        engines = own or getattr(metafunc.module, "ENGINES", ENGINES)
        marks = {"postgres": (pytest.mark.postgres,)}
        metafunc.parametrize("engine", [pytest.param(engine, marks=marks.get(engine, ())) for engine in engines])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def address(engine: str, tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> str:
    """The address of an empty store."""
    if engine == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return {"sqlite": f"sqlite:///{tmp_path}/var/dealpost.db", "memory": "memory://"}[engine]


@pytest.fixture
def opened(address: str, clock: Clock) -> Iterator[Callable[[], Store]]:
    """Opens the same store again, as another process would."""
    stores: list[Store] = []

    def opens() -> Store:
        first = stores[0] if stores else None
        store = MemoryStore(first.database) if isinstance(first, MemoryStore) else open_store(address, now=clock)
        stores.append(store)
        return store

    yield opens
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    store = opened()
    store.maintenance.migrate()
    return store
