"""What people would use instead, doing the work: a Flask application for each, which takes a record in and calls
ENDPOINT for it later. Run by gunicorn; `work` is the worker of those that have one.

Reference: huey.readthedocs.io, docs.dbos.dev, procrastinate.readthedocs.io
"""

import asyncio
import os
import pathlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

from flask import Flask, request

FOLDER = pathlib.Path(os.environ["FOLDER"])


def call(name: str, amount: float) -> None:
    """Keeps its connection, as any good client."""
    global session
    if session is None:
        session = import_module("requests").Session()
    session.post(os.environ["ENDPOINT"], json={"name": name, "amount": amount}, timeout=10).raise_for_status()


session: Any = None


def taking(store: Callable[[str, float], object], done: Callable[[], int]) -> Flask:
    app = Flask(__name__)

    @app.post("/api/events")
    def take() -> tuple[dict[str, str], int]:
        data = request.get_json()["data"]
        store(data["dealName"], data["amount"])
        return {"status": "accepted"}, 202

    @app.get("/done")
    def count() -> dict[str, int]:
        return {"done": done()}

    return app


def _huey() -> tuple[Any, Any]:
    queue = import_module("huey").SqliteHuey(filename=str(FOLDER / "huey.db"), fsync=True)

    def record(name: str, amount: float) -> bool:
        call(name, amount)
        return True  # what it returns is kept, so that it can be seen that it is done

    return queue, queue.task(name="record")(record)


def huey() -> Flask:
    queue, task = _huey()
    return taking(task, queue.result_count)


def dbos() -> Flask:
    """Works in the web process, as it is meant to."""
    library = import_module("dbos")
    url = f"sqlite:///{FOLDER}/dbos.sqlite"
    dbos = library.DBOS(
        config={"name": "peer", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"}
    )

    def flow(name: str, amount: float) -> None:
        library.DBOS.run_step({"name": "call"}, call, name, amount)

    record = library.DBOS.workflow()(flow)
    library.DBOS.launch()
    queue = library.DBOS.register_queue("records")

    def done() -> int:
        return len(dbos.list_workflows(status="SUCCESS", load_input=False, load_output=False))

    return taking(lambda name, amount: queue.enqueue(record, name, amount), done)


def _procrastinate(connector: str) -> tuple[Any, Any]:
    library = import_module("procrastinate")
    app = library.App(connector=getattr(library, connector)(conninfo=os.environ["POSTGRES"]))

    def record(name: str, amount: float) -> None:
        call(name, amount)

    return app, app.task(name="record")(record)


def procrastinate() -> Flask:
    app, task = _procrastinate("SyncPsycopgConnector")
    app.open()
    app.schema_manager.apply_schema()

    def done() -> int:
        jobs = app.connector.execute_query_one(
            "SELECT count(*) AS n FROM procrastinate_jobs WHERE status = 'succeeded'"
        )
        return int(jobs["n"])

    return taking(lambda name, amount: task.defer(name=name, amount=amount), done)


def work(name: str) -> None:
    if name == "huey":
        _huey()[0].create_consumer().run()
    else:
        app, _ = _procrastinate("PsycopgConnector")

        async def run() -> None:
            async with app.open_async():
                await app.run_worker_async()

        asyncio.run(run())
