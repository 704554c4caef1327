"""From the body of a webhook to events."""

from urllib.parse import urlencode

import pytest

from outbox.message import NewEvent, State
from service.sources.amocrm_webhook_events import HEAVY, RAW_KEPT, hook_events, lightened

NOW = 1_800_000_000.0


def body(*changes: dict[str, object], account: dict[str, object] | None = None, action: str = "status") -> bytes:
    pairs = [
        (f"leads[{action}][{place}][{name}]", value) for place, one in enumerate(changes) for name, value in one.items()
    ]
    pairs += [(f"account[{name}]", value) for name, value in (account or {}).items()]
    return urlencode(pairs).encode()


def moved(lead: int = 1, old: int = 10, new: int = 20, at: int | None = 1_799_999_990) -> dict[str, object]:
    fields: dict[str, object] = {"id": lead, "status_id": new, "old_status_id": old, "pipeline_id": 7}
    return fields if at is None else {**fields, "last_modified": at}


def events(
    raw: bytes, subdomain: str | None = "school", account_id: int | None = 55, now: float = NOW
) -> list[NewEvent]:
    return hook_events(raw, configured_subdomain=subdomain, account_id=account_id, now=now)


def key(event: NewEvent) -> str | None:
    return event.dedupe.key if event.dedupe else None


def test_a_change_of_stage() -> None:
    [event] = events(body(moved(), account={"subdomain": "School", "id": 55}))
    assert event.data == {
        "lead_id": 1, "pipeline_id": 7, "status_id": 20, "old_status_id": 10, "old_pipeline_id": None,
        "at": 1_799_999_990, "kind": "status", "account_id": 55, "subdomain": "school",
    }  # fmt: skip
    assert (event.name, event.source, event.sender, event.lead_id) == ("amocrm/webhook", "webhook", "amocrm", 1)
    [row] = event.deliveries
    assert (row.destination, row.key, row.state) == ("erp", "lead:1", State.PENDING)
    assert key(event) == "hook:1:7:10:20:1799999990"


def test_many_changes_in_one_body() -> None:
    found = events(body(moved(1), moved(2), moved(1, 20, 10)))
    assert [event.lead_id for event in found] == [1, 2, 1]
    assert len({event.id for event in found}) == len({key(event) for event in found}) == 3


def test_there_and_back_within_a_second_is_two_of_a_kind_and_known_again() -> None:
    raw = body(moved(1), moved(1, 20, 10), moved(1))
    assert [key(event) for event in events(raw)] == [key(event) for event in events(raw, now=NOW + 60)]
    assert len({key(event) for event in events(raw)}) == 3


def test_a_change_without_a_time_is_left_to_the_worker() -> None:
    [event] = events(body(moved(at=None)))
    assert event.data["at"] is None and event.dedupe is None


@pytest.mark.parametrize("action", ["add", "update", "delete", "note"])
def test_what_is_no_change_of_stage_is_kept_and_goes_nowhere(action: str) -> None:
    [event] = events(body(moved(), action=action))
    [row] = event.deliveries
    assert (row.destination, row.state) == ("-", State.SKIPPED)
    assert row.reason == f"not_routed: leads[{action}] is no change of stage"
    assert event.data["others"] == [["leads", action, "1"]] and event.lead_id == 1


def test_a_renamed_account_keeps_its_id_and_is_no_other_one() -> None:
    for ours in (55, None):  # where ours is not known yet, the worker asks whose hook it is
        [event] = events(body(moved(), account={"subdomain": "renamed", "id": 55}), account_id=ours)
        assert event.deliveries[0].destination == "erp" and event.data["account_id"] == 55


def test_a_deal_made_on_a_stage_is_a_change_only_where_creations_count() -> None:
    raw = body({"id": 1, "status_id": 20, "pipeline_id": 7}, account={"id": 55}, action="add")
    [event] = hook_events(raw, configured_subdomain=None, account_id=55, now=NOW, creations=True)
    assert event.deliveries[0].destination == "erp" and event.data["kind"] == "add"
    assert (event.data["status_id"], event.data["old_status_id"], event.data["at"]) == (20, None, None)
    assert key(event) == "hook:1:new"
    [event] = hook_events(raw, configured_subdomain=None, account_id=55, now=NOW)
    assert event.deliveries[0].reason == "not_routed: leads[add] is no change of stage"


def test_what_can_be_told_is_taken_and_the_rest_is_kept_so_that_it_can_be_read_again() -> None:
    spoiled: dict[str, object] = {"id": 2, "name": "Курс & школа", "old_status_id": 10}
    raw = body(moved(1), spoiled, moved(3), account={"id": 55, "subdomain": "school"})
    first, second, kept = events(raw)
    assert (first.lead_id, second.lead_id) == (1, 3)
    [row] = kept.deliveries
    assert (row.destination, row.state, row.cause) == ("-", State.DEAD, "unreadable_hook")
    assert "status_id" in row.reason and kept.raw is not None and "last_modified" not in kept.raw
    [again] = events(kept.raw.encode())
    assert again.deliveries[0].reason == row.reason
    mended = kept.raw.replace("old_status_id", "status_id")
    [event] = events(mended.encode())
    assert (event.lead_id, event.data["status_id"], event.data["account_id"]) == (2, 10, 55)
    assert len({key(event) for event in events(raw)}) == 3


@pytest.mark.parametrize("account", [{"subdomain": "other"}, {"id": 56}, {"subdomain": "school", "id": 56}])
def test_another_accounts_hook(account: dict[str, object]) -> None:
    [event] = events(body(moved(), moved(2), account=account))
    [row] = event.deliveries
    assert (row.destination, row.state) == ("-", State.SKIPPED) and row.reason.startswith("foreign_account: ")
    assert len(event.data["changes"]) == 2


@pytest.mark.parametrize(("subdomain", "account_id"), [("", None), (None, None), ("school", None), ("", 55)])
def test_what_is_not_known_yet_is_believed(subdomain: str | None, account_id: int | None) -> None:
    [event] = events(body(moved(), account={"subdomain": "school", "id": 55}), subdomain, account_id)
    assert event.deliveries[0].destination == "erp"


def test_a_body_that_tells_no_account_is_believed() -> None:
    assert events(body(moved()))[0].deliveries[0].destination == "erp"


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"\xff\x00\x80", b"hello=world", b"leads[status][0][id]=1", b"a[" * 40 + b"=1", b"a=1&" * 160_001],
)
def test_what_cannot_be_read_is_kept_as_it_came(raw: bytes) -> None:
    [event] = events(raw)
    [row] = event.deliveries
    assert (row.destination, row.state, row.cause) == ("-", State.DEAD, "unreadable_hook")
    assert row.reason.startswith("unreadable: ")
    assert event.raw is not None and len(event.raw) <= RAW_KEPT and "\0" not in event.raw


def test_the_same_body_is_kept_once_a_day() -> None:
    raw = body(moved(), action="update")
    assert key(events(raw)[0]) == key(events(raw, now=NOW + 60)[0])
    assert key(events(raw)[0]) != key(events(raw, now=NOW + 86400)[0]) != key(events(b"other")[0])


def test_an_id_that_no_database_holds() -> None:
    [event] = events(b"leads[delete][0][id]=" + b"9" * 30)
    assert event.lead_id is None


@pytest.mark.parametrize("escaped", [True, False])
def test_a_mass_edit_is_read_without_the_fields_that_make_it_heavy(escaped: bool) -> None:
    def entry(place: int) -> dict[str, object]:
        found: dict[str, object] = {"old_status_id": 10} if place == 30 else moved(place + 1)
        for number in range(40):
            found |= {f"custom_fields][{number}][id": number, f"custom_fields][{number}][values][0][value": "я" * 60}
        return found

    raw = body(*(entry(place) for place in range(60)), account={"id": 55})
    raw = raw if escaped else raw.replace(b"%5B", b"[").replace(b"%5D", b"]")
    assert len(raw) > HEAVY > 3 * len(lightened(raw))
    *changes, broken = events(raw)
    assert [event.lead_id for event in changes] == [place + 1 for place in range(60) if place != 30]
    assert broken.deliveries[0].state == State.DEAD and "id and status_id" in broken.deliveries[0].reason
    only_fields = b"&".join(b"leads[status][0][custom_fields][%d][id]=1" % number for number in range(9000))
    assert "id and status_id" in events(only_fields)[0].deliveries[0].reason


def test_a_light_hook_is_read_as_it_is() -> None:
    raw = body({**moved(), "custom_fields][1][id": 5})
    assert lightened(raw) == raw
