"""A line for the log costs its writer nothing, whatever becomes of its reader."""

import os
import threading

import pytest

from service.gunicorn_log import hide_request
from service.log_writer import LogWriter
from tests.support.waiting import eventually


@pytest.fixture
def pipe():
    ends = list(os.pipe())
    yield ends
    for end in ends:
        if end is not None:
            os.close(end)


def test_lines_arrive_in_their_order(pipe):
    writer = LogWriter(pipe[1])
    for number in range(100):
        writer.write(f"line {number}")
    writer.flush()
    assert os.read(pipe[0], 65536).decode().splitlines() == [f"line {number}" for number in range(100)]


def test_a_reader_that_stopped_reading_costs_lines_that_are_counted_and_nothing_else(pipe):
    writer = LogWriter(pipe[1], lines=50)
    for _ in range(5000):
        writer.write("x" * 1000)
    writer.flush()  # gives up
    lines: list[str] = []
    gone = threading.Event()

    def read() -> None:
        rest = ""
        while not gone.is_set():
            *whole, rest = (rest + os.read(pipe[0], 65536).decode()).split("\n")
            lines.extend(whole)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def arrived() -> int:
        return sum(line.startswith("xxx") for line in lines)

    def dropped() -> int:
        """As was said, more than once where the reader got a part of them in between."""
        return sum(int(line.split()[1]) for line in lines if line.endswith("lines of the log were dropped"))

    eventually(lambda: arrived() + dropped() == 5000)
    gone.set()
    writer.write("the end")
    reader.join()
    assert arrived() + dropped() == 5000
    assert arrived() >= 50 and dropped()


def test_a_reader_that_is_gone_is_noticed_and_raises_nothing(pipe):
    writer = LogWriter(pipe[1])
    os.close(pipe[0])
    pipe[0] = None
    writer.write("to nobody")
    writer.flush()
    assert writer.broken


def test_a_full_disk_raises_nothing_and_lines_come_again_when_there_is_room(tmp_path):
    with open("/dev/full", "wb", buffering=0) as full:
        file = os.dup(full.fileno())
    writer = LogWriter(file)
    for _ in range(3):  # each with a line of its own that tells of those before
        writer.write("no room")
        writer.flush()
    with (tmp_path / "log").open("wb") as room:
        os.dup2(room.fileno(), file)
    writer.write("room again")
    writer.flush()
    os.close(file)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "room again" and lines[1].endswith(" 3 lines of the log were dropped")


def test_a_forked_process_writes_its_own_lines_once(pipe):
    writer = LogWriter(pipe[1])
    writer.write("of the parent")
    child = os.fork()
    if child == 0:
        writer.write("of the child")
        writer.flush()
        os._exit(0)
    os.waitpid(child, 0)
    writer.flush()
    assert sorted(os.read(pipe[0], 65536).decode().splitlines()) == ["of the child", "of the parent"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "Invalid request from ip=127.0.0.1: Invalid HTTP request line: 'POST /%77ebhooks/amocrm/s3cret HTP'",
            "Invalid request from ip=127.0.0.1: Invalid HTTP request line: [hidden]",
        ),
        (
            "Invalid request from ip=::1: Invalid HTTP Header: 'Authorization : Bearer s3cret'",
            "Invalid request from ip=::1: Invalid HTTP Header: [hidden]",
        ),
        ("Error handling request POST /webhooks/amocrm/s3cret", "Error handling request: [hidden]"),
        ("Worker exiting (pid: 7)", "Worker exiting (pid: 7)"),
    ],
)
def test_what_gunicorn_repeats_of_a_request_is_hidden(line, shown):
    assert hide_request(line) == shown
