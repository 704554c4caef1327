"""The web application as a server makes it before it forks: its processes share what none of them writes into."""

from __future__ import annotations

import gc

from flask import Flask

from outbox.engines import open_store
from service.app import create_app
from service.config import Settings
from service.core import make_ready
from service.current import Dealpost
from service.memory import share_one_heap
from service.operator import language

_app: Flask | None = None


def preload(settings: Settings) -> None:
    """Make the application for the processes that are forked from this one, in place of what was made before.

    Its store is not touched: no connection and no thread survives a fork.
    """
    global _app
    _app = None
    share_one_heap()
    try:
        app = create_app(settings, open_store(settings.database_url))
    except ValueError:  # whoever would serve says what is wrong
        return
    language.warm(app)
    _app = app
    # What the collector of another process would write into, the kernel would have to copy for it.
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def preloaded(settings: Settings) -> Flask | None:
    """The application that was made before the fork, its store made ready by this process; None where there is none
    for these settings. Raises as create_app."""
    if _app is None:
        return None
    dealpost: Dealpost = _app.extensions["dealpost"]
    if dealpost.settings is not settings:
        return None
    make_ready(dealpost.store, settings)
    return _app
