"""One address in two spellings, through the whole service: sent, found, shown, forgotten."""

from typing import Any

from sandbox import Sandbox, defaults
from tests.support.processes import API_KEY
from tests.support.waiting import eventually

KEY = {"X-API-Key": API_KEY}
LETTERS, PUNYCODE = "anna@пример.рф", "anna@xn--e1afmkfd.xn--p1ai"


def test_a_cyrillic_domain_and_its_punycode_are_one_student(
    sandbox: Sandbox, run_web: Any, run_worker: Any, run_flask: Any
) -> None:
    deals = {}
    for email in (LETTERS, PUNYCODE.replace("anna", "boris")):
        contact = sandbox.amocrm.add_contact("A", email)
        deals[email] = sandbox.amocrm.add_deal("Course", 1, contact_ids=[contact.id], quiet=True).id
    web = run_web()
    run_worker()
    sent = [
        web.call("POST", "/api/tripwire/complete", body={"email": email, "lesson": 1}, headers=KEY)[1]
        for email in (PUNYCODE, LETTERS, LETTERS.replace("anna", "boris"))
    ]
    assert [one["duplicate"] for one in sent] == [False, True, False]
    for deal in deals.values():
        eventually(lambda deal=deal: sandbox.amocrm.deals[deal].status_id == defaults.STAGE_LESSON_1, 20)  # type: ignore[misc]
    for spelling in (LETTERS, PUNYCODE):
        assert str(deals[LETTERS]) in run_flask("find-lead", spelling).out
        assert LETTERS in run_flask("outbox", "list", "--search", spelling).out
    assert "1" in run_flask("outbox", "forget", PUNYCODE, "--yes").out
    assert LETTERS not in run_flask("outbox", "list").out
