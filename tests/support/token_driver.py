"""Processes that use one connection and are killed: `python -m tests.support.token_driver`, told what to do as JSON.

It forks its workers, since a fresh interpreter for each of hundreds of kills would take minutes. After each kill a
minute passes at once for all of them, so that nobody waits for what the dead one held. It passes while nobody is
between a look at the lease and the request: a busy machine may keep any of them from running for seconds.

Reads one JSON object from standard input: database, base_url, keys, seed, kills, lock (hold the database's lock now and
then). Writes a JSON line after each kill: {"how", "result"}; result is ok, reconnect, or words. After "reconnect" it
waits for a line, {"access", "refresh"} of a new pair, and goes on.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sqlite3
import struct
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
from service.amocrm.oauth import endpoint, tokens
from service.config import Amocrm
from service.network.http import Http

START = 1_790_000_000.0
TOTAL = 1.0
"""Seconds for a request to the token endpoint, less than in life: this much each hanging one takes."""
MINUTE = 60.0

POINTS = ("token-before-request", "token-after-response", "token-after-commit")

Told = dict[str, Any]


passed = mmap.mmap(-1, 8)
"""The seconds that were let pass at once, for all processes."""


def now() -> float:
    return START + time.monotonic() + float(struct.unpack("d", passed)[0])


def let_pass(seconds: float) -> None:
    passed[:] = struct.pack("d", struct.unpack("d", passed)[0] + seconds)


def rest(seconds: float) -> None:
    time.sleep(min(seconds, 0.02))


def account_of(told: Told) -> AmocrmAccount:
    store = SqliteStore(told["database"], now=now)
    settings = Amocrm(
        base_url=told["base_url"],
        overridden=True,
        client_id=defaults.CLIENT_ID,
        client_secret=defaults.CLIENT_SECRET,
        redirect_uri=defaults.REDIRECT_URI,
        refresh_token=defaults.REFRESH_TOKEN,
        rps=50.0,
    )
    return AmocrmAccount(
        settings,
        key_values=store.key_values,
        leases=store.leases,
        rate_limiter=store.rate_limiter,
        now=now,
        token_keys=told["keys"],
        owner=f"process {os.getpid()}",
        http=Http(connect=0.5, total=0.5),
        wait=rest,
        sleep=rest,
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


def ended(work: Callable[[], None]) -> int:
    """The code that a child ends with which does this."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(work), 0)[1])


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


def let_a_minute_pass(told: Told, dead: int) -> None:
    """With the lease in hand, so that nobody else sends a refresh token meanwhile; the dead process's ends first."""
    store = SqliteStore(told["database"], now=now)
    while (lease := store.leases.acquire(tokens.LEASE, "driver", tokens.LEASE_SECONDS)) is None:
        held = store.database.row("SELECT owner, until FROM leases WHERE name = ?", (tokens.LEASE,))
        if held and held["owner"].startswith(f"process {dead}:"):
            let_pass(max(0.0, held["until"] - now()))
        time.sleep(0.002)
    let_pass(MINUTE)
    store.leases.release(lease)


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
    endpoint.TOTAL = TOTAL
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
            ended(partial(let_a_minute_pass, told, workers[place]))
            workers[place] = fork(partial(use, told, 1000 + kill, how))
            end = time.monotonic() + 10
            while not (reached := os.waitpid(workers[place], os.WNOHANG)[0]) and time.monotonic() < end:
                time.sleep(0.002)
            how = how if reached else f"{how} not reached"
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(workers[place], signal.SIGKILL)
            os.waitpid(workers[place], 0)
        ended(partial(let_a_minute_pass, told, workers[place]))
        workers[place] = fork(partial(use, told, 5000 + kill))
        code = ended(partial(look, told))
        result = {0: "ok", 3: "reconnect"}.get(code, f"ended with {code}")
        print(json.dumps({"how": how, "result": result}), flush=True)
        if result == "reconnect":
            ended(partial(connect, told, json.loads(sys.stdin.readline())))
    for child in [*workers, *([locker] if locker else [])]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
