"""A store that looks like a day of a school: traffic, waits, failures and pauses, all through the store's own verbs."""

import pathlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from outbox import pauses
from outbox.engines import open_store
from outbox.message import Delivery, NewDelivery, NewEvent, Result, State
from outbox.outcome import DeliveryError, Destination, Outcome, PauseKind
from outbox.store import Store
from service.amocrm.connect import ConnectError
from service.amocrm.oauth.tokens import TokenStatus
from service.amocrm.rate_limit import Pace
from service.background import BackgroundWriter
from service.counters import Counters
from service.destinations.deals.preview import FoundPerson
from service.destinations.records.rukovoditel.client import Login
from service.destinations.records.rukovoditel.entity_fields import Field
from service.proxies import Unexpected
from service.refusals import Refusals
from service.version import VERSION

NOON = 1_795_260_968.0  # Saturday, 21 November 2026, 14:36:08 in Moscow
HOUR, DAY = 3600.0, 86400.0

PIPELINE = 7184226
STAGES = {
    61530100: "Новая заявка",
    61530105: "Оплатил",
    61530111: "Урок 1 пройден",
    61530114: "Урок 2 пройден",
    61530117: "Урок 3 пройден",
    142: "Успешно",
    143: "Не реализовано",
}
FUNNEL = ["Продажи", "Школа"]  # and the account's name
LESSON_STAGE = {1: 61530111, 2: 61530114, 3: 61530117}
PEOPLE = [(f"Студент {n}", f"student{n}@example.com", 31240000 + n * 37) for n in range(1, 61)]
# Deliveries in each hour of the last day, the busy evening first.
EVENING = [22, 25, 28, 33, 40, 46, 37, 24, 11, 5, 2, 1, 0, 0, 1, 3, 7, 12, 17, 20, 21, 23, 22, 14]


@dataclass
class Clock:
    """A clock that moves only when told."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Out:
    """A destination as the page sees it."""

    name: str
    lacks: tuple[str, ...] = ()
    batch: int = 50
    whole_keys: bool = True
    newest_first: bool = True
    fingerprint: str = "one"

    def missing(self) -> tuple[str, ...]:
        return self.lacks

    def deliver(self, batch: Sequence[Delivery], context: Any) -> Mapping[int, Outcome]:
        return {}


def _silent(max_age: float) -> Any:
    raise DeliveryError("amoCRM does not answer", cause="amocrm_down", outage=True)


def _refuse_code(code: str, referer: str, who: str) -> Any:
    raise ConnectError("code", "The code is not known.")


@dataclass
class Wired:
    """Stands in for the wiring: a connected account that answers at once."""

    store: Store
    destinations: dict[str, Destination] = field(default_factory=lambda: {"amocrm": Out("amocrm"), "erp": Out("erp")})
    token: Any = None
    sandbox: Any = None

    def __post_init__(self) -> None:
        now = self.store.now()
        self.token = self.token or TokenStatus(
            state="connected",
            expires_at=now + 15 * HOUR,
            refresh_expires_at=now + 89 * DAY + HOUR,
            last_refresh=now - 9 * HOUR,
            next_refresh=now + 11 * HOUR,
            who="operator",
            host="school.amocrm.ru",
            account_id=1,
            account_name=FUNNEL[1],
            detail="",
        )

        pipeline = SimpleNamespace(id=PIPELINE, name=FUNNEL[0], is_archive=False)
        self.unexpected = Unexpected(lambda: self.store.key_values, self.store.now)
        self.counters = Counters(lambda: self.store.key_values)
        self.refusals = Refusals(lambda: self.store.key_values, self.store.now)
        self.figures = BackgroundWriter([self.refusals.flush, self.counters.flush])
        self.amocrm = SimpleNamespace(
            is_set_up=lambda: True,
            pace=Pace(self.store.rate_limiter, self.store.key_values, self.store.now, 6.0, lambda _seconds: None),
            pipelines=SimpleNamespace(
                within=lambda _: SimpleNamespace(all=lambda **_: [pipeline]),
                bound=lambda _client: SimpleNamespace(all=_silent),
                target=self._target,
            ),
            tokens=SimpleNamespace(status=self.token_status),
            client=SimpleNamespace(
                bound=lambda **_: SimpleNamespace(account=lambda: {"name": FUNNEL[1], "id": 1}),
            ),
            connect=SimpleNamespace(
                missing=tuple,
                disconnected=lambda _args: False,
                consent_url=lambda state: f"https://www.amocrm.ru/oauth?state={state}",
                exchange=_refuse_code,
            ),
        )
        self.webhook = SimpleNamespace(
            address=lambda: "https://post.example.com/webhooks/amocrm/secret",
            subscribe=lambda deadline, address="": None,
            ours=lambda deadline: [{"disabled": False, "settings": ["status_lead"]}],
            events=("status_lead",),
        )
        self.account_id = lambda: 1
        self.name_longest = lambda: 255
        self.erp_client = SimpleNamespace(
            login=lambda total: Login(),
            may_create=lambda entity, total: True,
            fields=lambda entity, total: {number: Field(unique=True) for number in ("1039", "1040", "1041")},
        )
        self.previewer = self

    def _target(self, lesson: int) -> Any:
        status_id = LESSON_STAGE[lesson]
        return SimpleNamespace(
            lesson=lesson,
            pipeline_name=FUNNEL[0],
            status_id=status_id,
            name=STAGES[status_id],
            known=True,
            incoming=False,
            by="setting",
        )

    def token_status(self) -> Any:
        return self.token

    def pauses(self) -> dict[str, pauses.Paused]:
        found = {name: pauses.read(self.store.key_values, name) for name in ("amocrm", "erp")}
        return {name: paused for name, paused in found.items() if paused}

    def previews(self, deliveries: Sequence[Delivery]) -> dict[int, Any]:
        """Every seventh deal is further already; who was not found is still not there."""
        found: dict[int, Any] = {}
        for place, one in enumerate(deliveries):
            verdict = "already_further" if place % 7 == 6 else "move"
            verdict = "not_found" if one.cause == "contact_not_found" else verdict
            found[one.id] = SimpleNamespace(
                verdict=verdict,
                from_name=STAGES[61530117] if verdict != "move" else STAGES[61530105],
                to_name=STAGES[LESSON_STAGE[int(str(one.data["lesson"]))]],
                lead_id=one.lead_id,
                contact_name=one.person or "",
            )
        return found

    def find_people(self, text: str) -> list[Any]:
        found = [one for one in PEOPLE if text.casefold() in one[0].casefold() or text.casefold() in one[1]]
        return [FoundPerson(name, (email,), lead_id, STAGES[61530105]) for name, email, lead_id in found[:8]]

    def preview(self, delivery: Delivery) -> Any:
        return SimpleNamespace(
            verdict="move",
            pipeline_name=FUNNEL[0],
            from_name=STAGES[61530105],
            to_name=STAGES[61530111],
            lead_id=delivery.lead_id,
        )


class World:
    """Fills a store. Times go forward only."""

    def __init__(self, path: pathlib.Path) -> None:
        self.clock = Clock(NOON - DAY)
        self.store = open_store(f"sqlite:///{path}", now=self.clock)
        self.store.maintenance.migrate()
        self.random = random.Random(7)
        self._ids = self._numbers()

    def _numbers(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"01936a2f-0000-7000-8000-{number:012d}"

    def accept(
        self,
        name: str,
        person: tuple[str, str, int],
        at: float,
        destination: str = "amocrm",
        *,
        lesson: int = 1,
        amount: str = "24900",
        state: State = State.PENDING,
        reason: str = "",
    ) -> int:
        """One event. -> its delivery's id."""
        who, email, lead = person
        self.clock.now = max(self.clock.now, at)
        lessons = name == "lesson.completed"
        data: dict[str, Any] = {"dealName": who, "amount": amount}
        if lessons:
            data = {"email": email, "lesson": lesson}
        elif name == "amocrm/webhook":
            data = {
                "lead_id": lead,
                "pipeline_id": PIPELINE,
                "status_id": 61530105,
                "old_status_id": 61530100,
                "kind": "status",
            }
        event = NewEvent(
            id=next(self._ids),
            name=name,
            data=data,
            source="lessons" if lessons else "webhook" if "webhook" in name else "events",
            sender="amocrm" if "webhook" in name else "platform",
            received_at=at,
            deliveries=(
                NewDelivery(destination, f"email:{email}" if lessons else f"lead:{lead}", state=state, reason=reason),
            ),
            email=email if lessons else None,
            lead_id=None if lessons else lead,
        )
        self.store.intake.accept([event])
        found = self.store.reading.event(event.id)
        assert found is not None
        return found.deliveries[0].id

    def end(
        self, delivery_id: int, destination: str, state: State, after: float = 1.2, begin: float = 0.05, **fields: Any
    ) -> None:
        """Claim what is due, end this one, give the rest back."""
        start = self.clock.now
        lease = self.store.leases.acquire(f"lane:{destination}", "worker", 30.0)
        assert lease is not None
        claimed = self.store.lanes.claim(lease, destination, 1000, whole_keys=True, newest_first=False)
        if delivery_id in {one.id for one in claimed}:
            self.clock.now = start + begin
            self.store.lanes.begin(lease, [delivery_id])
        self.clock.now = start + after
        outcome = fields.pop(
            "outcome", {"delivered": "delivered", "skipped": "skipped", "dead": "dead", "pending": "failed"}[state]
        )
        results = [
            Result(one.id, state, outcome, counts=outcome in ("failed", "dead"), **fields)
            if one.id == delivery_id
            else Result(one.id, State.PENDING, None, due_at=one.due_at)
            for one in claimed
        ]
        self.store.lanes.record(lease, results)
        self.store.leases.release(lease)

    def deliver(self, person: tuple[str, str, int], at: float, lesson: int, after: float = 1.2) -> int:
        """A lesson that reached amoCRM."""
        one = self.accept("lesson.completed", person, at, lesson=lesson)
        self.end(
            one,
            "amocrm",
            State.DELIVERED,
            after,
            reference=str(person[2]),
            person=person[0],
            lead_id=person[2],
            facts=self.moved(lesson),
            exchanges=(exchange(200, lesson, person[2]),),
        )
        return one

    def moved(self, lesson: int) -> dict[str, Any]:
        """The facts of a move to this lesson's stage."""
        steps = list(STAGES)
        to = LESSON_STAGE[lesson]
        before = steps[steps.index(to) - 1]
        return {
            "lesson": lesson,
            "pipeline_id": PIPELINE,
            "pipeline_name": FUNNEL[0],
            "from_status": before,
            "from_name": STAGES[before],
            "to_status": to,
            "to_name": STAGES[to],
        }

    def record(self, person: tuple[str, str, int], at: float, number: int, after: float = 0.4) -> int:
        """A change of stage that became a record."""
        one = self.accept("amocrm/webhook", person, at, "erp")
        self.end(
            one,
            "erp",
            State.DELIVERED,
            after,
            reference=str(number),
            person=person[0],
            lead_id=person[2],
            facts={"entity_id": 70, "amount": "24900.00", "record": person[0]},
        )
        return one

    def day(self, scale: float = 1.0, until: float = NOON - 240, lost: int = 0) -> None:
        """A day of traffic, everything delivered but `lost` lessons whose stage was deleted two hours ago."""
        number, losses = 4700, [NOON - 115 * 60 + place * 108 * 60 / max(1, lost - 1) for place in range(lost)]
        for hour, count in enumerate(EVENING):
            count = round(count * scale)
            for place in range(count):
                at = NOON - DAY + hour * HOUR + (place + 0.5) * HOUR / count * 0.97
                if at > until:
                    continue
                while losses and losses[0] < at:
                    self.lose(lost - len(losses), losses.pop(0))
                person = self.random.choice(PEOPLE)
                if place % 5 == 4:
                    number += 1
                    self.record(person, at, number, 0.3 + self.random.random() * 0.3)
                else:
                    lesson = self.random.choice((1, 1, 2, 3)) if at < NOON - 2 * HOUR or not lost else 1
                    self.deliver(person, at, lesson, 0.8 + self.random.random() ** 3 * 5)
        for place, at in enumerate(losses, lost - len(losses)):
            self.lose(place, at)

    def latest(self) -> None:
        """The newest rows, of each kind."""
        one = self.accept("lesson.completed", PEOPLE[3], NOON - 190)
        self.end(
            one,
            "amocrm",
            State.SKIPPED,
            0.6,
            reason="already_further: the deal is on Урок 3 пройден",
            person=PEOPLE[3][0],
            lead_id=PEOPLE[3][2],
            facts={**self.moved(1), "from_status": 61530117, "from_name": STAGES[61530117]},
        )
        self.record(PEOPLE[2], NOON - 66, 4812)
        self.deliver(PEOPLE[1], NOON - 48, 1, 1.1)
        self.deliver(PEOPLE[0], NOON - 13, 2, 1.2)
        self.clock.now = NOON

    def house(self) -> None:
        """What processes, jobs and the account have written."""
        self.clock.now = max(self.clock.now, NOON)
        key_values = self.store.key_values
        for kind, age in (("web", 1), ("worker", 2)):
            key_values.put(
                "process",
                f"{kind}.1",
                {
                    "name": f"{kind}.1",
                    "kind": kind,
                    "version": VERSION,
                    "started_at": NOON - DAY,
                    "heartbeat_at": NOON - age,
                    "pid": 7,
                    "host": "post",
                },
            )
        for name, last, every, detail, count in (
            ("tokens", 20, 60, "not_due", 0),
            ("hook", 360, 600, "hook_on", 0),
            ("reconcile", 380, 600, "missed", 0),
            ("prune", 10 * HOUR, DAY, "cleared", 1204),
        ):
            key_values.put(
                "jobs",
                name,
                {
                    "last_at": NOON - last,
                    "outcome": "done",
                    "detail": detail,
                    "params": {"count": count},
                    "every": every,
                    "next_at": NOON - last + every,
                },
            )
        key_values.put("setup", "finished", {"at": NOON - DAY})
        key_values.put(
            "account",
            "pipelines",
            [
                {
                    "id": PIPELINE,
                    "name": FUNNEL[0],
                    "sort": 1,
                    "is_main": True,
                    "is_archive": False,
                    "stages": [
                        {"id": key, "name": name, "sort": place * 10, "type": 0}
                        for place, (key, name) in enumerate(STAGES.items())
                    ],
                }
            ],
        )

    def lose(self, place: int, at: float) -> int:
        """A lesson whose stage was deleted."""
        person = PEOPLE[place]
        params = {"lesson": 2, "stage": STAGES[LESSON_STAGE[2]], "detail": "NotSupportedChoice"}
        one = self.accept("lesson.completed", person, at, lesson=2)
        self.end(
            one,
            "amocrm",
            State.DEAD,
            0.6,
            reason="refused: the stage is gone",
            cause="stage_deleted",
            params=params,
            person=person[0],
            lead_id=person[2],
            status=400,
            detail="amoCRM answered 400",
            facts=self.moved(2),
            exchanges=(exchange(400, 2, person[2]),),
        )
        return one

    def lost_day(self) -> None:
        self.day(lost=14)

    def quiet_day(self) -> None:
        self.day(until=NOON - 1200)

    def others_lost(self) -> None:
        for place in range(3):
            person = (PEOPLE[40 + place][0], f"unknown{place}@example.com", 0)
            one = self.accept("lesson.completed", person, self.clock.now, lesson=1)
            self.end(one, "amocrm", State.DEAD, 0.4, reason="not_found: no contact", cause="contact_not_found")
        one = self.accept("crm/create-deal", PEOPLE[50], self.clock.now, "erp")
        self.end(
            one,
            "erp",
            State.DEAD,
            0.4,
            reason="refused: by the ERP",
            cause="erp_refused",
            params={"detail": "field_1040: number expected"},
        )

    def slow_down(self, seconds: float = 120.0) -> None:
        """amoCRM asked to wait; twelve wait."""
        for place, age in enumerate((372, 347, 303, 240, 200, 180, 150, 120, 90, 60, 45, 20)):
            self.accept("lesson.completed", PEOPLE[20 + place], NOON - age, lesson=place % 3 + 1)
        self.clock.now = NOON
        paused = pauses.Paused(
            PauseKind.RATE,
            NOON + 40,
            "amocrm_slow_down: wait",
            "amocrm_slow_down",
            NOON + 40 - seconds,
            params={"seconds": seconds},
        )
        pauses.begin(self.store.key_values, "amocrm", paused)
        self.store.key_values.put("pace", "amocrm", {"factor": 0.5, "since": NOON, "until": NOON})

    def stopped(self) -> None:
        """Five lessons failed alike, as their stage is gone, and nine more wait behind that pause."""
        rows = [
            self.accept("lesson.completed", PEOPLE[20 + place], NOON - 700 + place * 40, lesson=2)
            for place in range(14)
        ]
        self.clock.now = NOON
        inner = {"lesson": 2, "stage": STAGES[LESSON_STAGE[2]], "pipeline": FUNNEL[0]}
        params = {**inner, "cause": "stage_deleted", "params": inner, "rows": rows[:5]}
        paused = pauses.Paused(PauseKind.CAUSE, None, "same_cause: gone", "same_cause", NOON - 300, params=params)
        pauses.begin(self.store.key_values, "amocrm", paused)

    def trying(self) -> int:
        """A lesson that amoCRM's outage has kept for five attempts. -> its delivery."""
        person = PEOPLE[30]
        at = NOON - 15 * 60
        one = self.accept("lesson.completed", person, at)
        tries: list[tuple[float, str, int | None, str, str]] = [
            (0.1, "failed", None, "amocrm_down", "no whole answer came in time"),
            (16, "failed", 502, "amocrm_down", "Bad Gateway"),
            (48, "paused", 429, "amocrm_slow_down", ""),
            (109, "failed", 503, "amocrm_down", ""),
            (234, "failed", 503, "amocrm_down", ""),
        ]
        for place, (offset, outcome, status, cause, detail) in enumerate(tries):
            self.clock.now = at + offset
            due = at + tries[place + 1][0] if place + 1 < len(tries) else NOON + 252
            self.end(
                one,
                "amocrm",
                State.PENDING,
                10.0 if place == 0 else 0.5,
                outcome=outcome,
                status=status,
                cause=cause,
                detail=detail,
                reason=f"{cause}: waits",
                due_at=due,
                params={"status": status, "detail": detail, "seconds": 60},
                person=person[0],
                lead_id=person[2],
                exchanges=(exchange(status, 1, person[2]),),
            )
        self.clock.now = NOON
        return one


def exchange(status: int | None, lesson: int, lead: int) -> dict[str, Any]:
    """A request and its answer as kept."""
    body = f'[{{"id": {lead}, "pipeline_id": {PIPELINE}, "status_id": {LESSON_STAGE[lesson]}}}]'
    answers = {
        200: f'{{"_embedded": {{"leads": [{{"id": {lead}, "updated_at": 1795260960, "request_id": "0"}}]}}}}',
        400: '{"title": "Bad Request", "status": 400, "validation-errors": [{"request_id": "0", "errors": '
        '[{"code": "NotSupportedChoice", "path": "status_id", "detail": "The value is not in the list"}]}]}',
        429: '{"title": "Too Many Requests", "status": 429, "retry_after": 60}',
    }
    html = f"<html>\n<head><title>{status} Service Temporarily Unavailable</title></head>\n</html>"
    return {
        "at": NOON,
        "method": "PATCH",
        "url": "https://school.amocrm.ru/api/v4/leads",
        "request_headers": {"Authorization": "[hidden]", "Content-Type": "application/json"},
        "request_body": body,
        "status": status,
        "response_headers": {"Content-Type": "application/json" if status in answers else "text/html"}
        if status
        else {},
        "response_body": (answers.get(status) or html) if status else "",
        "seconds": 0.4,
        "fault": ""
        if status
        else "PATCH school.amocrm.ru/api/v4/leads: expected the whole answer before the deadline, got none",
    }
