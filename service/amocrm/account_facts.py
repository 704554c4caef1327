"""What is remembered of the account, so that it need not be asked again: pipelines, filters, how far it was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox.clock import was_before
from service.amocrm.payloads import Pipeline, Stage

if TYPE_CHECKING:
    from outbox.shared import Entry, KeyValues

NAMESPACE = "account"
DAY = 24 * 3600.0
NAMES_KEPT = 2000


class AccountFacts:
    """The owner of the namespace. Ages in seconds."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values = key_values
        self._now = now
        self._read: tuple[Any, tuple[Pipeline, ...]] = (None, ())  # the list as it was kept, and what it says

    def pipelines(self, max_age: float = float("inf")) -> tuple[Pipeline, ...] | None:
        """As they were read last; None: never, or longer ago."""
        entry = self._key_values.get(NAMESPACE, "pipelines")
        if entry is None or not isinstance(entry.value, list) or self._age(entry) > max_age:
            return None
        kept, pipelines = self._read
        if kept != entry.value:  # asked for with each delivery, and seldom another
            found = (Pipeline(**{**row, "stages": tuple(Stage(**one) for one in row["stages"])}) for row in entry.value)
            pipelines = tuple(found)
            self._read = entry.value, pipelines
        return pipelines

    def pipelines_age(self) -> float:
        """inf: never read, or the clock was set back since."""
        return self._age(self._key_values.get(NAMESPACE, "pipelines"))

    def _age(self, entry: Entry | None) -> float:
        age = self._now() - entry.updated_at if entry else float("inf")
        return age if age >= -60 else float("inf")

    def keep_pipelines(self, pipelines: Sequence[Pipeline]) -> None:
        self._key_values.put(NAMESPACE, "pipelines", [asdict(pipeline) for pipeline in pipelines])
        before = self._stage_names()
        # The newest last: of too many the oldest go.
        names = {**before, **{str(stage.id): stage.name for one in pipelines for stage in one.stages}}
        if names != before:
            self._key_values.put(NAMESPACE, "stage_names", dict(list(names.items())[-NAMES_KEPT:]))

    def stage_name(self, status_id: int) -> str:
        """As it was called when it was last seen, also of a stage that is gone since; "": never seen."""
        return str(self._stage_names().get(str(status_id), ""))

    def _stage_names(self) -> dict[str, str]:
        entry = self._key_values.get(NAMESPACE, "stage_names")
        return dict(entry.value) if entry is not None else {}

    def forget_pipelines(self) -> None:
        self._key_values.delete(NAMESPACE, ["pipelines"])

    def heeds_filters(self) -> bool | None:
        """Whether the account heeds the filters of lists; None: not known from the last day."""
        entry = self._key_values.get(NAMESPACE, "filters")
        if entry is None or not was_before(entry.updated_at, self._now(), DAY):
            return None
        return bool(entry.value.get("enabled", True))

    def keep_filters(self, heeded: bool) -> None:
        self._key_values.put(NAMESPACE, "filters", {"enabled": heeded})

    def searches(self) -> tuple[float, int]:
        """(since when searches for an e-mail are counted, how many there were)."""
        entry = self._key_values.get(NAMESPACE, "searches")
        return (float(entry.value["since"]), int(entry.value["count"])) if entry is not None else (0.0, 0)

    def keep_searches(self, since: float, count: int) -> None:
        self._key_values.put(NAMESPACE, "searches", {"since": since, "count": count})

    def hook_registered(self) -> float | None:
        """When we last registered the webhook; None: never."""
        entry = self._key_values.get(NAMESPACE, "hook")
        return float(entry.value["at"]) if entry is not None else None

    def keep_hook_registered(self) -> None:
        self._key_values.put(NAMESPACE, "hook", {"at": self._now()})

    def scan(self) -> dict[str, Any]:
        """How far the open deals were read by the page: see destinations/deals/prefetch.py. {}: never."""
        entry = self._key_values.get(NAMESPACE, "pages")
        return dict(entry.value) if entry is not None else {}

    def keep_scan(self, state: dict[str, Any]) -> None:
        self._key_values.put(NAMESPACE, "pages", state)
