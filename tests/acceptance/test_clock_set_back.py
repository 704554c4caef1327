"""The wall clock under running processes is set back: nothing waits for it to catch up."""

import pathlib
from collections.abc import Callable

import pytest

from chaos import shim
from sandbox import Sandbox
from tests.support.processes import API_KEY, Process
from tests.support.waiting import eventually

KEY = {"Authorization": f"Bearer {API_KEY}"}


@pytest.mark.skipif(not shim.available(), reason="the clock of another process takes a C compiler to move")
@pytest.mark.parametrize("back", [7200.0, 400 * 86400.0])
def test_what_waits_for_its_next_attempt_goes_out(
    back: float,
    tmp_path: pathlib.Path,
    sandbox: Sandbox,
    run_web: Callable[..., Process],
    run_worker: Callable[..., Process],
) -> None:
    (tmp_path / "shim").mkdir()
    clock = shim.Shim(tmp_path / "shim")
    web, worker = run_web(**clock.environ), run_worker(**clock.environ)

    def state() -> str:
        delivery = web.call("GET", f"/api/events/{event_id}", headers=KEY)[1]["deliveries"][0]
        return str(delivery["state"] if delivery["attempts"] else "not tried")

    body = {"email": "anna@example.com", "lesson": 1}
    event_id = web.call("POST", "/api/tripwire/complete", body=body, headers=KEY)[1]["id"]
    # Nobody of that name yet: the next attempt is in some seconds, and after the jump in hours or in a year.
    eventually(lambda: state() == "pending", 20)
    clock.jump(-back)
    contact = sandbox.amocrm.add_contact("Anna", "anna@example.com")
    sandbox.amocrm.add_deal("Course", 4900, contact_ids=[contact.id], quiet=True)
    eventually(lambda: state() == "delivered", 60)
    worker.says(r"The clock was set back by \d{4}")
    assert web.call("GET", "/healthz/worker")[0] == 200
    assert web.stop() == worker.stop() == 0
    clock.close()
