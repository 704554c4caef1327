"""The walls of the house, read from the syntax tree: data goes one way, and each foreign thing has one door."""

import ast
import pathlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from service import config, create_app
from service.sources.context import source_context

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


def sources_reach_nobody(module: Module) -> Iterator[str]:
    """No request of a platform or of amoCRM waits for another system: what a way in is given cannot reach one."""
    if within(module.name, "service.sources"):
        yield from module.takes("service.destinations", "service.amocrm", "service.network", "service.operator")
        yield from module.takes("service.wiring", "service.current", "service.app", "service.jobs", "service.worker")
        if module.name != "service.sources.context":  # by its type nobody gets at anything else
            yield from module.takes("flask.current_app")
            yield from sorted(one for one in module.touches if one.startswith("flask.globals.request_ctx.app"))


def operator_goes_through_wiring(module: Module) -> Iterator[str]:
    """The page reaches a destination only by the wiring that it is handed."""
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


def amocrm_is_a_library(module: Module) -> Iterator[str]:
    """service/amocrm knows what amoCRM is, and neither who uses it nor Flask."""
    if within(module.name, "service.amocrm"):
        yield from module.takes("flask", "outbox.store", "outbox.drain")


FLOORS = [
    ("outbox",),
    ("service.config", "service.routing", "service.secrets"),
    ("service.network",),
    ("service.amocrm",),
    ("service.destinations", "service.sources"),
    ("service.operator",),
    ("service.wiring", "service.app", "service.commands", "service.jobs", "service.worker"),
]
"""From the ground up. What stands in none of them is shared by several."""


def floor_of(name: str) -> int | None:
    return next((at for at, floor in enumerate(FLOORS) if any(within(name, one) for one in floor)), None)


def imports_go_down(module: Module) -> Iterator[str]:
    """Nobody imports from a floor above their own, and nobody but main programs imports those who know everybody."""
    own = floor_of(module.name)
    if own is not None:
        yield from sorted(one for one in module.imports if (other := floor_of(one)) is not None and other > own)


def sql_stays_in_the_engines(module: Module) -> Iterator[str]:
    """SQL and database drivers only in outbox/sql and the engines."""
    if not any(within(module.name, one) for one in ("outbox.sql", "outbox.sqlite", "outbox.postgres")):
        yield from module.takes(*DATABASES)
        yield from module.sql


def network_has_one_door(module: Module) -> Iterator[str]:
    """requests (or any other HTTP client) only in service/network/sender.py and the connections it uses."""
    if module.name not in ("service.network.sender", "service.network.deadline"):
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
    sources_reach_nobody,
    operator_goes_through_wiring,
    destinations_stand_alone,
    amocrm_is_a_library,
    imports_go_down,
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
    (sources_reach_nobody, "service.sources.events", "from service.destinations import amocrm"),
    (sources_reach_nobody, "service.sources.events", "from ..destinations.amocrm import client"),
    (sources_reach_nobody, "service.sources.events", "from .. import destinations"),
    (sources_reach_nobody, "service.sources.events", "from service import wiring"),
    (sources_reach_nobody, "service.sources.events", "from service.current import current"),
    (sources_reach_nobody, "service.sources.events", "from service.amocrm.client import AmocrmClient"),
    (sources_reach_nobody, "service.sources.events", "from service.network import http"),
    (sources_reach_nobody, "service.sources.events", "from flask import current_app"),
    (
        sources_reach_nobody,
        "service.sources.events",
        "from flask.globals import request_ctx\nrequest_ctx.app.extensions['dealpost']",
    ),
    (amocrm_is_a_library, "service.amocrm.client", "from flask import current_app"),
    (amocrm_is_a_library, "service.amocrm.account", "from outbox.store import Store"),
    (imports_go_down, "service.amocrm.account", "from service.destinations.deals import preview"),
    (imports_go_down, "service.network.http", "def f():\n    from service.amocrm import client"),
    (imports_go_down, "service.destinations.deals.destination", "from service import wiring"),
    (imports_go_down, "service.operator.connect", "from service.wiring import Wiring"),
    (imports_go_down, "outbox.retry", "from service import routing"),
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
    (sources_reach_nobody, "service.sources.events", "from service import routing\nfrom . import context"),
    (operator_goes_through_wiring, "service.operator.connect", "from service.current import current"),
    (sources_reach_nobody, "service.sources.context", "from flask import current_app"),
    (imports_go_down, "service.destinations.records.changes", "from service.amocrm import AmocrmAccount"),
    (imports_go_down, "service.current", "from service.wiring import Wiring"),
    (imports_go_down, "service.app", "from service import commands"),
    (amocrm_is_a_library, "service.amocrm.webhook", "from service.secrets import is_secret"),
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
    (network_has_one_door, "service.network.sender", "import requests"),
    (network_has_one_door, "service.config", "from urllib.parse import urlsplit"),
    (time_and_chance_are_arguments, "outbox.drain", "import time\ndef run(clock=time.time): clock()"),
    (time_and_chance_are_arguments, "outbox.drain", "import time\ntime.monotonic()"),
    (time_and_chance_are_arguments, "outbox.sqlite.filelock", "import time\ntime.sleep(0.001)"),
]


@pytest.mark.parametrize(("wall", "name", "source"), ALLOWED)
def test_what_is_meant_passes(wall, name: str, source: str) -> None:
    assert not list(wall(read(name, source)))


# --- no circles -------------------------------------------------------------------------------------------------------


def edges(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Who imports whom, by name, also inside functions; not what is imported for types alone, which runs nothing."""
    found: dict[str, set[str]] = {}
    for name, source in sources.items():
        tree = ast.parse(source)
        guards = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ]
        typing = {inner for guard in guards for inner in ast.walk(guard)}
        nodes = [
            node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) and node not in typing
        ]
        asked = set()
        for node in nodes:
            base = getattr(node, "module", None) or ""
            for alias in node.names:
                whole = f"{base}.{alias.name}".strip(".")
                asked.add(whole if whole in sources else base)
        found[name] = {one for one in asked if one in sources and one != name}
    return found


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules from which a way leads back to themselves."""

    def comes_back(start: str) -> bool:
        seen: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            one = waiting.pop()
            if one == start:
                return True
            if one not in seen:
                seen.add(one)
                waiting += graph[one]
        return False

    return sorted(name for name in graph if comes_back(name))


def sources_of_all() -> dict[str, str]:
    found = {}
    for path in [*FOLDER.glob("outbox/**/*.py"), *FOLDER.glob("service/**/*.py"), *FOLDER.glob("*.py")]:
        parts = path.relative_to(FOLDER).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


def test_imports_make_no_circle() -> None:
    assert circles(edges(sources_of_all())) == []


def test_a_circle_is_seen_also_inside_a_function() -> None:
    looped = {"a": "from b import x", "b": "def f():\n    import c", "c": "from a import y", "d": "import a"}
    assert circles(edges(looped)) == ["a", "b", "c"]


# --- a namespace of the key-value store has one owner -----------------------------------------------------------------

OWNERS = {
    "account": "service.amocrm.account_facts",
    "bulk": "service.operator.resends",
    "changes": "service.amocrm.stage_changes.seen",
    "choices": "service.amocrm.choices",
    "counters": "service.counters",
    "directory": "service.destinations.deals.person",
    "echoes": "service.amocrm.stage_changes.own",
    "erp-inserts": "service.destinations.records.rukovoditel.recovery",
    "erp-made": "service.destinations.records.rukovoditel.recovery",
    "health": "outbox.sql.maintenance",
    "jobs": "service.job_results",
    "oauth_state": "service.operator.consent_links",
    "pace": "service.amocrm.pace_store",
    "process": "service.heartbeat",
    "reconcile": "service.destinations.records.missed_changes",
    "records": "service.destinations.records.destination",
    "refusals": "service.refusals",
    "signed_out": "service.operator.sessions",
    "undo": "outbox.sql.undo",
    "tokens": "service.amocrm.oauth.token_store",
}
CALLS = {"get", "get_many", "put", "put_many", "items", "delete", "drop"}


def namespaces(source: str) -> set[str]:
    """The namespaces that a module names: to a call of the key-value store, or in a constant for them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            of_store = ast.unparse(node.func.value).endswith("key_values")
            found |= texts(node.args[0]) if of_store and node.func.attr in CALLS else set()
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(names) else [value]
            for name, given in zip(names, values, strict=False):
                if isinstance(name, ast.Name) and name.id in ("NAMESPACE", "PLACE", "MADE", "OPEN", "TOLD"):
                    found |= texts(given)
    return found


def texts(node: ast.expr) -> set[str]:
    first = node.elts[0] if isinstance(node, ast.Tuple) and node.elts else node
    return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()


def test_a_namespace_is_named_by_its_owner_alone() -> None:
    named = [(space, name) for name, source in sources_of_all().items() for space in namespaces(source)]
    strangers = [(space, name) for space, name in named if OWNERS.get(space, name) != name]
    assert not strangers
    assert {space for space, _ in named} >= OWNERS.keys()


@pytest.mark.parametrize(
    "source", ['store.key_values.get("pace", x)', 'NAMESPACE, KEY = "pace", "x"', 'PLACE = ("pace", "x")',
               'self._key_values.put("pace", "x", {})']
)  # fmt: skip
def test_a_namespace_that_somebody_names_is_seen(source: str) -> None:
    assert namespaces(source) == {"pace"}


# --- what a way in is given -------------------------------------------------------------------------------------------


def test_a_way_in_that_calls_amocrm_through_what_it_is_given_fails(tmp_path: pathlib.Path) -> None:
    settings = config.load(
        {"DATABASE_URL": f"sqlite:///{tmp_path}/dealpost.db", "SECRET_KEY": "q6zW4n1vYdQk0cW7o1nq0m1B3l9v1eJ8"}
    )
    app = create_app(settings)
    with app.app_context():
        context = source_context()
    for name in ("wiring", "store", "settings", "amocrm", "client"):
        with pytest.raises(AttributeError):
            getattr(context, name)
    app.extensions["dealpost"].store.close()


def test_the_type_of_what_a_way_in_is_given_names_nobody_who_reaches_another_machine() -> None:
    whole = ast.parse((FOLDER / "service/sources/context.py").read_text())
    [given] = [node for node in whole.body if isinstance(node, ast.ClassDef)]
    types = {ast.unparse(node.annotation) for node in given.body if isinstance(node, ast.AnnAssign)}
    assert types == {
        "Callable[[Sequence[NewEvent], float], list[Receipt]]",
        "Callable[[Sequence[Sequence[NewEvent]], float], list[list[Receipt] | Exception]]",
        "Callable[[], None]",
        "Callable[[], float]",
        "Ration",
        "Callable[[], float | None]",
        "Callable[[], int | None]",
        "Callable[[], int]",
        "bool",
        "ApiKeys",
        "Mapping[int, int]",
        "tuple[str, ...]",
        "str",
    }


# --- tests do not sleep -----------------------------------------------------------------------------------------------


def test_no_test_sleeps() -> None:
    # What stands beside them may wait: it hands waits to the code under test.
    paths = [path.relative_to(FOLDER) for path in FOLDER.glob("tests/**/test_*.py")]
    sleeping = [str(path) for path in paths if read(path.stem, (FOLDER / path).read_text()).calls & SLEEPS]
    assert not sleeping, f"wait with tests.support.waiting.eventually instead: {sleeping}"
