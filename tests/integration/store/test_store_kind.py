"""Practice never writes into a real outbox, nor the other way round, where no file's name keeps them apart."""

import pytest
from cryptography.fernet import Fernet

from outbox.store import Store
from service import create_app
from service.config import ConfigError, Settings, load
from service.environment import ROOT
from service.store_kind import StoreKind
from tests.integration.store.make import event

ENGINES = ("postgres",)
KEYS = {"SECRET_KEY": "a-secret-of-the-test-41b6", "TOKEN_KEYS": Fernet.generate_key().decode()}


def settings(address: str, sandbox: bool) -> Settings:
    return load({**KEYS, "DATABASE_URL": address, "SANDBOX": str(int(sandbox))}, root=ROOT)


@pytest.mark.parametrize("sandbox", [True, False])
def test_whoever_comes_first_says_what_a_database_is_for(address: str, store: Store, sandbox: bool) -> None:
    create_app(settings(address, sandbox))
    create_app(settings(address, sandbox))
    words = "a database of practice; expected" if sandbox else "SANDBOX=1 at a database that holds a real outbox"
    with pytest.raises(ConfigError, match=words):
        create_app(settings(address, not sandbox))


def test_what_was_accepted_before_anybody_said_so_is_real(address: str, store: Store) -> None:
    store.intake.accept([event()])
    with pytest.raises(ConfigError, match="SANDBOX=1 at a database that holds a real outbox; expected another, empty"):
        create_app(settings(address, True))
    create_app(settings(address, False))


def test_a_file_of_practice_that_was_moved_to_a_server_is_practice_there(address: str, store: Store) -> None:
    StoreKind(store).claim(load({"DATABASE_URL": "sqlite:///var/x.db", "SANDBOX": "1"}, root=ROOT))
    store.intake.accept([event()])
    create_app(settings(address, True))
