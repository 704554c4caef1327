"""How a delivery went: the event, each attempt, the waits and pauses between them, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from outbox.message import Attempt, Delivery, State
from outbox.queries import Action
from outbox.retry import SCHEDULE
from service.current import Dealpost
from service.operator import words
from service.operator.pages import delivery_row, exchange
from service.operator.words.numbers import ngettext
from service.situations.rows import Standing

LOOK = {
    "open": ("arrow", "blue"),
    "delivered": ("tick", "ok"),
    "skipped": ("minus", "quiet"),
    "failed": ("alert", "bad"),
    "dead": ("alert", "bad"),
    "paused": ("pause", "warn"),
    "interrupted": ("warning", "warn"),
}

DEEDS = ("correct", "retry", "discard", "try", "undo")
"""What people do to a delivery."""


@dataclass(frozen=True)
class Step:
    """One node, or with kind "wait" the dashed piece between two. head is bold; open: its panes are shown at once."""

    kind: str
    icon: str = ""
    tone: str = "quiet"
    time: str = ""
    exact: str = ""
    head: str = ""
    text: str = ""
    note: str = ""
    took: str = ""
    exchanges: tuple[exchange.Shown, ...] = ()
    open: bool = False
    attempt_id: int = 0


def steps(
    dealpost: Dealpost,
    delivery: Delivery,
    attempts: Sequence[Attempt],
    title: str,
    now: float,
    standing: Standing,
    sender: str,
) -> list[Step]:
    """Oldest first, with what people did between the attempts; the next attempt is the last node."""
    nodes = [_accepted(dealpost, delivery, sender)]
    before, number = delivery.received_at, 0
    last_failed = max((a.id for a in attempts if a.outcome in ("failed", "dead")), default=0)
    done = [one for one in reversed(dealpost.store.reading.actions_on(delivery.id)) if one.what in DEEDS]
    both: list[Attempt | Action] = [*attempts, *done]
    for one in sorted(both, key=lambda one: one.at):
        waited = one.at - before
        if waited >= 1 and len(nodes) > 1:
            nodes.append(Step("wait", note=_wait_words(waited, nodes[-1].icon == "pause")))
        if isinstance(one, Action):
            nodes.append(_deed(one))
            before = one.at
            continue
        number += one.outcome not in ("paused", "interrupted")
        nodes.append(_attempt(one, number, title, one.id == last_failed))
        before = one.finished_at or one.at
    nodes += _coming(delivery, number, before, title, now, standing)
    return nodes


def _accepted(dealpost: Dealpost, delivery: Delivery, sender: str) -> Step:
    note = _("from %(source)s", source=words.source_words(delivery.source))
    if sender:
        note += ", " + _("key “%(name)s”", name=sender)
    return Step(
        "node", "book", "ok", words.clock(delivery.received_at, seconds=True), words.exact(delivery.received_at),
        _("Event accepted:"), delivery_row.event(delivery, dealpost), note,
    )  # fmt: skip


def _deed(one: Action) -> Step:
    """What somebody did to this delivery, with what was corrected."""
    was = one.detail.get("before")
    values = was if isinstance(was, Mapping) else {}
    inner = values.get("data")
    data = inner if isinstance(inner, Mapping) else {}
    old = was if isinstance(was, str) else str(values.get("email") or data.get("email") or data.get("dealName") or "")
    note = _("before: %(value)s", value=old) if one.what == "correct" and old else ""
    head = _("%(who)s:", who=one.who or _("Somebody"))
    icon = {"correct": "pen", "discard": "stroke"}.get(one.what, "user")
    return Step(
        "node", icon, "blue", words.clock(one.at, seconds=True), words.exact(one.at), head,
        words.action_words(one.what), note,
    )  # fmt: skip


def _wait_words(seconds: float, paused: bool) -> str:
    time = words.duration(seconds)
    return _("pause of %(time)s", time=time) if paused else _("waited %(time)s", time=time)


def _attempt(attempt: Attempt, number: int, title: str, newest_failed: bool) -> Step:
    icon, tone = LOOK.get(attempt.outcome, ("info", "quiet"))
    head, text, note = _told(attempt, number, title)
    if attempt.outcome == "failed" and not newest_failed:
        note = ""  # it would be the same under each
    seconds = 0.0 if attempt.finished_at is None else attempt.finished_at - attempt.at
    took = words.duration(seconds) if seconds >= 0.05 else ""
    return Step(
        "node", icon, tone, words.clock(attempt.at, seconds=True), words.exact(attempt.at), head, text, note, took,
        tuple(exchange.show(kept) for kept in attempt.exchanges), newest_failed, attempt.id,
    )  # fmt: skip


def _told(attempt: Attempt, number: int, title: str) -> tuple[str, str, str]:
    """(bold words, words, note) of an attempt."""
    cause = words.cause_title(attempt.cause, attempt.params) if attempt.cause else ""
    if cause and attempt.status:
        cause = f"{cause} ({attempt.status})"
    head = _("Attempt %(num)s.", num=number)
    if attempt.outcome == "paused":
        seconds = attempt.params.get("seconds")
        if attempt.cause == "amocrm_slow_down" and isinstance(seconds, int | float):
            said = _("%(destination)s asked to wait %(time)s", destination=title, time=words.duration(seconds))
        else:
            said = cause or _("The destination rests")
        return (
            said,
            "",
            _("A pause for all deliveries to %(destination)s, it does not count as an attempt", destination=title),
        )
    if attempt.outcome == "interrupted":
        return _("The sending process stopped in the middle"), "", _("Taken up again by itself")
    if attempt.outcome == "open":
        return head, _("The request is on its way"), ""
    if attempt.outcome == "delivered":
        return head, _("%(destination)s has it", destination=title), ""
    if attempt.outcome == "skipped":
        return head, words.reason_words(attempt.detail or attempt.cause) if attempt.detail else _("Nothing to do"), ""
    means = words.cause_means(attempt.cause, attempt.params) if attempt.cause else attempt.detail
    return head, cause or attempt.detail, means


def _coming(delivery: Delivery, number: int, before: float, title: str, now: float, standing: Standing) -> list[Step]:
    """What the future holds: the next attempt, a pause, or the end."""
    if delivery.state == State.DISCARDED:
        return [
            _end(
                delivery,
                "stroke",
                "quiet",
                _("Cancelled"),
                words.reason_words(delivery.reason) if delivery.reason else "",
            )
        ]
    if delivery.state == State.DEAD:
        return [
            _end(delivery, "alert", "bad", _("Not delivered."), _("We do not try by ourselves any more, you decide"))
        ]
    if delivery.state in (State.SKIPPED, State.DELIVERED) and not number:
        word = words.state_word(delivery.state)
        return [
            _end(delivery, words.ICONS[delivery.state], words.TONES[delivery.state], word, delivery_row.done(delivery))
        ]
    if delivery.state != State.PENDING:
        return []
    head = _("Attempt %(num)s", num=number + 1)
    if standing.code == "bare":
        text = _("— when %(destination)s is connected", destination=title)
        return [Step("node", "plug", "quiet", "", "", head, text)]
    if standing.code == "silent":
        return [Step("node", "clock", "warn", "", "", head, _("— once the sending process runs again"))]
    if standing.pause is not None:
        at = words.clock(standing.at, seconds=True) if standing.at is not None and standing.at > now else ""
        text = {"paused": _("— when somebody resumes"), "stopped": _("— once it is mended")}.get(
            standing.code, _("— after the pause")
        )
        return [
            Step("wait", note=_("pause of %(destination)s", destination=title)),
            Step("node", "clock", "blue", at, "", head, text),
        ]
    if standing.behind is not None:
        text = _("— after this student's earlier delivery, No. %(id)s", id=standing.behind.id)
        return [Step("node", "clock", "blue", "", "", head, text)]
    ahead = delivery.due_at - now
    wait = words.duration(max(0.0, delivery.due_at - before))
    said = (
        _("we wait %(wait)s, %(left)s left", wait=wait, left=words.duration(ahead)) if ahead >= 1 else _("it is time")
    )
    at = words.clock(delivery.due_at, seconds=True)
    return [
        Step("wait", note=said),
        Step(
            "node", "clock", "blue", at, words.exact(delivery.due_at), head, _("— next"), _after_that(delivery.failures)
        ),
    ]


def _end(delivery: Delivery, icon: str, tone: str, head: str, text: str) -> Step:
    return Step(
        "node", icon, tone, words.clock(delivery.changed_at, seconds=True), words.exact(delivery.changed_at), head, text
    )


def _after_that(failures: int) -> str:
    """What happens if the next attempt fails as well."""
    if failures + 1 > len(SCHEDULE):
        return _("It is the last one; after that you decide")
    following = words.rough_words(SCHEDULE[failures])
    left = len(SCHEDULE) - failures
    return ngettext(
        "If it fails, again after %(time)s; %(num)s more try in all",
        "If it fails, again after %(time)s; %(num)s more tries in all",
        left,
        time=following,
    )
