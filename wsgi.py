"""The web process: `gunicorn wsgi:app`."""

import logging
import os
import posix
import sys

from service import create_app, logs, start_web_heartbeat
from service.environment import read_settings
from service.startup import CANNOT_START, said_plainly

by_command = sys.argv[0].endswith(("flask", "flask/__main__.py"))
# With 3 gunicorn stops instead of starting the same worker again and again.
EXIT = 1 if by_command else 3
# The flask command has put .env into os.environ by now, with ${...} replaced, where it would hide DEALPOST_ENV_FILE.
ENVIRON = {os.fsdecode(name): os.fsdecode(value) for name, value in posix.environ.items()} if by_command else None

try:
    settings = read_settings(ENVIRON)
    logs.configure(settings, level=logging.WARNING if by_command else logging.INFO)
    app = create_app(settings)
except CANNOT_START as error:
    print(said_plainly(error), file=sys.stderr, flush=True)
    sys.exit(EXIT)

start_web_heartbeat(app)
