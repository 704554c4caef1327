"""The whole service in one terminal: web, worker and, with no account configured, a sandbox."""

import fcntl
import os
import pathlib
import re
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TextIO

from dotenv import dotenv_values

from sandbox.defaults import SETTINGS
from service import practice
from service.characters import printable
from service.config import ConfigError, Settings
from service.environment import read_environ, read_settings
from service.log_writer import STDERR, LogWriter
from service.operator import greeting
from workshop.calls import answers, call
from workshop.processes import FOLDER, Crew, next_free_port
from workshop.storyteller import Storyteller

READY_WITHIN = 60.0
OUT = LogWriter(1)
"""Where this run tells of itself: a terminal that waits (Ctrl-S) or is gone must not hold up a stop."""

PAST_PROXIES = {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}


def main() -> int:
    try:
        settings, practising = practice.read(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    home = practice.home_of(settings)
    home.mkdir(parents=True, exist_ok=True)
    # Held until this process ends: two sandboxes on the same books would lose each other's tokens.
    alone = (home / practice.LOCK).open("w")
    if not taken(alone):
        print(f"Another `make run` is already running on {shown(home)}/. Stop that one first.", file=sys.stderr)
        return 1
    (home / practice.SETTINGS).unlink(missing_ok=True)  # of an earlier run: its sandbox is gone
    wanted = settings.web.port
    web = replace(settings.web, port=next_free_port(wanted, settings.web.host))
    if web.port != wanted:
        print(f"\nPort {wanted} is taken by another program: this run takes {web.port}.", flush=True)
    made = missing_keys(settings, home / "run.env")
    environ = {**os.environ, **made, "PORT": str(web.port), "WORKER_IN_WEB": "0"}  # it starts the worker itself
    sandbox = None
    if practising:
        sandbox = Practice(home, next_free_port(web.port + 1), f"http://localhost:{web.port}")
        played = sandbox.settings(settings)
        environ |= played
        write_private(sandbox.env, {**made, **played})
        print(f"\n{greeting.practice(settings)}\n", flush=True)
    return run(environ, replace(settings, web=web), sandbox)


def taken(lock: TextIO, within: float = 1.0) -> bool:
    """Takes the lock, unless another run holds it. A command that looks whether one runs holds it for a moment."""
    until = time.monotonic() + within
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        else:
            return True


@dataclass(frozen=True)
class Practice:
    """The sandbox of this run: where its files lie, and its port."""

    home: pathlib.Path
    port: int
    here: str  # the address of the service itself

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> pathlib.Path:
        """The settings of this run, for commands beside it."""
        return self.home / practice.SETTINGS

    @property
    def command(self) -> list[str]:
        books = ["--state-file", str(self.home / "sandbox.json"), "--redirect-uri", self.redirect_uri]
        return [sys.executable, "-m", "sandbox", "--port", str(self.port), *books]

    @property
    def redirect_uri(self) -> str:
        """The same on both sides, letter for letter, or no token is given."""
        return f"{self.here}/oauth/callback"

    def settings(self, given: Settings) -> dict[str, str]:
        """What connects web and worker to it."""
        chosen = SETTINGS(self.url, redirect_uri=self.redirect_uri)
        # Practice stays off a database server, which may hold real events.
        database = (
            read_environ(os.environ).get("DATABASE_URL") if given.on_sqlite else ""
        ) or "sqlite:///var/dealpost.db"
        own = {"SANDBOX": "1", "ALLOW_EPHEMERAL": "1", "DATABASE_URL": database, "PUBLIC_URL": self.here}
        return {**chosen, **own, **PAST_PROXIES}

    def subscribe(self, environ: Mapping[str, str]) -> None:
        """Lets it send its webhooks to this run, and no longer to where an earlier one had its port."""
        hooks, path = f"{self.url}/_sandbox/hooks", f"/webhooks/amocrm/{environ['WEBHOOK_SECRET']}"
        for hook in call("GET", hooks)[1]["hooks"]:
            if hook["destination"].endswith(path):
                call("DELETE", hooks, body={"destination": hook["destination"]})
        call("POST", hooks, body={"destination": environ["PUBLIC_URL"] + path, "settings": ["status_lead"]})


def missing_keys(settings: Settings, file: pathlib.Path) -> dict[str, str]:
    """A sign-in and an API key where none is configured: made once, then kept in this file."""
    kept = {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}
    made = {
        "ADMIN_PASSWORD": kept.get("ADMIN_PASSWORD") or secrets.token_hex(8),
        "API_KEYS": kept.get("API_KEYS") or f"local:{secrets.token_hex(16)}",
    }
    if made != kept:
        write_private(file, made)
    needed = {"ADMIN_PASSWORD": not settings.admin_password, "API_KEYS": not settings.api_keys}
    return {name: value for name, value in made.items() if needed[name]}


def write_private(file: pathlib.Path, values: Mapping[str, str]) -> None:
    """A file in the form of .env that only its owner can read."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.writelines(f"{name}={value}\n" for name, value in values.items())


def run(environ: Mapping[str, str], settings: Settings, sandbox: Practice | None) -> int:
    """Starts everything, stays until a signal or a death, stops everything. -> the exit code"""
    # With an account the settings name the store; practice has one of its own.
    story = Storyteller(read_settings(environ) if sandbox else settings, tell_story)
    wish = Wish(lambda: OUT.broken)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, wish.heard)
    crew = Crew(tell)
    try:
        dead = start(crew, environ, here(settings), sandbox, wish)
        if not dead and not wish.to_stop:
            OUT.write(greeted(environ, settings, sandbox))
            story.start()
        while not dead and not wish.to_stop:
            time.sleep(0.2)
            dead = crew.dead()
    finally:
        OUT.write("\nStopping ..." if wish.to_stop else "")
        story.stop()
        killed = crew.stop(hurry=lambda: wish.in_a_hurry)
    for name in killed:
        STDERR.write(f"{name} did not stop by itself and was killed.")
    if dead:
        name, code = dead
        OUT.flush()
        STDERR.write(f"{name} ended ({describe(code)}), so everything was stopped. Its last lines tell why.")
        return 1
    OUT.write("Stopped.")
    return 0


@dataclass
class Wish:
    """How often a signal asked to stop. No Event: setting one inside a handler can wait for its own thread for ever.

    unheard: whether nobody reads any more what this run says, as after `make run | head`.
    """

    unheard: Callable[[], bool] = lambda: False
    times: int = 0

    def heard(self, number: int, frame: object) -> None:
        self.times += 1

    @property
    def to_stop(self) -> bool:
        return self.times > 0 or self.unheard()

    @property
    def in_a_hurry(self) -> bool:
        return self.times > 1


def start(
    crew: Crew, environ: Mapping[str, str], url: str, sandbox: Practice | None, wish: Wish
) -> tuple[str, int] | None:
    """Starts what there is to start, each when the one before is ready. -> the one that died meanwhile"""
    if sandbox:
        crew.start("sandbox", sandbox.command, environ)
        dead = wait(crew, lambda: answers(f"{sandbox.url}/"), wish)
        if dead or wish.to_stop:
            return dead
        sandbox.subscribe(environ)
    crew.start("worker", [sys.executable, "scheduler.py"], environ)
    crew.start("web", [sys.executable, "-m", "gunicorn", "wsgi:app"], environ)
    return wait(crew, lambda: answers(f"{url}/readyz"), wish)


def wait(crew: Crew, ready: Callable[[], bool], wish: Wish) -> tuple[str, int] | None:
    """Waits until ready, a death, a wish to stop or the end of patience."""
    deadline = time.monotonic() + READY_WITHIN
    while not wish.to_stop:
        if dead := crew.dead():
            return dead
        if ready():
            return None
        if time.monotonic() > deadline:
            STDERR.write(f"Not ready after {READY_WITHIN:g} s; still trying.")
            deadline = float("inf")
        time.sleep(0.1)
    return None


def describe(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


COLOURS = {"web": "36", "worker": "35", "sandbox": "33"}


CALM = re.compile(r" access: \S+ \S+ [23]\d\d ")
"""A request that went well: what came of it is told by the story."""


def tell(name: str, line: str) -> None:
    """A line of one process, its name before it."""
    if CALM.search(line):
        return
    start = f"{name:7} |"
    OUT.write(f"\033[{COLOURS[name]}m{start}\033[0m {line}" if sys.stdout.isatty() else f"{start} {line}")


def tell_story(line: str) -> None:
    OUT.write(printable(line))


def here(settings: Settings) -> str:
    """Where this machine itself reaches the web."""
    web = settings.web
    if web.host in ("127.0.0.1", "0.0.0.0"):
        return f"http://localhost:{web.port}"
    return "http://" + (replace(web, host="::1") if web.host == "::" else web).bind


def greeted(environ: Mapping[str, str], settings: Settings, sandbox: Practice | None) -> str:
    """What a person needs to know once everything runs."""
    password = environ["ADMIN_PASSWORD"] if not settings.admin_password else ""
    key = environ["API_KEYS"].partition(":")[2] if not settings.api_keys else ""
    return greeting.greeting(settings, here(settings), password, key, sandbox.url if sandbox else "")


def shown(file: pathlib.Path) -> pathlib.Path:
    """As short as it can be typed in the project folder."""
    return file.relative_to(FOLDER) if file.is_relative_to(FOLDER) else file


if __name__ == "__main__":
    sys.exit(main())
