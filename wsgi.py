"""The web process: `gunicorn wsgi:app`."""

import logging
import sys

from service import create_app, logs, start_web_heartbeat
from service.config import ConfigError
from service.environment import read_settings

# With this code gunicorn stops instead of starting the same worker again and again.
CANNOT_START = 3

try:
    settings = read_settings()
except ConfigError as error:
    print(error, file=sys.stderr, flush=True)
    sys.exit(CANNOT_START)

by_command = sys.argv[0].endswith("flask")
logs.configure(settings, level=logging.WARNING if by_command else logging.INFO)
app = create_app(settings)
start_web_heartbeat(app)
