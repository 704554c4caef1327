"""The samples of /docs, copied from the page and run as they stand."""

import html
import re
import shutil
import urllib.request
from typing import Any

import pytest

from tests.support.processes import API_KEY, PYTHON, Process, Processes, bare_environ, run

RUN = {
    "curl": ("sh", "-c"),
    "Python": (PYTHON, "-c"),
    "Node": ("node", "--input-type=module", "-e"),
    "PHP": ("php", "-r"),
}
SAMPLE = re.compile(r'<pre data-sample="(\w+)">(.*?)</pre>', re.DOTALL)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("samples")
    processes = Processes(folder)
    yield processes.web(bare_environ(DATABASE_URL=f"sqlite:///{folder}/x.db", API_KEYS=f"platform:{API_KEY}"))
    processes.stop()


@pytest.mark.parametrize("language", RUN)
def test_each_sample_runs_as_it_stands(language: str, web: Process) -> None:
    program = {"Python": PYTHON, "Node": "node", "PHP": "php"}.get(language, "curl")
    if not shutil.which(program):
        pytest.skip(f"SKIPPED, NOT TESTED: this machine has no {program}")
    lesson = {"email": "other@example.com", "lesson": 1}
    event = web.call("POST", "/api/tripwire/complete", body=lesson, headers={"X-API-Key": API_KEY})[1]["id"]
    environ = bare_environ(DEALPOST_URL=web.url, DEALPOST_KEY=API_KEY, EVENT_ID=event)
    samples = [html.unescape(text) for name, text in SAMPLE.findall(web.call("GET", "/docs")[1]) if name == language]
    assert len(samples) == 5
    answers = []
    for sample in samples:
        done = run([*RUN[language], sample], environ)
        assert done.code == 0, sample + done.text
        answers.append(done.out)
    for key, answer in zip(["accepted", "ids", "ids", "deliveries", "destinations"], answers, strict=True):
        assert key in answer, answer
        environ["DEALPOST_KEY"] = "wrong"
    for sample in samples:
        assert run([*RUN[language], sample], environ).code != 0, f"a refusal goes unnoticed: {sample}"


def test_a_stranger_gets_the_page_in_either_language_without_a_cookie(web: Process) -> None:
    asked = [("", "ru", "ru"), ("", "en-US", "en"), ("?lang=ru", "en", "ru"), ("?lang=x", "", "en")]
    for query, language, wanted in asked:
        request = urllib.request.Request(f"{web.url}/docs{query}", headers={"Accept-Language": language})
        with urllib.request.urlopen(request, timeout=10) as answer:
            page = answer.read().decode()
            assert not answer.headers.get("Set-Cookie")
        assert f'<html lang="{wanted}">' in page
        assert ("Ученик прошёл урок" in page) == (wanted == "ru")
        assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
        assert not re.search(r"<pre data-sample[^>]*>[^<]*[А-я]", page), "samples are for programs"
