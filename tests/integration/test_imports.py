"""What a process does not load: each package costs its start time and its memory for as long as it runs."""

import json
import pathlib
import subprocess
import sys

from tests.support.processes import FOLDER, bare_environ

LOADED = """
import json, sys
sys.argv = ["flask", "--help"]
try:
    from flask.cli import main
    main()
except SystemExit as end:
    assert not end.code, end.code
command = set(sys.modules)
import scheduler, service.app, service.worker
print("\\n" + json.dumps([sorted(command), sorted(set(sys.modules) - command)]))
"""

SERVED = """
import json, sys
sys.argv = ["gunicorn"]
from service.environment import hold_settings
from service.preload import preload
import service.startup  # as gunicorn.conf.py does
preload(hold_settings())
before = set(sys.modules)
import wsgi
client = wsgi.app.test_client()
key = {"X-API-Key": "key-of-a-platform-0123456789"}
answer = client.post("/api/tripwire/complete", json={"email": "ann@example.com", "lesson": 1}, headers=key)
assert answer.status_code == 202, answer.data
print("\\n" + json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""

NEVER = {"apprise", "honcho", "psycopg", "psycopg_pool", "yaml", "sandbox", "workshop", "benchmarks", "pytest"}
"""Of use to few, or in few moments: imported there."""

OF_WORKER = {"requests", "urllib3", "charset_normalizer", "apscheduler", "sqlite_utils", "dateutil", "pluggy"}
"""Of use to who sends requests, runs jobs or changes the tables."""

OF_SERVERS = {"gunicorn", "apscheduler", "tzlocal"}
OF_PAGES = {"flask_wtf", "wtforms"}


def test_neither_command_nor_web_nor_worker_loads_what_it_does_not_need(tmp_path: pathlib.Path) -> None:
    environ = bare_environ(DATABASE_URL=f"sqlite:///{tmp_path}/x.db", AMOCRM_SUBDOMAIN="school")
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=FOLDER, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    command, more = ({name.partition(".")[0] for name in names} for names in json.loads(done.stdout.splitlines()[-1]))
    assert "service" in command and "complete-lesson" in done.stdout
    assert not command & (NEVER | OF_SERVERS | OF_PAGES)
    assert not more & NEVER


def test_the_worker_loads_no_page() -> None:
    program = "import sys, scheduler; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=FOLDER, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "service.worker" in loaded
    assert not [name for name in loaded if name.startswith(("service.operator.pages", "service.commands"))]


def test_the_web_takes_lessons_with_what_it_loaded_before_the_fork(tmp_path: pathlib.Path) -> None:
    """What a process loads after the fork it has for itself alone."""
    environ = bare_environ(DATABASE_URL=f"sqlite:///{tmp_path}/x.db", API_KEYS="platform:key-of-a-platform-0123456789")
    migrated = "from service.core import create_core; create_core()"
    for program in (migrated, SERVED):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=FOLDER, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    before, after = (set(names) for names in json.loads(done.stdout.splitlines()[-1]))
    assert "service.app" in before and "outbox.sqlite.connection" in before
    everything = before | after
    assert not {name.partition(".")[0] for name in everything} & (NEVER | OF_WORKER)
    assert not [name for name in everything if name.startswith(("service.commands", "babel.messages"))]
    assert not [name for name in after if name.startswith(("service.", "outbox.", "jinja2", "babel", "flask"))], after
