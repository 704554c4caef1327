"""Inngest's SDKs, unchanged, against the service: ids, what they know again, lost answers, refusals."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.conftest import npm, pypi
from tests.support.lossy import LossyProxy
from tests.support.processes import API_KEY, FOLDER, PYTHON, Process, Processes, bare_environ, run

pytestmark = pytest.mark.registry

HERE = FOLDER / "tests" / "clients" / "inngest"
KEY = {"Authorization": f"Bearer {API_KEY}"}
RECORD = {"name": "crm/create-deal", "data": {"dealName": "Course", "amount": 1500.5}}
OTHER = {"name": "shop/opened", "data": {"shelf": 1}}


@dataclass(frozen=True)
class Sdk:
    """One version. returns_ids: `send` gives them back. retries: it sends again by itself, under the same seed."""

    language: str
    version: str
    returns_ids: bool = True
    retries: bool = True

    def send(self, base: str, events: Any, key: str = API_KEY) -> dict[str, Any]:
        """-> {"sent": ...} or {"raised": words}."""
        if self.language == "js":
            folder = npm(f"inngest@{self.version}")
            command = ["node", str(HERE / "send.cjs")]
            environ = bare_environ(NODE_PATH=str(folder / "node_modules"))
        else:
            folder = pypi(f"inngest=={self.version}.*")
            command = [PYTHON, str(HERE / "send.py")]
            environ = bare_environ(PYTHONPATH=str(folder))
        done = run([*command, base, key, json.dumps(events)], environ, within=90)
        assert done.code == 0 and done.out, done.text
        answer: dict[str, Any] = json.loads(done.out)
        return answer


SDKS = [
    Sdk("js", "1", returns_ids=False, retries=False),
    Sdk("js", "2", returns_ids=False, retries=False),
    Sdk("js", "3"),
    Sdk("js", "4"),
    Sdk("py", "0.3", retries=False),
    Sdk("py", "0.4", retries=False),
    Sdk("py", "0.5"),
]


@pytest.fixture(params=SDKS, ids=lambda sdk: f"{sdk.language}-{sdk.version}")
def sdk(request: pytest.FixtureRequest) -> Sdk:
    made: Sdk = request.param
    return made


@pytest.fixture
def web(started: Processes, tmp_path: Any) -> Process:
    return started.web(bare_environ(DATABASE_URL=f"sqlite:///{tmp_path}/x.db", API_KEYS=f"platform:{API_KEY}"))


@pytest.fixture
def behind(web: Process) -> Iterator[Callable[[int], LossyProxy]]:
    """behind(3): a proxy before the service that loses the first three answers."""
    proxies: list[LossyProxy] = []

    def make(lose: int) -> LossyProxy:
        proxies.append(LossyProxy(web.url, lose).__enter__())
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.__exit__(None, None, None)


def stored(web: Process) -> dict[str, int]:
    """How many deliveries there are by destination."""
    found = web.call("GET", "/api/outbox", headers=KEY)[1]["destinations"]
    return {name: total for name, one in found.items() if (total := sum(one["states"].values()))}


def test_events_arrive_each_under_an_id_in_order(sdk: Sdk, web: Process) -> None:
    sent = sdk.send(web.url, [RECORD, OTHER])
    assert "sent" in sent, sent
    assert stored(web) == {"erp": 1, "-": 1}
    if sdk.returns_ids:
        names = [web.call("GET", f"/api/events/{one}", headers=KEY)[1]["name"] for one in sent["sent"]["ids"]]
        assert names == [RECORD["name"], OTHER["name"]]


def test_an_event_sent_again_under_its_id_is_one_event(sdk: Sdk, web: Process) -> None:
    event = {**RECORD, "id": "order-7"}
    first, second = sdk.send(web.url, [event]), sdk.send(web.url, [event])
    assert first == second and "sent" in first
    assert stored(web) == {"erp": 1}


def test_after_a_lost_answer_every_event_is_there_once(sdk: Sdk, web: Process, behind: Any) -> None:
    proxy = behind(1)
    events = [{**RECORD, "id": "a"}, OTHER] if sdk.retries else [{**RECORD, "id": "a"}, {**OTHER, "id": "b"}]
    sent = sdk.send(proxy.url, events)
    if not sdk.retries:  # these raise, and their caller sends again: ids make that harmless
        assert "raised" in sent
        sent = sdk.send(proxy.url, events)
    assert "sent" in sent, sent
    assert proxy.statuses == [200, 200]
    assert stored(web) == {"erp": 1, "-": 1}


@pytest.mark.parametrize(
    ("events", "key"),
    [([RECORD], "wrong-key"), ([{**RECORD, "data": {}}], API_KEY), ([{**RECORD, "ts": 10**14}], API_KEY)],
    ids=["401", "422", "a ts too far ahead"],
)  # fmt: skip
def test_a_refusal_raises(sdk: Sdk, web: Process, events: Any, key: str) -> None:
    sent = sdk.send(web.url, events, key)
    assert "raised" in sent, sent
    assert stored(web) == {}
