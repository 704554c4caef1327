"""Tokens survive kill after kill in both modes of rotation, with three processes asking at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from sandbox import Sandbox
from tests.support import processes

KILLS = int(os.environ.get("TOKEN_KILLS", "24"))
"""In each mode of rotation: some six for each way to die. More are only more of the same, for who changes the tokens:
TOKEN_KILLS=1000."""
ROOT = Path(__file__).resolve().parents[2]


class Driver:
    """The process that forks, kills and reports; see tests.support.token_driver."""

    def __init__(self, sandbox: Sandbox, folder: Path, **told: Any) -> None:
        self.database = folder / "tokens.db"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.token_driver"],
            cwd=ROOT,
            env=processes.bare_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.send(
            json.dumps(
                {
                    "database": str(self.database),
                    "base_url": sandbox.base_url,
                    "keys": [Fernet.generate_key().decode()],
                    "seed": 7,
                    **told,
                }
            )
        )

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kills(self) -> Iterator[dict[str, str]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)
        assert self.process.wait(10) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def lost(sandbox: Sandbox) -> set[str]:
    """Pairs that amoCRM gave and nobody ever used: rotations whose answer or commit was lost."""
    with sandbox.world.lock:
        return {refresh for refresh, pair in sandbox.oauth.pairs.items() if pair.parent and not pair.used}


def run(sandbox: Sandbox, folder: Path, **told: Any) -> dict[str, dict[str, int]]:
    """-> how often each kind of kill ended how. A lost chain is connected anew."""
    driver = Driver(sandbox, folder, **told)
    counts: dict[str, dict[str, int]] = {}
    known: set[str] = set()
    try:
        for kill in driver.kills():
            ends = counts.setdefault(kill["how"], {})
            ends[kill["result"]] = ends.get(kill["result"], 0) + 1
            if kill["result"] == "reconnect":
                assert lost(sandbox) - known, "declared lost although the stored pair was the last one given"
                known = lost(sandbox)
                fresh = sandbox.oauth.new_pair()
                driver.send(json.dumps({"access": fresh.access, "refresh": fresh.refresh}))
        plain = b"".join(file.read_bytes() for file in folder.glob("tokens.db*"))
    finally:
        driver.close()
    secrets = [text for pair in sandbox.oauth.pairs.values() for text in (pair.access, pair.refresh) if text]
    assert len(secrets) > 20 and not [text for text in secrets if text.encode() in plain]
    return counts


def total(counts: dict[str, dict[str, int]], result: str) -> int:
    return sum(ends.get(result, 0) for ends in counts.values())


@pytest.mark.parametrize("lock", [False, True])
def test_where_the_old_token_lives_on_the_chain_never_breaks(tmp_path: Path, lock: bool) -> None:
    kills = KILLS if not lock else 12
    with Sandbox(limit_on=False, rotation="lenient") as sandbox:
        counts = run(sandbox, tmp_path, kills=kills, lock=lock)
        assert sandbox.log.dead_refreshes() == []
        assert total(counts, "ok") == kills, counts
        assert lock or all(counts[how]["ok"] for how in ("SIGKILL", "token-before-request", "token-after-response"))


def test_where_it_dies_at_once_only_a_lost_commit_breaks_it(tmp_path: Path) -> None:
    with Sandbox(limit_on=False, rotation="strict") as sandbox:
        counts = run(sandbox, tmp_path, kills=KILLS)
        assert sandbox.log.dead_refreshes() == []
        assert total(counts, "ok") + total(counts, "reconnect") == KILLS, counts
        assert counts["token-after-response"].get("reconnect"), counts  # here the answer was in hand, not yet stored


@pytest.mark.parametrize("rotation", ["lenient", "strict"])
def test_an_endpoint_that_fails_and_loses_answers(tmp_path: Path, rotation: str) -> None:
    kills = 10
    with Sandbox(limit_on=False, rotation=rotation, clock_offset=3600.0) as sandbox:
        path = {"path": "/oauth2/access_token", "count": None}
        sandbox.faults.add("drop", act=True, fraction=0.1, **path)
        sandbox.faults.add("status", status=500, act=True, fraction=0.05, **path)
        sandbox.faults.add("status", status=502, fraction=0.1, **path)
        sandbox.faults.add("status", status=500, html=True, fraction=0.1, **path)
        sandbox.faults.add("garbage", fraction=0.05, **path)
        sandbox.faults.add("hang", seconds=1.5, fraction=0.05, **path)
        counts = run(sandbox, tmp_path, kills=kills)
        assert sandbox.log.dead_refreshes() == []
        if rotation == "lenient":
            assert total(counts, "ok") == kills, counts
        assert total(counts, "ok") + total(counts, "reconnect") == kills, counts
