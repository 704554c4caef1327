"""Numbers, times and states as the page says them, in both languages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from flask_babel import Babel, force_locale

from outbox.message import Delivery, State
from service.causes import CAUSES
from service.operator import words
from service.operator.language import CATALOGUES, compiled

NOW = 1_795_260_968.0  # Saturday, 21 November 2026, 14:36:08 in Moscow
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.fixture(scope="module")
def app() -> Flask:
    app = Flask("words")
    Babel(app, default_timezone="Europe/Moscow", default_translation_directories=str(compiled(CATALOGUES)))
    return app


@contextmanager
def speaking(app: Flask, language: str) -> Iterator[None]:
    with app.test_request_context(), force_locale(language):
        yield


def spaced(text: str) -> str:
    """With each non-breaking space shown."""
    return text.replace("\N{NO-BREAK SPACE}", "_")


@pytest.mark.parametrize(
    ("value", "russian", "english"),
    [(0, "0", "0"), (2.1, "2,1", "2.1"), (24900, "24_900", "24,900"), (3391.0, "3_391", "3,391"), (0.04, "0", "0")],
)
def test_numbers(app: Flask, value: float, russian: str, english: str) -> None:
    with speaking(app, "ru"):
        assert spaced(words.number(value)) == russian
    with speaking(app, "en"):
        assert spaced(words.number(value)) == english


@pytest.mark.parametrize(
    ("value", "russian", "english"),
    [
        ("24900", "24_900_₽", "₽24,900"),
        ("24900.00", "24_900_₽", "₽24,900"),
        (1500.5, "1_500,50_₽", "₽1,500.50"),
        ("by agreement", "by agreement", "by agreement"),
        ("NaN", "NaN", "NaN"),
        ("1e3", "1_000_₽", "₽1,000"),
    ],
)
def test_money(app: Flask, value: Any, russian: str, english: str) -> None:
    with speaking(app, "ru"):
        assert spaced(words.money(value)) == russian
    with speaking(app, "en"):
        assert spaced(words.money(value)) == english


@pytest.mark.parametrize(
    ("seconds", "russian", "english"),
    [
        (0.4, "0,4_с", "0.4_s"),
        (6, "6_с", "6_s"),
        (59.6, "1_мин", "1_min"),
        (303, "5_мин_03_с", "5_min_03_s"),
        (372, "6_мин_12_с", "6_min_12_s"),
        (7500, "2_ч_05_мин", "2_h_05_min"),
        (3 * DAY, "3_дня", "3_days"),
        (21 * DAY, "21_день", "21_days"),
        (-3, "0_с", "0_s"),
    ],
)
def test_durations(app: Flask, seconds: float, russian: str, english: str) -> None:
    with speaking(app, "ru"):
        assert spaced(words.duration(seconds)) == russian
    with speaking(app, "en"):
        assert spaced(words.duration(seconds)) == english


@pytest.mark.parametrize(
    ("passed", "russian", "english"),
    [
        (12, "12_с назад", "12_s ago"),
        (61, "1_мин назад", "1_min ago"),
        (2 * HOUR, "12:36", "12:36"),
        (20 * HOUR, "20_ноября", "20_November"),
        (400 * DAY, "17_октября 2025", "17_October 2025"),
    ],
)
def test_ages(app: Flask, passed: float, russian: str, english: str) -> None:
    with speaking(app, "ru"):
        assert spaced(words.ago(NOW - passed, NOW)) == russian
    with speaking(app, "en"):
        assert spaced(words.ago(NOW - passed, NOW)) == english


def test_moments_in_a_sentence(app: Flask) -> None:
    with speaking(app, "ru"):
        assert spaced(words.at_when(NOW + 12 * HOUR, NOW)) == "завтра в_02:36"
        assert spaced(words.at_when(NOW, NOW)) == "в_14:36"
        assert words.when(NOW - DAY, NOW) == "вчера, 14:36"
        assert spaced(words.heading(NOW - 2 * DAY, NOW)) == "Четверг, 19_ноября"
        assert spaced(words.span(NOW - 115 * MINUTE, NOW - 7 * MINUTE, NOW)) == "сегодня, 12:41–14:29"
        assert spaced(words.span(NOW - 6 * DAY, NOW - 3 * DAY, NOW)) == "15–18_ноября"
        assert words.exact(NOW) == "21 ноября 2026, 14:36:08"
        assert words.zone("Europe/Moscow") == "Москва"
    with speaking(app, "en"):
        assert spaced(words.since_when(NOW - DAY, NOW)) == "since yesterday, 14:36"


def test_days_begin_in_the_schools_zone(app: Flask) -> None:
    with speaking(app, "en"):
        assert words.clock(words.day_start(NOW), seconds=True) == "00:00:00"
        assert NOW - words.day_start(NOW) == 14 * HOUR + 36 * MINUTE + 8


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 отправка"), (3, "3 отправки"), (5, "5 отправок"), (11, "11 отправок"), (14, "14 отправок"),
        (21, "21 отправка"), (1204, "1_204 отправки"),
    ],
)  # fmt: skip
def test_russian_plurals_come_from_the_catalogue(app: Flask, count: int, text: str) -> None:
    with speaking(app, "ru"):
        assert spaced(words.counted(count, "")) == text


def delivery(**changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": 1, "event_id": "e", "event_name": "lesson.completed", "destination": "amocrm", "key": None,
        "state": State.PENDING, "reason": "", "cause": "", "reference": "", "due_at": NOW, "failures": 0,
        "created_at": NOW - 10, "changed_at": NOW, "data": {"lesson": 2}, "source": "lessons", "received_at": NOW - 10,
    }  # fmt: skip
    return Delivery(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "pause", "bare", "tone", "text"),
    [
        ({}, "", False, "quiet", "Ждёт"),
        ({"failures": 2, "due_at": NOW + 60}, "", False, "quiet", "Ждёт попытки 3"),
        ({}, "amoCRM", False, "quiet", "Ждёт: пауза amoCRM"),
        ({"created_at": NOW - 400}, "amoCRM", False, "warn", "Ждёт: пауза amoCRM"),
        ({"due_at": NOW - 90}, "", False, "warn", "Задерживается"),
        ({"due_at": NOW - 90}, "amoCRM", False, "quiet", "Ждёт: пауза amoCRM"),
        ({"created_at": NOW - 4000}, "", True, "quiet", "Ждёт подключения"),
        ({"state": State.DEAD}, "", False, "bad", "Не дошло"),
        ({"state": State.DELIVERED}, "amoCRM", False, "ok", "Доставлено"),
    ],
)
def test_states(app: Flask, changes: dict[str, Any], pause: str, bare: bool, tone: str, text: str) -> None:
    with speaking(app, "ru"):
        _icon, found_tone, found = words.chip(delivery(**changes), NOW, pause, bare)
    assert (found_tone, found) == (tone, text)


def test_every_reason_of_the_contract_has_words(app: Flask) -> None:
    skipped = "already_further deal_closed deal_gone superseded no_stage not_routed foreign_account echo"
    dead = "not_found refused exhausted ambiguous unreadable"
    codes = [*skipped.split(), *dead.split()]
    with speaking(app, "ru"):
        for code in codes:
            assert not words.reason_words(f"{code}: and more").isascii(), code
        assert words.reason_words("something_new: as it was said") == "as it was said"


def test_every_cause_has_words_whatever_its_params_lack(app: Flask) -> None:
    with speaking(app, "ru"):
        for code in (*CAUSES, "unheard_of"):
            for text in (words.cause_title(code, {}), words.cause_means(code, {}), words.cause_todo(code, {})):
                assert "%(" not in text, code
            assert not words.cause_title(code, {}).isascii(), code


def test_foreign_params_are_text_and_no_format(app: Flask) -> None:
    with speaking(app, "en"):
        assert "100%(x)s" in words.cause_means("erp_refused", {"detail": "100%(x)s"})


def test_events_are_told_by_what_happened(app: Flask) -> None:
    with speaking(app, "ru"):
        assert spaced(words.event_words("lesson.completed", {"lesson": 2})) == "урок 2 пройден"
        assert spaced(words.event_words("amocrm/webhook", {}, {"stage": "Оплатил"})) == "сделка перешла на_«Оплатил»"
        assert words.event_words("something/else", {}) == "something/else"
