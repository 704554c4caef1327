"""Other people's amoCRM clients, unchanged, against the sandbox under amoCRM's own names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox, defaults
from tests.clients.conftest import npm, pypi
from tests.support.processes import FOLDER, PYTHON, bare_environ, run

pytestmark = pytest.mark.registry

HERE = FOLDER / "tests" / "clients" / "amocrm"
CLIENTS = {
    "amocrm-js": ("npm", "amocrm_js.cjs"),
    "@shevernitskiy/amo": ("npm", "shevernitskiy.cjs"),
    "amocrm-api": ("pypi", "amocrm_api.py"),
    "aioamocrm": ("pypi", "with_aioamocrm.py"),
    "amocrm-sdk": ("pypi", "amocrm_sdk.py"),
}
LIFETIME = 86_400


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return tmp_path / "tls"


@pytest.fixture
def sandbox(tls: Path) -> Iterator[Sandbox]:
    with Sandbox(tls_folder=tls, limit_on=False) as running:
        running.seed(students=115)
        yield running


def work(client: str, sandbox: Sandbox, tls: Path) -> dict[str, Any]:
    """What the client's script printed; the network leads every name of amoCRM to the sandbox, as a proxy would."""
    registry, script = CLIENTS[client]
    told = {
        "subdomain": defaults.SUBDOMAIN,
        "code": sandbox.oauth.new_code(),
        "auth": {
            "client_id": defaults.CLIENT_ID,
            "client_secret": defaults.CLIENT_SECRET,
            "redirect_uri": defaults.REDIRECT_URI,
        },
        "pipeline": defaults.PIPELINE_ID,
        "stage": defaults.STAGE_LESSON_1,
        "known": next(iter(sandbox.amocrm.deals)),
        "lifetime": LIFETIME,
    }
    ca = str(tls / "ca.pem")
    if registry == "npm":
        folder = npm(client)
        command = ["node", "--require", str(HERE / "network.cjs"), str(HERE / script)]
        port = sandbox.url.rsplit(":", 1)[1]
        environ = bare_environ(NODE_PATH=str(folder / "node_modules"), NODE_EXTRA_CA_CERTS=ca, SANDBOX_PORT=port)
    else:
        folder = pypi(client)
        command = [PYTHON, str(HERE / script)]
        environ = bare_environ(PYTHONPATH=str(folder), HTTPS_PROXY=sandbox.url, REQUESTS_CA_BUNDLE=ca, SSL_CERT_FILE=ca)
    done = run([*command, json.dumps(told)], environ, within=90)
    assert done.code == 0 and done.out, done.text
    answer: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    assert "raised" not in answer, answer
    return answer


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_connects_reads_every_page_and_writes(client: str, sandbox: Sandbox, tls: Path) -> None:
    done = work(client, sandbox, tls)
    grants = [entry.body["grant_type"] for entry in sandbox.log.entries(path="/oauth2/access_token")]
    assert set(grants) == {"authorization_code", "refresh_token"}
    assert done["seen"] == 120
    assert done.get("account", defaults.ACCOUNT_ID) == defaults.ACCOUNT_ID
    assert sandbox.amocrm.contacts[done["contact"]].name == "Анна Петрова"
    deal = sandbox.amocrm.deals[done["lead"]]
    assert (deal.name, deal.price, deal.status_id) == ("Курс", 4900, defaults.STAGE_LESSON_1)
    if client != "amocrm-api":  # it has no way to link the two
        assert deal.contact_ids == [done["contact"]]
    if "complex" in done:
        assert sandbox.amocrm.contacts[done["complex"]].name == "Пётр"
    assert sandbox.amocrm.records[done["company"]].data["name"] == "Школа"
    assert sandbox.amocrm.records[done["task"]].data["entity_id"] == done["lead"]
    assert {entry.status for entry in sandbox.log.entries()} - {400} <= {200, 201, 204}


@pytest.mark.parametrize(("knob", "end"), [("refused", "refused"), ("accepted", "saved")])
def test_a_client_that_sends_whole_rows_back_is_refused_or_heard_by_knob(
    sandbox: Sandbox, tls: Path, knob: str, end: str
) -> None:
    sandbox.set(echoed_rows=knob)
    done = work("amocrm-js", sandbox, tls)
    known = next(iter(sandbox.amocrm.deals.values()))
    assert (done["echoed"], known.name == "Целиком") == (end, end == "saved")
