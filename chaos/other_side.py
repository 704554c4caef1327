"""amoCRM and the ERP on a bad day: one fault after the other, by a seed."""

from __future__ import annotations

import random
import threading

from chaos.house import House

FAULTS: tuple[dict[str, object], ...] = (
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
        faults = list(FAULTS)
        self._chance.shuffle(faults)
        try:
            while not self._over.wait(self._chance.uniform(0.5, 4.0)):
                # One after the other, so that a short run meets as many kinds as it can.
                fault = faults.pop(0)
                faults.append(fault)
                with self.house.peace:
                    self.house.ask("POST", "faults", {**fault, "count": self._chance.choice((1, 3, 10))})
                    self.done += 1
                    self._over.wait(self._chance.uniform(0.5, 4.0))
                    self.house.ask("DELETE", "faults")
        except Exception as error:
            self.fault = f"the other side itself failed: {error!r}"
