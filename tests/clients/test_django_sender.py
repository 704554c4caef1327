"""The Django sender in a real Django: nothing of a transaction that was rolled back reaches Dealpost."""

from typing import Any

import pytest

from tests.clients.conftest import pypi
from tests.support.processes import API_KEY, FOLDER, PYTHON, Processes, bare_environ, run

pytestmark = pytest.mark.registry

PLATFORM = """
import django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
from django.db import connection, transaction
from dealpost_django import lesson_completed

with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE completion (student, lesson)")

def complete(student, email, lesson, fail=False):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO completion VALUES (%s, %s)", [student, lesson])
        lesson_completed(student, email, lesson)
        if fail:
            raise ValueError("the view fails")

complete(1, "anna@example.com", 67)
try:
    complete(2, "boris@example.com", 67, fail=True)
except ValueError:
    print("rolled back")
complete(1, "anna@example.com", 67)
"""


@pytest.mark.parametrize("version", ["4.2", "5.2"])
def test_only_what_was_committed_is_told_and_once(version: str, started: Processes, tmp_path: Any) -> None:
    folder = pypi(f"django=={version}.*")
    web = started.web(bare_environ(DATABASE_URL=f"sqlite:///{tmp_path}/x.db", API_KEYS=f"platform:{API_KEY}"))
    path = f"{folder}:{FOLDER / 'senders'}"
    environ = bare_environ(DEALPOST_URL=web.url, DEALPOST_KEY=API_KEY, PYTHONPATH=path)
    done = run([PYTHON, "-W", "ignore", "-c", PLATFORM], environ)
    assert (done.code, done.out.strip()) == (0, "rolled back"), done.text
    outbox = web.call("GET", "/api/outbox", headers={"Authorization": f"Bearer {API_KEY}"})[1]
    assert outbox["destinations"]["amocrm"]["states"]["pending"] == 1
