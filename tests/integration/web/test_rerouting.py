"""Rows that went nowhere, sent again by a person: their events are routed by today's rules."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from outbox.message import Delivery, NewDelivery, NewEvent, State, new_id
from outbox.queries import Filter
from outbox.store import Store
from service import create_app, create_commands
from service.config import load
from tests.integration.pages.conftest import Visitor
from tests.integration.web.conftest import ENVIRON, OPERATOR, SECRET

ADDRESS = f"/webhooks/amocrm/{SECRET}"


class House:
    """One service, which may be started anew with other settings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: list[Store] = []
        self.app = self.start()

    def start(self, **settings: str) -> Flask:
        database = {"DATABASE_URL": f"sqlite:///{self._folder}/dealpost.db"}
        self.app = create_app(load({**ENVIRON, **database, **settings}))
        self._opened.append(self.store)
        return self.app

    def command(self, args: list[str]) -> Result:
        dealpost = self.app.extensions["dealpost"]
        return create_commands(dealpost.settings, dealpost.store).test_cli_runner().invoke(args=args)

    @property
    def store(self) -> Store:
        store: Store = self.app.extensions["dealpost"].store
        return store

    def hook(self, action: str = "status", **account: str) -> Delivery:
        """A hook of two deals comes in. -> its row of the destination "-"."""
        fields = {f"leads[{action}][{place}][id]": str(place + 1) for place in (0, 1)}
        fields |= {f"leads[{action}][{place}][status_id]": "20" for place in (0, 1)}
        fields |= {f"leads[{action}][{place}][pipeline_id]": "7" for place in (0, 1)}
        fields |= {f"account[{name}]": value for name, value in account.items()}
        assert self.app.test_client().post(ADDRESS, data=fields).status_code == 200
        (row,) = self.rows(destination="-")
        return row

    def rows(self, **where: str) -> list[Delivery]:
        return list(self.store.reading.find(Filter(**where), 100, oldest_first=True).rows)  # type: ignore[arg-type]

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def by_command(house: House, row: Delivery) -> None:
    done = house.command(["outbox", "retry", str(row.id)])
    assert done.exit_code == 0, done.output


def by_page(house: House, row: Delivery) -> None:
    visitor = Visitor(house.app.test_client(), OPERATOR)
    assert "/retry" in visitor.get(f"/outbox/{row.id}").text
    assert visitor.press(f"/outbox/{row.id}/retry").status_code in (302, 303)


def by_list(house: House, row: Delivery) -> None:
    visitor = Visitor(house.app.test_client(), OPERATOR)
    fields = {"act": "retry", "state": row.state, "destination": "-", "max_id": str(row.id), "expected": "1"}
    visitor.press("/outbox/do", **fields)


WAYS = [by_command, by_page, by_list]


@pytest.mark.parametrize("way", WAYS)
def test_another_accounts_hook_is_ours_once_the_account_is_right(
    house: House, way: Callable[[House, Delivery], None]
) -> None:
    house.start(AMOCRM_SUBDOMAIN="old-name")
    row = house.hook(subdomain="new-name")
    assert row.reason.code == "foreign_account"
    way_in = house.rows(destination="erp")
    assert way_in == []
    house.start(AMOCRM_SUBDOMAIN="new-name")
    way(house, row)
    assert sorted(one.lead_id or 0 for one in house.rows(destination="erp")) == [1, 2]
    assert all(one.state == State.PENDING and one.key for one in house.rows(destination="erp"))
    (old,) = house.rows(destination="-")
    assert old.state == State.SKIPPED and old.reason.code == "superseded"
    assert house.rows(destination="erp")[0].event_id in old.reason


def test_deals_made_on_a_stage_count_once_they_are_wanted(house: House) -> None:
    row = house.hook("add")
    assert row.reason.code == "not_routed"
    house.start(AMOCRM_WEBHOOK_STAGES="20")
    by_command(house, row)
    assert [one.data["kind"] for one in house.rows(destination="erp")] == ["add", "add"]


def unreadable(house: House, raw: str, **data: bool) -> Delivery:
    """A hook that an earlier version could not read."""
    now = house.store.now()
    reason = "unreadable: expected something else"
    kept = NewDelivery("-", state=State.DEAD, reason=reason, cause="unreadable_hook")
    event = NewEvent(
        new_id(now), "amocrm/webhook", {"bytes": len(raw), **data}, "webhook", "amocrm", now, (kept,), raw=raw
    )
    house.store.intake.accept([event])
    (row,) = house.rows(destination="-")
    return row


GOOD = "leads[status][0][id]=5&leads[status][0][status_id]=142&leads[status][0][old_status_id]=30"


@pytest.mark.parametrize("way", WAYS)
def test_a_hook_that_could_not_be_read_is_read_again(house: House, way: Callable[[House, Delivery], None]) -> None:
    way(house, unreadable(house, GOOD))
    (row,) = house.rows(destination="erp")
    assert (row.lead_id, row.data["old_status_id"]) == (5, 30)


@pytest.mark.parametrize(("raw", "data"), [("leads[status][0][id]=5", {}), ("?", {}), (GOOD, {"cut": True})])
def test_what_means_nothing_still_stays_as_it_is(house: House, raw: str, data: dict[str, bool]) -> None:
    row = unreadable(house, raw, **data)
    done = house.command(["outbox", "retry", str(row.id)])
    assert done.exit_code == 1 and "go nowhere by today's rules" in done.output
    visitor = Visitor(house.app.test_client(), OPERATOR)
    assert f"/outbox/{row.id}/retry" not in visitor.get(f"/outbox/{row.id}").text
    visitor.press(f"/outbox/{row.id}/retry")
    (same,) = house.rows()
    assert (same.state, same.reason) == (row.state, row.reason)


def test_all_that_did_not_arrive_goes_out_again_the_unreadable_ones_too(house: House) -> None:
    unreadable(house, GOOD)
    done = house.command(["outbox", "retry", "--dead"])
    assert "1 delivery is sent again" in done.output
    assert len(house.rows(destination="erp")) == 1
