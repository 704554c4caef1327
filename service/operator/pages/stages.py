"""Pipelines and stages as last read from amoCRM, and each lesson's stage: a choice made here, else the setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.current import Dealpost

CLOSED = (142, 143)


@dataclass(frozen=True)
class Stage:
    id: int
    name: str
    sort: int = 0
    type: int = 0


@dataclass(frozen=True)
class Pipeline:
    id: int
    name: str
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """One lesson's stage. on_platform: its ids there. state: there, gone, unset or unknown (no list yet)."""

    lesson: int
    on_platform: tuple[int, ...]
    status_id: int | None
    name: str
    state: str
    by: str  # who chose it on the page; "": the setting
    setting: str


def known(dealpost: Dealpost) -> tuple[Pipeline, ...]:
    """Without asking amoCRM."""
    entry = dealpost.store.key_values.get("account", "pipelines")
    listed = entry.value if entry and isinstance(entry.value, list) else []
    return tuple(
        Pipeline(
            int(one["id"]),
            str(one.get("name") or ""),
            tuple(
                Stage(
                    int(stage["id"]),
                    str(stage.get("name") or ""),
                    int(stage.get("sort") or 0),
                    int(stage.get("type") or 0),
                )
                for stage in one.get("stages") or ()
            ),
        )
        for one in listed
        if isinstance(one, Mapping)
    )


def ours(dealpost: Dealpost) -> Pipeline | None:
    """The pipeline whose deals we move."""
    wanted = dealpost.settings.amocrm.pipeline_id
    return next((one for one in known(dealpost) if one.id == wanted), None)


def name_of(dealpost: Dealpost, status_id: Any, pipeline_id: Any = None) -> str:
    """A stage's name, "" while it is not known. 142 and 143 bear another name in each pipeline."""
    for pipeline in known(dealpost):
        if pipeline_id in (None, pipeline.id) or status_id not in CLOSED:
            for stage in pipeline.stages:
                if stage.id == status_id:
                    return stage.name
    return ""


def settable(pipeline: Pipeline | None) -> tuple[Stage, ...]:
    """The stages that a request can set: not the incoming one, not the lost one."""
    return tuple(one for one in pipeline.stages if one.type != 1 and one.id != 143) if pipeline else ()


def lessons(dealpost: Dealpost) -> list[Lesson]:
    settings, pipeline = dealpost.settings.amocrm, ours(dealpost)
    chosen = {
        int(key.partition(":")[2]): entry.value
        for key, entry in dealpost.store.key_values.items("choices").items()
        if key.startswith("stage:") and key.partition(":")[2].isdigit() and isinstance(entry.value, Mapping)
    }
    numbers = sorted({*settings.stages, *settings.lesson_map.values(), *chosen})
    return [_lesson(dealpost, one, chosen.get(one), pipeline) for one in numbers]


def _lesson(dealpost: Dealpost, lesson: int, choice: Mapping[str, Any] | None, pipeline: Pipeline | None) -> Lesson:
    settings = dealpost.settings.amocrm
    setting = settings.stages.get(lesson, "").strip()
    on_platform = tuple(own for own, mapped in settings.lesson_map.items() if mapped == lesson)
    by, status_id, text = "", None, setting
    if choice and choice.get("status_id"):
        by, status_id, text = str(choice.get("who") or "?"), int(choice["status_id"]), str(choice.get("name") or "")
    elif setting.isascii() and setting.isdigit():
        status_id, text = int(setting), ""
    found = _stage(pipeline, status_id, text)
    if status_id is None and not text:
        state = "unset"
    elif pipeline is None:
        state = "unknown"
    else:
        state = "there" if found else "gone"
    name = found.name if found else text
    return Lesson(lesson, on_platform, found.id if found else status_id, name, state, by, setting)


def _stage(pipeline: Pipeline | None, status_id: int | None, text: str) -> Stage | None:
    for one in pipeline.stages if pipeline else ():
        if one.id == status_id or (status_id is None and text and _plain(one.name) == _plain(text)):
            return one
    return None


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def choose(dealpost: Dealpost, lesson: int, status_id: int, who: str) -> Stage | None:
    """Store an operator's choice; None: the pipeline has no such stage. It goes before the setting."""
    pipeline = ours(dealpost)
    stage = next((one for one in settable(pipeline) if one.id == status_id), None)
    if stage is None or pipeline is None:
        return None
    value = {
        "status_id": stage.id,
        "pipeline_id": pipeline.id,
        "name": stage.name,
        "who": who,
        "at": dealpost.store.now(),
    }
    dealpost.store.key_values.put("choices", f"stage:{lesson}", value)
    dealpost.store.operations.log_action(
        who, "choose_stage", 1, {"lesson": lesson, "stage": stage.name, "status_id": stage.id}
    )
    return stage


def unchoose(dealpost: Dealpost, lesson: int, who: str) -> None:
    """Back to the setting."""
    dealpost.store.key_values.delete("choices", [f"stage:{lesson}"])
    dealpost.store.operations.log_action(who, "choose_stage", 1, {"lesson": lesson, "stage": ""})
