"""The web process: `gunicorn wsgi:app`."""

import logging
import sys

from service import create_app, logs, start_web_heartbeat
from service.environment import read_settings
from service.startup import CANNOT_START, said_plainly

by_command = sys.argv[0].endswith("flask")
# With 3 gunicorn stops instead of starting the same worker again and again.
EXIT = 1 if by_command else 3

try:
    settings = read_settings()
    logs.configure(settings, level=logging.WARNING if by_command else logging.INFO)
    app = create_app(settings)
except CANNOT_START as error:
    print(said_plainly(error), file=sys.stderr, flush=True)
    sys.exit(EXIT)

start_web_heartbeat(app)
