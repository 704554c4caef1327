"""What a way in is given: nothing from which another machine could be reached, so that no sender ever waits for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from flask import current_app

from outbox.message import NewEvent, Receipt
from service.authentication import ApiKeys
from service.sources.ration import Ration

EXTENSION = "dealpost.sources"


@dataclass(frozen=True)
class SourceContext:
    """accept, accept_each: as in outbox.store.Intake. now, now_at_once: as in outbox.store.Store. account_id: of the
    connected amoCRM account, as it is stored; None while unknown. name_longest: characters that the ERP keeps of a
    record's name; at once: None where the store would have to be asked. lesson_map, webhook_secrets, subdomain: of the
    settings. creations: whether a deal made on a stage may count as a change. unreadable: how many hooks that cannot be
    read are kept. not_kept: counts one that was not."""

    accept: Callable[[Sequence[NewEvent], float], list[Receipt]]
    accept_each: Callable[[Sequence[Sequence[NewEvent]], float], list[list[Receipt] | Exception]]
    now: Callable[[], float]
    now_at_once: Callable[[], float | None]
    keys: ApiKeys
    account_id: Callable[[], int | None]
    name_longest: Callable[[], int]
    name_longest_at_once: Callable[[], int | None]
    lesson_map: Mapping[int, int]
    webhook_secrets: tuple[str, ...]
    subdomain: str
    creations: bool
    unreadable: Ration
    not_kept: Callable[[], None]


def source_context() -> SourceContext:
    """That of the application that is serving the request."""
    return cast(SourceContext, current_app.extensions[EXTENSION])
