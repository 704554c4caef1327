"""amoCRM and the ERP on a bad day: one fault after the other, by a seed."""

from __future__ import annotations

import random
import threading
from contextlib import nullcontext

from chaos.house import House

Fault = dict[str, object]

FAULTS: tuple[Fault, ...] = (
    {"kind": "status", "status": 429, "part": "amocrm"},
    {"kind": "status", "status": 429, "part": "amocrm", "retry_after": 2},
    {"kind": "status", "status": 500, "part": "amocrm", "fraction": 0.5},
    {"kind": "status", "status": 502, "act": True, "fraction": 0.5},
    {"kind": "status", "status": 504, "act": True, "part": "erp", "fraction": 0.5},
    {"kind": "drop", "act": True, "part": "erp", "contains": '"insert"', "fraction": 0.5},
    {"kind": "drop", "act": True, "part": "amocrm", "method": "PATCH"},
    {"kind": "drop", "fraction": 0.3},
    {"kind": "garbage", "act": True, "fraction": 0.3},
    {"kind": "hang", "seconds": 2.0, "fraction": 0.3},
    {"kind": "erp_empty", "part": "erp", "act": True, "fraction": 0.5},
    {"kind": "erp_db_error", "part": "erp", "fraction": 0.5},
)

ODDITIES: tuple[Fault, ...] = (
    {"preset": "account_gone"},
    {"preset": "account_gone_html"},
    {"preset": "unauthorized", "fraction": 0.3},
    {"preset": "unauthorized_101", "fraction": 0.3},
    {"preset": "forbidden_html"},
    {"preset": "forbidden_113"},
    {"preset": "unpaid"},
    {"preset": "events_closed"},
    {"preset": "deal_404", "fraction": 0.5},
    {"preset": "deal_204", "fraction": 0.5},
    {"preset": "deal_404_html", "fraction": 0.5},
    {"preset": "lists_cut", "rows": 20, "count": None},
    {"preset": "row_of_nulls"},
    {"preset": "row_unreadable"},
    {"preset": "row_left_out"},
    {"preset": "bulk_slow", "seconds": 20.0},
    {"preset": "bulk_empty", "delay": 5.0},
    {"preset": "patch_400_html"},
    {"preset": "patch_404_html"},
    {"preset": "erp_insert_late", "seconds": 40.0},
    {"preset": "erp_warning"},
    {"preset": "erp_key_mismatch"},
    {"settings": {"read_lag_seconds": 2.0}},
    {"settings": {"hook_duplicates": 0.5, "hook_shuffle": 2.0, "hook_time_skew": 2}},
    {"settings": {"erp_race_ms": 200.0}},
    {"tokens": "expire"},
)
"""As sandbox/presets.py has them, changes of its settings, and the end of all access tokens."""


DENIALS = ("account_gone", "deal_", "row_", "lists_cut", "bulk_empty")
"""How those begin that deny a deal which is there. What is denied again minutes later counts as gone, and rightly: so
no leap of the clock makes two minutes of these seconds."""


class OtherSide:
    """Misbehaves now and then until told to stop. done: how many faults were put in force."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.done = 0
        self.fault = ""
        self._chance = random.Random(f"{seed} other side")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="other-side", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """It behaves again when this returns."""
        self._over.set()
        self._thread.join(30)
        self.house.ask("DELETE", "faults")

    def _run(self) -> None:
        try:
            usual = self.house.ask("GET", "settings")
            kinds = (list(FAULTS), list(ODDITIES))
            for kind in kinds:
                self._chance.shuffle(kind)
            kinds[0].sort(key=lambda fault: "act" not in fault)  # no run is without ambiguous answers
            while not self._over.wait(self._chance.uniform(0.3, 2.0)):
                # One after the other, of both lists in turn, so that a short run meets as many kinds as it can.
                faults = kinds[self.done % 2]
                fault = faults.pop(0)
                faults.append(fault)
                denies = str(fault.get("preset", "")).startswith(DENIALS)
                with self.house.denial if denies else nullcontext(), self.house.peace:
                    self._begin(fault)
                    self.done += 1
                    self._over.wait(self._chance.uniform(0.5, 4.0))
                    self.house.ask("DELETE", "faults")
                    if "settings" in fault:
                        self.house.ask("PATCH", "settings", usual)
        except Exception as error:
            self.fault = f"the other side itself failed: {error!r}"

    def _begin(self, fault: Fault) -> None:
        if "settings" in fault:
            self.house.ask("PATCH", "settings", fault["settings"])
        elif "tokens" in fault:
            self.house.ask("POST", f"tokens/{fault['tokens']}", {})
        else:
            self.house.ask("POST", "faults", {"count": self._chance.choice((1, 3, 10)), **fault})
