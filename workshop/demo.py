"""Sends real requests through every way in, against the sandbox, and shows what arrived where.

The judge is the sandbox's own books, not Dealpost's database. Nothing of this machine's settings is used: .env is not
read, the database lies in a temporary folder, and the ports are free ones.
"""

import argparse
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox import Sandbox
from sandbox.amocrm.entities import Deal
from workshop.calls import answers, call
from workshop.processes import Crew, free_port

# What a process needs of the machine.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
READY_WITHIN = 60.0


@dataclass
class Sending:
    """One thing sent, and how to see in the sandbox's books that it arrived."""

    way_in: str
    what: str
    look: Callable[[], str]  # what arrived, in words; "" while it has not
    sent_at: float = field(default_factory=time.monotonic)
    answer: str = ""
    arrived: str = ""
    took: float = 0.0


class Refused(Exception):
    """A way in did not accept what it should."""


class Demo:
    """The running service, the sandbox, and what was sent so far."""

    def __init__(self, sandbox: Sandbox, url: str, key: str, secret: str, pace: float) -> None:
        self.sandbox, self.url, self.key, self.secret, self.pace = sandbox, url, key, secret, pace
        self.sent: list[Sending] = []

    def send_everything(self) -> None:
        """Through every way in, once or more."""
        self.sandbox.hooks.subscribe(f"{self.url}/webhooks/amocrm/{self.secret}", ["status_lead"])
        self.post(
            "/api/tripwire/complete",
            {"email": "student-1@example.com", "lesson_id": 67},
            [("lesson 67 done by student-1@example.com", self.moved("student-1@example.com", "Урок 1 пройден"))],
        )
        self.post(
            "/api/events",
            [
                {"name": "crm/create-deal", "data": {"dealName": "Course, paid by card", "amount": 4900}},
                {"name": "erp/task.create", "data": {"dealName": "Call the student back"}},
                {"name": "lesson.completed", "data": {"email": "student-2@example.com", "lesson": 2}},
            ],
            [
                ("crm/create-deal, 4900", self.recorded("Course, paid by card", "4900")),
                ("erp/task.create", self.recorded("Call the student back")),
                (
                    "lesson.completed, lesson 2, student-2@example.com",
                    self.moved("student-2@example.com", "Урок 2 пройден"),
                ),
            ],
        )
        self.post(
            f"/e/{self.key}",
            [{"name": "crm/create-deal", "data": {"dealName": "Course, sent by an Inngest SDK", "amount": "1990.50"}}],
            [("crm/create-deal, 1990.50", self.recorded("Course, sent by an Inngest SDK", "1990.50"))],
            shown="/e/<key>",
        )
        self.move_by_hand("student-3@example.com", "Урок 1 пройден")

    def post(self, path: str, body: object, meant: list[tuple[str, Callable[[], str]]], shown: str = "") -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        started = time.monotonic()
        status, answer = call("POST", self.url + path, body=body, headers=headers)
        told = f"{status} in {(time.monotonic() - started) * 1000:.0f} ms"
        if status not in (200, 202):
            raise Refused(f"POST {shown or path}: {status} {answer}")
        self.keep([Sending(f"POST {shown or path}", what, look, started, told) for what, look in meant])

    def move_by_hand(self, email: str, stage: str) -> None:
        """A manager moves a deal in amoCRM, which then sends its webhook, form-encoded."""
        deal = self.deal_of(email)
        status_id = self.sandbox.amocrm.stage_named(stage).id
        record = self.recorded(deal.name, str(int(deal.price)))
        self.sandbox.amocrm.move_deal(deal.id, status_id)
        self.keep([Sending("POST /webhooks/amocrm/<secret>", f"a manager moved {deal.name!r}", record)])

    def keep(self, sendings: list[Sending]) -> None:
        """Watches for them from now on, and pauses for the pace."""
        self.sent += sendings
        for one in sendings:
            print(f"  sent  {one.way_in:32} {one.what}  {one.answer}".rstrip(), flush=True)
        until = time.monotonic() + self.pace
        while time.monotonic() < until:
            self.look()
            time.sleep(0.05)

    def wait(self, seconds: float, dead: Callable[[], tuple[str, int] | None]) -> None:
        """Until everything arrived, a process died, or patience ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not dead():
            if self.look():
                return
            time.sleep(0.05)

    def look(self) -> bool:
        """Notes what has arrived since; whether everything has."""
        for one in self.sent:
            one.arrived = one.arrived or one.look()
            one.took = one.took or (time.monotonic() - one.sent_at if one.arrived else 0.0)
        return all(one.arrived for one in self.sent)

    # The sandbox's books

    def deal_of(self, email: str) -> Deal:
        """The only deal of the contact with this e-mail."""
        contact = next(one for one in self.sandbox.amocrm.contacts.values() if email in one.emails)
        return self.sandbox.amocrm.deals[contact.lead_ids[0]]

    def moved(self, email: str, stage: str) -> Callable[[], str]:
        deal, wanted = self.deal_of(email), self.sandbox.amocrm.stage_named(stage).id
        return lambda: f"amoCRM: deal {deal.id} is on {stage!r}" if deal.status_id == wanted else ""

    def recorded(self, name: str, amount: str = "") -> Callable[[], str]:
        def look() -> str:
            for row in self.sandbox.erp.records():
                if row.get("1039") == name and same_amount(row.get("1040", ""), amount):
                    return f"ERP: record {row['id']}, {name!r}" + (f", {row['1040']}" if amount else "")
            return ""

        return look


def same_amount(got: str, wanted: str) -> bool:
    return not wanted or (got != "" and float(got) == float(wanted))


def table(sent: list[Sending]) -> str:
    head = ("Way in", "What", "What arrived where, by the sandbox's books", "After")
    rows = [
        (one.way_in, one.what, one.arrived or "NOTHING ARRIVED", f"{one.took:.1f} s" if one.arrived else "-")
        for one in sent
    ]
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    line = "  ".join("-" * width for width in widths)
    told = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    title = "  ".join(text.ljust(width) for text, width in zip(head, widths, strict=True)).rstrip()
    return "\n".join([title, line, *told])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.demo", description=__doc__)
    parser.add_argument("--pace", type=float, default=0.0, metavar="SECONDS", help="wait after each thing sent")
    parser.add_argument("--within", type=float, default=60.0, metavar="SECONDS", help="how long to wait for deliveries")
    parser.add_argument("--lines", action="store_true", help="show what web and worker write")
    options = parser.parse_args()
    # Asked to stop is asked to stop, however it is said: the processes below are ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return show(options.pace, options.within, options.lines)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


def show(pace: float, within: float, lines: bool) -> int:
    """-> 0 when everything arrived"""
    recent: deque[str] = deque(maxlen=60)

    def tell(name: str, line: str) -> None:
        recent.append(f"{name:6} | {line}")
        if lines:
            print(recent[-1], flush=True)

    port = free_port()
    url, key = f"http://127.0.0.1:{port}", secrets.token_urlsafe(18)
    crew = Crew(tell)
    problem = ""
    with tempfile.TemporaryDirectory(prefix="dealpost-demo-") as folder, Sandbox() as sandbox:
        environ = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **sandbox.env,
            "DEALPOST_ENV_FILE": os.devnull,
            "SANDBOX": "1",
            "ALLOW_EPHEMERAL": "1",  # a temporary folder may lie in memory
            "DATABASE_URL": f"sqlite:///{folder}/demo.db",
            "PORT": str(port),
            "API_KEYS": f"demo:{key}",
            "ADMIN_PASSWORD": secrets.token_urlsafe(12),
        }
        demo = Demo(sandbox, url, key, environ["WEBHOOK_SECRET"], pace)
        try:
            print("Starting web, worker and sandbox on free ports, with a temporary database.", flush=True)
            crew.start("worker", [sys.executable, "scheduler.py"], environ)
            crew.start("web", [sys.executable, "-m", "gunicorn", "wsgi:app"], environ)
            wait_until_ready(url, crew)
            demo.send_everything()
            demo.wait(within, crew.dead)
        except Refused as refusal:
            problem = str(refusal)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # an impatient second one must leave nobody running
            dead = crew.dead()
            killed = crew.stop()
    if demo.sent:
        print("\n" + table(demo.sent) + "\n")
    missing = sum(not one.arrived for one in demo.sent)
    if dead:
        problem = problem or f"{dead[0]} ended by itself with code {dead[1]}."
    if missing:
        problem = problem or f"{missing} of {len(demo.sent)} did not arrive within {within:g} s."
    if killed:
        problem = problem or f"{', '.join(killed)} did not stop when asked to."
    if problem:
        print("\n".join([*recent, "", problem]), file=sys.stderr)
        return 1
    print(f"All {len(demo.sent)} arrived.")
    return 0


def wait_until_ready(url: str, crew: Crew) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not answers(f"{url}/readyz"):
        if crew.dead():
            raise Refused("A process ended before it was ready.")
        if time.monotonic() > deadline:
            raise Refused(f"{url}/readyz did not answer within {READY_WITHIN:g} s.")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
