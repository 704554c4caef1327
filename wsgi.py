"""The web process: `gunicorn wsgi:app`."""

import logging
import sys

from service import create_app, logs, start_web_heartbeat
from service.environment import environ_at_start, read_settings
from service.startup import CANNOT_START, said_plainly

by_command = sys.argv[0].endswith(("flask", "flask/__main__.py"))
# With 3 gunicorn stops instead of starting the same worker again and again.
EXIT = 1 if by_command else 3

try:
    # The flask command has put .env into os.environ, its ${...} replaced, where it would hide DEALPOST_ENV_FILE.
    settings = read_settings(environ_at_start() if by_command else None)
    logs.configure(settings, level=logging.WARNING if by_command else logging.INFO)
    app = create_app(settings)
except CANNOT_START as error:
    print(said_plainly(error), file=sys.stderr, flush=True)
    sys.exit(EXIT)

start_web_heartbeat(app)
