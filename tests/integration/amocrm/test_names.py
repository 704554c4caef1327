"""Names and telephones are kept when a contact is read, whoever reads it and whatever becomes of the delivery."""

from __future__ import annotations

import pytest

from outbox.queries import Filter
from tests.integration.amocrm.running import NEW, Running

PHONE = "+7 (912) 345-67-89"


def found(running: Running, text: str) -> list[str]:
    return [row.event_id for row in running.store.reading.find(Filter(search=text), 50).rows]


def contact(running: Running, name: str, email: str, phone: str, deal: bool = True) -> None:
    account = running.sandbox.amocrm
    person = account.add_contact(name, email, phone)
    if deal:
        account.add_deal("Курс", 4900, NEW, contact_ids=[person.id])


@pytest.mark.parametrize("deal", [True, False], ids=["with a deal", "without a deal"])
def test_a_student_is_found_by_the_telephone_that_amocrm_has(running: Running, deal: bool) -> None:
    contact(running, "Анна Сёмина", "anna@example.com", PHONE, deal)
    event = running.lesson()
    running.drain()
    row = running.row(event)
    assert (row.person, row.phones) == ("Анна Сёмина", PHONE)
    for text in ("89123456789", "345 67 89", "семина"):
        assert found(running, text) == [event]


def test_whom_a_search_for_a_correction_shows_is_known_once_there_is_a_row(running: Running) -> None:
    contact(running, "Анна Сёмина", "anna@example.com", PHONE)
    event = running.lesson()
    running.deals.previewer.find_people("Сёмина")
    assert running.row(event).person == "Анна Сёмина" and found(running, "6789") == [event]


def test_those_whom_a_reading_by_pages_met_before_their_first_lesson_are_known_with_it(running: Running) -> None:
    names = [f"learner{number}@example.com" for number in range(60)]
    for number, email in enumerate(names):
        contact(running, f"Ученик {number}", email, f"+7 900 000-1{number:03}")
    running.lessons([(email, 1) for email in names[:59]])
    running.drain()
    assert running.store.reading.find(Filter(search="1058"), 10).rows
    asked = len(running.requests())
    event = running.lesson(names[59])
    running.drain()
    assert (running.row(event).person, running.row(event).phones) == ("Ученик 59", "+7 900 000-1059")
    assert "GET /api/v4/contacts" not in running.requests()[asked:]
