"""The web application over a real store, asked by Flask's own client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from outbox.engines import open_store
from outbox.store import Store
from service import create_app
from service.config import Settings, load

KEY = {"Authorization": "Bearer platform-key-1"}
INGEST = {"X-API-Key": "intake-key-1"}
OPERATOR = ("admin", "operator-password-1")
VIEWER = ("viewer", "viewer-password-1")
SECRET = "hook-secret-1"

ENVIRON = {
    "SECRET_KEY": "only-for-tests-1",
    "TOKEN_KEYS": "V2hhdCBhIHRlc3QgbmVlZHMgaXMgYSBrZXkgbGlrZSE=",
    "API_KEYS": "platform:platform-key-1,intake:intake-key-1:ingest",
    "WEBHOOK_SECRET": f"{SECRET},the-next-secret-1",
    "ADMIN_PASSWORD": OPERATOR[1],
    "VIEWER_PASSWORD": VIEWER[1],
    "LOCALE": "en",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({**ENVIRON, "DATABASE_URL": f"sqlite:///{tmp_path}/dealpost.db"})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.database_url)
    store.maintenance.migrate()
    yield store
    store.close()


@pytest.fixture
def app(settings: Settings, store: Store) -> Flask:
    return create_app(settings, store)


@pytest.fixture
def web(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def post(web: FlaskClient) -> Any:
    """post(path, body, **headers): JSON with the platform's key."""

    def send(path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        return web.post(path, json=body, headers={**KEY, **(headers or {})})

    return send
