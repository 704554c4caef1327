"""Pauses of a destination, kept in the key-value store: who began one, why, until when, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from outbox import clock
from outbox.message import Json, Reason, State
from outbox.outcome import DeliveryError, PauseKind
from outbox.queries import Filter
from outbox.retry import pause_seconds
from outbox.shared import KeyValues
from outbox.store import Lanes, Store

PAUSE = "pause"  # namespaces of the key-value store, each with one entry per destination
RUN = "run"
FINGERPRINT = "fingerprint"
MOST_DUE = 1000


@dataclass(frozen=True)
class Paused:
    """A pause as stored. until: seconds since the epoch, None: until somebody acts. step: how many running, from 1.

    reason: see message.Reason. who: the operator who pressed the button, "" for one that began by itself.
    disprovable: see outcome.DeliveryError. version: of the stored entry, so that nobody ends a pause that another has
    put in its place.
    """

    kind: PauseKind
    until: float | None
    reason: str
    cause: str
    since: float
    step: int = 1
    who: str = ""
    params: Mapping[str, Json] = field(default_factory=dict)
    disprovable: bool = False
    version: int = 0
    written_at: float = field(default=0.0, compare=False)  # when it was stored

    def over(self, now: float) -> bool:
        """Whether the next delivery may be sent as a probe."""
        if self.until is None:
            return False
        return clock.from_future(self.written_at, now) or not clock.waits(self.until, now, clock.LONGEST)


def read(key_values: KeyValues, destination: str) -> Paused | None:
    entry = key_values.get(PAUSE, destination)
    if entry is None:
        return None
    value = {**entry.value, "kind": PauseKind(entry.value["kind"])}
    return Paused(**value, version=entry.version, written_at=entry.updated_at)


def next_pause(before: Paused | None, error: DeliveryError, kind: PauseKind, now: float, jitter: float) -> Paused:
    """The pause that this error begins, or the next step of the one before if that was of the same kind. Pure."""
    again = before is not None and before.kind == kind
    step = before.step + 1 if before and again else 1
    seconds = pause_seconds(kind, step, jitter, error.retry_after)
    return Paused(
        kind=kind,
        until=None if seconds is None else now + seconds,
        reason=error.reason,
        cause=error.cause,
        since=before.since if before and again else now,
        step=step,
        params=error.params,
        disprovable=error.disprovable,
        version=before.version if before else 0,
    )


def begin(key_values: KeyValues, destination: str, paused: Paused) -> Paused | None:
    """Store a pause in place of the one with its version. None: somebody else's came first, and counts."""
    version = key_values.put(PAUSE, destination, stored(paused), paused.version)
    return None if version is None else replace(paused, version=version)


def stored(paused: Paused) -> dict[str, Json]:
    return {name: value for name, value in asdict(paused).items() if name not in ("version", "written_at")}


def lift(key_values: KeyValues, destination: str, paused: Paused) -> bool:
    """End this pause; False: another one has taken its place."""
    return key_values.drop(PAUSE, destination, paused.version)


def disprove(key_values: KeyValues, lanes: Lanes, destination: str, now: float) -> bool:
    """Somebody got a good answer of the other side. Where that shows that a pause's reason is over, the next probe may
    go at once; its own answer ends the pause, or makes the next one longer. -> whether there was such a pause."""
    paused = read(key_values, destination)
    if paused is None or not paused.disprovable or paused.over(now):
        return False
    if begin(key_values, destination, replace(paused, until=now)) is None:
        return False
    lanes.make_due(destination)
    return True


def pause(store: Store, destination: str, who: str, reason: str = "") -> None:
    """An operator's pause: nothing goes out until somebody resumes."""
    paused = Paused(
        PauseKind.OPERATOR,
        None,
        Reason.of("operator", reason or who),
        "operator",
        store.now(),
        who=who,
        params={"who": who},
    )
    before = as_before(store, destination, stored(paused))
    store.key_values.put(PAUSE, destination, stored(paused))
    store.operations.log_action(who, "pause", 1, {"destination": destination, "reason": reason}, before)


def as_before(store: Store, destination: str, left: Json) -> dict[str, Json]:
    """What taking a pause, or the end of one, back needs. left: the pause that the deed leaves, or None. due: of what
    waits for a later time; of more than a thousand that is not kept, and they go as soon as sending goes on."""
    pause, run = (store.key_values.get(name, destination) for name in (PAUSE, RUN))
    waits = store.reading.find(Filter(states=(State.PENDING,), destination=destination), MOST_DUE + 1).rows
    due: list[Json] = [[one.id, one.due_at] for one in waits if one.due_at > store.now()]
    return {
        "destination": destination,
        "pause": pause.value if pause else None,
        "run": run.value if run else None,
        "due": due if len(waits) <= MOST_DUE else [],
        "left": left,
    }


def hold(store: Store, destination: str) -> Paused | None:
    """Keep the pause that five alike began also when settings change, as somebody is about to mend and to try one.
    -> the pause, None where there is no such."""
    paused = read(store.key_values, destination)
    if paused is None or paused.kind is not PauseKind.CAUSE:
        return None
    return begin(store.key_values, destination, replace(paused, params={**paused.params, "held": True}))


def try_one(store: Store, destination: str, who: str, delivery_id: int | None = None) -> bool:
    """Let one delivery out, this one if it still waits, while all others rest on. What becomes of it decides: a pause
    that five alike began stays, and its params tell (`proved` or `failed`); any other one ends when it went through.

    -> False: nothing rests, or an operator's pause does.
    """
    paused = read(store.key_values, destination)
    if paused is None or paused.kind is PauseKind.OPERATOR:
        return False
    params = {name: value for name, value in paused.params.items() if name not in ("proved", "failed")}
    params |= {"try": delivery_id, **({"held": True} if paused.kind is PauseKind.CAUSE else {})}
    trying = replace(paused, until=store.now(), step=max(1, paused.step - 1), params=params)
    if begin(store.key_values, destination, trying) is None:
        return False
    due_at = store.lanes.next_due(destination)
    if due_at is None or due_at > store.now():
        store.lanes.make_due(destination)
    store.operations.log_action(who, "try", 1, {"destination": destination, "delivery": delivery_id})
    return True


def tried(paused: Paused, delivery_id: int | None, error: DeliveryError | None) -> Paused:
    """The pause of five alike after one was let out: it rests on, and tells what became of that one."""
    params = {name: value for name, value in paused.params.items() if name != "try"}
    if error is None:
        params["proved"] = delivery_id
    else:
        params["failed"] = {"delivery": delivery_id, "cause": error.cause, "params": error.params}
    return replace(paused, until=None, params=params)


def resume(store: Store, destination: str, who: str) -> int:
    """End whatever pause there is; all that waits is due now. -> how many deliveries that made due."""
    before = as_before(store, destination, None)
    store.key_values.delete(RUN, [destination])
    store.key_values.delete(PAUSE, [destination])
    count = store.lanes.make_due(destination)
    store.operations.log_action(who, "resume", 1, {"destination": destination, "deliveries": count}, before)
    return count


def reconnected(store: Store, destination: str) -> None:
    """Access was given anew: what waited for that goes out."""
    paused = read(store.key_values, destination)
    if paused is not None and paused.kind is PauseKind.RECONNECT and lift(store.key_values, destination, paused):
        store.lanes.make_due(destination)


def heed_settings(key_values: KeyValues, lanes: Lanes, destination: str, fingerprint: str) -> bool:
    """Lift the pauses that new settings or tokens may have mended. -> whether they were new."""
    entry = key_values.get(FINGERPRINT, destination)
    if entry is not None and entry.value == fingerprint:
        return False
    if entry is not None:
        paused = read(key_values, destination)
        if paused is None or not (paused.kind.rules.outlives_settings or paused.params.get("held")):
            key_values.delete(RUN, [destination])
            if paused is not None:
                lift(key_values, destination, paused)
            lanes.make_due(destination)
    key_values.put(FINGERPRINT, destination, fingerprint)
    return entry is not None
