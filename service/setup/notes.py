"""What people did on the way of setting up: the lesson they tried, the alert they tested, what they do without."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.shared import KeyValues
from service.setup.steps import AlertTry

WITHOUT = "without:"


class SetupNotes:
    """The owner of the namespace: "trial" {"delivery"}, "alert" {"at", "heard"}, "without:STEP" {"who"}, "finished"
    {"at"}."""

    NAMESPACE = "setup"

    def __init__(self, key_values: KeyValues) -> None:
        self._key_values = key_values

    def trial(self) -> int | None:
        """The delivery that was sent to try."""
        return self._read("trial").get("delivery")

    def put_trial(self, delivery: int) -> None:
        self._key_values.put(self.NAMESPACE, "trial", {"delivery": delivery})

    def alert(self) -> AlertTry | None:
        kept = self._read("alert")
        return AlertTry(float(kept["at"]), bool(kept["heard"])) if kept else None

    def put_alert(self, one: AlertTry) -> None:
        self._key_values.put(self.NAMESPACE, "alert", {"at": one.at, "heard": one.heard})

    def without(self) -> dict[str, str]:
        """By step, who said that it is not wanted."""
        entries = self._key_values.items(self.NAMESPACE).items()
        return {key.removeprefix(WITHOUT): str(entry.value["who"]) for key, entry in entries if key.startswith(WITHOUT)}

    def put_without(self, step: str, who: str) -> None:
        self._key_values.put(self.NAMESPACE, WITHOUT + step, {"who": who})

    def remove_without(self, step: str) -> None:
        self._key_values.delete(self.NAMESPACE, [WITHOUT + step])

    def is_finished(self) -> bool:
        """Whether all was done once: what is wrong since is told as any trouble is."""
        return bool(self._read("finished"))

    def finish(self, at: float) -> None:
        self._key_values.put(self.NAMESPACE, "finished", {"at": at})

    def _read(self, key: str) -> dict[str, int]:
        entry = self._key_values.get(self.NAMESPACE, key)
        return dict(entry.value) if entry is not None and isinstance(entry.value, Mapping) else {}
