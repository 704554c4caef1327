"""Dealpost. `create_app` makes the web application; it is imported when it is called, so that settings cost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from outbox.store import Store
    from service.config import Settings


def create_app(settings: Settings | None = None, store: Store | None = None) -> Flask:
    """The web application. Without arguments: by the environment, with the store that it names.

    Raises config.ConfigError naming every fault.
    """
    from service.app import create_app

    return create_app(settings, store)


def start_web_heartbeat(app: Flask) -> None:
    """Show this process among those that live, from its first request on: in a server that forks, after the fork."""
    from service.app import start_web_heartbeat

    start_web_heartbeat(app)
