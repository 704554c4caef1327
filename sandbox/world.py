"""Everything that the sandbox knows: the account, the ERP, tokens, knobs and books, and how they are kept in a file."""

import contextlib
import json
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sandbox import defaults
from sandbox.amocrm.account import Account
from sandbox.amocrm.entities import Change, Contact, Deal
from sandbox.amocrm.hooks import Hooks
from sandbox.amocrm.limits import Limits
from sandbox.amocrm.oauth import OAuth
from sandbox.amocrm.pipelines import Pipeline, Stage, new_pipeline
from sandbox.amocrm.problems import problem, unauthorized
from sandbox.amocrm.records import Record
from sandbox.clock import Clock
from sandbox.erp.tables import Tables
from sandbox.faults import Faults
from sandbox.log import RequestLog
from sandbox.settings import Settings
from sandbox.wire import Request, Response

QUICK_SAVE = 0.02
SAVE_EVERY = 0.5


class World:
    """One account and one ERP. `reset` puts everything back to the first day, except the address."""

    settings: Settings
    account: Account
    oauth: OAuth
    limits: Limits
    hooks: Hooks
    erp: Tables
    faults: Faults

    def __init__(self, clock: Clock, state_file: Path | None = None, **knobs: Any) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.base = "http://127.0.0.1"
        self.own_hosts = {"127.0.0.1", "::1", "localhost"}
        self.log = RequestLog(clock)
        self.stopping = threading.Event()
        self._knobs = knobs
        self._asked = threading.local()
        self._state_file = state_file
        self._dirty = threading.Event()
        self._save_cost = 0.0
        self._saver: threading.Thread | None = None
        self._start_over()
        if state_file and state_file.exists():
            self.load(json.loads(state_file.read_text("utf-8")))
        if state_file:
            self._saver = threading.Thread(target=self._save_now_and_then, name="sandbox-saver", daemon=True)
            self._saver.start()

    @property
    def link_base(self) -> str:
        """Where links lead: to the address that this thread's request came to."""
        return getattr(self._asked, "base", self.base)

    def answering(self, request: Request) -> None:
        scheme = "https" if request.secure else "http"
        self._asked.base = f"{scheme}://{request.host}" if request.host else self.base

    @property
    def netloc(self) -> str:
        return self.base.removeprefix("http://")

    def _start_over(self) -> None:
        self.settings = Settings()
        self.settings.update(self._knobs)
        self.clock.offset = self.settings.clock_offset
        self.faults = Faults(self.clock, self.settings.random_seed)
        self.hooks = Hooks(self, self.clock)
        self.account = Account(self.clock, self.lock, lambda *change: self.hooks.deal_changed(*change))
        self.oauth = OAuth(self.clock, self.settings, self.lock, self.save_tokens)
        self.oauth.api_domain = self.netloc
        self.limits = Limits(self.clock, self.settings)
        self.erp = Tables(self.clock, self.settings, self.lock)
        self._furnish()

    def _furnish(self) -> None:
        """The pipeline, and a few students on it."""
        stages = [
            (defaults.STAGE_NEW, "Новая заявка"),
            (defaults.STAGE_PAID, "Оплатил"),
            (defaults.STAGE_LESSON_1, "Урок 1 пройден"),
            (defaults.STAGE_LESSON_2, "Урок 2 пройден"),
            (defaults.STAGE_LESSON_3, "Урок 3 пройден"),
        ]
        main = new_pipeline(defaults.PIPELINE_ID, "Продажи", 1, defaults.STAGE_INCOMING, stages)
        main.is_main = True
        self.account.pipelines[main.id] = main
        for number in range(1, 6):
            contact = self.account.add_contact(f"Студент {number}", f"student-{number}@example.com")
            stage = defaults.STAGE_NEW if number == 1 else defaults.STAGE_PAID
            self.account.add_deal(
                f"Курс, студент {number}", 4_900 + number * 1_000, stage, contact_ids=[contact.id], quiet=True
            )

    def reset(self) -> None:
        with self.lock:
            self.hooks.close()
            self._start_over()
            self.log.clear()
            self.changed()

    def set_knobs(self, changes: dict[str, Any]) -> None:
        """Raises ValueError and changes nothing when one is unknown or wrong."""
        with self.lock:
            self.settings.update(changes)
            self.clock.offset = self.settings.clock_offset
            self.changed()

    def seed(
        self, contacts: int = 0, students: int = 0, stage: str | int | None = None, prefix: str = "learner"
    ) -> dict[str, Any]:
        """Bulk: `students` with an open deal on that stage (by default "Оплатил") and `contacts` without deals.

        E-mails are `{prefix}-{n}@example.com` and `visitor-{n}@example.com`, n from 1. Sends no hooks, notes no events.
        """
        with self.lock:
            pipeline = self.account.main_pipeline()
            status_id = stage if isinstance(stage, int) else self.account.stage_named(stage or "Оплатил").id
            for number in range(1, students + 1):
                contact = self.account.add_contact(f"Студент {prefix} {number}", f"{prefix}-{number}@example.com")
                self.account.add_deal(
                    f"Курс {number}", 4_900, status_id, pipeline.id, contact_ids=[contact.id], quiet=True
                )
            for number in range(1, contacts + 1):
                self.account.add_contact(f"Посетитель {number}", f"visitor-{number}@example.com")
            self.changed()
            return {"contacts": len(self.account.contacts), "deals": len(self.account.deals)}

    def moved_answer(self, request: Request) -> Response | None:
        """What a renamed account says under every name but its new one."""
        target = self.settings.moved_to
        if not target or request.host == target:
            return None
        return unauthorized() if self.settings.moved_status == 401 else problem(self.settings.moved_status, "Not found")

    # Keeping

    def changed(self) -> None:
        """The books changed: written at once while that is cheap, else within half a second."""
        if not self._state_file:
            return
        if self._save_cost <= QUICK_SAVE:
            self.save()
        else:
            self._dirty.set()

    def save_tokens(self) -> None:
        """A rotated token must be on disk before the answer leaves, or a restart would break the chain."""
        if self._state_file:
            self.save()

    def save(self) -> None:
        if not self._state_file:
            return
        with self.lock:
            started = time.monotonic()
            self._dirty.clear()
            partial = self._state_file.with_name(self._state_file.name + ".part")
            partial.write_text(json.dumps(self.dump(), ensure_ascii=False), "utf-8")
            os.replace(partial, self._state_file)
            self._save_cost = time.monotonic() - started

    def _save_now_and_then(self) -> None:
        while not self.stopping.wait(SAVE_EVERY):
            if self._dirty.is_set():
                self.save()

    def close(self) -> None:
        self.stopping.set()
        self.hooks.close()
        if self._saver:
            self._saver.join()
            with contextlib.suppress(OSError):
                self.save()

    def dump(self) -> dict[str, Any]:
        account = self.account
        return {
            "settings": self.settings.as_dict(),
            "contacts": [asdict(contact) for contact in account.contacts.values()],
            "deals": [asdict(deal) for deal in account.deals.values()],
            "pipelines": [asdict(pipeline) for pipeline in account.pipelines.values()],
            "changes": [asdict(change) for change in account.changes],
            "custom_fields": account.custom_fields,
            "records": [asdict(record) for record in account.records.values()],
            "last_id": account.last_id,
            "oauth": self.oauth.dump(),
            "hooks": self.hooks.dump(),
            "erp": self.erp.dump(),
        }

    def load(self, data: dict[str, Any]) -> None:
        self.settings.update(data["settings"])
        self.settings.update(self._knobs)
        self.clock.offset = self.settings.clock_offset
        account = self.account
        account.contacts = {row["id"]: Contact(**row) for row in data["contacts"]}
        account.deals = {row["id"]: Deal(**row) for row in data["deals"]}
        account.pipelines = {}
        for row in data["pipelines"]:
            stages = [Stage(**stage) for stage in row["stages"]]
            account.pipelines[row["id"]] = Pipeline(**{**row, "stages": stages})
        account.changes = [_change(row) for row in data["changes"]]
        account.custom_fields = data["custom_fields"]
        account.records = {row["id"]: Record(**row) for row in data.get("records", [])}
        account.last_id = data["last_id"]
        account.reindex()
        self.oauth.load(data["oauth"])
        self.hooks.load(data["hooks"])
        self.erp.load(data["erp"])


def _change(row: dict[str, Any]) -> Change:
    """JSON has no tuples."""
    before, after = row["before"], row["after"]
    return Change(**{**row, "before": before and tuple(before), "after": after and tuple(after)})
