"""How far a resend of many has come."""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.wrappers import Response

from outbox.message import Delivery, State
from outbox.queries import Filter
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, destinations
from service.operator.pages.blueprint import back_to, bp, show
from service.operator.pages.standing import of_rows
from service.operator.resends import Resends


@bp.get("/progress/<key>")
def progress(key: str) -> Response | tuple[str, int]:
    """How far a resend has come: "9 of 14"."""
    dealpost = current()
    now = dealpost.store.now()
    ids = Resends(dealpost.store.key_values, dealpost.store.now).delivery_ids(key)
    if ids is None:
        return back_to("pages.deliveries")
    where = Filter(ids=ids)
    counts = dealpost.store.reading.count_states(where)
    left = counts.get(State.PENDING, 0) + counts.get(State.SENDING, 0)
    deliveries = dealpost.store.reading.find(where, 50).rows
    waiting = dealpost.store.reading.find(Filter(ids=ids, states=(State.PENDING,)), 50, oldest_first=True).rows
    return show(
        "progress.html",
        "pages.deliveries",
        live=left > 0,
        total=len(ids),
        finished=len(ids) - left,
        counts=[
            (words.ICONS[state], words.TONES[state], words.states_word(state), count)
            for state, count in counts.items()
            if count
        ],
        left=left,
        then=goes_out(dealpost, waiting, now),
        rows=delivery_row.present(dealpost, deliveries, now),
        waiting_for=sorted({delivery.destination for delivery in deliveries if delivery.state == State.PENDING}),
        paused=dealpost.wiring.pauses(),
        title=lambda name: destinations.title(name, dealpost),
    )


def goes_out(dealpost: Dealpost, waiting: Sequence[Delivery], now: float) -> str:
    """When those go out that wait for more than their turn, a sentence for each destination; "" when none does."""
    said = {}
    standing = of_rows(dealpost, waiting)
    for delivery in waiting:
        one = standing[delivery.id]
        if one.code in words.HELD and delivery.destination not in said:
            title = destinations.title(delivery.destination, dealpost)
            said[delivery.destination] = words.all_go_out(one, now, title)
    return " ".join(said.values())
