"""What people would use instead: a Flask application for each, which takes the same lesson in and answers 202 once it
is where that library keeps it. Run by gunicorn out of an environment in which they are installed; FOLDER names theirs.

Reference: huey.readthedocs.io, github.com/peter-wangxu/persist-queue, docs.dbos.dev
"""

import os
import pathlib
import sqlite3
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from flask import Flask, request

FOLDER = pathlib.Path(os.environ.get("FOLDER", "."))

Store = Callable[[dict[str, Any]], object]


def taking(store: Store) -> Flask:
    app = Flask(__name__)

    @app.post("/api/tripwire/complete")
    def complete() -> tuple[dict[str, str], int]:
        store(request.get_json())
        return {"status": "accepted"}, 202

    return app


def bare() -> Flask:
    """Forgets what it was sent."""
    return taking(lambda lesson: None)


def naive() -> Flask:
    """A row and a commit for each."""
    local = threading.local()
    path = FOLDER / "naive.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, email TEXT, lesson INTEGER)")
    db.close()

    def store(lesson: dict[str, Any]) -> None:
        if not hasattr(local, "db"):
            local.db = sqlite3.connect(path, timeout=30)
            local.db.execute("PRAGMA synchronous = FULL")
        with local.db:
            local.db.execute("INSERT INTO events (email, lesson) VALUES (?, ?)", (lesson["email"], lesson["lesson"]))

    return taking(store)


def huey() -> Flask:
    """fsync=True: on disk before the answer, as ours."""
    queue = import_module("huey").SqliteHuey(filename=str(FOLDER / "huey.db"), fsync=True)

    def finish(email: str, lesson: int) -> None:
        """Nobody runs it here."""

    task = queue.task(name="finish")(finish)
    return taking(lambda lesson: task(lesson["email"], lesson["lesson"]))


def persist_queue() -> Flask:
    queue = import_module("persistqueue").SQLiteQueue(str(FOLDER / "persist"), auto_commit=True, multithreading=True)
    return taking(queue.put)


def dbos() -> Flask:
    library = import_module("dbos")
    url = f"sqlite:///{FOLDER}/dbos.sqlite"
    library.DBOS(config={"name": "peer", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
    library.DBOS.launch()  # makes the tables
    library.DBOS.destroy()
    client = library.DBOSClient(system_database_url=url)
    to = {"queue_name": "lessons", "workflow_name": "finish"}
    return taking(lambda lesson: client.enqueue(to, lesson["email"], lesson["lesson"]))
