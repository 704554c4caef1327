"""A PostgreSQL of one's own for tests, trials and measurements: a fresh cluster in a folder, gone with it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from workshop.processes import free_port

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
USER = "dealpost"
CHEAP = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")


def programs() -> pathlib.Path | None:
    """The folder of `initdb` and `postgres`, of the newest version that is installed."""
    found = shutil.which("initdb")
    if found:
        return pathlib.Path(found).resolve().parent
    folders = [path.parent for place in PLACES for path in pathlib.Path("/").glob(f"{place[1:]}/initdb")]
    return max(folders, default=None)


class Server:
    """A running server. It listens on a free port of this machine and on a socket in its folder.

    durable: fsync as in production. environ: added to the server's environment. also: another address of this machine
    at which it listens, to whoever is in the same network.
    """

    def __init__(
        self, *options: str, durable: bool = False, environ: Mapping[str, str] | None = None, also: str = ""
    ) -> None:
        self._bin = programs()
        if self._bin is None:
            raise FileNotFoundError("PostgreSQL was not found (apt install postgresql)")
        # A short path: a socket's may have 107 letters at most.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self.folder / "data"
        listens = ("-c", f"listen_addresses=127.0.0.1,{also}") if also else ()
        self._options = (*(() if durable else CHEAP), *listens, *options)
        self._environ = {**os.environ, "LC_ALL": "C", **(environ or {})}
        self.port = free_port()
        self._owner = _owner()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if self._owner:
                os.chown(self.folder, *self._owner)
            self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
            if also:
                with (self._data / "pg_hba.conf").open("a") as hba:
                    hba.write(f"host all all {also}/24 trust\n")
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres", *, socket: bool = True) -> str:
        if socket:
            return f"postgresql://{USER}@/{database}?host={quote(str(self.folder), safe='')}&port={self.port}"
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new, empty database. -> its address."""
        create_database(self.url(), database)
        return self.url(database)

    def start(self) -> None:
        """Returns when it takes connections."""
        command = [str(self._bin / "postgres") if self._bin else "", "-D", str(self._data), "-p", str(self.port)]
        places = ["-k", str(self.folder), "-c", "listen_addresses=127.0.0.1", *self._options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *places], stdout=log, stderr=log, start_new_session=True, env=self._environ, **self._as()
            )
        end = time.monotonic() + 60.0
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    text = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL does not start: {error}\n{text[-2000:]}") from None
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """SIGQUIT: at once, as after a power cut it recovers from its log; SIGINT: in order."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def send(self, number: int) -> None:
        """SIGSTOP or SIGCONT to the server and all its backends."""
        assert self._process is not None
        pid = self._process.pid
        self._process.send_signal(number)
        if number == signal.SIGSTOP:  # what it starts until then is to be stopped too
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(one), number)

    def cut(self) -> None:
        """End the connections of all clients."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _as(self) -> dict[str, Any]:
        return {"user": self._owner[0], "group": self._owner[1]} if self._owner else {}

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program) if self._bin else "", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=self._environ, **self._as())
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")


@contextlib.contextmanager
def new_database(server: str) -> Iterator[str]:
    """An empty database at this server, dropped in the end. -> its address."""
    name = f"dealpost_{uuid.uuid4().hex}"
    create_database(server, name)
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        drop_database(server, name)


def create_database(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
        )


def empty(url: str) -> None:
    """Let go of all rows in this database, and of whoever is connected to it. The tables stay, to save time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'dealpost_migrations'"
        )
        tables = [sql.Identifier(row[0]) for row in found]
        if tables:
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(sql.SQL(", ").join(tables)))


def drop_database(url: str, name: str) -> None:
    """Also while somebody is connected to it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _owner() -> tuple[int, int] | None:
    """As whom it runs: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody")
