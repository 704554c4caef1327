"""Reading a pipeline page by page: what is odd in passing costs one request more, and no page is read twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from service.destinations.deals.prefetch import CROWD, Prefetch
from tests.unit.amocrm.fakes import House, gone

STAGES = {"statuses": [{"id": 101, "name": "Урок 1", "sort": 10}, {"id": 142, "name": "Успешно", "sort": 10000}]}
PIPELINES = {"pipelines": [{"id": 10, "name": "Курс", "sort": 1, "_embedded": STAGES}]}
DEAL = {"id": 5, "status_id": 101, "pipeline_id": 10, "updated_at": 1, "_embedded": {"contacts": [{"id": 7}]}}
EMAIL = [{"field_code": "EMAIL", "values": [{"value": "anna@example.com"}]}]
CONTACT = {"id": 7, "name": "Анна", "custom_fields_values": EMAIL}

NOT_FOUND, REFUSED, NOTHING = (404, {"detail": "Not found"}), (403, {"detail": "no right"}), (204, b"")


class Funnel:
    """One page with one deal. odd: what the lists of deals and of contacts answer before they answer well; each of
    these takes some seconds."""

    def __init__(self, seconds: float = 0.0, **odd: list[Any]) -> None:
        self.odd, self.seconds = odd, seconds
        self.house = House(self.answer, refresh_token="", access_token="token")
        house = self.house
        self.prefetch = Prefetch(house.client, house.account.pipelines, house.key_values, house.clock)

    def answer(self, request: Mapping[str, Any]) -> Any:
        name = request["path"].rpartition("/")[2]
        if name == "7":
            return 200, CONTACT
        if name == "account":
            return 200, {"id": 1, "is_api_filter_enabled": True}
        if name == "pipelines":
            return 200, {"_embedded": PIPELINES}
        if self.odd.get(name):
            self.house.clock.at += self.seconds
            return self.odd[name].pop(0)
        return 200, {"_embedded": {name: [DEAL if name == "leads" else CONTACT]}}

    def asked(self) -> list[str]:
        """The last part of each path, without the account and its pipelines."""
        names = [path.rpartition("/")[2] for path in self.house.http.paths()]
        return [name for name in names if name not in ("account", "pipelines")]


@pytest.mark.parametrize("odd", [gone("timeout"), NOT_FOUND, REFUSED], ids=["slow", "404", "403"])
def test_a_page_that_came_after_odd_answers_is_as_fresh_as_its_own_question(odd: Any) -> None:
    funnel = Funnel(leads=[odd, odd], seconds=3.0)
    begun = funnel.house.clock.at
    assert list(funnel.prefetch.pages(10, CROWD)) == [["anna@example.com"]]
    taken = funnel.prefetch.take(5, begun + 6.0)
    assert taken is not None and taken[1] == begun + 6.0 and funnel.asked() == ["leads", "leads", "leads", "7"]


@pytest.mark.parametrize("odd", [gone("timeout"), (504, b"")], ids=["slow", "504"])
def test_where_the_contacts_of_a_page_do_not_come_at_once_the_page_is_not_read_again(odd: Any) -> None:
    funnel = Funnel(contacts=[odd])
    second = {**DEAL, "id": 6, "_embedded": {"contacts": [{"id": 8}]}}
    plain = funnel.answer

    def answer(request: Mapping[str, Any]) -> Any:
        is_page = request["path"] == "/api/v4/leads"
        return (200, {"_embedded": {"leads": [DEAL, second]}}) if is_page else plain(request)

    funnel.house.http.answer = answer
    assert list(funnel.prefetch.pages(10, CROWD)) == [["anna@example.com"]]
    assert funnel.asked()[:3] == ["leads", "contacts", "contacts"] and funnel.asked().count("leads") == 1


def test_a_page_whose_order_is_refused_is_asked_for_by_ids_at_once_and_then_no_more_by_time() -> None:
    funnel = Funnel(leads=[(400, {"title": "Bad Request", "status": 400, "detail": "order"})])
    assert list(funnel.prefetch.pages(10, CROWD)) == [[]]  # nothing is believed before the reading is whole
    orders = [name for one in funnel.house.http.requests for name, _ in one["params"] or () if name.startswith("order")]
    assert orders == ["order[updated_at]", "order[id]"] and funnel.prefetch.requests_since(0.0) == 3
