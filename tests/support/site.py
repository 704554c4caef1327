"""The web application over a seeded world: asked by a test client, or served to a browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

from outbox.message import StoreUnavailable
from service import create_app
from service.config import load
from tests.support import seeded

OPERATOR = ("operator", "operator-password-1")
VIEWER = ("viewer", "viewer-password-1")

ENVIRON = {
    "SECRET_KEY": "only-for-tests-of-the-page",
    "TOKEN_KEYS": "V2hhdCBhIHRlc3QgbmVlZHMgaXMgYSBrZXkgbGlrZSE=",
    "API_KEYS": "platform:platform-key-1",
    "ADMIN_USERNAME": OPERATOR[0],
    "ADMIN_PASSWORD": OPERATOR[1],
    "VIEWER_USERNAME": VIEWER[0],
    "VIEWER_PASSWORD": VIEWER[1],
    "WEBHOOK_SECRET": "hook-secret-1",
    "PUBLIC_URL": "https://post.example.com",
    "AMOCRM_SUBDOMAIN": "school",
    "AMOCRM_CLIENT_ID": "integration",
    "AMOCRM_CLIENT_SECRET": "integration-secret",
    "AMOCRM_REDIRECT_URI": "https://post.example.com/oauth/callback",
    "AMOCRM_PIPELINE_ID": str(seeded.PIPELINE),
    "AMOCRM_STAGE_LESSON_1": "61530111",
    "AMOCRM_STAGE_LESSON_2": "61530114",
    "AMOCRM_STAGE_LESSON_3": "Урок 3 пройден",
    "CRM_API_URL": "https://erp.example.com/api/rest.php",
    "CRM_API_KEY": "erp-key-1",
    "CRM_API_USERNAME": "erp-user",
    "CRM_API_PASSWORD": "erp-password-1",
}


class Broken:
    """A store whose disk is full: only its clock still goes."""

    def __init__(self, world: seeded.World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.clock.now

    def __getattr__(self, name: str) -> Any:
        raise StoreUnavailable("database or disk is full")


def application(world: seeded.World, wired: Any = None, store: Any = None, **environ: str) -> Flask:
    settings = load({**ENVIRON, "DATABASE_URL": "sqlite:////tmp/unused.db", **environ})
    app = create_app(settings, store or world.store)
    app.extensions["dealpost"].wiring = wired or seeded.Wired(world.store)
    return app


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def served(app: Flask, prefix: str = "") -> Iterator[str]:
    """The application on a free port of this machine. prefix: the path under which a proxy would put it."""
    whole: Any = DispatcherMiddleware(_nothing, {prefix: app}) if prefix else app
    server = make_server("127.0.0.1", 0, whole, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}{prefix}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def _nothing(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"nothing here"]
