"""Deals whose stage changed: which of the changes make a record, and what amoCRM says of these deals now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox.message import Known
from outbox.outcome import DeliveryError, Later, PauseKind, Skipped
from outbox.retry import pause_seconds
from outbox.whole_numbers import whole_number
from service.amocrm import AmocrmAccount
from service.amocrm.payloads import Contact, whole
from service.amocrm.stage_changes.match import CREATED, Observation, Same, Verdict, Wait
from service.amocrm.stage_changes.seen import Changes
from service.destinations.records.places import Deal

if TYPE_CHECKING:
    from outbox.message import Delivery
    from outbox.outcome import DeliveryContext
    from outbox.pauses import Paused
    from outbox.shared import KeyValues
    from service.config import Amocrm

ECHO_SECONDS = 60.0
ECHO_SECONDS_UNTIMED = 2 * 3600.0
WAITS: dict[PauseKind | None, float] = {
    PauseKind.SETTINGS: 600.0,
    PauseKind.RATE: 5.0,
}
"""Seconds until amoCRM is asked again after it, or we, refused; the rest: see StageChanges._later."""

QUIET: dict[PauseKind | None, float] = {
    PauseKind.UNPAID: 30.0,
    PauseKind.RECONNECT: 30.0,
    PauseKind.SETTINGS: 60.0,
    PauseKind.RATE: 5.0,
}
"""Seconds for which amoCRM is not asked at all after it refused; 15 for everything else. A 403 rests as the destination
that moves deals does: see StageChanges._quiet."""

SOONEST = 600.0
"""Seconds after a 403 until a good answer to somebody else counts as its end, doubling with each 403 running: it may be
just these deals that are refused."""

NEW_DEAL = "add"
"""The kind of an event that tells of a deal made on a stage."""

SUPERSEDED = "superseded: the same change as "

SHOWN = 10
"""Up to so many rows of one reading keep it with their attempts; it is the same for all of them."""


Work = Deal | Skipped | Later | DeliveryError
"""A deal to be recorded, or what became of the row."""


@dataclass(frozen=True)
class Rest:
    """amoCRM is not to be asked now."""

    seconds: float
    cause: str
    reason: str


class StageChanges:
    """Sorts the hooks out, deal by deal."""

    def __init__(
        self,
        settings: Amocrm,
        account: AmocrmAccount,
        key_values: KeyValues,
        now: Callable[[], float],
        *,
        account_id: Callable[[], int | None],
        paused: Callable[[], Paused | None],
    ) -> None:
        """account_id: of the connected account as far as it is known, without asking. paused: whether the destination
        that moves deals rests, since amoCRM is then not asked for deals either."""
        self._settings = settings
        self._account = account
        self._now = now
        self._account_id = account_id
        self._paused = paused
        self._told: tuple[int | None] | None = None  # the account's id, once amoCRM was asked for it
        self._trouble: DeliveryError | None = None  # amoCRM's, when it was asked last
        self._asked_again_at = 0.0
        self._refused_at, self._refusals = 0.0, 0  # with 403: when last, and how many running
        self._deals_refused = False  # whether the destination that moves deals rested for a 403 when we looked last
        self.changes = Changes(key_values, now)
        self.absences = account.absences

    def sort_out(self, rows: Sequence[Delivery], places: frozenset[str], context: DeliveryContext) -> dict[int, Work]:
        """What is likely to be done with each row; `confirm` has the last word, deal by deal. Deals are read for all
        rows together. places: those that are needed."""
        found: dict[int, Work] = {}
        for row in rows:
            if (first := self._first_look(row)) is not None:
                found[row.id] = first
        groups: dict[int, list[Delivery]] = {}
        for row in rows:
            if row.id not in found:
                groups.setdefault(int(row.data["lead_id"]), []).append(row)
        foreseen = self.changes.foresee(
            {lead: [observation_of(row) for row in group] for lead, group in groups.items()}
        )
        for lead_id, group in groups.items():
            for row, verdict in zip(group, foreseen[lead_id], strict=True):
                if (work := self._work(row, verdict)) is not None:
                    found[row.id] = work
        self.absences.hear([(lead, row.event_id) for lead, group in groups.items() for row in group])
        left = [row for row in rows if row.id not in found]
        if not left:
            return found
        if (rest := self._rest()) is not None:
            # A person may end the rest at any time, and to look costs amoCRM nothing.
            return found | {
                row.id: Later(
                    max(min(rest.seconds, self._patience(row)), 1.0), rest.reason, rest.cause, lead_id=row.lead_id
                )
                for row in left
            }
        if (error := self._trouble) is None or self._now() >= self._asked_again_at:
            error = self._try_to_read(left, places, context, found)
        if error is not None:
            for row in left:
                found.setdefault(row.id, self._later(row, error))
        return found

    def answered(self) -> None:
        """amoCRM gave somebody a good answer."""
        if self._is_refused():
            soonest = self._refused_at + SOONEST * 2 ** (min(self._refusals, 20) - 1)
            self._asked_again_at = min(self._asked_again_at, soonest)

    def is_wanted(self, pipeline_id: int | None, status_id: int) -> bool:
        """Whether AMOCRM_WEBHOOK_STAGES names this stage, or none at all. May ask amoCRM for names."""
        wanted = self._settings.webhook_stages
        ids = (str(pipeline_id), str(status_id))
        if not wanted or any(one in ("", ids[0]) and two == ids[1] for one, two in wanted):
            return True
        # Names need amoCRM's list; where all are ids there is nothing to look up.
        if all(not one.strip("0123456789") and not two.strip("0123456789") for one, two in wanted):
            return False
        return pipeline_id is not None and self._account.pipelines.is_wanted(pipeline_id, status_id, wanted)

    def confirm(self, rows: Sequence[Delivery], works: Mapping[int, Work]) -> dict[int, Work]:
        """What is to be done with the rows of one deal, now that each of its changes is known to have one record.

        Committed deal by deal, with a request to the ERP between them: in a row they would hold up the webhooks, which
        write to the same store.
        """
        found = dict(works)
        group = [row for row in rows if self._first_look(row) is None]
        if not group:
            return found
        verdicts = self.changes.settle(int(group[0].data["lead_id"]), [observation_of(row) for row in group])
        for row, verdict in zip(group, verdicts, strict=True):
            work = self._work(row, verdict)
            if work is None and _is_superseded(works[row.id]):  # somebody else has settled another one meanwhile
                work = Later(1.0, "change_unclear: another change of the deal came meanwhile", "change_unclear")
            found[row.id] = works[row.id] if work is None else work
        return found

    def _first_look(self, row: Delivery) -> Skipped | DeliveryError | None:
        if number(row.data.get("lead_id")) is None or number(row.data.get("status_id")) is None:
            message = "The event tells no deal or no stage. Nothing can be made of it"
            return DeliveryError(message, cause="unreadable_hook", code="unreadable", permanent=True)
        theirs, ours = number(row.data.get("account_id")), self._ours()
        if theirs is not None and ours is not None and theirs != ours:
            return Skipped(f"foreign_account: the hook is of account {theirs}, the connected one is {ours}")
        if row.data.get("kind") == NEW_DEAL and not self._settings.counts_creations:
            reason = "not_routed: deals that are made on a stage make no record (WEBHOOK_CREATED)"
            return Skipped(reason, lead_id=row.lead_id)
        return None

    def _ours(self) -> int | None:
        known = self._account_id()
        return known if known is not None or self._told is None else self._told[0]

    def _work(self, row: Delivery, verdict: Verdict) -> Work | None:
        """One change, one record. None: this row makes it."""
        lead_id = int(row.data["lead_id"])
        if isinstance(verdict, Same):
            of = f"event {verdict.of}" if verdict.of else "one that has its record"
            return Skipped(f"{SUPERSEDED}{of}", lead_id=lead_id)
        if isinstance(verdict, Wait):
            reason = "change_unclear: another hook of these stages came; we wait for what the deal did in between"
            return Later(verdict.seconds, reason, "change_unclear", lead_id=lead_id)
        if self._settings.webhook_echoes == "skip" and self._is_echo(row, lead_id):
            return Skipped("echo: Dealpost itself moved the deal (WEBHOOK_ECHOES=skip)", lead_id=lead_id)
        return None

    def _try_to_read(
        self,
        rows: Sequence[Delivery],
        places: frozenset[str],
        context: DeliveryContext,
        found: dict[int, Work],
    ) -> DeliveryError | None:
        """Fills in `found` as far as amoCRM allows. -> its trouble, which is remembered: each new hook would otherwise
        ask again, and hold up the other records until the end of its time."""
        try:
            self._read(rows, places, context, found)
            self._trouble, self._refusals = None, 0
        except DeliveryError as error:
            self._trouble = error
            self._asked_again_at = self._now() + self._quiet(error)
        return self._trouble

    def _quiet(self, error: DeliveryError) -> float:
        """Seconds for which amoCRM is not asked after this."""
        if error.pause is not PauseKind.FORBIDDEN:
            return max(QUIET.get(error.pause, 15.0), error.retry_after or 0.0)
        self._refused_at, self._refusals = self._now(), self._refusals + 1
        return pause_seconds(error.pause, self._refusals, 0.0, error.retry_after) or 0.0

    def _is_refused(self) -> bool:
        return self._trouble is not None and self._trouble.pause is PauseKind.FORBIDDEN

    def _is_echo(self, row: Delivery, lead_id: int) -> bool:
        if row.data.get("kind") == NEW_DEAL:
            return False
        at = row.data.get("at")
        moment, most = (float(at), ECHO_SECONDS) if at is not None else (row.received_at, ECHO_SECONDS_UNTIMED)
        return any(
            all(
                row.data.get(name) in (None, getattr(change, name))
                for name in ("status_id", "old_status_id", "pipeline_id")
            )
            and abs(change.at - moment) <= most
            for change in self._account.own_changes.of(lead_id)
        )

    def _read(
        self,
        rows: Sequence[Delivery],
        places: frozenset[str],
        context: DeliveryContext,
        found: dict[int, Work],
    ) -> None:
        """The hook is a hint: what the record holds is read from amoCRM, for all rows together."""
        if self._told is None and self._ours() is None and any(row.data.get("account_id") for row in rows):
            self._told = (whole(self._account.client.account().get("id")),)
            for row in rows:
                if (foreign := self._first_look(row)) is not None:
                    found[row.id] = foreign
            rows = [row for row in rows if row.id not in found]
        wanted = self._settings.webhook_stages
        by_setting = "not_routed: this stage is not in AMOCRM_WEBHOOK_STAGES"
        for row in rows if wanted else ():
            pipeline_id = number(row.data.get("pipeline_id"))
            if pipeline_id is not None and not self.is_wanted(pipeline_id, int(row.data["status_id"])):
                found[row.id] = Skipped(by_setting, lead_id=row.lead_id)
        rows = [row for row in rows if row.id not in found]
        ids = [row.id for row in rows] if len(rows) <= SHOWN else []
        client = self._account.client
        if ids:
            client = client.bound(record=lambda exchange: context.exchange(ids, exchange.as_dict()))
        leads = client.leads(sorted({int(row.data["lead_id"]) for row in rows}))
        self.absences.are_there([one.id for one in leads.values() if not one.is_deleted])
        titles = [Known(one.name, lead_ids=(one.id,), is_title=True) for one in leads.values() if one.name.strip()]
        client.learn(titles)
        people: Mapping[int, Contact] = {}
        if any(place.startswith(("contact.", "custom:")) for place in places):
            people = client.contacts(sorted({i for lead in leads.values() if (i := lead.main_contact_id) is not None}))
        for row in rows:
            lead_id = int(row.data["lead_id"])
            lead = leads.get(lead_id)
            if (error := leads.unread.get(lead_id)) is not None:
                found[row.id] = self._later(row, error) if error.cause == "amocrm_down" else _unread(row, error)
                continue
            if lead is None or lead.is_deleted:
                found[row.id] = self._missing(lead_id)
                continue
            pipeline_id = number(row.data.get("pipeline_id")) or lead.pipeline_id
            untold = wanted and row.data.get("pipeline_id") is None
            if untold and not self.is_wanted(pipeline_id, int(row.data["status_id"])):
                found[row.id] = Skipped(by_setting, lead_id=lead_id)
                continue
            names = ("", "")
            if places & {"stage", "pipeline"}:
                names = self._account.pipelines.names(pipeline_id, int(row.data["status_id"]))
            found[row.id] = Deal(lead, people.get(lead.main_contact_id or 0), pipeline=names[0], stage=names[1])

    def _missing(self, lead_id: int) -> Skipped | Later:
        """What becomes of a row whose deal amoCRM does not show, or shows as deleted."""
        seconds = self.absences.note(lead_id)
        if not seconds:
            return Skipped(
                f"deal_gone: amoCRM has no deal {lead_id} any more, as it said several times", lead_id=lead_id
            )
        reason = f"deal_unseen: amoCRM shows no deal {lead_id} now; we ask again before that counts"
        return Later(seconds, reason, "deal_unseen", params={"deal": lead_id}, lead_id=lead_id)

    def _rest(self) -> Rest | None:
        """Whether amoCRM may not be asked for deals now."""
        if not self._account.is_set_up():
            return Rest(600.0, "amocrm_not_set_up", "The deal has to be read from amoCRM, which is not connected yet")
        paused = self._paused()
        refused = paused is not None and paused.kind is PauseKind.FORBIDDEN
        if self._deals_refused and not refused and self._is_refused():
            self._trouble = None  # deals are moved again, or a person wants them to be: so are ours asked for
        self._deals_refused = refused
        if paused is None or not paused.kind.rules.silent or paused.until is None:
            return None
        left = paused.until - self._now()
        reason = f"The deal has to be read from amoCRM, which rests: {paused.reason}"
        return Rest(left, paused.cause, reason) if left > 0 else None

    def _patience(self, row: Delivery) -> float:
        """Young rows ask soon again, old ones seldom: a long outage shall not fill the history with attempts."""
        return min(max(30.0, (self._now() - row.received_at) / 10), 600.0)

    def _later(self, row: Delivery, error: DeliveryError) -> Later:
        """amoCRM's trouble is no fault of the row, nor of the ERP."""
        if self._is_refused():
            # The end of it may come sooner, and until then to look costs amoCRM nothing.
            seconds = max(min(self._asked_again_at - self._now(), self._patience(row)), 1.0)
        else:
            seconds = max(WAITS.get(error.pause) or self._patience(row), error.retry_after or 0.0)
        return Later(
            seconds,
            f"{error.cause}: the deal could not be read. {error.message}",
            error.cause,
            status=error.status,
            params=error.params,
            lead_id=row.lead_id,
        )


def _is_superseded(work: Work) -> bool:
    return isinstance(work, Skipped) and work.reason.startswith(SUPERSEDED)


def _unread(row: Delivery, error: DeliveryError) -> DeliveryError:
    """The trouble of this deal and of no other: tried on the row's own schedule, with a reason that it shows."""
    return DeliveryError(
        f"The deal could not be read. {error.message}",
        cause=error.cause,
        retry_after=error.retry_after,
        status=error.status,
        params=error.params,
        lead_id=row.lead_id,
    )


def observation_of(row: Delivery) -> Observation:
    """What a row tells of a change of stage."""
    data = row.data
    at = data.get("at")
    return Observation(
        event_id=row.event_id,
        pipeline_id=number(data.get("pipeline_id")),
        old=CREATED if data.get("kind") == NEW_DEAL else number(data.get("old_status_id")),
        new=number(data.get("status_id")),
        at=float(at) if at is not None else None,
        seen_at=row.received_at,
        api_id=str(data.get("amocrm_event_id") or ""),
    )


def number(value: Any) -> int | None:
    """A whole number, also out of text."""
    return whole_number(str(value).strip()) if value is not None and not isinstance(value, bool) else None
