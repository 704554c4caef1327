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

NEVER = {"apprise", "honcho", "psycopg", "psycopg_pool", "yaml", "sandbox", "workshop", "benchmarks", "pytest"}
"""Of use to few, or in few moments: imported there."""

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
