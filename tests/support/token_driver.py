"""Processes that use one connection and are killed: `python -m tests.support.token_driver`, told what to do as JSON.

It forks its workers, since a fresh interpreter for each of hundreds of kills would take minutes. All of them live in a
time that runs SPEED times as fast: leases, waits and deadlines keep their proportions.

Reads one JSON object from standard input: database, base_url, keys, seed, kills, lock (hold the database's lock now and
then). Writes a JSON line after each kill: {"how", "result"}; result is ok, reconnect, or words. After "reconnect" it
waits for a line, {"access", "refresh"} of a new pair, and goes on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from outbox.outcome import DeliveryError
from outbox.sqlite import SqliteStore
from sandbox import defaults
from service.amocrm import AmocrmAccount, api
from service.amocrm.oauth import endpoint
from service.config import Amocrm
from service.network.http import Http

SPEED = 60.0
START = 1_790_000_000.0
LEASE, TOTAL = 16.0, 6.0
"""Shorter than in life, in the same order: a killed process holds the lease until its end, and that is most of the time
that this takes. What lies between them is what a busy machine may keep a process from running right after it looked at
its lease: 170 ms."""

POINTS = ("token-before-request", "token-after-response", "token-after-commit")

Told = dict[str, Any]


def now() -> float:
    """By the machine's monotonic clock, which all processes share, so that nothing ever jumps."""
    return START + time.monotonic() * SPEED


def rest(seconds: float) -> None:
    time.sleep(min(seconds / SPEED, 0.02))


def account_of(told: Told) -> AmocrmAccount:
    store = SqliteStore(told["database"], now=now)
    settings = Amocrm(
        base_url=told["base_url"],
        overridden=True,
        client_id=defaults.CLIENT_ID,
        client_secret=defaults.CLIENT_SECRET,
        redirect_uri=defaults.REDIRECT_URI,
        refresh_token=defaults.REFRESH_TOKEN,
        rps=20.0,
    )
    return AmocrmAccount(
        settings,
        key_values=store.key_values,
        leases=store.leases,
        rate_limiter=store.rate_limiter,
        now=now,
        token_keys=told["keys"],
        owner="the same name in all of them",
        http=Http(connect=0.5, total=0.5),
        wait=rest,
        sleep=rest,
        lease_seconds=LEASE,
    )


def fork(work: Callable[[], None]) -> int:
    """A child that does this and then ends with 0, or with 1 and its error."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def use(told: Told, seed: int, point: str = "") -> None:
    """Read the account and renew the tokens, over and over."""
    if point:
        os.environ |= {"SANDBOX": "1", "DEALPOST_FAILPOINT": point}
    chance = random.Random(seed)
    account = account_of(told)
    while True:
        with suppress(DeliveryError):
            if point or chance.random() < 0.5:
                account.tokens.refresh(force=True)
            else:
                account.client.account()
        time.sleep(chance.random() * 0.01)


def look(told: Told) -> None:
    """Ends with 0 if the tokens can be renewed and the account be read, with 3 if somebody has to reconnect."""
    account = account_of(told)
    error: DeliveryError | None = None
    for _ in range(400):
        try:
            account.tokens.refresh(force=True)
            account.client.account()
        except DeliveryError as fault:
            error = fault
            if account.tokens.status().state == "reconnect":
                os._exit(3)
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"no access: {error}")


def connect(told: Told, pair: Told) -> None:
    """What the button does once it has a pair."""
    account_of(told).tokens.import_pair(pair["access"], pair["refresh"], who="test", expires_in=86400.0)


def hold_lock(told: Told) -> None:
    while True:
        database = sqlite3.connect(told["database"], isolation_level=None, timeout=5)
        with suppress(sqlite3.OperationalError):
            database.execute("BEGIN IMMEDIATE")
            time.sleep(0.15)
            database.execute("ROLLBACK")
        database.close()
        time.sleep(0.3)


def main() -> None:
    told: Told = json.loads(sys.stdin.readline())
    endpoint.TOTAL = TOTAL / SPEED
    api.TOTAL = 0.5
    chance = random.Random(told["seed"])
    SqliteStore(told["database"], now=now).maintenance.migrate()
    workers = [fork(partial(use, told, number)) for number in range(3)]
    locker = fork(partial(hold_lock, told)) if told.get("lock") else 0
    for kill in range(told["kills"]):
        place = chance.randrange(3)
        how = chance.choice(("SIGKILL", *POINTS))
        if how == "SIGKILL":
            time.sleep(chance.random() * 0.05)
        else:
            # A worker that dies at the named point takes the place of one that is killed first.
            os.kill(workers[place], signal.SIGKILL)
            os.waitpid(workers[place], 0)
            workers[place] = fork(partial(use, told, 1000 + kill, how))
            end = time.monotonic() + 1
            while not (ended := os.waitpid(workers[place], os.WNOHANG))[0] and time.monotonic() < end:
                time.sleep(0.002)
            how = how if ended[0] else f"{how} not reached"
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(workers[place], signal.SIGKILL)
            os.waitpid(workers[place], 0)
        workers[place] = fork(partial(use, told, 5000 + kill))
        code = os.waitstatus_to_exitcode(os.waitpid(fork(partial(look, told)), 0)[1])
        result = {0: "ok", 3: "reconnect"}.get(code, f"ended with {code}")
        print(json.dumps({"how": how, "result": result}), flush=True)
        if result == "reconnect":
            os.waitpid(fork(partial(connect, told, json.loads(sys.stdin.readline()))), 0)
    for child in [*workers, *([locker] if locker else [])]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
