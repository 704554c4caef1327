"""Dealpost. `create_app` makes the web application, `create_commands` what the `flask` commands need of it; both are
imported when they are called, so that settings cost nothing."""

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


def create_commands(settings: Settings | None = None, store: Store | None = None) -> Flask:
    """The `flask` commands, without the web: a person at a terminal waits for what is imported. As create_app else."""
    from service.commands import register
    from service.core import create_core

    app = create_core(settings, store)
    register(app)
    return app


def start_web_heartbeat(app: Flask) -> None:
    """Show this process among those that live, from its first request on: in a server that forks, after the fork."""
    from service.app import start_web_heartbeat

    start_web_heartbeat(app)
