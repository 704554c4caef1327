"""What `make run` says once everything runs: in the terminal's language, with the way to the form to sign in."""

import pytest

from service.config import load
from service.operator.greeting import greeting


@pytest.mark.parametrize(
    ("lang", "locale", "said"),
    [
        ("C.UTF-8", "", "Dealpost runs."),
        ("ru_RU.UTF-8", "", "Dealpost работает."),
        ("ru_RU.UTF-8", "en", "Dealpost runs."),
        ("C.UTF-8", "ru", "Dealpost работает."),
    ],
)
def test_it_speaks_as_the_setting_says_or_else_the_terminal(
    monkeypatch: pytest.MonkeyPatch, lang: str, locale: str, said: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", lang)
    text = greeting(load({"LOCALE": locale}), "http://localhost:8000", "made", "key", "http://127.0.0.1:8001")
    assert said in text
    assert "http://localhost:8000/outbox/sign-in" in text and "http://localhost:8000/outbox/practice" in text
    assert "/outbox/practice" not in greeting(load({"LOCALE": locale}), "http://localhost:8000", "", "", "")
