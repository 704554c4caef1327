"""Webhooks to the outside: who is subscribed, what is sent, and amoCRM's stubborn but short memory for failures."""

import heapq
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sandbox import forms
from sandbox.amocrm import hook_bodies
from sandbox.amocrm.entities import Deal
from sandbox.amocrm.hook_bodies import Place
from sandbox.amocrm.hook_delivery import TIMED_OUT, Hook, Job, post
from sandbox.clock import Clock

if TYPE_CHECKING:
    from sandbox.world import World

MOST_IN_ONE = 50
MINUTE = 60.0
FIRST_WAITS = [5 * MINUTE, 15 * MINUTE]
SERVER_WAITS = [*FIRST_WAITS, 15 * MINUTE, 60 * MINUTE]
BAD_WINDOW = 2 * 60 * MINUTE
BAD_LIMIT = 100


class Hooks:
    """Subscriptions and the threads that send. Waits are divided by the knob `time_scale`."""

    def __init__(self, world: "World", clock: Clock, senders: int = 4) -> None:
        self._world = world
        self._clock = clock
        self._wake = threading.Condition()
        self._queue: list[Job] = []
        self._number = 0
        self._sending = 0
        self._closed = False
        self._random = random.Random(world.settings.random_seed)
        self._threads: list[threading.Thread] = []
        self._senders = senders
        self.subscriptions: dict[str, Hook] = {}
        self.jobs: list[Job] = []
        self.told: dict[int, float] = {}
        self._gathered: list[tuple[str, Deal, Place | None]] | None = None

    # Subscriptions

    def subscribe(self, destination: str, settings: list[str]) -> Hook:
        """A second one for the same address replaces or merges, by knob; it does not switch a disabled one on."""
        with self._wake:
            now = self._clock.now()
            hook = self.subscriptions.get(destination)
            if hook is None:
                self._number += 1
                hook = Hook(15_000_000 + self._number, destination, list(settings), now, now)
                self.subscriptions[destination] = hook
            else:
                merge = self._world.settings.hook_second_post == "merge"
                hook.settings = list(dict.fromkeys([*hook.settings, *settings])) if merge else list(settings)
                hook.updated_at = now
            return hook

    def unsubscribe(self, destination: str) -> bool:
        with self._wake:
            return self.subscriptions.pop(destination, None) is not None

    def set_disabled(self, destination: str, disabled: bool) -> None:
        with self._wake:
            hook = self.subscriptions[destination]
            hook.disabled = disabled
            hook.bad.clear()

    # Sending

    def deal_changed(self, action: str, deal: Deal, before: Place | None) -> None:
        """Queues what amoCRM would send for this change, unless the knob `hooks_on` is off."""
        if self._gathered is not None:
            self._gathered.append((action, deal, before))
        else:
            self._tell([(action, deal, before)])

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Changes made inside, under the world's lock, go out together as a mass edit's do: up to 50 deals in a
        body."""
        self._gathered = []
        try:
            yield
        finally:
            changes, self._gathered = self._gathered, None
            for action in dict.fromkeys(change[0] for change in changes):
                same = [change for change in changes if change[0] == action]
                for place in range(0, len(same), MOST_IN_ONE):
                    self._tell(same[place : place + MOST_IN_ONE])

    def _tell(self, changes: list[tuple[str, Deal, Place | None]]) -> None:
        """Changes of one kind, to everyone who subscribed to it."""
        settings = self._world.settings
        if not settings.hooks_on:
            return
        action, first, _ = changes[0]
        pairs = [(deal, before) for _, deal, before in changes]
        actions = [action]
        if action == "status" and self._random.random() < settings.hook_doubled:
            actions.insert(0, "update")
        skew = self._random.randint(0, settings.hook_time_skew) if settings.hook_time_skew else 0
        for hook in list(self.subscriptions.values()):
            if hook.disabled:
                continue
            for name in actions:
                if f"{name}_lead" in hook.settings:
                    body = forms.encode(self.form(name, pairs, skew=skew))
                    self.send(hook.destination, body, name, first.id)
                    if self._random.random() < settings.hook_duplicates:
                        self.send(hook.destination, body, name, first.id)
            staged = [pair for pair in pairs if pair[0].status_id in hook.stages]
            if staged and action in ("add", "status"):
                body = forms.encode(self.form(action, staged, stage_hook=True))
                self.send(hook.destination, body, action, first.id)
        for deal, _ in pairs:
            self.told[deal.id] = self._clock.monotonic()

    def form(self, action: str, deals: list[tuple[Deal, Place | None]], **shape: Any) -> dict[str, Any]:
        """A body as nested data; the shapes are those of hook_bodies.form."""
        return hook_bodies.form(self._world, action, deals, **shape)

    def send(self, destination: str, body: bytes, action: str = "", deal_id: int = 0, cut: int = 0) -> Job:
        """Queues one body for one address, whether subscribed or not; `hook_shuffle` seconds of disorder."""
        with self._wake:
            if not self._threads:
                self._start()
            self._number += 1
            delay = self._random.uniform(0, self._world.settings.hook_shuffle)
            job = Job(self._clock.monotonic() + delay, self._number, destination, body, action, deal_id, cut)
            self.jobs.append(job)
            heapq.heappush(self._queue, job)
            self._wake.notify()
            return job

    def wait_idle(self, timeout: float = 10.0, retries: bool = False) -> bool:
        """Waits until every hook was sent at least once (`retries`: until none waits for a retry either)."""
        with self._wake:
            return self._wake.wait_for(
                lambda: not self._sending and not any(retries or not job.attempts for job in self._queue), timeout
            )

    def _start(self) -> None:
        for index in range(self._senders):
            thread = threading.Thread(target=self._run, name=f"sandbox-hooks-{index}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _next(self) -> Job | None:
        with self._wake:
            while not self._closed:
                wait = self._queue[0].due - self._clock.monotonic() if self._queue else None
                if wait is not None and wait <= 0:
                    self._sending += 1
                    return heapq.heappop(self._queue)
                # A clock moved by hand wakes nobody, hence the short turns.
                self._wake.wait(None if wait is None else min(wait, 0.05))
            return None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job.sent_at.append(self._clock.real())
            settings = self._world.settings
            status = post(job.destination, job.body, settings.hook_timeout, settings.hook_agent, job.cut)
            with self._wake:
                self._sending -= 1
                self._book(job, status)
                self._wake.notify_all()

    def _book(self, job: Job, status: int) -> None:
        job.attempts.append(status)
        if 100 <= status <= 299:
            job.state = "delivered"
            return
        scale, now = self._world.settings.time_scale, self._clock.monotonic()
        hook = self.subscriptions.get(job.destination)
        if hook:
            hook.bad = [moment for moment in hook.bad if now - moment < BAD_WINDOW / scale] + [now]
            if len(hook.bad) > BAD_LIMIT:
                hook.disabled = True
        waits = SERVER_WAITS if status >= TIMED_OUT else FIRST_WAITS
        if len(job.attempts) > len(waits) or (hook and hook.disabled):
            job.state = "given up"
            return
        job.state = "retrying"
        job.due = now + waits[len(job.attempts) - 1] / scale
        heapq.heappush(self._queue, job)

    def clear(self) -> None:
        """Forgets what waits and what was sent; subscriptions stay."""
        with self._wake:
            self._queue.clear()
            self.jobs.clear()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(timeout=self._world.settings.hook_timeout + 5)

    def deliveries(self) -> list[dict[str, Any]]:
        with self._wake:
            return [{**asdict(job), "body": job.body.decode("utf-8", "replace")} for job in self.jobs]

    def dump(self) -> list[dict[str, Any]]:
        return [asdict(hook) | {"bad": []} for hook in self.subscriptions.values()]

    def load(self, hooks: list[dict[str, Any]]) -> None:
        self.subscriptions = {hook["destination"]: Hook(**hook) for hook in hooks}
        self._number = max([self._number, *(hook.id - 15_000_000 for hook in self.subscriptions.values())])
