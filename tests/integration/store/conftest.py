"""One store per test, of each engine that there is."""

import pathlib
from collections.abc import Callable, Iterator

import pytest

from outbox.engines import open_store
from outbox.store import Store
from tests.integration.store.make import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite"])
def address(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """The address of an empty store. Another engine is one more parameter."""
    assert request.param == "sqlite"
    return f"sqlite:///{tmp_path}/var/dealpost.db"


@pytest.fixture
def opened(address: str, clock: Clock) -> Iterator[Callable[[], Store]]:
    """Opens the same store again, as another process would."""
    stores: list[Store] = []

    def opens() -> Store:
        store = open_store(address, now=clock)
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
