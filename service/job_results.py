"""What became of each scheduled job the last time, as the worker writes it and the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from outbox.message import Json
from outbox.shared import KeyValues


@dataclass(frozen=True)
class JobResult:
    """outcome: done, waits (for the other side) or failed; "" before the first run. Times are seconds since the epoch.

    detail, params: a code that the page has words for, and the params of those words; for a failure its own words.
    shown: on the page; the others are kept so that one worker knows what another did, and shown only while they fail.
    """

    name: str
    every: float = 0.0
    last_at: float | None = None
    next_at: float | None = None
    outcome: str = ""
    detail: str = ""
    params: Mapping[str, Json] = field(default_factory=dict)
    shown: bool = True


class JobResults:
    """The results by the job's name: the owner of their namespace."""

    NAMESPACE = "jobs"

    def __init__(self, key_values: KeyValues) -> None:
        self._key_values = key_values

    def all(self) -> list[JobResult]:
        """Those that a person should see, most often first."""
        found = [_result(name, entry.value) for name, entry in self._key_values.items(self.NAMESPACE).items()]
        told = [result for result in found if result.shown or result.outcome == "failed"]
        return sorted(told, key=lambda result: (result.every, result.name))

    def get(self, name: str) -> JobResult | None:
        entry = self._key_values.get(self.NAMESPACE, name)
        return _result(name, entry.value) if entry else None

    def put(self, *results: JobResult) -> None:
        values = {result.name: {k: v for k, v in asdict(result).items() if k != "name"} for result in results}
        self._key_values.put_many(self.NAMESPACE, values)

    def foretell(self, name: str, detail: str, now: float) -> None:
        """What the next run will find, told at once by whoever changed it. Nothing while the job is not planned."""
        if kept := self.get(name):
            self.put(replace(kept, last_at=now, outcome="done", detail=detail))


def _result(name: str, value: Mapping[str, Json]) -> JobResult:
    known = {field.name for field in fields(JobResult)} - {"name"}
    return JobResult(name=name, **{key: kept for key, kept in value.items() if key in known})
