"""Those who send: a platform, code that speaks to Inngest, a sales manager. Each 2xx they get is written down."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaos.house import API_KEY, House
from sandbox import defaults
from workshop.calls import call

LESSONS = 3
STAGES = (defaults.STAGE_NEW, defaults.STAGE_PAID, defaults.STAGE_LESSON_1)
HEADERS = {"X-API-Key": API_KEY}


@dataclass
class Acknowledged:
    """What was answered with a 2xx: (e-mail, lesson) and names of records. refused: answers that were none, by status.
    moved: how many times the manager moved a deal."""

    lessons: list[tuple[str, int]] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    moved: int = 0
    mutex: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        return len(self.lessons) + len(self.records)


class Producers:
    """Four threads that send until `seconds` have passed. A sender repeats what was not acknowledged, with its id."""

    def __init__(self, house: House, seed: int, seconds: float, students: int) -> None:
        self.house = house
        self.book = Acknowledged()
        self.seconds = seconds
        self.students = students
        self.over = threading.Event()
        self._deals: list[int] = []
        self._threads = [
            threading.Thread(target=self._run, args=(work, random.Random(f"{seed} {work.__name__}")), daemon=True)
            for work in (self._lessons, self._events, self._inngest, self._manager)
        ]

    def start(self) -> None:
        house = self.house
        house.ask("POST", "seed", {"students": self.students, "prefix": "chaos"})
        for number in range(12):
            deal = house.ask(
                "POST", "deals", {"name": f"moved-{number}", "price": 1000, "status_id": STAGES[0], "quiet": True}
            )
            self._deals.append(deal["id"])
        hook = f"{house.url}/webhooks/amocrm/{defaults.WEBHOOK_SECRET}"
        house.ask("POST", "hooks", {"destination": hook, "settings": ["status_lead"]})
        for thread in self._threads:
            thread.start()

    def stop(self, within: float) -> None:
        """Lets each finish what it has in hand. What is not acknowledged then never was."""
        self.over.set()
        end = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))

    def _run(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            work(chance)
        except Exception as error:
            with self.book.mutex:
                self.book.unexpected.append(f"{work.__name__}: {error!r}")

    def _rest(self, seconds: float) -> None:
        self.over.wait(seconds)

    def seed(self, prefix: str, number: int) -> None:
        """There is a student `prefix-number@example.com` with a deal."""
        email = f"{prefix}-{number}@example.com"
        self.house.ask("POST", "deals", {"name": email, "email": email, "status_id": STAGES[1], "quiet": True})

    def lesson(self, email: str, lesson: int) -> bool:
        """Tell of a lesson until it is taken. -> whether it was."""
        body = {"email": email, "lesson": lesson, "id": f"lesson-{email}-{lesson}"}
        taken = self._until_taken("/api/tripwire/complete", body, 202)
        if taken:
            with self.book.mutex:
                self.book.lessons.append((email, lesson))
        return taken

    def record(self, name: str) -> bool:
        """Ask for a record of this name until it is taken. -> whether it was."""
        body = {"name": "crm/create-deal", "data": {"dealName": name, "amount": 10}, "id": name}
        taken = self._until_taken("/api/events", body, 202)
        if taken:
            with self.book.mutex:
                self.book.records.append(name)
        return taken

    # -- the senders

    def _lessons(self, chance: random.Random) -> None:
        todo = [f"chaos-{number + 1}@example.com" for number in range(self.students)]
        done = dict.fromkeys(todo, 0)
        pause = self.seconds * 0.8 / (self.students * LESSONS)
        while todo and not self.over.is_set():
            email = chance.choice(todo)
            lesson = done[email] + 1
            if self.lesson(email, lesson):
                done[email] = lesson
                if lesson == LESSONS:
                    todo.remove(email)
            self._rest(pause)

    def _events(self, chance: random.Random) -> None:
        number = 0
        while not self.over.is_set():
            names = [f"event-{number + one}" for one in range(chance.choice((1, 1, 1, 3, 20)))]
            number += len(names)
            body = [{"name": "crm/create-deal", "data": {"dealName": name, "amount": 10}, "id": name} for name in names]
            if self._until_taken("/api/events", body, 202):
                with self.book.mutex:
                    self.book.records += names
            self._rest(chance.uniform(0.1, 0.6))

    def _inngest(self, chance: random.Random) -> None:
        number = 0
        while not self.over.is_set():
            name = f"inngest-{number}"
            number += 1
            body = {"name": "erp/task.create", "data": {"dealName": name, "amount": "2.50"}, "id": name}
            if self._until_taken(f"/e/{API_KEY}", body, 200):
                with self.book.mutex:
                    self.book.records.append(name)
            self._rest(chance.uniform(0.05, 0.4))

    def _manager(self, chance: random.Random) -> None:
        """Moves deals of his own in amoCRM, which sends hooks of it."""
        while not self.over.is_set():
            deal, stage = chance.choice(self._deals), chance.choice(STAGES)
            self.house.ask("POST", f"deals/{deal}/move", {"status_id": stage})
            self.book.moved += 1
            self._rest(chance.uniform(0.3, 1.0))

    def _until_taken(self, path: str, body: Any, good: int) -> bool:
        """Send, and again until it is taken or the run is over. -> whether it was acknowledged."""
        while True:
            try:
                status, answer = call("POST", self.house.url + path, body=body, headers=HEADERS, timeout=8)
            except OSError:
                status, answer = 0, None
            if status == good:
                return True
            with self.book.mutex:
                told = "no answer" if status == 0 else str(status)
                self.book.refused[told] = self.book.refused.get(told, 0) + 1
                if status not in (0, 503):
                    self.book.unexpected.append(f"POST {path.partition(API_KEY)[0]}: {status} {str(answer)[:200]}")
                    return False
            if self.over.is_set():
                return False
            self._rest(0.2)
