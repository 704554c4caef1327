"""The destination "amocrm": a lesson that was completed moves the student's deal to the lesson's stage.

Reference: https://www.amocrm.ru/developers/content/crm_platform/leads-api#leads-edit
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from outbox.message import Delivery
from outbox.outcome import DeliveryError, Outcome, PauseKind, Skipped
from service.amocrm import AmocrmAccount
from service.amocrm.client import LIST_LIMIT, AmocrmClient
from service.amocrm.pipelines import Pipelines, Target
from service.closed_stages import CLOSED
from service.config import Amocrm
from service.destinations.deals.attempt_log import ExchangeRecorder
from service.destinations.deals.batch import Batch
from service.destinations.deals.directory import Directory
from service.destinations.deals.forbidden import Quarantine
from service.destinations.deals.lookup import Lookup
from service.destinations.deals.prefetch import READ_WAIT
from service.destinations.deals.write import Writer
from service.student_key import student_key

if TYPE_CHECKING:
    from outbox.outcome import DeliveryContext
    from outbox.shared import KeyValues

LINGER = 6
"""Between two passes, while there is more than one event to a pass but no backlog, so many requests' time goes by: a
second at the usual pace."""

CROWD = 100
"""From so many unknown students in a batch on they are served page by page."""

BUSY = 20
"""From so many rows on the list of stages is read more often: one request among hundreds."""


class DealMoves:
    """See outbox.outcome.Destination. It takes up to 250 deliveries, since so many deals can be read at once, and
    writes them in batches of AMOCRM_BATCH."""

    name = "amocrm"
    batch = LIST_LIMIT
    whole_keys = True
    newest_first = True

    def __init__(
        self,
        settings: Amocrm,
        account: AmocrmAccount,
        directory: Directory,
        key_values: KeyValues,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._pace = account.pace
        self._client = account.client
        self._tokens = account.tokens
        self._pipelines = account.pipelines
        self._own_changes = account.own_changes
        self._absences = account.absences
        self._directory = directory
        self._key_values = key_values
        self._now = now

    @property
    def fingerprint(self) -> str:
        """Changes with the settings, with the connection (not with a refresh) and with the operator's choices."""
        settings = self._settings
        choices = self._pipelines.choices.stored()
        parts = [
            self._tokens.generation,
            settings.base_url,
            settings.client_id,
            settings.client_secret,
            settings.redirect_uri,
            settings.pipeline_id,
            sorted(settings.stages.items()),
            choices,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def missing(self) -> tuple[str, ...]:
        """The settings that it lacks. The connection counts as one: by tokens in the settings or by Connect;
        so does the funnel: by a setting or by a choice on the page."""
        settings = self._settings
        lacking = []
        if not (settings.base_url or self._tokens.base_url()):
            lacking.append("AMOCRM_SUBDOMAIN")
        if not self._tokens.is_long_lived():  # a pair has to be renewed
            names = ("client_id", "client_secret", "redirect_uri")
            lacking += [f"AMOCRM_{name.upper()}" for name in names if not getattr(settings, name)]
        if not lacking and not self._tokens.connected():
            lacking.append("AMOCRM_REFRESH_TOKEN")
        if self._pipelines.funnel_id() is None and not self._pipelines.choices.all():
            lacking.append("AMOCRM_PIPELINE_ID")
        return tuple(lacking)

    def deliver(self, batch: Sequence[Delivery], context: DeliveryContext) -> Mapping[int, Outcome]:
        """Move the deals of these students. What is certain is settled at the context at once."""
        quarantine = Quarantine(self._key_values, self._now)
        try:
            self._deliver(batch, context, quarantine)
        except DeliveryError as error:
            if error.status == 403 and error.pause is PauseKind.FORBIDDEN:
                if len(batch) == 1 and quarantine.account_is_good:
                    return {batch[0].id: _no_right(error)}
                if not quarantine.added:  # it was a reading: whose is not known
                    quarantine.add([batch[0].id])
            if len(batch) == 1 and error.pause is None:
                return {batch[0].id: error}  # first the row's own retry; a second one running pauses
            error.pause = error.pause or PauseKind.OUTAGE
            raise
        if quarantine.account_is_good:
            quarantine.clear([row.id for row in batch])
        if 1 < len(batch) < self._settings.batch and self._pace.is_busy():
            # All is settled. Events that trickle in are collected for a moment, so that they share their requests;
            # one that comes alone is never kept waiting.
            self._pace.rest(LINGER)
        return {}

    def _deliver(self, batch: Sequence[Delivery], context: DeliveryContext, quarantine: Quarantine) -> None:
        recorder = ExchangeRecorder(self._client, context)
        client = recorder.reading(batch)
        alone = quarantine.check(client)
        targets, outcomes = self._targets(batch, self._pipelines.bound(client))
        if outcomes:
            context.settle(outcomes)
        rows = [row for row in batch if row.id in targets]
        if not rows:
            return
        size = self._settings.batch

        def run(some: Sequence[Delivery], pages: bool) -> bool:
            part = Batch(
                Lookup(self._client, self._directory, self._pipelines, self._absences, self._now),
                Writer(self._own_changes, self._key_values, self._now, context, recorder, size, quarantine, alone),
                self._pipelines,
                self._own_changes,
                recorder,
                context,
                self._now,
                self._settings.coalesce,
            )
            return part.run(some, targets, pages)

        unknown = self._unknown(rows, targets)
        if len(unknown) < CROWD:
            run(rows, True)
            return
        left = [row for row in rows if row.email in unknown]
        if not run([row for row in rows if row.email not in unknown], False):
            return
        # Pages show their own students in their own order: those are served, whether they are in the batch or not, as
        # long as what a page showed is fresh. To read all pages first would cost a second reading of each deal. Who
        # does not fill a write goes with those of the next page.
        shown: list[Delivery] = []
        served, end = 0, self._now() + READ_WAIT
        (pipeline_id,) = {target.pipeline_id for target in targets.values()}
        for emails in self._directory.bound(client).pages(pipeline_id, len(unknown)):
            here = set(emails)
            shown += [row for row in left if row.email in here]
            left = [row for row in left if row.email not in here]
            shown += self._more(context, client, emails, pipeline_id, targets)
            late = self._now() >= end
            some, shown = (shown, []) if late or not left else _in_full_writes(shown, size)
            served += len(some)
            if (some and not run(some, False)) or not left or (late and served):
                return  # the next pass goes on from here
            if late:
                break  # the pages show others: some of the batch are searched for meanwhile
        run([*shown, *left], False)

    def _unknown(self, rows: Sequence[Delivery], targets: Mapping[int, Target]) -> set[str]:
        """The students that are not known yet. None where they cannot be served page by page: with several pipelines,
        or where a move closes its deal, which would leave the pages and shift all that come after it."""
        wanted = [targets[row.id] for row in rows]
        if len({target.pipeline_id for target in wanted}) > 1 or any(one.status_id in CLOSED for one in wanted):
            return set()
        return set(self._directory.unknown(list(dict.fromkeys(row.email or "" for row in rows))))

    def _more(
        self,
        context: DeliveryContext,
        client: AmocrmClient,
        emails: Sequence[str],
        pipeline_id: int,
        targets: dict[int, Target],
    ) -> list[Delivery]:
        """What else waits for these students; their targets are put to the others."""
        joined = context.join([student_key(email) for email in emails])
        more, outcomes = self._targets(joined, self._pipelines.bound(client))
        context.settle(outcomes)
        good: list[Delivery] = []
        held: set[str | None] = set()
        for row in joined:
            target = more.get(row.id)
            if target is not None and (target.pipeline_id != pipeline_id or target.status_id in CLOSED):
                held.add(row.key)  # it and what comes after it wait for a pass of their own
            if target is not None and row.key not in held:
                good.append(row)
                targets[row.id] = target
        return good

    def _targets(self, batch: Sequence[Delivery], pipelines: Pipelines) -> tuple[dict[int, Target], dict[int, Outcome]]:
        """The stage of each row's lesson, and the outcomes of rows that have none."""
        age = {"max_age": 600.0} if len(batch) >= BUSY else {}
        known: dict[int, Target | None] = {}
        targets: dict[int, Target] = {}
        outcomes: dict[int, Outcome] = {}
        for row in batch:
            lesson = lesson_of(row)
            if lesson is None or not row.email:
                message = "the event has no e-mail or no lesson that could be read"
                outcomes[row.id] = DeliveryError(message, cause="internal", code="unreadable", permanent=True)
                continue
            if lesson not in known:
                known[lesson] = pipelines.target(lesson, **age)
            target = known[lesson]
            if target is None and not self._has_stages():
                raise DeliveryError(
                    "No lesson has a stage yet",
                    cause="amocrm_not_set_up",
                    pause=PauseKind.SETTINGS,
                    params={"missing": "AMOCRM_STAGE_LESSON_1"},
                )
            if target is None:
                outcomes[row.id] = Skipped(f"no_stage: lesson {lesson} has no stage in amoCRM", cause="lesson_unmapped")
            else:
                targets[row.id] = replace(target, lesson=lesson)
        return targets, outcomes

    def _has_stages(self) -> bool:
        """Whether a stage was set or chosen for any lesson. Without one the account is only half set up, and to skip
        would lose the lessons that come in between connecting it and choosing stages."""
        return bool(self._settings.stages) or bool(self._pipelines.choices.all())


def _in_full_writes(rows: Sequence[Delivery], size: int) -> tuple[list[Delivery], list[Delivery]]:
    """(all rows of as many students as fill whole writes of this size, the rows of the others)."""
    emails = list(dict.fromkeys(row.email for row in rows))
    first = set(emails[: len(emails) - len(emails) % size])
    return [row for row in rows if row.email in first], [row for row in rows if row.email not in first]


def _no_right(error: DeliveryError) -> DeliveryError:
    """A 403 to one row's reading, right after the account was found good: not a block. It has its own retries."""
    return DeliveryError(
        "The user who connected lacks the right to read this student's contact or deal",
        cause="amocrm_rights",
        status=403,
        params=error.params,
    )


def lesson_of(row: Delivery) -> int | None:
    """The lesson of an event, None when it tells none."""
    value: Any = row.data.get("lesson")
    return value if isinstance(value, int) and not isinstance(value, bool) else None
