"""What a manager plays in practice: deals that move, an amoCRM that falls silent, a stage that is deleted. It speaks to
the sandbox's control API, and only ever in practice mode.

Reference: docs/sandbox.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outbox.shared import KeyValues
from service.closed_stages import CLOSED
from service.network.http import Http, NoAnswer, Unreadable

SILENCE: Mapping[str, Any] = {"kind": "drop", "part": "amocrm", "path": "/api/v4/", "count": None}
REFUSAL: Mapping[str, Any] = {"kind": "erp_refusal", "part": "erp", "detail": "API Key mismatch", "count": None}


class SandboxSilent(Exception):
    """The sandbox does not answer, or not as it should."""


@dataclass(frozen=True)
class Play:
    """What is played now. stage: the name of the one that is deleted. hook: whether amoCRM sends its webhooks."""

    silent: bool
    refuses: bool
    unpaid: bool
    withdrawn: bool
    stage: str
    hook: bool


@dataclass(frozen=True)
class Person:
    """Somebody with an open deal. place: where it stands among its funnel's stages."""

    email: str
    name: str
    lead_id: int
    status_id: int
    place: int


class SandboxControl:
    """base_url: of the sandbox. The owner of the namespace: "stage" is the one that was deleted here, to bring it
    back. Each method raises SandboxSilent."""

    NAMESPACE = "practice"

    def __init__(self, base_url: str, http: Http, key_values: KeyValues) -> None:
        self._url = f"{base_url}/_sandbox/"
        self._http = http
        self._key_values = key_values

    def play(self) -> Play:
        faults = self._ask("GET", "faults")["faults"]
        pairs = self._ask("GET", "tokens")["pairs"]
        kept = self._key_values.get(self.NAMESPACE, "stage")
        return Play(
            silent=bool(_like(SILENCE, faults)),
            refuses=bool(_like(REFUSAL, faults)),
            unpaid=self._ask("GET", "settings")["unpaid"] != "no",
            withdrawn=bool(pairs) and all(one.get("refresh_dead") for one in pairs),
            stage=str(kept.value["name"]) if kept else "",
            hook=any(not one["disabled"] for one in self._ask("GET", "hooks")["hooks"]),
        )

    # --- people and deals

    def stages(self, pipeline_id: int) -> list[Mapping[str, Any]]:
        """Those of a funnel that a deal can be moved to, in order; without the closing ones."""
        found = next((one for one in self._ask("GET", "pipelines")["pipelines"] if one["id"] == pipeline_id), None)
        rows = found["stages"] if found else []
        return sorted(
            (one for one in rows if one["type"] != 1 and one["id"] not in CLOSED), key=lambda one: one["sort"]
        )

    def people(self, pipeline_id: int) -> list[Person]:
        """Everybody with an e-mail and an open deal in this funnel."""
        places = {one["id"]: place for place, one in enumerate(self.stages(pipeline_id))}
        contacts = {one["id"]: one for one in self._ask("GET", "contacts")["contacts"]}
        found = []
        for deal in self._ask("GET", "deals")["deals"]:
            contact = contacts.get((deal["contact_ids"] or [None])[0])
            if contact and contact["emails"] and deal["status_id"] in places and deal["pipeline_id"] == pipeline_id:
                place = places[deal["status_id"]]
                found.append(Person(contact["emails"][0], contact["name"], deal["id"], deal["status_id"], place))
        return found

    def add_person(self, pipeline_id: int) -> Person:
        """A new student, on the funnel's first stage."""
        number = len(self._ask("GET", "contacts")["contacts"]) + 1
        email, name = f"student-{number}@example.com", f"Студент {number}"
        first = self.stages(pipeline_id)[0]["id"]
        made = self._ask(
            "POST",
            "deals",
            {"email": email, "contact_name": name, "name": f"Курс, студент {number}", "price": 4900,
             "pipeline_id": pipeline_id, "status_id": first, "quiet": True},
        )  # fmt: skip
        return Person(email, name, made["id"], first, 0)

    def move(self, lead_id: int, status_id: int) -> None:
        self._ask("POST", f"deals/{lead_id}/move", {"status_id": status_id})

    # --- trouble

    def fall_silent(self) -> None:
        self._ask("POST", "faults", SILENCE)

    def answer_again(self) -> None:
        self._clear(SILENCE)

    def refuse(self) -> None:
        self._ask("POST", "faults", REFUSAL)

    def take_again(self) -> None:
        self._clear(REFUSAL)

    def pay(self, paid: bool) -> None:
        self._ask("PATCH", "settings", {"unpaid": "no" if paid else "all"})

    def withdraw(self) -> None:
        """The account's owner takes the access back."""
        self._ask("POST", "tokens/revoke")

    def delete_stage(self, pipeline_id: int, status_id: int) -> str:
        """-> its name, "" if the funnel has no such stage. It is remembered, to be brought back."""
        stage = next((one for one in self.stages(pipeline_id) if one["id"] == status_id), None)
        if stage is None:
            return ""
        kept = {"pipeline_id": pipeline_id, **{name: stage[name] for name in ("id", "name", "sort")}}
        self._key_values.put(self.NAMESPACE, "stage", kept)
        self._ask("DELETE", f"pipelines/{pipeline_id}/stages/{status_id}")
        return str(stage["name"])

    def restore_stage(self) -> None:
        """The same stage with the same id, where one was deleted."""
        entry = self._key_values.get(self.NAMESPACE, "stage")
        if entry is None:
            return
        stage = dict(entry.value)
        number = stage.pop("pipeline_id")
        if all(one["id"] != stage["id"] for one in self.stages(number)):
            self._ask("POST", f"pipelines/{number}/stages", stage)
        self._key_values.delete(self.NAMESPACE, ["stage"])

    def switch_hooks_off(self) -> None:
        """As amoCRM does after too many bad answers."""
        for one in self._ask("GET", "hooks")["hooks"]:
            told = {"destination": one["destination"], "settings": one["settings"], "disabled": True}
            self._ask("POST", "hooks", told)

    def _clear(self, fault: Mapping[str, Any]) -> None:
        for number in _like(fault, self._ask("GET", "faults")["faults"]):
            self._ask("DELETE", f"faults/{number}")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            reply = self._http.request(method, self._url + path, json=body)
            found = reply.json()
        except (NoAnswer, Unreadable) as error:
            raise SandboxSilent(str(error)) from None
        if reply.status != 200:
            raise SandboxSilent(f"{method} {path}: {reply.status} {found.get('error', '')}")
        return found


def _like(fault: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of those in force that are this one."""
    return [one["id"] for one in faults if all(one[name] == value for name, value in fault.items())]
