"""What the web and the worker have in common: the settings, the store and the wiring, and the language of texts."""

from __future__ import annotations

from flask import Flask

from outbox import failpoints as outbox_failpoints
from outbox.engines import open_store
from outbox.store import Store
from service.authentication import ApiKeys
from service.config import ConfigError, Settings
from service.current import Dealpost
from service.environment import read_settings
from service.failpoints import failpoint
from service.operator import language
from service.store_kind import StoreKind
from service.wiring import Wiring


def create_core(settings: Settings | None = None, store: Store | None = None) -> Flask:
    """An application that answers nobody: all that a worker needs. Without arguments: by the environment, with the
    store that it names.

    Raises config.ConfigError naming every fault.
    """
    settings = settings or read_settings()
    if settings.sandbox:
        outbox_failpoints.listen(failpoint)
    if store is None:
        try:
            store = open_store(settings.database_url)
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        make_ready(store, settings)
    app = Flask(__name__, static_folder=None)
    app.extensions["dealpost"] = Dealpost(settings, store, Wiring(settings, store), ApiKeys(settings.api_keys))
    language.register(app, settings)
    return app


def make_ready(store: Store, settings: Settings) -> None:
    """What a store needs before it is used. Raises config.ConfigError where it holds something else."""
    store.maintenance.migrate()
    StoreKind(store).claim(settings)
