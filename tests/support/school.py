"""A school that runs: sandbox, web and worker as processes of their own, and a manager who looks and presses."""

from __future__ import annotations

import base64
import pathlib
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any

from chaos.shim import Shim
from sandbox import defaults
from tests.support.processes import ADMIN, API_KEY, PYTHON, Process, Processes, bare_environ
from tests.support.text import plain
from tests.support.waiting import eventually
from workshop.calls import call
from workshop.processes import FOLDER, free_port

SIGN_IN = "Basic " + base64.b64encode(":".join(ADMIN).encode()).decode()
LANGUAGES = ("ru", "en")


class School:
    """The clock of web and worker goes forward by `later`; the sandbox's does not."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.processes, self.clock = Processes(folder), Shim(folder)
        port = free_port()
        here = f"http://127.0.0.1:{port}"
        callback = f"{here}/oauth/callback"
        self.sandbox = self.processes.start(
            "sandbox", [PYTHON, "-m", "sandbox", "--port", "0", "--redirect-uri", callback], bare_environ()
        )
        self.sandbox.url = self.sandbox.says(r"listening on (http://\S+)")[1]
        self.environ = bare_environ(
            **defaults.SETTINGS(self.sandbox.url, callback),
            **self.clock.environ,
            SANDBOX="1",
            DATABASE_URL=f"sqlite:///{folder}/dealpost.db",
            API_KEYS=f"platform:{API_KEY}",
            ADMIN_USERNAME=ADMIN[0],
            ADMIN_PASSWORD=ADMIN[1],
            PUBLIC_URL=here,
            PORT=str(port),
            LESSON_MAP="67:1,68:2,69:3,70:4",
        )
        self.web, self.worker = self.processes.web(self.environ), self.processes.worker(self.environ)
        self._browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        self._token = ""

    def close(self) -> None:
        self.processes.stop()
        self.clock.close()

    def later(self, seconds: float) -> None:
        self.clock.jump(seconds)

    # --- the account, as its people and its faults change it

    def control(self, method: str, path: str, /, **body: Any) -> Any:
        status, answer = call(method, f"{self.sandbox.url}/_sandbox/{path}", body=body or None)
        assert status < 300, (method, path, answer)
        return answer

    def student(self, name: str, email: str, stage: int = defaults.STAGE_PAID) -> int:
        """-> the deal's id."""
        contact = self.control("POST", "contacts", name=name, email=email)
        deal = self.control(
            "POST", "deals", name="Course", price=4900, status_id=stage, contact_ids=[contact["id"]], quiet=True
        )
        return int(deal["id"])

    def stage_of(self, deal: int) -> int:
        return int(self.control("GET", f"deals/{deal}")["status_id"])

    # --- the platform

    def lesson(self, email: str, lesson: int = 1) -> str:
        return self.event("lesson.completed", email=email, lesson=lesson)

    def event(self, name: str, **data: Any) -> str:
        """-> the event's id."""
        status, answer = self.web.call(
            "POST", "/api/events", body={"name": name, "data": data}, headers={"X-API-Key": API_KEY}
        )
        assert status == 202, answer
        return str(answer["ids"][0])

    def delivery(self, event: str) -> dict[str, Any]:
        status, answer = self.web.call("GET", f"/api/events/{event}", headers={"X-API-Key": API_KEY})
        assert status == 200, answer
        return dict(answer["deliveries"][0])

    def until(self, event: str, state: str, tries: int = 0) -> int:
        """Waits for a state, and for so many attempts. -> the delivery's id."""

        def look() -> int:
            one = self.delivery(event)
            assert one["state"] == state and len(one["attempts"]) >= tries, one
            return int(one["id"])

        return eventually(look, 60)

    def nothing_waits(self, destination: str) -> None:
        """Waits until all of it has arrived: the next fault is for what comes then."""

        def look() -> bool:
            status, answer = self.web.call("GET", "/api/outbox", headers={"Authorization": SIGN_IN})
            assert status == 200, answer
            states = answer["destinations"][destination]["states"]
            return not states.get("pending") and not states.get("sending")

        eventually(look, 20)

    # --- the manager

    def get(self, path: str, language: str = "en", **fields: str) -> str:
        """The page, whatever its status. fields: sent as a form."""
        data = urllib.parse.urlencode(fields).encode() if fields else None
        headers = {"Authorization": SIGN_IN, "Accept-Language": language, "Accept": "text/html"}
        request = urllib.request.Request(self.web.url + path, data, headers)
        try:
            with self._browser.open(request, timeout=20) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as answer:
            with answer:
                return str(answer.read().decode())

    def read(self, path: str, language: str = "en") -> str:
        """What a person reads there."""
        return plain(self.get(path, language))

    def press(self, path: str, **fields: str) -> str:
        """-> what the page says then, in English."""
        if not self._token:
            found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/outbox/help"))
            assert found
            self._token = found[1]
        return plain(self.get(path, csrf_token=self._token, **fields))

    def says(self, path: str, *texts: str, language: str = "en", within: float = 20.0) -> str:
        """Waits until the page has all of these. -> what it says."""

        def look() -> str:
            text = self.read(path, language)
            for one in texts:
                assert one in text, (one, text)
            return text

        return eventually(look, within)

    def no_more_says(self, path: str, text: str) -> None:
        """Waits until the page has it no more."""
        eventually(lambda: text not in self.read(path), 20)

    def check(self, language: str) -> Check:
        """`flask check`, begun."""
        return Check(self.environ, language)


class Check:
    """A command that runs while pages are looked at."""

    def __init__(self, environ: Mapping[str, str], language: str) -> None:
        lang = {"ru": "ru_RU.UTF-8", "en": "en_US.UTF-8"}[language]
        self._running = subprocess.Popen(
            [PYTHON, "-m", "flask", "check"],
            cwd=FOLDER,
            env={**environ, "LANG": lang, "LC_ALL": lang, "PYTHONUTF8": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def text(self) -> str:
        text, _none = self._running.communicate(timeout=30)
        return " ".join(text.split())


__all__ = ["LANGUAGES", "Check", "Process", "School"]
