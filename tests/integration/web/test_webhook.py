"""amoCRM's webhook: who is believed, and what is answered."""

import pytest

from outbox.message import State, StoreUnavailable
from outbox.queries import Filter
from tests.integration.web.conftest import SECRET

ADDRESSES = [f"/webhooks/amocrm/{SECRET}", f"/api/amocrm-webhook?secret={SECRET}", f"/api/inngest?secret={SECRET}"]
CHANGE = {
    "leads[status][0][id]": "4711",
    "leads[status][0][status_id]": "142",
    "leads[status][0][old_status_id]": "100",
    "leads[status][0][pipeline_id]": "7",
    "leads[status][0][last_modified]": "1760000000",
    "account[subdomain]": "school",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_change_of_stage_is_stored_before_the_answer(web, store, address):
    answer = web.post(address, data=CHANGE)
    assert answer.status_code == 200
    (delivery,) = store.reading.find(Filter(), 10).rows
    assert (delivery.destination, delivery.key, delivery.lead_id) == ("erp", "lead:4711", 4711)
    assert (delivery.event_name, delivery.state) == ("amocrm/webhook", State.PENDING)


def test_the_same_hook_again_is_recognised(web, store):
    for address in ADDRESSES:
        assert web.post(address, data=CHANGE).status_code == 200
    assert store.reading.count(Filter()) == 1


def test_both_secrets_are_good_while_one_replaces_the_other(web):
    assert web.post("/webhooks/amocrm/the-next-secret-1", data=CHANGE).status_code == 200


@pytest.mark.parametrize(
    "address",
    ["/webhooks/amocrm/wrong", "/api/amocrm-webhook", "/api/inngest?secret=", "/api/inngest?secret=hook-secret-"],
)
def test_a_wrong_secret_is_refused(web, store, address):
    answer = web.post(address, data=CHANGE)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"]
    assert store.reading.count(Filter()) == 0


@pytest.mark.parametrize("address", ["/webhooks/amocrm/anything", "/api/amocrm-webhook", "/api/inngest?secret=x"])
def test_a_look_at_the_address_says_ready_whatever_the_secret(web, address):
    answer = web.get(address)
    assert answer.status_code == 200 and "ready" in answer.text


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"a[b[c=1", b"&&&&", b"leads[status][0][id]=x" + b"[a]" * 500])
def test_whatever_comes_with_the_secret_is_kept_and_answered_200(web, store, body):
    assert web.post(ADDRESSES[0], data=body, content_type="application/x-www-form-urlencoded").status_code == 200
    (delivery,) = store.reading.find(Filter(), 10).rows
    assert delivery.destination == "-"


def test_a_hook_that_cannot_be_stored_in_time_is_a_503(web, store, monkeypatch):
    asked = []

    def fail(events, timeout=5.0):
        asked.append(timeout)
        raise StoreUnavailable("busy")

    monkeypatch.setattr(store.intake, "accept", fail)
    assert web.post(ADDRESSES[0], data=CHANGE).status_code == 503
    assert asked == [1.5]


def test_a_mass_edit_of_megabytes_is_taken_and_more_than_eight_is_refused(web, store):
    for megabytes, status in ((2, 200), (7, 200), (9, 413)):
        body = "&".join(f"{name}={value}" for name, value in CHANGE.items()).replace("4711", str(megabytes))
        answer = web.post(
            ADDRESSES[0],
            data=f"{body}&leads[status][0][custom_fields][0][values][0][value]={'x' * (megabytes * 1024 * 1024)}",
            content_type="application/x-www-form-urlencoded",
        )
        assert answer.status_code == status
    assert {row.lead_id for row in store.reading.find(Filter(), 10).rows} == {2, 7}
