"""The one who breaks things: kills, stops and jumps of the clock, by a seed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress

from chaos.house import LEASE, WORKERS, House
from chaos.producers import LESSONS, Producers
from sandbox import defaults
from service.failpoints import REST
from workshop.postgres import Server

STEPS = ("after-claim", "before-begin", "after-begin", "after-send", "after-record")
"""Where a worker dies or rests: see outbox/failpoints.py."""
LANES = ("amocrm", "erp")
LATE = "late"
"""How the e-mails of the students begin whose worker wakes too late."""

PAUSES = 700.0
"""Seconds after which the pauses that a few faults began are over."""

LIMIT = 1.5
"""Real seconds after which the requests of before count no more for amoCRM's limit, to which a leap is no time. Who is
told to slow down would put back what it is to fall asleep over."""

AWAY, SETTLES = 60.0, 3.0
"""Seconds of a leap that could make a deal look gone that amoCRM denied just before; real seconds until it was seen."""

FORWARD = (5.0, 45.0, 400.0)
BACK = (-2.0, -20.0, -120.0, -7200.0, -400 * 86400.0)


class Trouble:
    """Does one thing after the other until told to stop; `done` counts them."""

    def __init__(
        self, house: House, producers: Producers, seed: int, tell: Callable[[str], None], long_stop: bool
    ) -> None:
        self.house = house
        self._producers = producers
        self._late = 0
        self.done: Counter[str] = Counter()
        self._chance = random.Random(f"{seed} trouble")
        self._tell = tell
        self._long_stop = long_stop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trouble", daemon=True)
        self.fault = ""
        self.wanted: list[str] = []
        """What the run still lacks, after its time: it comes next."""
        self._deeds: list[tuple[int, Callable[[], None]]] = [
            (3, self.kill_worker),
            (3, self.rest_past_the_lease),
            (3, self.die_at_a_step),
            (2, self.wake_too_late),
            (1, self.terminate_worker),
            (2, self.kill_web),
            (1, self.kill_web_child),
            (1, self.stop_web),
            (1, self.terminate_web),
            (2, self.jump),
        ]
        if house.server:
            self._deeds += [(2, self.restart_server), (2, self.cut_connections), (1, self.stop_server)]

    def start(self) -> None:
        self._thread.start()

    def stop(self, within: float = 120.0) -> None:
        self._over.set()
        self._thread.join(within)

    def _run(self) -> None:
        try:
            # Each kind once, in an order of chance, and then as they come: a short run meets all of them.
            first = [deed for _, deed in self._deeds if deed != self.wake_too_late]
            self._chance.shuffle(first)
            weights = [weight for weight, _ in self._deeds]
            while not self._over.is_set():
                deed = first.pop() if first else self._chance.choices([one for _, one in self._deeds], weights)[0]
                if "lease takeovers" in self.wanted:
                    deed = self.rest_past_the_lease
                elif "kills" in self.wanted:
                    deed = self.kill_worker
                self._tell(deed.__name__.replace("_", " "))
                deed()
                self._rest(self._chance.uniform(0.3, 1.5))
            if self._long_stop:
                self.rest_past_the_lease(really=True)
        except Exception as error:
            self.fault = f"the trouble itself failed: {error!r}"

    def _rest(self, seconds: float) -> None:
        self._over.wait(seconds)

    # -- the workers

    def kill_worker(self) -> None:
        name = self._chance.choice(WORKERS)
        self.house.kill(name)
        self.done["killed"] += 1
        if self._chance.random() < 0.5:
            self._let_leases_run_out()
        self.house.start_worker(name)

    def terminate_worker(self) -> None:
        name = self._chance.choice(WORKERS)
        self.house.terminate(name)
        self.done["terminated"] += 1
        self.house.start_worker(name)

    def rest_past_the_lease(self, really: bool = False) -> None:
        """SIGSTOP until another has taken over; the time passes by the clock of all processes, or really."""
        name = self._chance.choice(WORKERS)
        self.house.signal(name, signal.SIGSTOP)
        if really:
            time.sleep(LEASE + 4)
        else:
            self._let_leases_run_out()
            self._rest(self._chance.uniform(1.0, 3.0))
        self.house.signal(name, signal.SIGCONT)
        self.done["stopped past the lease"] += 1

    def die_at_a_step(self) -> None:
        name = self._chance.choice(WORKERS)
        step = f"{self._chance.choice(LANES)}-{self._chance.choice(STEPS)}:{self._chance.randint(1, 4)}"
        self._let_leases_run_out(others=name)
        self.house.start_worker(name, step)
        self._until(lambda: not self.house.alive(name), 8)
        if self.house.alive(name):
            return  # it never came to that step: the other worker had all the work
        self.done["killed"] += 1
        self.done[f"died at {step.partition(':')[0]}"] += 1
        self.house.start_worker(name, step if self._chance.random() < 0.3 else "")

    def wake_too_late(self) -> None:
        """Right before it moves a student's deal a worker falls asleep, and wakes when another has moved it on."""
        if not self.house.keeps_time:
            return  # only one thread sleeps, and the others would renew its lease while the time really passes
        with self.house.peace:
            self._wake_too_late(*self._chance.sample(WORKERS, 2))

    def _wake_too_late(self, sleeper: str, other: str) -> None:
        self.house.kill(sleeper)
        self.house.kill(other)
        self.done["killed"] += 2
        self._late += 1
        email = f"{LATE}-{self._late}@example.com"
        self._producers.seed(LATE, self._late)
        for lesson in range(1, LESSONS + 1):
            self._producers.lesson(email, lesson)
        self.house.pass_time(PAUSES)
        time.sleep(LIMIT)
        began = len(self.house.log(sleeper))
        self.house.start_worker(sleeper, "amocrm-before-begin=rest")
        self._until(lambda: "amocrm-before-begin: rest" in self.house.log(sleeper)[began:], 10)
        wakes = time.monotonic() + REST
        self.house.pass_time(LEASE)
        self.house.start_worker(other)
        self._until(lambda: self._moved_on(email), REST)
        self.done["woken too late"] += self._moved_on(email)
        time.sleep(max(0.0, wakes - time.monotonic()))
        # Until it has seen that it is too late; one that does not look has its time to do harm.
        self._until(lambda: "another worker has taken over" in self.house.log(sleeper)[began:], 10)

    def _moved_on(self, email: str) -> bool:
        found = self.house.ask("GET", f"contacts?query={email}")["contacts"]
        deals = [number for contact in found if email in contact["emails"] for number in contact["lead_ids"]]
        return any(self.house.ask("GET", f"deals/{one}")["status_id"] == defaults.STAGE_LESSON_3 for one in deals)

    def _let_leases_run_out(self, others: str = "") -> None:
        """others: the worker that shall get them: the other one sleeps while it starts."""
        if others:
            self.house.kill(others)
            other = next(name for name in WORKERS if name != others)
            self.house.kill(other)
            self.done["killed"] += 2
            self.house.start_worker(other)
        self.house.pass_time(LEASE)

    def _until(self, check: Callable[[], bool], within: float) -> None:
        end = time.monotonic() + within
        while not check() and time.monotonic() < end and not self._over.is_set():
            time.sleep(0.05)

    # -- the web

    def kill_web(self) -> None:
        self.house.kill("web")
        self.done["killed"] += 1
        self._rest(self._chance.uniform(0, 0.5))
        self.house.start_web()

    def kill_web_child(self) -> None:
        """One of gunicorn's workers; gunicorn starts another."""
        children = self.house.children("web")
        if children:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(children), signal.SIGKILL)
                self.done["killed"] += 1

    def stop_web(self) -> None:
        self.house.signal("web", signal.SIGSTOP)
        self._rest(self._chance.uniform(0.5, 3.0))
        self.house.signal("web", signal.SIGCONT)
        self.done["web stopped"] += 1

    def terminate_web(self) -> None:
        self.house.terminate("web")
        self.done["terminated"] += 1
        self.house.start_web()

    # -- the database's server

    def restart_server(self) -> None:
        """As after a power cut: it recovers from its log."""
        server = self._server()
        server.stop()
        self._rest(self._chance.uniform(0, 1.5))
        server.start()
        self.done["server restarted"] += 1

    def cut_connections(self) -> None:
        self._server().cut()
        self.done["connections cut"] += 1

    def stop_server(self) -> None:
        server = self._server()
        server.send(signal.SIGSTOP)
        self._rest(self._chance.uniform(0.5, 4.0))
        server.send(signal.SIGCONT)
        self.done["server stopped"] += 1

    def _server(self) -> Server:
        assert self.house.server
        return self.house.server

    # -- time

    def jump(self) -> None:
        seconds = self._chance.choice(self._chance.choice((FORWARD, BACK)))
        with self.house.denial if seconds > AWAY else nullcontext():
            self.house.shim.jump(seconds)
            self._over.wait(SETTLES if seconds > AWAY else 0.0)
        self.done["clock forward" if seconds > 0 else "clock back"] += 1
