"""A school's launch: 10,000 students finish a lesson, amoCRM lets 7 requests a second through, a worker is killed.

`python -m benchmarks.launch_evening`; all figures are from the sandbox's own log of requests. Exits 1 when one misses
its mark.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import requests

from benchmarks._workers import LIMIT, RPS, Workers
from sandbox import Sandbox, defaults

FIRST, NEXT = 0.03, 0.024
"""The marks: amoCRM requests per event for students unknown so far, and for the same students' next lesson. The second
is the least that the API allows, so that with odd answers mixed in it is that and what they take by themselves."""

AT_ONCE = 250
"""Contacts or deals that amoCRM gives in one request."""

ODD: dict[str, dict[str, Any]] = {
    "bulk_slow": {"seconds": 20.0, "count": 2},
    "unauthorized": {"count": 2, "fraction": 0.1},
    "deal_204": {"count": 2, "fraction": 0.1, "query": "filter["},
    "deal_404": {"count": 2, "fraction": 0.1, "query": "filter["},
    "deal_forbidden": {"count": 2, "fraction": 0.1, "query": "filter["},
}
"""Presets of the sandbox that each lesson begins with: mixed in, among good answers, and to lists of deals only. Eight
running to the list of funnels would be an outage, which is waited out."""


@dataclass(frozen=True)
class Round:
    """One lesson: amoCRM requests, those of them that were answered oddly, renewals of access, and seconds from the
    first event to the last delivery."""

    requests: int
    odd: int
    renewals: int
    seconds: float

    def least(self, lists: int, students: int, batch: int) -> int:
        """The requests that had to be: so many lists of all students, the writes, each odd answer and each renewal."""
        return lists * math.ceil(students / AT_ONCE) + math.ceil(students / batch) + self.odd + self.renewals


def round_of(workers: Workers, sandbox: Sandbox, emails: list[str], lesson: int, kill: bool, odd: bool) -> Round:
    for preset, options in ODD.items() if odd else ():
        sandbox.faults.preset(preset, **options)
    since = max((entry.number for entry in sandbox.log.entries()), default=0)
    done = workers.delivered()
    start = time.monotonic()
    workers.lessons(emails, lesson)
    if kill:
        workers.wait_for(done + len(emails) // 3, within=300)
        workers.processes[0].kill()
        workers.processes[0].wait()
    workers.wait_for(done + len(emails), within=600)
    seconds = time.monotonic() - start
    entries = sandbox.log.entries(part="amocrm", since=since)
    renewals = sum(entry.path == "/oauth2/access_token" for entry in entries)
    return Round(len(entries), sum(bool(entry.fault) for entry in entries), renewals, seconds)


def three_requests(sandbox: Sandbox, emails: list[str], status_id: int) -> float:
    """The usual code: find the contact, read its deal, write the stage, at the same pace. -> requests per event."""
    token = sandbox.oauth.new_long_lived()
    before = sandbox.log.count(part="amocrm")
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    url = f"{sandbox.base_url}/api/v4"

    def paced(method: str, path: str, **what: object) -> requests.Response:
        time.sleep(1.0 / RPS)
        return session.request(method, url + path, timeout=10, **what)  # type: ignore[arg-type]

    for email in emails:
        contact = paced("GET", "/contacts", params={"query": email, "with": "leads"}).json()["_embedded"]["contacts"][0]
        deal = paced("GET", f"/leads/{contact['_embedded']['leads'][0]['id']}").json()
        place = {"id": deal["id"], "status_id": status_id, "pipeline_id": deal["pipeline_id"]}
        paced("PATCH", "/leads", json=[place]).raise_for_status()
    return (sandbox.log.count(part="amocrm") - before) / len(emails)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=10_000)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--sample", type=int, default=50, help="events of the three-requests way")
    parser.add_argument("--odd", action="store_true", help="with odd answers of amoCRM mixed in")
    parser.add_argument("--batch", type=int, default=50, help="AMOCRM_BATCH, 250 at most")
    asked = parser.parse_args()
    count = asked.students
    emails = [f"learner-{number}@example.com" for number in range(1, count + 1)]
    random.Random(1).shuffle(emails)  # who finishes first has nothing to do with the order of the deals
    with tempfile.TemporaryDirectory() as folder, Sandbox(limit_rps=LIMIT) as sandbox:
        sandbox.seed(contacts=asked.contacts - count, students=count)
        workers = Workers(sandbox, folder, AMOCRM_BATCH=str(asked.batch))
        try:
            workers.start()
            time.sleep(3)  # the first one has the lane, and is the one that is killed
            workers.start()
            first = round_of(workers, sandbox, emails, 1, kill=True, odd=asked.odd)
            following = round_of(workers, sandbox, emails, 2, kill=False, odd=asked.odd)
        finally:
            workers.stop()
        most = sandbox.log.max_in_window(1.0, part="amocrm")
        refused = sandbox.log.count(part="amocrm", status=429)
        stages = {deal.status_id for deal in sandbox.amocrm.deals.values() if deal.name.startswith("Курс ")}
        moved = sum(deal.status_id == defaults.STAGE_LESSON_2 for deal in sandbox.amocrm.deals.values())
        usual = three_requests(sandbox, emails[: asked.sample], defaults.STAGE_LESSON_3)
    print(
        f"{asked.contacts:,} contacts, {count:,} of them students with open deals; {LIMIT} requests a second allowed,"
    )
    print(
        f"AMOCRM_RPS={RPS}, AMOCRM_BATCH={asked.batch}, two workers, the one that was sending killed after a third of"
    )
    print(f"lesson 1{', with odd answers mixed in: ' + ', '.join(ODD) if asked.odd else ''}.\n")
    next_mark = NEXT + (following.odd + following.renewals) / count
    print("| | amoCRM requests | per event | the mark | of the usual way | seconds |\n|---|---|---|---|---|---|")
    for name, lesson, mark, lists in (
        ("lesson 1, students unknown so far", first, FIRST, 2),
        ("lesson 2, the same students", following, next_mark, 1),
    ):
        part = lesson.requests / count
        print(f"| {name} | {lesson.requests} | {part:.4f} | {mark:.4g} | 1/{usual / part:.0f} | {lesson.seconds:.0f} |")
        least = lesson.least(lists, count, asked.batch)
        what = (
            f"{'contacts and deals' if lists == 2 else 'deals'} read {AT_ONCE} at a time, deals written {asked.batch}"
        )
        if asked.odd:
            what += f"; odd answers: {lesson.odd}, renewals of access: {lesson.renewals}"
        print(
            f"| the least that the API allows: {what} | {least} | {least / count:.4f} | "
            f"| 1/{usual * count / least:.0f} | {least / RPS:.0f} |"
        )
    sample = f"| the usual way, {asked.sample} events | {usual * asked.sample:.0f} | {usual:.1f} | | 1 | "
    print(sample + f"{count * usual / RPS:,.0f} for all {count:,} |")
    print(f"\nMost requests in any one second: {most} of {LIMIT}. Answered with 429: {refused}.")
    print(f"Deals on the stage of lesson 2 at the end: {moved:,}.")
    good = (
        first.requests <= FIRST * count
        and following.requests <= round(next_mark * count, 6)
        and most <= LIMIT
        and not refused
        and moved >= count
    )
    return 0 if good and stages else 1


if __name__ == "__main__":
    sys.exit(main())
