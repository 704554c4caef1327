"""The walls of the house, read from the syntax tree: data goes one way, and each foreign thing has one door."""

import ast
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent.parent

NETWORK = {"requests", "urllib3", "httpx", "aiohttp", "urllib.request", "http.client"}
DATABASES = {"sqlite3", "sqlite_utils", "psycopg", "psycopg_pool", "sqlalchemy"}
PURE = {"service.config", "service.routing", "outbox.retry", "outbox.message", "outbox.outcome"}
# Where the real clock and chance may enter: the first and last bits of an id, when the caller gives none.
CLOCK_OWNERS = {"outbox.message"}
CLOCKS = {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"}
SLEEPS = {"time.sleep"}
SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM\s|SELECT\s+1\b|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s"
    r"|CREATE\s+(UNIQUE\s+)?(TABLE|INDEX|TRIGGER|VIEW)\s|ALTER\s+TABLE\s|DROP\s+(TABLE|INDEX)\s|PRAGMA\s+\w+|BEGIN\s+IMMEDIATE)",
    re.DOTALL,
)


@dataclass
class Module:
    """What one file imports, calls and says."""

    name: str
    imports: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    touches: set[str] = field(default_factory=set)
    sql: list[str] = field(default_factory=list)

    def takes(self, *targets: str) -> list[str]:
        """The imports that are one of these, or lie inside."""
        return sorted(one for one in self.imports if any(within(one, target) for target in targets))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def read(name: str, source: str, is_package: bool = False) -> Module:
    """Reads a module's source, without running it."""
    tree = ast.parse(source)
    module = Module(name)
    known: dict[str, str] = {}  # a name in this file -> what it stands for
    package = name if is_package else name.rpartition(".")[0]
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.imports.add(alias.name)
                known[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{above}.{base}".strip(".")
            module.imports.add(base)
            for alias in node.names:
                module.imports.add(f"{base}.{alias.name}")
                known[alias.asname or alias.name] = f"{base}.{alias.name}"
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(first.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            module.touches.add(dotted(node, known))
        if isinstance(node, ast.Call):
            called = dotted(node.func, known)
            module.calls.add(called)
            if called in ("importlib.import_module", "__import__") and node.args:
                asked = node.args[0]
                if isinstance(asked, ast.Constant) and isinstance(asked.value, str):
                    module.imports.add(asked.value)
        if isinstance(node, ast.Constant) and node not in docstrings and SQL.match(str(node.value)):
            module.sql.append(" ".join(str(node.value).split())[:60])
    return module


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """`dt.now` as `datetime.datetime.now`, by this file's imports; "" for what has no name."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        left = dotted(node.value, known)
        return f"{left}.{node.attr}" if left else ""
    return ""


# --- the walls: each takes a module and tells what breaks it ----------------------------------------------------------


def core_knows_nobody(module: Module) -> Iterator[str]:
    """outbox/ imports neither flask, requests, apscheduler nor service, and reads no environment."""
    if within(module.name, "outbox"):
        yield from module.takes("flask", "requests", "apscheduler", "service", "sandbox", *NETWORK)
        yield from sorted(module.touches & {"os.environ", "os.getenv", "os.environb"})


def sources_never_see_destinations(module: Module) -> Iterator[str]:
    """No request of a platform or of amoCRM waits for another system."""
    if within(module.name, "service.sources"):
        yield from module.takes("service.destinations", "service.wiring", "service.operator")


def operator_goes_through_wiring(module: Module) -> Iterator[str]:
    """The page reaches a destination only by service.wiring."""
    if within(module.name, "service.operator"):
        yield from module.takes("service.destinations")


def destinations_stand_alone(module: Module) -> Iterator[str]:
    """A destination imports neither flask, nor another destination, nor the outbox's store and drain."""
    if within(module.name, "service.destinations"):
        yield from module.takes("flask", "service.sources", "service.operator", "service.wiring")
        yield from module.takes("outbox.store", "outbox.drain", "outbox.sqlite", "outbox.postgres")
        own = own_destination(module.name)
        for one in module.takes("service.destinations"):
            other = own_destination(one)
            if other and other != own:
                yield one


def own_destination(name: str) -> str:
    """The folder in service/destinations/ that the name lies in; "" for the parts they share."""
    parts = name.split(".")
    shared = len(parts) < 3 or (FOLDER / "service" / "destinations" / f"{parts[2]}.py").is_file()
    return "" if shared else parts[2]


def sql_stays_in_the_engines(module: Module) -> Iterator[str]:
    """SQL and database drivers only in outbox/sql and the engines."""
    if not any(within(module.name, one) for one in ("outbox.sql", "outbox.sqlite", "outbox.postgres")):
        yield from module.takes(*DATABASES)
        yield from module.sql


def network_has_one_door(module: Module) -> Iterator[str]:
    """requests (or any other HTTP client) only in service/network/http.py and the connections it uses."""
    if module.name not in ("service.network.http", "service.network.deadline"):
        yield from module.takes(*NETWORK)


def pure_modules_touch_nothing(module: Module) -> Iterator[str]:
    """config, routing, retry, message and outcome: no clock, chance, environment, network, database or process."""
    if module.name in PURE:
        yield from module.takes("flask", "apscheduler", "threading", "subprocess", "socket", "random", "secrets")
        yield from module.takes(*NETWORK, *DATABASES)
        yield from sorted(module.touches & {"os.environ", "os.getenv"})
        yield from sorted(module.calls & (SLEEPS | {"open"}))
        if module.name not in CLOCK_OWNERS:
            yield from sorted(module.calls & (CLOCKS | {"time.monotonic", "uuid.uuid4", "os.urandom"}))


def time_and_chance_are_arguments(module: Module) -> Iterator[str]:
    """Neither the clock nor chance is asked where events are routed, claimed and sent; nothing there sleeps."""
    inside = any(within(module.name, one) for one in ("outbox", "service.destinations", "service.amocrm"))
    engine = within(module.name, "outbox.sqlite") or within(module.name, "outbox.postgres")
    if inside and module.name not in CLOCK_OWNERS:
        # An engine may wait for another process's lock; when that is over is not ours to give as an argument.
        yield from sorted(module.calls & (CLOCKS if engine else CLOCKS | SLEEPS))
        yield from sorted(one for one in module.calls if one.startswith("random.") and one != "random.Random")


WALLS = [
    core_knows_nobody,
    sources_never_see_destinations,
    operator_goes_through_wiring,
    destinations_stand_alone,
    sql_stays_in_the_engines,
    network_has_one_door,
    pure_modules_touch_nothing,
    time_and_chance_are_arguments,
]


def modules() -> Iterator[Module]:
    for path in [*FOLDER.glob("outbox/**/*.py"), *FOLDER.glob("service/**/*.py"), *FOLDER.glob("*.py")]:
        parts = path.relative_to(FOLDER).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield read(".".join(parts[:-1] if is_package else parts), path.read_text(), is_package)


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.__name__)
def test_wall_stands(wall) -> None:
    broken = [f"{module.name}: {what}" for module in modules() for what in wall(module)]
    assert not broken, f"{wall.__doc__}\n" + "\n".join(broken)


def test_pure_modules_are_there() -> None:
    assert {module.name for module in modules()} >= PURE


# --- and each of them falls when it is broken -------------------------------------------------------------------------

BREACHES = [
    (core_knows_nobody, "outbox.drain", "import requests"),
    (core_knows_nobody, "outbox.sqlite.store", "from flask import g"),
    (core_knows_nobody, "outbox.drain", "from service import config"),
    (core_knows_nobody, "outbox.drain", "def f():\n    from apscheduler.schedulers.blocking import BlockingScheduler"),
    (core_knows_nobody, "outbox.store", "import os\nhome = os.environ['HOME']"),
    (core_knows_nobody, "outbox.store", "from os import getenv\ngetenv('X')"),
    (core_knows_nobody, "outbox.store", "import importlib\nimportlib.import_module('service.config')"),
    (sources_never_see_destinations, "service.sources.events", "from service.destinations import amocrm"),
    (sources_never_see_destinations, "service.sources.events", "from ..destinations.amocrm import client"),
    (sources_never_see_destinations, "service.sources.events", "from .. import destinations"),
    (sources_never_see_destinations, "service.sources.events", "from service import wiring"),
    (operator_goes_through_wiring, "service.operator.connect", "from service.destinations.amocrm import tokens"),
    (destinations_stand_alone, "service.destinations.deals.destination", "from flask import current_app"),
    (
        destinations_stand_alone,
        "service.destinations.deals.destination",
        "from service.destinations import rukovoditel",
    ),
    (
        destinations_stand_alone,
        "service.destinations.records.rukovoditel.insert",
        "from service.destinations.deals import write",
    ),
    (
        destinations_stand_alone,
        "service.destinations.deals.destination",
        "from outbox.store import Store",
    ),
    (destinations_stand_alone, "service.destinations.deals.destination", "from outbox import drain"),
    (sql_stays_in_the_engines, "outbox.drain", "db.query('SELECT id FROM deliveries WHERE state = ?')"),
    (sql_stays_in_the_engines, "service.operator.pages", "q = f'UPDATE deliveries SET state = {x}'"),
    (sql_stays_in_the_engines, "service.commands", "import sqlite3"),
    (sql_stays_in_the_engines, "service.commands", "from sqlite_utils import Database"),
    (network_has_one_door, "service.amocrm.client", "import requests"),
    (network_has_one_door, "scheduler", "from urllib.request import urlopen"),
    (network_has_one_door, "service.commands", "import http.client"),
    (pure_modules_touch_nothing, "service.routing", "import time\ntime.time()"),
    (pure_modules_touch_nothing, "outbox.retry", "from random import random"),
    (pure_modules_touch_nothing, "service.config", "import os\nos.environ.get('X')"),
    (pure_modules_touch_nothing, "outbox.outcome", "from datetime import datetime as d\nd.now()"),
    (pure_modules_touch_nothing, "service.config", "open('x')"),
    (time_and_chance_are_arguments, "outbox.drain", "import time\ntime.sleep(1)"),
    (time_and_chance_are_arguments, "outbox.drain", "from time import time as now\nnow()"),
    (time_and_chance_are_arguments, "outbox.drain", "import random\nrandom.uniform(0, 1)"),
    (time_and_chance_are_arguments, "service.amocrm.oauth.tokens", "import datetime as d\nd.datetime.now()"),
]


@pytest.mark.parametrize(("wall", "name", "source"), BREACHES)
def test_a_breach_is_seen(wall, name: str, source: str) -> None:
    assert list(wall(read(name, source)))


ALLOWED = [
    (core_knows_nobody, "outbox.drain", "from outbox.store import Store\nimport threading"),
    (core_knows_nobody, "service.wiring", "import requests, flask"),
    (sources_never_see_destinations, "service.sources.events", "from service import routing\nfrom . import inbox"),
    (operator_goes_through_wiring, "service.operator.connect", "from service import wiring"),
    (
        destinations_stand_alone,
        "service.destinations.deals.destination",
        "from service.network import http",
    ),
    (destinations_stand_alone, "service.destinations.deals.destination", "from .tokens import Tokens"),
    (
        destinations_stand_alone,
        "service.destinations.deals.destination",
        "from outbox.outcome import Delivered",
    ),
    (sql_stays_in_the_engines, "outbox.sqlite.store", "import sqlite3\nx = 'SELECT id FROM deliveries'"),
    (sql_stays_in_the_engines, "service.commands", "'''Select one from the list.'''\nx = 'Update the settings'"),
    (network_has_one_door, "service.network.http", "import requests"),
    (network_has_one_door, "service.config", "from urllib.parse import urlsplit"),
    (time_and_chance_are_arguments, "outbox.drain", "import time\ndef run(clock=time.time): clock()"),
    (time_and_chance_are_arguments, "outbox.drain", "import time\ntime.monotonic()"),
    (time_and_chance_are_arguments, "outbox.sqlite.filelock", "import time\ntime.sleep(0.001)"),
]


@pytest.mark.parametrize(("wall", "name", "source"), ALLOWED)
def test_what_is_meant_passes(wall, name: str, source: str) -> None:
    assert not list(wall(read(name, source)))


# --- tests do not sleep -----------------------------------------------------------------------------------------------


def test_no_test_sleeps() -> None:
    # What stands beside them may wait: it hands waits to the code under test.
    paths = [path.relative_to(FOLDER) for path in FOLDER.glob("tests/**/test_*.py")]
    sleeping = [str(path) for path in paths if read(path.stem, (FOLDER / path).read_text()).calls & SLEEPS]
    assert not sleeping, f"wait with tests.support.waiting.eventually instead: {sleeping}"
