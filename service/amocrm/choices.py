"""What people chose on the page: the funnel, where no setting names one, and lesson by lesson the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from outbox.whole_numbers import whole_number

if TYPE_CHECKING:
    from outbox.shared import KeyValues

ON_PAGE = ("AMOCRM_REFRESH_TOKEN", "AMOCRM_PIPELINE_ID")
"""What need not be a setting: pressing Connect does as well, and choosing the funnel on the page."""

NAMESPACE, PREFIX, FUNNEL = "choices", "stage:", "funnel"


@dataclass(frozen=True)
class StageChoice:
    """pipeline_id None: that of the settings. name: the stage's when it was chosen. at: seconds since the epoch."""

    lesson: int
    status_id: int
    pipeline_id: int | None = None
    name: str = ""
    who: str = ""
    at: float = 0.0


@dataclass(frozen=True)
class FunnelChoice:
    """name: the funnel's when it was chosen. at: seconds since the epoch."""

    pipeline_id: int
    name: str = ""
    who: str = ""
    at: float = 0.0


class StageChoices:
    """The owner of the namespace: under "stage:N" {"status_id", "pipeline_id", "name", "who", "at"} of lesson N, under
    "funnel" {"pipeline_id", "name", "who", "at"}."""

    def __init__(self, key_values: KeyValues) -> None:
        self._key_values = key_values

    def all(self) -> dict[int, StageChoice]:
        """By lesson."""
        read = (_read(key, value) for key, value in self.stored().items())
        return {choice.lesson: choice for choice in read if choice is not None}

    def of(self, lesson: int) -> StageChoice | None:
        key = f"{PREFIX}{lesson}"
        entry = self._key_values.get(NAMESPACE, key)
        return _read(key, entry.value) if entry is not None else None

    def put(self, choice: StageChoice) -> None:
        value = {name: getattr(choice, name) for name in ("status_id", "pipeline_id", "name", "who", "at")}
        self._key_values.put(NAMESPACE, f"{PREFIX}{choice.lesson}", value)

    def remove(self, lesson: int) -> None:
        """Back to the setting."""
        self._key_values.delete(NAMESPACE, [f"{PREFIX}{lesson}"])

    def funnel(self) -> FunnelChoice | None:
        """The funnel that was chosen. A setting goes before it: see funnel_id."""
        entry = self._key_values.get(NAMESPACE, FUNNEL)
        value = entry.value if entry is not None else None
        if not isinstance(value, Mapping) or not value.get("pipeline_id"):
            return None
        name, who, at = str(value.get("name") or ""), str(value.get("who") or ""), float(value.get("at") or 0.0)
        return FunnelChoice(int(value["pipeline_id"]), name, who, at)

    def put_funnel(self, choice: FunnelChoice) -> list[int]:
        """-> the lessons whose stage was one of another funnel's: their choice is forgotten, as a deal cannot stand
        there any more."""
        self._key_values.put(NAMESPACE, FUNNEL, asdict(choice))
        lost = [one.lesson for one in self.all().values() if one.pipeline_id not in (None, choice.pipeline_id)]
        self._key_values.delete(NAMESPACE, [f"{PREFIX}{lesson}" for lesson in lost])
        return lost

    def funnel_id(self, setting: int | None) -> int | None:
        """The pipeline whose deals are moved: AMOCRM_PIPELINE_ID, else the one that was chosen. None: neither."""
        if setting is not None:
            return setting
        chosen = self.funnel()
        return chosen.pipeline_id if chosen else None

    def stored(self) -> dict[str, Any]:
        """As they are kept: what changes when any of them does."""
        return {key: entry.value for key, entry in self._key_values.items(NAMESPACE).items()}


def _read(key: str, value: Any) -> StageChoice | None:
    lesson = whole_number(key.removeprefix(PREFIX)) if key.startswith(PREFIX) else None
    if lesson is None or not isinstance(value, Mapping) or not value.get("status_id"):
        return None
    pipeline_id = value.get("pipeline_id")
    return StageChoice(
        lesson,
        int(value["status_id"]),
        int(pipeline_id) if pipeline_id else None,
        str(value.get("name") or ""),
        str(value.get("who") or ""),
        float(value.get("at") or 0.0),
    )
