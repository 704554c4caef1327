"""`flask outbox copy`: a school moves to PostgreSQL and back, with its keys and its connection to amoCRM."""

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from sandbox import Sandbox
from tests.support.processes import API_KEY
from tests.support.waiting import eventually

KEY = {"Authorization": f"Bearer {API_KEY}"}
LESSON = {"email": "anna@example.com", "lesson": 1, "id": "once"}


@pytest.mark.postgres
def test_a_school_moves_to_postgresql_and_back(
    sandbox: Sandbox,
    service_env: dict[str, str],
    postgres_url: str,
    tmp_path: Path,
    run_web: Any,
    run_worker: Any,
    run_flask: Any,
) -> None:
    service_env.update(SECRET_KEY="a-secret-of-the-test-41b6", TOKEN_KEYS=Fernet.generate_key().decode())
    contact = sandbox.amocrm.add_contact("Anna", "anna@example.com")
    sandbox.amocrm.add_deal("Course", 4900, contact_ids=[contact.id], quiet=True)
    web, worker = run_web(), run_worker()
    status, first = web.call("POST", "/api/tripwire/complete", body=LESSON, headers=KEY)
    assert status == 202
    seen = f"/api/events/{first['id']}"
    eventually(lambda: web.call("GET", seen, headers=KEY)[1]["deliveries"][0]["state"] == "delivered", within=30)
    busy = run_flask("outbox", "copy", "--to", postgres_url)
    assert busy.code == 1 and "In use by" in busy.err and "worker@" in busy.err
    worker.stop()
    web.stop()
    before = run_flask("outbox", "show", first["id"]).out

    moved = run_flask("outbox", "copy", "--to", postgres_url)
    assert moved.code == 0 and re.search(r"events: 1 of 1", moved.out) and "the same" in moved.out, moved.text
    again = run_flask("outbox", "copy", "--to", postgres_url)
    assert again.code == 0, again.text

    web, worker = run_web(DATABASE_URL=postgres_url), run_worker(DATABASE_URL=postgres_url)
    assert web.call("POST", "/api/tripwire/complete", body=LESSON, headers=KEY)[1]["duplicate"]
    second = web.call("POST", "/api/tripwire/complete", body={**LESSON, "lesson": 2, "id": "two"}, headers=KEY)[1]
    seen = f"/api/events/{second['id']}"
    eventually(lambda: web.call("GET", seen, headers=KEY)[1]["deliveries"][0]["state"] == "delivered", within=30)
    worker.stop()
    web.stop()
    used = run_flask("outbox", "copy", "--to", postgres_url)
    assert used.code == 1 and "not the same" in used.err, used.text

    back = run_flask("outbox", "copy", "--to", f"sqlite:///{tmp_path}/back.db", DATABASE_URL=postgres_url)
    assert back.code == 0, back.text
    # In practice mode a file has a name of its own, and so has the one that the copy made.
    assert run_flask("outbox", "show", first["id"], DATABASE_URL=f"sqlite:///{tmp_path}/back.db").out == before
    assert "connected" in run_flask("tokens", "status", DATABASE_URL=f"sqlite:///{tmp_path}/back.db").out


@pytest.mark.postgres
def test_a_password_in_the_address_stays_out_of_what_the_copy_keeps_and_says(
    service_env: dict[str, str], postgres_url: str, tmp_path: Path, run_flask: Any
) -> None:
    service_env.update(SECRET_KEY="a-secret-of-the-test-41b6", TOKEN_KEYS=Fernet.generate_key().decode())
    source = f"{postgres_url}{'&' if '?' in postgres_url else '?'}password=hunter2"
    target = f"sqlite:///{tmp_path}/copied.db"
    assert run_flask("outbox", "copy", "--to", target, DATABASE_URL=source).code == 0
    other = run_flask("outbox", "copy", "--to", target)
    assert other.code == 1 and "filled from" in other.err and "hunter2" not in other.text


def test_an_address_that_cannot_be_a_target_is_refused(service_env: dict[str, str], run_flask: Any) -> None:
    assert "--to: got" in run_flask("outbox", "copy", "--to", "mysql://u:p@host/db").err
    assert "--to: got" in run_flask("outbox", "copy", "--to", "postgresql://u:p%zz@host/db").err
    assert "--to is empty" in run_flask("outbox", "copy", "--to", "").err
    itself = run_flask("outbox", "copy", "--to", service_env["DATABASE_URL"])
    assert itself.code == 1 and "the store itself" in itself.err
