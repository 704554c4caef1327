"""The sandbox without its limits, and Dealpost's amoCRM side in front of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.integration.amocrm.running import Running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(limit_on=False) as running:
        yield running


@pytest.fixture
def running(sandbox: Sandbox, tmp_path: Path) -> Iterator[Running]:
    found = Running(sandbox, tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """run(AMOCRM_COALESCE="1", ...): with other settings."""
    made: list[Running] = []

    def start(**settings: str) -> Running:
        made.append(Running(sandbox, tmp_path, **settings))
        return made[-1]

    yield start
    for one in made:
        one.store.close()
