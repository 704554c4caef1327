"""SQLite's own locks on the database file must outlive whatever else a process does with that file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from outbox.engines import open_store

ROOT = Path(__file__).resolve().parents[3]

OPEN_AND_CLOSE = (
    "import sys; from outbox.engines import open_store; s = open_store(sys.argv[1]); s.reading.tallies(); s.close()"
)


def test_a_process_that_ends_does_not_delete_the_log_that_another_one_is_using(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/dealpost.db"
    store = open_store(url)
    store.maintenance.migrate()
    store.key_values.put("test", "first", 1)
    # Each thread opens a connection of its own: that must not drop the locks of the connections before it.
    thread = threading.Thread(target=lambda: store.key_values.get("test", "first"))
    thread.start()
    thread.join()
    log = os.stat(f"{tmp_path}/dealpost.db-wal").st_ino

    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, url], cwd=ROOT, check=True)

    assert os.stat(f"{tmp_path}/dealpost.db-wal").st_ino == log
    store.key_values.put("test", "second", 2)
    assert store.maintenance.verify() == []
    store.close()
