"""The worker process: `python scheduler.py`. Ends cleanly on SIGTERM and Ctrl-C; HUP: reads the settings anew."""

import logging
import os
import signal
import sys

from service import logs
from service.core import create_core
from service.environment import read_settings
from service.log_writer import STDERR
from service.memory import share_one_heap
from service.startup import CANNOT_START, remarks, said_plainly
from service.worker import Worker


def main() -> int:
    share_one_heap()
    try:
        settings = read_settings()
        logs.configure(settings)
        for remark in remarks(settings):
            logging.getLogger("scheduler").warning(remark)
        worker = Worker(create_core(settings))
    except CANNOT_START as error:
        STDERR.write(said_plainly(error))
        return 2
    anew = False

    def reload(*_: object) -> None:
        nonlocal anew
        if sys.stdin and sys.stdin.isatty():  # its terminal was closed
            worker.stop()
            return
        try:
            read_settings()
        except CANNOT_START as error:
            STDERR.write(said_plainly(error))
            print("The settings stay as they were until these can be used.", file=sys.stderr, flush=True)
        else:
            anew = True
            worker.stop()

    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    signal.signal(signal.SIGHUP, reload)
    worker.run()
    if anew:
        STDERR.flush()
        os.execv(sys.executable, sys.orig_argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
