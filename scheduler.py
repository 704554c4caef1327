"""The worker process: `python scheduler.py`. Ends cleanly on SIGTERM and Ctrl-C."""

import signal
import sys

from service import create_app, logs
from service.environment import read_settings
from service.startup import CANNOT_START, said_plainly
from service.worker import Worker


def main() -> int:
    try:
        settings = read_settings()
        logs.configure(settings)
        worker = Worker(create_app(settings))
    except CANNOT_START as error:
        print(said_plainly(error), file=sys.stderr, flush=True)
        return 2
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
