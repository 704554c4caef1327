"""Writing stages in batches: a refusal takes down only the rows at fault, a lost answer is looked up, not guessed.

Reference: https://www.amocrm.ru/developers/content/crm_platform/leads-api#leads-edit
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox.message import Delivery
from outbox.outcome import DeliveryError
from service.amocrm.client import Rejected
from service.amocrm.errors import Refused
from service.amocrm.pace_store import PaceStore
from service.amocrm.payloads import Lead
from service.amocrm.pipelines import Target
from service.amocrm.stage_changes.own import OwnChange, OwnChanges
from service.destinations.deals.attempt_log import ExchangeRecorder
from service.destinations.deals.forbidden import Quarantine

if TYPE_CHECKING:
    from outbox.outcome import DeliveryContext
    from outbox.shared import KeyValues

SMALLER_FOR = 3600.0
"""Seconds until batches that lost their answer grow back to their full size."""

SERIES = 5
"""So many refusals running for one cause end the pass: the outbox decides whether to go on."""

LOST = 3
"""Lost answers in one pass after which what is left waits for its own retry."""


@dataclass(frozen=True)
class Move:
    """One deal to be put on one stage, for one delivery. lead: as it was read last."""

    row: Delivery
    lead: Lead
    target: Target


@dataclass(frozen=True)
class Fault:
    """A move that amoCRM refused, and why in its words. status: of the answer. rights: error 244 or a 403."""

    move: Move
    detail: str
    status: int | None
    rights: bool = False


@dataclass
class Written:
    """What became of a round: done (amoCRM has it), refused, and failed (the row's own retry). Moves whose deal was
    changed by somebody meanwhile are in `again`: they have to be judged anew."""

    done: list[Move]
    refused: list[Fault]
    failed: list[tuple[Move, DeliveryError]]
    again: list[Move]


class Writer:
    """Writes one round of moves of different deals. Not shared between passes.

    batch: how many at most in a request. alone: delivery ids that go alone, since a batch with them got a 403.
    """

    def __init__(
        self,
        own_changes: OwnChanges,
        key_values: KeyValues,
        now: Callable[[], float],
        context: DeliveryContext,
        recorder: ExchangeRecorder,
        batch: int,
        quarantine: Quarantine,
        alone: frozenset[int],
    ) -> None:
        self._own_changes = own_changes
        self._store = PaceStore(key_values)
        self._now = now
        self._context = context
        self._recorder = recorder
        self._batch = batch
        self._quarantine = quarantine
        self._alone = alone
        self._lost = 0
        self._doubted: set[int] = set()  # the batch that was refused last, and then sent once more
        self._asked = False  # whether the account was found good
        self._blind = 0  # refused alone, without having been named in a batch

    def chunks(self, moves: Sequence[Move]) -> list[list[Move]]:
        """The batches of a round: full ones first, then the quarantine one by one."""
        size = self._size()
        good = [move for move in moves if move.row.id not in self._alone]
        parts = [list(good[start : start + size]) for start in range(0, len(good), size)]
        return parts + [[move] for move in moves if move.row.id in self._alone]

    def write(self, chunk: Sequence[Move]) -> Written:
        """PATCH these, in as many requests as it takes. Raises DeliveryError where all of the account is concerned."""
        written = Written([], [], [], [])
        queue = [list(chunk)]
        # Where one after the other is refused alone and none goes through, to go on would only cost requests.
        while queue and (self._blind < SERIES or written.done):
            part = queue.pop(0)
            if part:
                queue[:0] = self._send(part, written)
        return written

    def _send(self, part: list[Move], written: Written) -> list[list[Move]]:
        """One request. -> what has to be sent after it."""
        self._context.begin([move.row.id for move in part])
        self._own_changes.keep({move.lead.id: self._echo(move, sure=False) for move in part})
        changes = [change_of(move) for move in part]
        try:
            client = self._recorder.writing([(move.row.id, change) for move, change in zip(part, changes, strict=True)])
            confirmed = client.patch_leads(changes)
        except Rejected as rejected:
            return self._rejected(part, rejected, rejected.refused, written)
        except DeliveryError as error:
            return self._failed(part, error, written)
        self._confirm(part, confirmed, written)
        return []

    def _failed(self, part: list[Move], error: DeliveryError, written: Written) -> list[list[Move]]:
        if error.pause is None and not error.outage and error.status in (403, 404):
            # In amoCRM's own words: it passes, or a right to one of these deals is missing, or one is gone; if the
            # account is there.
            ids = {move.row.id for move in part}
            if not ids <= self._doubted:
                self._doubted = ids
                return [part]
            self._ask_account(part)
            return self._rejected(part, error, Refused(str(error.params.get("detail") or "")), written)
        if error.status == 403 and error.cause == "amocrm_forbidden":
            if len(part) == 1 and part[0].row.id in self._alone:
                # The account was asked and is good: it is this deal's request that somebody on the way refuses.
                self._quarantine.clear([part[0].row.id])
                message = "This deal's change was refused with 403, while the account answers; we try again"
                written.failed.append((part[0], DeliveryError(message, cause="amocrm_rights", status=403)))
                return []
            self._quarantine.add(move.row.id for move in part)
            raise error
        if error.pause is not None or (error.outage and error.params.get("acted") is False):
            raise error
        if error.outage:
            return self._lost_answer(part, error, written)
        if len(part) > 1:
            return self._rejected(part, error, Refused(error.message), written)
        written.failed.append((part[0], error))
        return []

    def _ask_account(self, part: Sequence[Move]) -> None:
        """Once a pass. Raises DeliveryError where all of the account is refused."""
        if not self._asked:
            self._recorder.reading([move.row for move in part]).account()
            self._asked = True

    def _rejected(self, part: list[Move], error: DeliveryError, refused: Refused, written: Written) -> list[list[Move]]:
        """Whether the good rows of a refused batch were applied is not documented. To send them again is harmless: the
        same stage again is no change."""
        rights = error.cause == "amocrm_rights"  # error 244, or a 403
        faulty = [(move, text) for move in part if (text := _named(move, refused)) is not None]
        if not faulty and len(part) == 1:
            self._blind += 1
            faulty = [(part[0], refused.detail)]
        if faulty:
            written.refused += [Fault(move, text or refused.detail, error.status, rights) for move, text in faulty]
            ids = {move.row.id for move, _ in faulty}
            return [[move for move in part if move.row.id not in ids]]
        middle = len(part) // 2
        return [part[:middle], part[middle:]]

    def _lost_answer(self, part: list[Move], error: DeliveryError, written: Written) -> list[list[Move]]:
        """A 5xx, a timeout, a broken connection, something unreadable: amoCRM may have acted. So: read again."""
        self._lost += 1
        self._shrink(len(part))
        missing = self._look(part, written)
        if len(part) == 1 or self._lost >= LOST:
            written.failed += [(move, error) for move in missing]
            return []
        size = self._size()
        return [missing[start : start + size] for start in range(0, len(missing), size)]

    def _confirm(self, part: list[Move], confirmed: set[int], written: Written) -> None:
        good = [move for move in part if move.lead.id in confirmed]
        self._done(good, written)
        doubtful = [move for move in part if move.lead.id not in confirmed]
        if doubtful:
            for move in self._look(doubtful, written):
                message = "amoCRM accepted the change, but the deal is where it was; we try again by ourselves"
                error = DeliveryError(message, cause="amocrm_unreadable", params={"detail": "not confirmed"})
                written.failed.append((move, error))

    def _look(self, part: Sequence[Move], written: Written) -> list[Move]:
        """Read the deals: those on their stage are done, those that somebody else changed are judged again, and those
        that are as they were are returned."""
        leads = self._recorder.reading([move.row for move in part]).leads([move.lead.id for move in part])
        missing: list[Move] = []
        arrived: list[Move] = []
        for move in part:
            lead = leads.get(move.lead.id)
            place = (lead.pipeline_id, lead.status_id) if lead and not lead.is_deleted else None
            if place == (move.target.pipeline_id, move.target.status_id):
                arrived.append(move)
            elif move.lead.id in leads.unread or place == (move.lead.pipeline_id, move.lead.status_id):
                missing.append(move)
            else:
                written.again.append(move)
        self._done(arrived, written)
        return missing

    def _done(self, moves: Sequence[Move], written: Written) -> None:
        if self._alone:
            self._quarantine.clear(move.row.id for move in moves)
        self._own_changes.keep({move.lead.id: self._echo(move, sure=True) for move in moves})
        written.done += moves

    def _echo(self, move: Move, sure: bool) -> OwnChange:
        target = move.target
        return OwnChange(target.status_id, move.lead.status_id, target.pipeline_id, self._now(), move.row.id, sure)

    def _size(self) -> int:
        shrunk = self._store.batch_size()
        if shrunk is None or not 0 <= self._now() - shrunk[1] < SMALLER_FOR:
            return self._batch
        return max(1, min(self._batch, shrunk[0]))

    def _shrink(self, sent: int) -> None:
        self._store.keep_batch_size(max(1, min(sent, self._size()) // 2))


def change_of(move: Move) -> dict[str, Any]:
    """The row of a PATCH: only what changes, and always with the pipeline, since 142 and 143 are in each of them."""
    target = move.target
    return {
        "id": move.lead.id,
        "status_id": target.status_id,
        "pipeline_id": target.pipeline_id,
        "request_id": str(move.row.id),
    }


def _named(move: Move, refused: Refused) -> str | None:
    """What a refusal says of this move; None: nothing."""
    by_request: Mapping[str, str] = refused.by_request
    if str(move.row.id) in by_request:
        return by_request[str(move.row.id)]
    return refused.by_entity.get(move.lead.id)
