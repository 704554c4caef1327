"""The worker process: `python scheduler.py`. Ends cleanly on SIGTERM and Ctrl-C."""

import signal
import sys

from service import create_app, logs
from service.config import ConfigError
from service.environment import read_settings
from service.worker import Worker


def main() -> int:
    try:
        settings = read_settings()
    except ConfigError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    logs.configure(settings)
    worker = Worker(create_app(settings))
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
