"""Odd answers of amoCRM, one kind after the other while a ledger run goes on, and lessons that have to get through."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sandbox import Sandbox, defaults

LESSONS = (defaults.STAGE_LESSON_1, defaults.STAGE_LESSON_2, defaults.STAGE_LESSON_3)

PLAN: tuple[tuple[float, str, dict[str, Any]], ...] = (
    (0.00, "bulk_slow", {"seconds": 20.0}),
    (0.05, "unauthorized", {"count": 6, "fraction": 0.3}),
    (0.15, "deal_204", {"count": 8, "fraction": 0.5}),
    (0.25, "deal_404", {"count": 8, "fraction": 0.5}),
    (0.30, "deal_404_html", {"count": 4, "fraction": 0.5}),
    (0.35, "row_left_out", {"count": 10}),
    (0.40, "account_gone", {"for_seconds": 6.0}),
    (0.55, "deal_forbidden", {"count": 6, "fraction": 0.5}),
    (0.60, "patch_404_html", {"count": 2}),
    (0.65, "write_504", {"count": 2}),
    (0.70, "events_closed", {"for_seconds": 5.0}),
    (0.75, "row_of_nulls", {"count": 6}),
    (0.80, "account_gone_html", {"for_seconds": 4.0}),
)
"""From which part of the run on, which preset of the sandbox, and how much of it."""


class OddAnswers:
    """Adds each when its time has come. Lists are cut all the time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._plan = list(PLAN)
        self._cut = sandbox.faults.preset("lists_cut", rows=20)

    def at(self, part: float) -> None:
        """The run has come so far, of 1."""
        while self._plan and self._plan[0][0] <= part:
            _, preset, options = self._plan.pop(0)
            self._sandbox.faults.preset(preset, **options)
            # The first fault that fits a request hits it: the cut of all lists comes last.
            self._sandbox.faults.clear(self._cut.id)
            self._cut = self._sandbox.faults.preset("lists_cut", rows=20)

    def end(self) -> None:
        """Only what lasts is left: cut lists and slow readings by pages."""
        self.at(1.0)


class Students:
    """Each with a deal of an own, and the three lessons that move it."""

    def __init__(self, sandbox: Sandbox, count: int) -> None:
        self._sandbox = sandbox
        self.deals: dict[int, str] = {}
        for number in range(count):
            email = f"ledger-{number}@example.com"
            contact = sandbox.amocrm.add_contact(f"Студент {number}", email)
            deal = sandbox.amocrm.add_deal(
                f"Курс {number}", 4900, defaults.STAGE_PAID, contact_ids=[contact.id], quiet=True
            )
            self.deals[deal.id] = email

    def events(self, lesson: int) -> list[dict[str, Any]]:
        """What the platform sends when each has completed this lesson."""
        return [
            {"name": "lesson.completed", "data": {"email": email, "lesson": lesson}, "id": f"{email}-{lesson}"}
            for email in self.deals.values()
        ]

    def moves(self) -> tuple[int, int]:
        """(stages that a deal has not been on, stages that it was put on twice)."""
        found = Counter(
            (change.entity_id, change.after[1])
            for change in self._sandbox.amocrm.changes
            if change.type == "lead_status_changed" and change.after and change.entity_id in self.deals
        )
        wanted = [(deal, stage) for deal in self.deals for stage in LESSONS]
        return sum(found[one] == 0 for one in wanted), sum(max(0, found[one] - 1) for one in wanted)
