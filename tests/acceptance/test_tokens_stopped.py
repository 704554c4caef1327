"""A worker that is asked to stop while it renews the tokens finishes that first."""

from __future__ import annotations

from collections.abc import Callable

from sandbox import Sandbox
from tests.support.processes import Finished, Process
from tests.support.waiting import eventually


def test_sigterm_lets_a_refresh_in_hand_finish(
    sandbox: Sandbox, run_worker: Callable[..., Process], run_flask: Callable[..., Finished]
) -> None:
    sandbox.set(latency_ms=1500.0, rotation="strict")
    worker = run_worker()
    eventually(lambda: sandbox.log.count(path="/oauth2/access_token") == 1, 20)
    assert worker.stop() == 0
    sandbox.set(latency_ms=0.0)
    assert sandbox.log.count(path="/oauth2/access_token") == 1
    status = run_flask("tokens", "status")
    assert "connected" in status.out, status.text
    # The old token is dead by now: only whoever stored the new pair can renew it.
    assert run_flask("tokens", "refresh").code == 0
    assert sandbox.log.dead_refreshes() == []
