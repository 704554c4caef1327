"""A school's day on the page, asked by Flask's own client."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support import seeded
from tests.support.site import OPERATOR, application
from tests.support.text import plain


@dataclass
class Visitor:
    """Somebody who looks at the page, with a browser's cookies."""

    client: Any
    auth: tuple[str, str] | None = OPERATOR
    language: str = "en"
    prefix: str = ""

    def get(self, path: str, **headers: str) -> Any:
        headers = {"Accept-Language": self.language, **headers}
        return self.client.get(path, auth=self.auth, headers=headers, environ_overrides={"SCRIPT_NAME": self.prefix})

    def text(self, path: str, **headers: str) -> str:
        """What a person reads: no tags, single spaces."""
        answer = self.get(path, **headers)
        assert answer.status_code == 200, (answer.status_code, path)
        return plain(answer.text)

    def press(self, path: str, token: bool = True, **fields: Any) -> Any:
        """Sends a form, with the token of a page unless told otherwise."""
        if token:
            found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/outbox/help").text)
            assert found
            fields["csrf_token"] = found[1]
        return self.client.post(
            path, data=fields, auth=self.auth, headers={"Accept-Language": self.language},
            environ_overrides={"SCRIPT_NAME": self.prefix},
        )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[seeded.World]:
    world = seeded.World(tmp_path / "dealpost.db")
    yield world
    world.store.close()


@pytest.fixture
def trouble(world: seeded.World) -> seeded.World:
    """Fourteen lost lessons, four other failures, twelve that wait for amoCRM's pause."""
    world.day(scale=0.1, lost=14)
    world.others_lost()
    world.slow_down()
    world.house()
    return world


@pytest.fixture
def app(world: seeded.World) -> Flask:
    return application(world)


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    return Visitor(app.test_client())
