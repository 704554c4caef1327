"""Pipelines and stages: which stage a lesson means, and which of two stages is further.

Reference: https://www.amocrm.ru/developers/content/crm_platform/leads_pipelines
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox.outcome import DeliveryError, PauseKind
from outbox.whole_numbers import whole_number
from service.amocrm.account_facts import AccountFacts
from service.amocrm.choices import StageChoice, StageChoices
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import Pipeline, Stage, place
from service.config import Amocrm

if TYPE_CHECKING:
    from outbox.shared import KeyValues

FRESH = 600.0
"""Seconds for which the list is taken as it is where many deals are moved at a time."""

QUIET = 3600.0
"""And where few are: one more request in the hour, so that a single event costs three."""

AGAIN = 5.0
"""A list younger than this is not read again for a stage that it lacks."""


@dataclass(frozen=True)
class Target:
    """The stage that a lesson means. known: whether amoCRM has it. incoming: no request can set it. by: "setting", or
    the name of who chose it."""

    lesson: int
    pipeline_id: int
    pipeline_name: str
    status_id: int
    name: str
    known: bool = True
    incoming: bool = False
    by: str = "setting"


@dataclass(frozen=True)
class Wish:
    """What somebody wants for a lesson: a stage's id, a name ("": by the id alone), or a text that may be either. by:
    as in Target."""

    lesson: int
    status_id: int | None
    name: str
    pipeline_id: int | None
    by: str


class Pipelines:
    """The account's pipelines, as they were read last.

    The funnel is AMOCRM_PIPELINE_ID before the operator's choice, which is for where nobody can edit settings; a
    lesson's stage is the operator's choice before AMOCRM_STAGE_LESSON_N. Every method may read the list from amoCRM
    and raise DeliveryError.
    """

    def __init__(self, settings: Amocrm, client: AmocrmClient, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._settings = settings
        self._client = client
        self._facts = AccountFacts(key_values, now)
        self.choices = StageChoices(key_values)

    def bound(self, client: AmocrmClient) -> Pipelines:
        """The same, asking through this client."""
        other = copy.copy(self)
        other._client = client
        return other

    def funnel_id(self) -> int | None:
        """The pipeline whose deals are moved: set or chosen; None: neither."""
        return self.choices.funnel_id(self._settings.pipeline_id)

    def within(self, deadline: float) -> Pipelines:
        """The same, for somebody who waits: all its questions together take at most so many seconds from now."""
        return self.bound(self._client.bound(deadline=deadline))

    def all(self, max_age: float = QUIET) -> tuple[Pipeline, ...]:
        """All pipelines, not older than max_age seconds."""
        kept = self._facts.pipelines(max_age)
        if kept is not None:
            return kept
        found = self._client.pipelines()
        if not found:  # every account has one
            raise DeliveryError(
                "amoCRM answered with no pipeline at all; we try again by ourselves",
                cause="amocrm_unreadable",
                outage=True,
                params={"detail": "no pipelines"},
            )
        self._facts.keep_pipelines(found)
        return found

    def target(self, lesson: int, max_age: float = QUIET) -> Target | None:
        """The stage for this lesson, None when there is none. Raises DeliveryError (a pause until settings change) for
        a name that two stages bear or none, and for a pipeline that is gone or archived."""
        wish = wish_for(lesson, self._settings, self.choices.of(lesson), self.funnel_id())
        if wish is None:
            return None
        status_id, pipeline_id = wish.status_id, wish.pipeline_id
        if pipeline_id is None:
            raise self._settings_error("No funnel is set or chosen", "amocrm_not_set_up", missing="AMOCRM_PIPELINE_ID")
        pipeline = self._pipeline(pipeline_id, max_age)
        stage = self._stage(pipeline, wish)
        if (stage is None or pipeline.is_archive) and self._facts.pipelines_age() > AGAIN:
            pipeline = self._pipeline(pipeline_id, AGAIN)  # it may be newer than our list
            stage = self._stage(pipeline, wish)
        if pipeline.is_archive:
            raise self.archived(pipeline)
        if stage is not None:
            return Target(
                lesson, pipeline.id, pipeline.name, stage.id, stage.name, incoming=stage.type == 1, by=wish.by
            )
        if status_id is None:
            raise self._settings_error(
                f"No stage of the pipeline {pipeline.name!r} is named {wish.name!r} (lesson {lesson})",
                "stage_deleted",
                lesson=lesson,
            )
        # Only amoCRM's answer to a row's own write kills it, so an id is tried even though the list lacks it.
        name = self._facts.stage_name(status_id) or f"stage {status_id}"
        return Target(lesson, pipeline.id, pipeline.name, status_id, name, known=False, by=wish.by)

    def pipeline(self, pipeline_id: int, status_id: int | None = None, max_age: float = QUIET) -> Pipeline | None:
        """The pipeline, read again when it, or this status of it, is unknown. None: amoCRM has none of this id."""
        for age in (max_age, AGAIN):
            found = next((one for one in self.all(age) if one.id == pipeline_id), None)
            if found is not None and (status_id is None or found.stage(status_id) is not None):
                return found
        return found

    def name_of(self, pipeline_id: int | None, status_id: int | None) -> str:
        """The stage's name out of what is known without asking, else its id as text."""
        pipeline = next((one for one in self._facts.pipelines() or () if one.id == pipeline_id), None)
        stage = pipeline.stage(status_id) if pipeline and status_id is not None else None
        return stage.name if stage else "" if status_id is None else str(status_id)

    def names(self, pipeline_id: int, status_id: int) -> tuple[str, str]:
        """The names of a pipeline and of its stage, "" where amoCRM has none of this id."""
        pipeline = self.pipeline(pipeline_id, status_id)
        stage = pipeline.stage(status_id) if pipeline else None
        return (pipeline.name if pipeline else "", stage.name if stage else "")

    def is_wanted(self, pipeline_id: int, status_id: int, wanted: Sequence[tuple[str, str]]) -> bool:
        """Whether a stage is among (pipeline or "", stage) pairs of ids or names, as in AMOCRM_WEBHOOK_STAGES."""
        if not wanted:
            return True
        pipeline = self.pipeline(pipeline_id, status_id)
        stage = pipeline.stage(status_id) if pipeline else None
        own = (str(pipeline_id), _plain(pipeline.name if pipeline else ""))
        there = (str(status_id), _plain(stage.name if stage else ""))
        return any((not one or _plain(one) in own) and _plain(two) in there for one, two in wanted)

    def unknown(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of such pairs that no stage of the account fits."""
        places = [(one.id, stage.id) for one in self.all(AGAIN) for stage in one.stages]
        return [pair for pair in wanted if not any(self.is_wanted(*place, [pair]) for place in places)]

    def forget(self) -> None:
        """Read the list anew at the next question."""
        self._facts.forget_pipelines()

    def _pipeline(self, pipeline_id: int, max_age: float) -> Pipeline:
        found = self.pipeline(pipeline_id, max_age=max_age)
        if found is None:
            raise self._settings_error(
                f"amoCRM has no pipeline {pipeline_id}: choose one that exists (flask pipelines)", "pipeline_gone"
            )
        return found

    def _stage(self, pipeline: Pipeline, wish: Wish) -> Stage | None:
        fits = stages_for(pipeline, wish)
        if len(fits) > 1:
            both = ", ".join(f"{stage.name!r} ({stage.id})" for stage in fits)
            raise self._settings_error(
                f"AMOCRM_STAGE_LESSON_{wish.lesson}: {wish.name!r} is the name of {both}; "
                "set the id of the one that is meant",
                "stage_ambiguous",
                lesson=wish.lesson,
                stages=both,
            )
        return fits[0] if fits else None

    def archived(self, pipeline: Pipeline) -> DeliveryError:
        """The error of a funnel that takes no moves."""
        message = f"The pipeline {pipeline.name!r} is archived: it takes no moves until it is brought back"
        return self._settings_error(message, "pipeline_archived", pipeline=pipeline.name)

    def _settings_error(self, message: str, cause: str, **params: Any) -> DeliveryError:
        return DeliveryError(message, cause=cause, pause=PauseKind.SETTINGS, params=params)


def lesson_numbers(settings: Amocrm, choices: Iterable[int]) -> list[int]:
    """Every lesson that a setting or somebody's choice names."""
    return sorted({*settings.stages, *settings.lesson_map.values(), *choices})


def wish_for(lesson: int, settings: Amocrm, choice: StageChoice | None, funnel_id: int | None) -> Wish | None:
    """The stage that was chosen or set for this lesson; None: neither. A setting is an id or a name; one of digits may
    be either. funnel_id: of the funnel that is set or chosen."""
    if choice is not None:
        return Wish(lesson, choice.status_id, "", choice.pipeline_id or funnel_id, choice.who)
    text = settings.stages.get(lesson, "").strip()
    if not text:
        return None
    return Wish(lesson, whole_number(text), text, funnel_id, "setting")


def stages_for(pipeline: Pipeline, wish: Wish) -> tuple[Stage, ...]:
    """The stages that a wish can mean: that of its id, or else all that bear its name. More than one: it is not known
    which."""
    if wish.status_id is not None and (stage := pipeline.stage(wish.status_id)) is not None:
        return (stage,)
    return tuple(stage for stage in pipeline.stages if wish.name and _plain(stage.name) == _plain(wish.name))


def is_further(pipeline: Pipeline, one: int, other: int) -> bool | None:
    """Whether the stage `one` comes after the stage `other`; None when the pipeline lacks either."""
    first, second = pipeline.stage(one), pipeline.stage(other)
    return None if first is None or second is None else place(first) > place(second)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
