"""How long the token endpoint is left alone, as several processes read and write it."""

from __future__ import annotations

import pytest

from outbox.outcome import DeliveryError
from outbox.shared import Entry
from service.amocrm.oauth.backoff import Backoff
from tests.support.key_values import WatchedKeyValues

NOW = 1_800_000_000.0


class ChangingKeyValues(WatchedKeyValues):
    """Another process writes between any two readings. others: what it writes, one after the other."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW)
        self.others: list[Entry | None] = []

    def get(self, namespace: str, key: str) -> Entry | None:
        return self.others.pop(0) if self.others else super().get(namespace, key)


def test_a_failure_that_another_process_notes_meanwhile_breaks_nothing() -> None:
    values = ChangingKeyValues()
    backoff = Backoff(values, lambda: NOW, lambda: 0.0)
    backoff.note(DeliveryError("no answer", cause="amocrm_down"))
    values.others = [None]  # it was not there yet when it was read first
    backoff.respect()
    with pytest.raises(DeliveryError, match="no answer"):
        backoff.respect()
