"""Each lesson's stage, as far as it is known without asking amoCRM: a choice on the page, else the setting. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.amocrm.choices import StageChoice
from service.amocrm.payloads import Pipeline
from service.amocrm.pipelines import lesson_numbers, stages_for, wish_for
from service.config import Amocrm


@dataclass(frozen=True)
class LessonStage:
    """One lesson's stage. on_platform: its ids there. state: there, gone, ambiguous (several
    stages bear the name), unset or unknown (no list yet)."""

    lesson: int
    on_platform: tuple[int, ...]
    status_id: int | None
    name: str
    state: str
    by: str  # who chose it on the page; "": the setting
    setting: str


def lesson_stages(
    settings: Amocrm, choices: Mapping[int, StageChoice], pipelines: Sequence[Pipeline], funnel_id: int | None
) -> list[LessonStage]:
    """Of all lessons that are set up, by number. funnel_id: of the funnel that is set or chosen."""
    numbers = lesson_numbers(settings, dict(choices))
    return [lesson_stage(settings, lesson, choices.get(lesson), pipelines, funnel_id) for lesson in numbers]


def lesson_stage(
    settings: Amocrm,
    lesson: int,
    choice: StageChoice | None,
    pipelines: Sequence[Pipeline],
    funnel_id: int | None,
) -> LessonStage:
    wish = wish_for(lesson, settings, choice, funnel_id)
    pipeline = next((one for one in pipelines if wish is not None and one.id == wish.pipeline_id), None)
    fits = stages_for(pipeline, wish) if pipeline and wish else ()
    if wish is None:
        state = "unset"
    elif pipeline is None:
        state = "unknown"
    else:
        state = {0: "gone", 1: "there"}.get(len(fits), "ambiguous")
    stage = fits[0] if len(fits) == 1 else None
    status_id = wish.status_id if wish else None
    name = choice.name if choice else wish.name if wish and wish.status_id is None else ""
    return LessonStage(
        lesson,
        tuple(own for own, mapped in settings.lesson_map.items() if mapped == lesson),
        stage.id if stage else status_id,
        stage.name if stage else name,
        state,
        (choice.who or "?") if choice else "",
        settings.stages.get(lesson, "").strip(),
    )
