"""Two other queues on PostgreSQL taking jobs in, each in its own way and by its own driver; run by the Python of an
environment in which they are installed: `python _rivals.py NAME ADDRESS CLIENTS EVENTS`. Prints events per second.

Reference: procrastinate.readthedocs.io, pgqueuer.readthedocs.io
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module

CONNECTIONS = 16


async def measure(send: Callable[[int], Awaitable[object]], clients: int, events: int) -> float:
    """Each client waits for the answer before it sends the next one. -> events per second."""

    async def client(first: int) -> None:
        for number in range(first, events, clients):
            await send(number)

    began = time.perf_counter()
    await asyncio.gather(*(client(one) for one in range(clients)))
    return events / (time.perf_counter() - began)


async def procrastinate(url: str, clients: int, events: int) -> float:
    queue = import_module("procrastinate")
    app = queue.App(connector=queue.PsycopgConnector(conninfo=url, min_size=CONNECTIONS, max_size=CONNECTIONS))

    async def lesson(email: str, lesson: int) -> None:
        """Nobody runs it here."""

    task = app.task(name="lesson")(lesson)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        return await measure(lambda n: task.defer_async(email=f"s{n}@example.com", lesson=1), clients, events)


async def pgqueuer(url: str, clients: int, events: int) -> float:
    driver, library = import_module("pgqueuer.db"), import_module("pgqueuer.queries")
    async with import_module("asyncpg").create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        queries = library.Queries(driver.AsyncpgPoolDriver(pool))
        await queries.install()

        async def send(number: int) -> None:
            await queries.enqueue("lesson", json.dumps({"email": f"s{number}@example.com", "lesson": 1}).encode())

        return await measure(send, clients, events)


if __name__ == "__main__":
    name, url, clients, events = sys.argv[1:]
    print(asyncio.run({"procrastinate": procrastinate, "pgqueuer": pgqueuer}[name](url, int(clients), int(events))))
