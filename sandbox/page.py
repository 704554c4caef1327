"""The sandbox's page: deals on their stages, the ERP's records, the last requests."""

import time
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.world import World

STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem;color:#1d2733;background:#f4f6f8}
h1{font-size:1.3rem}h2{font-size:1.05rem;margin:1.6rem 0 .5rem}
.board{display:flex;gap:.6rem;overflow-x:auto;align-items:flex-start}
.stage{flex:0 0 11rem;background:#e6ebf0;border-radius:.4rem;padding:.5rem}
.stage h3{font-size:.85rem;margin:0 0 .4rem}.deal{background:#fff;border-radius:.3rem;padding:.4rem;margin:.3rem 0}
.deal small,td small{color:#5b6775}table{border-collapse:collapse;width:100%;background:#fff}
td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #e0e5ea;vertical-align:top}
code{font-size:.85em;word-break:break-all}.bad{color:#a3271f}
@media(prefers-color-scheme:dark){body{background:#161b21;color:#dde3ea}.stage{background:#222a33}
.deal,table{background:#2b343f}td,th{border-color:#39434f}.deal small,td small{color:#9aa6b3}.bad{color:#ff8a80}}
"""
MOST_DEALS, MOST_ROWS = 12, 25


def render(world: "World") -> str:
    with world.lock:
        return (
            "<!doctype html><html lang=ru><head><meta charset=utf-8><meta http-equiv=refresh content=3>"
            "<meta name=viewport content='width=device-width'><title>Песочница</title>"
            f"<style>{STYLE}</style></head><body><h1>Песочница: amoCRM и Руководитель</h1>"
            f"{_boards(world)}{_records(world)}{_requests(world)}</body></html>"
        )


def _boards(world: "World") -> str:
    account = world.account
    parts = []
    for pipeline in account.pipelines.values():
        columns = []
        for stage in pipeline.in_order():
            deals = [
                deal
                for deal in account.deals.values()
                if (deal.pipeline_id, deal.status_id) == (pipeline.id, stage.id) and not deal.is_deleted
            ]
            deals.sort(key=lambda deal: -deal.updated_at)
            cards = []
            for deal in deals[:MOST_DEALS]:
                people = [account.contacts[number] for number in deal.contact_ids]
                mails = ", ".join(mail for one in people for mail in one.emails)
                cards.append(
                    f"<div class=deal>{escape(deal.name or str(deal.id))}<br><small>{deal.price:g} ₽, №{deal.id}<br>"
                    f"{escape(mails)}</small></div>"
                )
            more = f"<small>и ещё {len(deals) - MOST_DEALS}</small>" if len(deals) > MOST_DEALS else ""
            title = f"{escape(stage.name)} ({len(deals)})"
            columns.append(f"<div class=stage><h3>{title}</h3>{''.join(cards)}{more}</div>")
        parts.append(f"<h2>{escape(pipeline.name)}</h2><div class=board>{''.join(columns)}</div>")
    return "".join(parts)


def _records(world: "World") -> str:
    parts = []
    for entity in world.erp.entities.values():
        rows = world.erp.records(entity.id)
        head = "".join(
            f"<th>{escape(field.name)}<br><small>field_{field.id}</small>" for field in entity.fields.values()
        )
        body = "".join(
            f"<tr><td>{row['id']}<td>{row['date_added']}"
            + "".join(f"<td>{escape(row[number])}" for number in entity.fields)
            for row in rows[: -MOST_ROWS - 1 : -1]
        )
        parts.append(
            f"<h2>{escape(entity.name)}: записи в ERP ({len(rows)})</h2>"
            f"<table><tr><th>id<th>Добавлено{head}{body}</table>"
        )
    return "".join(parts)


def _requests(world: "World") -> str:
    entries = world.log.entries()
    lines = []
    for entry in entries[: -MOST_ROWS - 1 : -1]:
        moment = time.strftime("%H:%M:%S", time.localtime(entry.ts))
        status = "ждёт" if entry.status is None else str(entry.status or "обрыв")
        mark = " class=bad" if entry.status is not None and (entry.status == 0 or entry.status >= 400) else ""
        query = f"?{entry.query}" if entry.query else ""
        lines.append(
            f"<tr><td>{moment}<td>{entry.part}<td>{entry.method} <code>{escape(entry.path + query)}</code>"
            f"<td{mark}>{status}<td><small>{entry.ms:.0f} мс {escape(entry.fault)}</small>"
        )
    most = world.log.max_in_window(part="amocrm") if len(entries) < 20_000 else 0
    note = f", не больше {most} за секунду к amoCRM" if most else ""
    return f"<h2>Последние запросы (всего {len(entries)}{note})</h2><table>{''.join(lines)}</table>"
