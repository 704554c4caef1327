"""The account's pipelines and stages, and whether those that the settings name are there and can be used."""

from __future__ import annotations

from collections.abc import Iterator

from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service.amocrm.choices import FunnelChoice, StageChoices
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import Pipeline
from service.amocrm.pipelines import Pipelines, lesson_numbers
from service.checks.check import FAULT, NOTE, OK, Check, failed
from service.current import Dealpost


def checks(dealpost: Dealpost, client: AmocrmClient) -> Iterator[Check]:
    """client: bound to the deadline of whoever asks."""
    settings, pipelines = dealpost.settings.amocrm, dealpost.wiring.amocrm.pipelines.bound(client)
    try:
        every = pipelines.all(max_age=0.0)
    except DeliveryError as error:
        yield failed("AMOCRM_PIPELINE_ID", error)
        return
    for one in every:
        stages = ", ".join(f"{stage.name} ({stage.id})" for stage in one.stages)
        yield Check(_("pipeline %(id)s", id=one.id), OK, f"{_named(one)}: {stages}")
    wanted = pipelines.funnel_id()
    found = next((one for one in every if one.id == wanted), None)
    by = pipelines.choices.funnel() if settings.pipeline_id is None else None
    yield _chosen(wanted, found, by)
    for lesson in lesson_numbers(settings, StageChoices(dealpost.store.key_values).all()):
        yield _stage_of(pipelines, lesson)
    yield from _webhook_stages(pipelines, settings.webhook_stages)


def _named(pipeline: Pipeline) -> str:
    return pipeline.name + (_(" (archived)") if pipeline.is_archive else "")


def _chosen(wanted: int | None, chosen: Pipeline | None, by: FunnelChoice | None) -> Check:
    """by: who chose it on the page; None: the setting."""
    name, mend = "AMOCRM_PIPELINE_ID", _("Choose one on the page, or take one of `flask pipelines`.")
    if chosen is None:
        got = _("not set") if wanted is None else _("amoCRM has no pipeline %(id)s", id=wanted)
        return Check(name, FAULT, got, mend)
    words = f"{chosen.name} ({chosen.id})"
    if chosen.is_archive:
        archived = _("%(name)s is in amoCRM's archive and takes no moves", name=words)
        return Check(name, FAULT, archived, _("Bring it back from the archive in amoCRM, or take another one."))
    if by is not None:
        words += _(", chosen on the page by %(who)s", who=by.who or "?")
    return Check(name, OK, words)


def _stage_of(pipelines: Pipelines, lesson: int) -> Check:
    name, mend = f"AMOCRM_STAGE_LESSON_{lesson}", _("Take one of `flask pipelines`.")
    try:
        target = pipelines.target(lesson)
        pipeline = pipelines.pipeline(target.pipeline_id) if target else None
    except DeliveryError as error:
        return failed(name, error, mend)
    if target is None:
        return Check(name, NOTE, _("no stage: events of lesson %(lesson)s change nothing", lesson=lesson), mend)
    if not target.known:
        words = _("the pipeline %(name)s has no stage %(id)s", name=target.pipeline_name, id=target.status_id)
        return Check(name, FAULT, words, mend)
    if target.incoming:
        words = _("%(name)s is the stage of incoming requests, to which no deal can be moved", name=target.name)
        return Check(name, FAULT, words, mend)
    words = f"{target.name} ({target.status_id})"
    if pipeline is not None and pipeline.is_archive:
        return Check(name, FAULT, _("%(name)s is a stage of an archived pipeline", name=words), mend)
    if target.by != "setting":
        words += _(", chosen on the page by %(who)s", who=target.by)
    return Check(name, OK, words)


def _webhook_stages(pipelines: Pipelines, wanted: tuple[tuple[str, str], ...]) -> Iterator[Check]:
    name = "AMOCRM_WEBHOOK_STAGES"
    if not wanted:
        return
    try:
        unknown = pipelines.unknown(wanted)
    except DeliveryError as error:
        yield failed(name, error)
        return
    shown = [":".join(filter(None, pair)) for pair in (unknown or wanted)]
    if unknown:
        words = _("amoCRM has no stage %(names)s", names=", ".join(shown))
        yield Check(name, FAULT, words, _("Take one of `flask pipelines`."))
    else:
        yield Check(name, OK, ", ".join(shown))
