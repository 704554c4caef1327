"""What docs/deploy.md tells, tried as far as one machine can: nginx, honcho, systemd's units, the image's files."""

import base64
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from service.config import SECRETS
from tests.support.processes import ADMIN, API_KEY, FOLDER, PYTHON, Process, Processes, bare_environ, free_port, run
from tests.support.waiting import eventually

DEPLOY = FOLDER / "deploy"
HOOK_SECRET = "hook-secret-5b21"
MIB = 1024 * 1024


@pytest.fixture
def environ(tmp_path: pathlib.Path) -> dict[str, str]:
    return bare_environ(
        DATABASE_URL=f"sqlite:///{tmp_path}/var/x.db",
        API_KEYS=f"shop:{API_KEY}",
        WEBHOOK_SECRET=HOOK_SECRET,
        ADMIN_PASSWORD=ADMIN[1],
    )


# --- nginx ------------------------------------------------------------------------------------------------------------


@dataclass
class Site:
    """deploy/nginx.conf in a real nginx, with TLS, on free ports."""

    nginx: Process
    web: Process
    port: int
    certificate: pathlib.Path
    logs: pathlib.Path

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """-> status, headers as one text, body"""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=30)
        try:
            connection.request(method, path, body or None, {"Host": "localhost", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, str(answer.headers), answer.read()
        finally:
            connection.close()

    @property
    def text_of_logs(self) -> str:
        return "".join(file.read_text(errors="replace") for file in self.logs.glob("*.log")) + self.nginx.output


@pytest.fixture
def site(started: Processes, environ: dict[str, str], tmp_path: pathlib.Path) -> Iterator[Site]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program or not shutil.which("openssl"):
        pytest.skip("needs nginx and openssl")
    web = started.web({**environ, "TRUSTED_PROXIES": "1"})
    port, plain, logs = free_port(), free_port(), tmp_path / "logs"
    logs.mkdir()
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, *files, *names], check=True, capture_output=True)
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in [
        (r"listen \[::\].*", ""),
        (r"listen 80;", f"listen 127.0.0.1:{plain};"),
        (r"listen 443 ", f"listen 127.0.0.1:{port} "),
        (r"post\.example\.com;", "localhost;"),
        (r"server 127\.0\.0\.1:8000", f"server {web.url.removeprefix('http://')}"),
        (r"/etc/letsencrypt/live/\S+/fullchain\.pem", str(tmp_path / "cert.pem")),
        (r"/etc/letsencrypt/live/\S+/privkey\.pem", str(tmp_path / "key.pem")),
        (r"/var/log/nginx", str(logs)),
    ]:
        text, changed = re.subn(old, new, text)
        assert changed, f"deploy/nginx.conf has no {old} any more"
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr;\nevents {{}}\nhttp {{\n{temporary}{text}}}\n"
    )
    if os.getuid() == 0:  # its workers run as another user then
        (tmp_path / "nginx.conf").write_text("user root;\n" + (tmp_path / "nginx.conf").read_text())
    command = [program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    nginx = started.start("nginx", command, bare_environ())
    served = Site(nginx, web, port, tmp_path / "cert.pem", logs)

    def answers() -> bool:
        assert nginx.running, nginx.output
        try:
            return served.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    eventually(answers, within=20)
    yield served
    nginx.stop()


def test_behind_nginx_the_client_is_believed_only_through_the_proxy(site: Site) -> None:
    invented = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Authorization": "Basic " + base64.b64encode(":".join(ADMIN).encode()).decode(),
    }
    status, headers, page = site.call("GET", "/outbox", headers=invented)
    assert status == 200
    assert b"evil" not in page
    assert "evil" not in headers
    assert "203.0.113.9" not in site.web.output
    # What the proxy itself says is believed: the address came by https.
    assert re.search(r"Set-Cookie: dealpost=.*; Secure", headers)


def test_a_hook_of_eight_mebibytes_passes_nginx_and_a_larger_one_does_not(site: Site) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    path = f"/webhooks/amocrm/{HOOK_SECRET}"
    # With a wrong secret, which Dealpost refuses unread: whose the answer is can be told.
    status, _headers, body = site.call("POST", "/webhooks/amocrm/another-secret", b"a" * (8 * MIB), form)
    assert (status, b"nginx" in body) == (401, False)
    status, _headers, body = site.call("POST", path, b"a" * (8 * MIB + 1), form)
    assert (status, b"nginx" in body) == (413, True)


def test_nginx_logs_no_secret_even_when_things_go_wrong(site: Site) -> None:
    key = API_KEY
    ways = [
        f"/webhooks/amocrm/{HOOK_SECRET}",
        f"//webhooks/amocrm/{HOOK_SECRET}",
        f"/%77ebhooks/amocrm/{HOOK_SECRET}",
        f"/api/amocrm-webhook?secret={HOOK_SECRET}",
        f"/api/inngest?secret={HOOK_SECRET}",
        f"/e/{key}",
        f"/%65/{key}",
        f"/oauth/callback?code={key}&state=x",
        f"/outbox?code={key}",
    ]
    for path in ways:
        site.call("GET", path)
        site.call("POST", path, b"{}")
    for path in ways[:-1]:
        site.call("POST", path, b"a" * (8 * MIB + 1))
    site.web.stop()
    for path in ways[:-1]:
        assert site.call("POST", path, b"{}")[0] == 502
    site.nginx.stop()
    logs = site.text_of_logs
    assert logs.count("POST /webhooks/amocrm/- ") >= 3
    assert "POST /e/- " in logs
    assert [secret for secret in (HOOK_SECRET, key) if secret in logs] == []


# --- Caddy ------------------------------------------------------------------------------------------------------------


def test_the_caddyfile_lets_no_secret_into_the_log() -> None:
    text = (DEPLOY / "Caddyfile").read_text()
    pattern = re.search(r'request>uri regexp "(.+?)" "\$\{1\}"', text)
    assert pattern
    ways = {
        f"/webhooks/amocrm/{HOOK_SECRET}": "/webhooks",
        f"//webhooks//amocrm/{HOOK_SECRET}": "//webhooks",
        f"/e/{HOOK_SECRET}": "/e",
        f"/%65/{HOOK_SECRET}": "/",
        f"/oauth/callback?code={HOOK_SECRET}": "/oauth",
        f"/?code={HOOK_SECRET}": "/",
        "/readyz": "/readyz",
    }
    assert {uri: re.sub(pattern[1], r"\g<1>", uri) for uri in ways} == ways
    assert "request>headers delete" in text


# --- honcho -----------------------------------------------------------------------------------------------------------


def test_honcho_runs_web_and_worker_from_the_procfile(started: Processes, environ: dict[str, str]) -> None:
    port = free_port()
    with_programs = {**environ, "PATH": f"{pathlib.Path(PYTHON).parent}:{environ['PATH']}"}
    command = [PYTHON, "-m", "honcho", "start", "-e", os.devnull, "-p", str(port), "web", "worker"]
    both = started.start("honcho", command, with_programs)
    both.url = f"http://127.0.0.1:{port}"
    started.ready(both, "/readyz")
    started.ready(both, "/healthz/worker")
    assert both.stop() in (0, 143)
    assert "Traceback" not in both.output


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_the_unit(unit: pathlib.Path, tmp_path: pathlib.Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    # The programs that it starts have to exist: in this folder they do.
    text = unit.read_text().replace("/srv/dealpost/.venv/bin", str(pathlib.Path(PYTHON).parent))
    (tmp_path / unit.name).write_text(text.replace("/srv/dealpost", str(FOLDER)))
    done = run(["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)], bare_environ())
    assert (done.code, [line for line in done.text.splitlines() if unit.name in line]) == (0, [])


def test_the_units_start_what_the_procfile_starts() -> None:
    procfile = dict(line.split(": ", 1) for line in (FOLDER / "Procfile").read_text().splitlines())
    for name in ("web", "worker"):
        text = (DEPLOY / "systemd" / f"dealpost-{name}.service").read_text()
        started = re.search(r"^ExecStart=/srv/dealpost/\.venv/bin/(.*)$", text, re.MULTILINE)
        assert started and started[1] == procfile[name]


# --- the image --------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of each in the Dockerfile, lines joined."""
    text = re.sub(r"\\\n", " ", (FOLDER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in lines]


def of_last_stage(name: str) -> list[str]:
    every = instructions()
    last = max(index for index, (one, _) in enumerate(every) if one == "FROM")
    return [arguments for one, arguments in every[last:] if one == name]


def copied(arguments: str) -> tuple[list[str], str]:
    *sources, target = arguments.split()
    return sources, target


def variables() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in " ".join(of_last_stage("ENV")).split())


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with what the Dockerfile copies from here into the image, and nothing else."""
    folder = tmp_path / "app"
    folder.mkdir()
    for arguments in of_last_stage("COPY"):
        if arguments.startswith("--from="):
            continue
        sources, target = copied(arguments)
        for source in sources:
            if (FOLDER / source).is_dir():
                shutil.copytree(FOLDER / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(FOLDER / source, folder / target)
    return folder


def test_the_build_may_see_what_it_copies() -> None:
    allowed = {line[1:] for line in (FOLDER / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, arguments in instructions():
        if name == "COPY" and not arguments.startswith("--from="):
            for source in copied(arguments)[0]:
                assert (FOLDER / source).exists()
                assert source.split("/")[0] in allowed


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert of_last_stage("USER") == ["dealpost"]
    assert variables()["HOST"] == "0.0.0.0"
    assert of_last_stage("VOLUME") == []


def test_the_images_files_are_enough_for_web_and_worker(
    started: Processes, environ: dict[str, str], image: pathlib.Path
) -> None:
    port = str(free_port())
    of_image = {name: value for name, value in variables().items() if name != "PATH"}
    own = {"DATABASE_URL": "", "DEALPOST_ENV_FILE": "", "PORT": port, "WEB_CONCURRENCY": "1"}
    programs = f"{pathlib.Path(PYTHON).parent}:{environ['PATH']}"
    inside = {**environ, **of_image, **own, "PATH": programs, "PYTHONSAFEPATH": ""}
    (command,) = of_last_stage("CMD")
    web = started.start("image", json.loads(command), inside, cwd=image)
    web.url = f"http://127.0.0.1:{port}"
    started.ready(web, "/readyz")
    started.ready(web, "/healthz/worker")
    assert (image / "var" / "dealpost.db").exists()
    (health,) = of_last_stage("HEALTHCHECK")
    check = json.loads(health.partition("CMD ")[2])
    assert run(check, inside).code == 0
    assert run(shlex.split("flask outbox verify"), inside, cwd=image).code == 0
    assert web.stop() == 0
    assert run(check, inside).code == 1


# --- the page that tells of it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["docs/deploy.md", "docs/ru/deploy.md"])
def test_files_that_the_page_names_are_there_and_its_commands_known(page: str) -> None:
    text = (FOLDER / page).read_text()
    commands = re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
    for command in commands:
        for word in command.split():
            if word.startswith("deploy/"):
                assert list(FOLDER.glob(word)), word
    units = {unit.stem for unit in (DEPLOY / "systemd").glob("*.service")}
    assert set(re.findall(r"dealpost-\w+", text)) == units
    assert set(re.findall(r"`(?:deploy/)?([\w.]+\.(?:json|yaml))`", text)) == {"app.json", "compose.postgres.yaml"}
    # The user of the image owns .env.
    uid = re.search(r"--uid (\d+)", (FOLDER / "Dockerfile").read_text())
    assert uid and f"chown {uid[1]} .env" in text


def test_both_pages_have_the_same_commands() -> None:
    english, russian = (
        [
            re.sub(r"<[^>]*>", "<>", line)
            for line in re.findall(r"^ {4}(.+)$", (FOLDER / page).read_text(), re.MULTILINE)
        ]
        for page in ("docs/deploy.md", "docs/ru/deploy.md")
    )
    assert english == russian


# --- compose, Heroku --------------------------------------------------------------------------------------------------


def test_compose_keeps_the_store_on_a_volume_and_gives_a_stop_time() -> None:
    one: Any = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    service = one["services"]["dealpost"]
    assert "store:/app/var" in service["volumes"]
    assert "store" in one["volumes"]
    assert int(service["stop_grace_period"].rstrip("s")) > 27
    several: Any = yaml.safe_load((DEPLOY / "compose.postgres.yaml").read_text())
    assert several["services"]["worker"]["command"] == ["python", "scheduler.py"]
    for name in ("web", "worker"):
        assert several["services"][name]["environment"]["WORKER_IN_WEB"] == "0"
        assert (DEPLOY / several["services"][name]["build"] / "Dockerfile").exists()


def test_heroku_is_told_of_every_secret_that_must_be_set_there() -> None:
    app = json.loads((FOLDER / "app.json").read_text())
    procfile = [line.partition(":")[0] for line in (FOLDER / "Procfile").read_text().splitlines()]
    assert set(app["formation"]) == set(procfile) - {"release"}
    needed = {name for name, about in app["env"].items() if about.get("required", True)}
    assert {"SECRET_KEY", "TOKEN_KEYS", "API_KEYS"} <= needed
    assert needed - {"PUBLIC_URL"} <= set(SECRETS)
