"""The web process: `gunicorn wsgi:app`."""

import atexit
import logging
import sys

from outbox.engines import open_store
from service import create_app, create_commands, logs, start_web_heartbeat
from service.environment import environ_at_start, read_settings
from service.heartbeat import leave_as_web
from service.log_writer import STDERR
from service.startup import CANNOT_START, said_plainly

by_command = sys.argv[0].endswith(("flask", "flask/__main__.py"))
with_web = not by_command or {"run", "routes", "shell"} & set(sys.argv)  # flask's own commands
# With 3 gunicorn stops instead of starting the same worker again and again.
EXIT = 1 if by_command else 3

try:
    if by_command:
        from service import practice
        from service.commands.terminal import speak

        # In an environment that workshop/setup.py did not make, the flask command has put .env into os.environ, its
        # ${...} replaced, where it would hide DEALPOST_ENV_FILE.
        settings, practises = practice.of_command(environ_at_start())
        speak(settings.locale)
        logs.configure(settings, level=logging.WARNING)
        # A store that is to be replaced is not opened: it may be broken.
        create = create_app if with_web else create_commands
        app = create(settings, open_store(settings.database_url) if "restore" in sys.argv else None)
        if practises and "--help" not in sys.argv:
            with app.app_context():
                STDERR.write(practice.notice())
    else:
        from service.preload import preloaded

        settings = read_settings()
        logs.configure(settings, level=logging.INFO)
        app = preloaded(settings) or create_app(settings)
except CANNOT_START as error:
    STDERR.write(said_plainly(error))
    sys.exit(EXIT)

if with_web:
    start_web_heartbeat(app)
# The last process that ends leaves one file, with everything in it.
atexit.register(app.extensions["dealpost"].store.close)
if not by_command:
    atexit.register(leave_as_web, app.extensions["dealpost"].store)
