"""A disk that is full, a lock that is held, a folder that cannot be written: told everywhere, and over by itself."""

import base64
import os
import pathlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.support.processes import ADMIN, API_KEY, PYTHON, TRACEBACK, Process, Processes, free_port, run
from tests.support.waiting import eventually

KEY = {"Authorization": f"Bearer {API_KEY}"}
SIGN_IN = {"Authorization": "Basic " + base64.b64encode(":".join(ADMIN).encode()).decode()}


class Ears:
    """A server that hears pings and alerts."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        ears = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                ears.heard.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = answer

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.place = f"127.0.0.1:{self.server.server_port}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.heard]


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears = Ears()
    yield ears
    ears.server.shutdown()
    ears.server.server_close()


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A disk of 3 MiB; a folder with a limit by `ulimit` would stay full for good."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a small disk takes the rights of root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def send(web: Process, number: int) -> int:
    body = {"email": f"student-{number}@example.com", "lesson": 1}
    return int(web.call("POST", "/api/tripwire/complete", body=body, headers=KEY)[0])


def fill(file: pathlib.Path) -> None:
    with file.open("wb", buffering=0) as full:
        for size in (64 * 1024, 512):
            try:
                while True:
                    full.write(b"x" * size)
            except OSError:
                continue


def test_a_full_disk_is_told_everywhere_and_is_over_without_hands(
    small_disk: pathlib.Path, run_web: Callable[..., Process], run_worker: Callable[..., Process], ears: Ears
) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{small_disk}/dealpost.db",
        "HEARTBEAT_URL": f"http://{ears.place}/ping",
        "ALERT_URLS": f"json://{ears.place}/alert",
        "LOCALE": "en",
    }
    web = run_web(**settings)
    assert send(web, 0) == 202
    fill(small_disk / "ballast")
    # The log of the store has room for some more that was made before.
    eventually(lambda: send(web, 1) == 503, 20)
    eventually(lambda: web.call("GET", "/readyz")[0] == 503, 30)
    assert web.call("GET", "/healthz")[0] == 200
    page = web.call("GET", "/outbox", headers=SIGN_IN)[1]
    assert "New lessons are refused now" in page or "New lessons are not accepted now" in page
    worker = run_worker(**settings)
    eventually(lambda: "/alert" in ears.paths(), 30)
    assert "/ping" not in ears.paths()
    assert all("disk is full" in body for _, body in ears.heard), ears.heard
    (small_disk / "ballast").unlink()
    eventually(lambda: web.call("GET", "/readyz")[0] == 200, 30)
    assert send(web, 2) == 202
    assert web.call("GET", "/outbox", headers=SIGN_IN)[0] == 200
    assert worker.stop() == 0 and web.stop() == 0


def test_a_store_that_is_locked_or_broken_is_not_ready(run_web: Callable[..., Process], tmp_path: pathlib.Path) -> None:
    web = run_web()
    assert send(web, 0) == 202
    other = sqlite3.connect(tmp_path / "dealpost-sandbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        eventually(lambda: web.call("GET", "/readyz")[0] == 503, 30)
        assert send(web, 1) == 503
    finally:
        other.execute("ROLLBACK")
    eventually(lambda: web.call("GET", "/readyz")[0] == 200, 30)
    # The key-value store still takes what is written, and events are refused all the same.
    other.execute("CREATE TRIGGER refuse BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no'); END")
    eventually(lambda: web.call("GET", "/readyz")[0] == 503, 30)
    other.execute("DROP TRIGGER refuse")
    eventually(lambda: web.call("GET", "/readyz")[0] == 200, 30)
    other.close()
    assert send(web, 2) == 202
    web.says("The store takes no events")


def test_a_store_that_is_malformed_takes_nothing_until_somebody_mends_it(
    run_web: Callable[..., Process], tmp_path: pathlib.Path
) -> None:
    file, web = tmp_path / "dealpost-sandbox.db", run_web(LOCALE="en")
    assert send(web, 0) == 202
    other = sqlite3.connect(file, isolation_level=None)
    # What the web has read of it counts no more, and the log is empty: whatever it does next, it reads the file.
    other.execute("INSERT INTO key_values VALUES ('test', 'test', '1', 1, 0)")
    eventually(lambda: other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    good = file.read_bytes()
    with file.open("r+b") as broken:
        broken.seek(4096)
        broken.write(b"\xff" * (len(good) - 4096))
    eventually(lambda: web.call("GET", "/readyz")[0] == 503, 30)
    assert send(web, 1) == 503
    assert web.call("GET", "/healthz")[0] == 200
    status, page = web.call("GET", "/outbox", headers=SIGN_IN)
    assert status == 503 and "The store cannot be read." in page
    with file.open("r+b") as mended:
        mended.write(good)
    eventually(lambda: web.call("GET", "/readyz")[0] == 200, 30)
    assert send(web, 2) == 202
    assert web.call("GET", "/outbox", headers=SIGN_IN)[0] == 200
    other.close()
    assert web.stop() == 0


# Root may write everything; without these two rights it is as any user whose folder is not its own.
PLAIN_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.mark.parametrize("what", ["the file", "the folder and all in it"])
def test_a_store_that_may_not_be_written_is_refused_by_name_and_works_once_its_rights_are_mended(
    started: Processes, service_env: dict[str, str], tmp_path: pathlib.Path, what: str
) -> None:
    folder = tmp_path / "kept"
    environ = {**service_env, "DATABASE_URL": f"sqlite:///{folder}/dealpost.db", "WEB_CONCURRENCY": "1"}
    started.web(environ).stop()  # which makes it
    denied = [folder / "dealpost-sandbox.db"] if what == "the file" else [*folder.iterdir(), folder]
    modes = {path: path.stat().st_mode for path in denied}
    for path in denied:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for command in (["-m", "gunicorn", "wsgi:app"], ["scheduler.py"]):
        done = run([*PLAIN_USER, PYTHON, *command], {**environ, "PORT": str(free_port())})
        assert done.code != 0
        assert f"{folder}" in done.text and "rights" in done.text and TRACEBACK not in done.text
    for path, mode in modes.items():
        path.chmod(mode)
    environ["PORT"] = str(free_port())
    web = started.start("web", [*PLAIN_USER, PYTHON, "-m", "gunicorn", "wsgi:app"], environ)
    web.url = f"http://127.0.0.1:{environ['PORT']}"
    started.ready(web, "/readyz")
    assert send(web, 1) == 202
    assert web.stop() == 0
