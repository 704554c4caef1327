"""A store, a lane and an account against the sandbox, in one process, with time that can be moved on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from outbox import pauses
from outbox.drain import Lane, PassResult
from outbox.message import Delivery, NewDelivery, NewEvent, new_id
from outbox.sqlite import SqliteStore
from sandbox import Sandbox, defaults
from service import config
from service.amocrm import AmocrmAccount
from service.destinations.deals import Deals

NEW, PAID = defaults.STAGE_NEW, defaults.STAGE_PAID
ONE, TWO, THREE = defaults.STAGE_LESSON_1, defaults.STAGE_LESSON_2, defaults.STAGE_LESSON_3


class Running:
    """Dealpost's amoCRM side. offset: seconds that its clock is ahead of the sandbox's."""

    def __init__(self, sandbox: Sandbox, folder: Path, **settings: str) -> None:
        self.sandbox = sandbox
        self.offset = 0.0
        given = {**defaults.SETTINGS(sandbox.base_url), "AMOCRM_RPS": "50", **settings}
        self.settings = config.load(given).amocrm
        self.store = SqliteStore(str(folder / "dealpost.db"), now=lambda: time.time() + self.offset)
        self.store.maintenance.migrate()
        self.start()

    def start(self) -> None:
        """A worker's lane over the store."""
        self.alerts: list[tuple[str, Any]] = []
        self.keys = [Fernet.generate_key().decode()]
        self.account = self.another()
        self.deals = self.deals_of(self.account)
        self.lane = Lane(
            self.store,
            self.deals.destination,
            "worker",
            random=lambda: 0.0,
            stopping=lambda: False,
            alert=lambda cause, params: self.alerts.append((cause, params)),
        )
        assert self.lane.acquire()

    def another(self) -> AmocrmAccount:
        """The account as another process has it."""
        return AmocrmAccount(
            self.settings,
            key_values=self.store.key_values,
            leases=self.store.leases,
            rate_limiter=self.store.rate_limiter,
            now=self.store.now,
            token_keys=self.keys,
            owner="worker",
            random=lambda: 0.0,
            wait=lambda seconds: time.sleep(min(seconds, 0.05)),
            on_answer=lambda: pauses.disprove(self.store.key_values, self.store.lanes, "amocrm", self.store.now()),
            learn=self.store.operations.learn,
            reopen=self.store.operations.reopen,
        )

    def deals_of(self, account: AmocrmAccount) -> Deals:
        return Deals(self.settings, account, self.store.key_values, self.store.now)

    def student(self, email: str = "anna@example.com", stage: int = NEW, **deal: Any) -> int:
        """A contact with an open deal. -> the deal's id."""
        contact = self.sandbox.amocrm.add_contact(f"Студент {email}", email)
        return self.sandbox.amocrm.add_deal("Курс", 4900, stage, contact_ids=[contact.id], **deal).id

    def students(self, count: int, stage: int = NEW) -> dict[str, int]:
        """Deals by e-mail."""
        return {f"s{number}@example.com": self.student(f"s{number}@example.com", stage) for number in range(count)}

    def lesson(self, email: str = "anna@example.com", lesson: int = 1) -> str:
        """Accept a lesson. -> the event's id."""
        return self.lessons([(email, lesson)])[0]

    def lessons(self, given: Sequence[tuple[str, int]]) -> list[str]:
        now = self.store.now()
        events = [
            NewEvent(
                new_id(now),
                "lesson.completed",
                {"email": email, "lesson": lesson},
                "lessons",
                "test",
                now,
                (NewDelivery("amocrm", f"email:{email}"),),
                email=email,
            )
            for email, lesson in given
        ]
        return [receipt.id for receipt in self.store.intake.accept(events)]

    def hook(self, deal: int) -> None:
        """Accept a webhook about this deal."""
        now = self.store.now()
        rows = (NewDelivery("erp", f"lead:{deal}"),)
        self.store.intake.accept(
            [NewEvent(new_id(now), "amocrm/webhook", {"lead_id": deal}, "webhook", "amocrm", now, rows, lead_id=deal)]
        )

    def drain(self, passes: int = 50) -> PassResult:
        """Pass after pass until nothing is due or a pause begins."""
        for _ in range(passes):
            assert self.lane.lease is not None
            self.lane.lease = self.store.leases.acquire("lane:amocrm", "worker", 30)
            found = self.lane.run_pass()
            if not found.claimed or found.stuck:
                return found
        raise AssertionError("it never ends")

    def later(self, seconds: float, times: int = 1) -> None:
        """Time passes, and what is due then goes out; so many times."""
        for _ in range(times):
            self.offset += seconds
            self.drain()

    def row(self, event_id: str) -> Delivery:
        event = self.store.reading.event(event_id)
        assert event is not None
        return event.deliveries[0]

    def state(self, event_id: str) -> str:
        """State and the reason's code: "skipped already_further"."""
        row = self.row(event_id)
        return f"{row.state} {row.reason.partition(':')[0]}".strip()

    def states(self, ids: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in ids:
            found[self.state(one)] = found.get(self.state(one), 0) + 1
        return found

    def stage(self, deal: int) -> int:
        return self.sandbox.amocrm.deals[deal].status_id

    def requests(self, since: int = 0) -> list[str]:
        """Method and path of the API's requests."""
        entries = self.sandbox.log.entries(part="amocrm", since=since)
        return [f"{entry.method} {entry.path}" for entry in entries if entry.path.startswith("/api/")]

    def warm(self) -> None:
        """Fetch tokens and stages, so that only the requests of what follows are counted."""
        self.account.pipelines.all()
        self.sandbox.log.clear()

    def paused(self) -> pauses.Paused | None:
        return pauses.read(self.store.key_values, "amocrm")

    def exchanges(self, event_id: str) -> list[Any]:
        row = self.row(event_id)
        return [one for attempt in self.store.reading.attempts([row.id])[row.id] for one in attempt.exchanges]
