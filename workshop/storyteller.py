"""Follows the outbox while `make run` runs, and tells the story of its deliveries."""

import threading
from collections.abc import Callable

from flask import Flask

from outbox import pauses
from outbox.engines import open_store
from outbox.message import StoreUnavailable
from service.config import Settings
from service.operator import language
from service.operator.story import Story
from service.routing import AMOCRM, ERP

EVERY = 0.5
"""Seconds between two looks."""


class Storyteller:
    """Gives each line of the story to `tell`, from a thread of its own, until it is stopped."""

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Before the others: the one that closes the store last tidies it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _follow(self) -> None:
        app = Flask(__name__, static_folder=None)
        language.register(app, self._settings)
        store = open_store(self._settings.database_url)
        try:
            story = Story(store.reading, store.now())
            while not self._stopping.wait(EVERY):
                with app.app_context():
                    try:
                        resting = {name: pauses.read(store.key_values, name) for name in (AMOCRM, ERP)}
                        paused = {name: one for name, one in resting.items() if one}
                        for line in story.lines(store.now(), paused):
                            self._tell(line)
                    except StoreUnavailable:
                        continue  # the others say so
        finally:
            store.close()
