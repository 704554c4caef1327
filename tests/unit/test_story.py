"""The story that `make run` tells: what a line says of each outcome, once, and never an address."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from flask import Flask

from outbox.message import Delivery, Reason, State
from outbox.outcome import PauseKind
from outbox.pauses import Paused
from outbox.queries import Filter, Page
from service.config import load
from service.operator import language
from service.operator.story import Story

BEGAN = 1_790_000_000.0
LESSON = Delivery(
    1, "e", "lesson.completed", "amocrm", None, State.PENDING, Reason(""), "", "", BEGAN, 0, BEGAN, BEGAN,
    {"email": "student@example.com", "lesson": 2}, "lessons", BEGAN, email="student@example.com",
)  # fmt: skip


class Rows:
    """What the store would find."""

    def __init__(self, *rows: Delivery) -> None:
        self.rows = list(rows)

    def find(self, where: Filter, limit: int) -> Page:
        return Page(tuple(one for one in self.rows if not where.ids or one.id in where.ids)[:limit], None)


@pytest.fixture(params=["en", "ru"])
def locale(request: Any) -> Iterator[str]:
    app = Flask(__name__)
    settings = load({"LOCALE": request.param, "TIMEZONE": "UTC", "DATABASE_URL": "sqlite:////tmp/unused.db"})
    language.register(app, settings)
    with app.app_context():
        yield request.param


def told(*rows: Delivery, now: float = BEGAN + 1, paused: dict[str, Paused] | None = None) -> list[str]:
    return Story(cast(Any, Rows(*rows)), BEGAN).lines(now, paused or {})


def has(line: str, locale: str, english: str, russian: str) -> bool:
    return (english if locale == "en" else russian) in line.replace("\N{NO-BREAK SPACE}", " ")


def test_what_is_on_its_way_as_expected_is_not_told_of(locale: str) -> None:
    assert told(LESSON) == told(replace(LESSON, state=State.SENDING)) == []


def test_each_outcome_has_its_line_without_the_address(locale: str) -> None:
    outcomes: list[tuple[dict[str, Any], str, str]] = [
        (
            {"state": State.DELIVERED, "changed_at": BEGAN + 0.4, "reference": "77"},
            "after 0.4 s, deal 77",
            "за 0,4 с, сделка 77",
        ),
        (
            {"state": State.SKIPPED, "reason": Reason("deal_closed")},
            "nothing to do: the deal is closed",
            "делать нечего",
        ),
        (
            {"state": State.DEAD, "reason": Reason("refused: by student@example.com")},
            "did not arrive: by s***t",
            "не доставлено",
        ),
        (
            {"failures": 1, "reason": Reason("of the test"), "due_at": BEGAN + 5},
            "waits: of the test, next attempt",
            "следующая попытка",
        ),
        ({"state": State.DISCARDED}, "will not be sent", "не"),
    ]
    for changes, english, russian in outcomes:
        (line,) = told(replace(LESSON, **changes))
        assert has(line, locale, english, russian) and "s***t@example.com" in line and "student@" not in line


def test_who_waits_for_a_pause_or_too_long_is_told_of(locale: str) -> None:
    pause = Paused(PauseKind.OPERATOR, None, "holidays", "", BEGAN)
    (line,) = told(LESSON, paused={"amocrm": pause})
    assert has(line, locale, "waits: holidays", "ждёт: holidays")
    (line,) = told(LESSON, now=BEGAN + 60)
    assert "flask check" in line


def test_the_same_is_told_once_and_the_end_of_what_waited_is_told(locale: str) -> None:
    rows = Rows(replace(LESSON, failures=1, reason=Reason("of the test"), due_at=BEGAN + 5))
    story = Story(cast(Any, rows), BEGAN)
    assert len(story.lines(BEGAN + 1, {})) == 1 and story.lines(BEGAN + 2, {}) == []
    rows.rows = [replace(LESSON, state=State.DELIVERED, changed_at=BEGAN + 6)]
    assert len(story.lines(BEGAN + 6, {})) == 1 and story.lines(BEGAN + 7, {}) == []
