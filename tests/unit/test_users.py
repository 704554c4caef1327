"""USERS: what `flask user add` prints is read back, whatever carries it, and nothing else opens the door."""

import base64

import pytest
from werkzeug.security import check_password_hash, generate_password_hash

from service.config import ConfigError, load
from service.operator.people import OPERATOR, VIEWER, People
from service.users import NamedUser, entry, user_of

METHODS = ("scrypt:1024:8:1", "pbkdf2:sha256:1000")  # cheap ones: a test is no place to be slow


def user(name: str = "Ирина", password: str = "correct horse battery", role: str = "admin") -> NamedUser:
    return NamedUser(name, generate_password_hash(password, METHODS[0]), role)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["anna", "Ирина", "o'neil", "a b", "x"])
def test_what_is_printed_is_read_back_and_holds_no_sign_that_a_shell_would_change(name, method):
    made = NamedUser(name, generate_password_hash("correct horse battery", method), "viewer")
    text = entry(made)
    assert user_of(text) == made
    assert not set(text.removeprefix(name)) & set("$,'\"`\\ #{}!")


def test_a_hash_as_werkzeug_writes_it_is_taken_too():
    made = user("anna")
    assert user_of(f"anna:{made.password_hash}:viewer").password_hash == made.password_hash


@pytest.mark.parametrize(
    "text",
    ["", "anna", "anna:admin", "anna::admin", ":x:admin", "anna:plain-password:admin", f"{entry(user())}x",
     "anna:" + base64.urlsafe_b64encode(b"plain:x$y$z").decode() + ":admin", entry(user("anna", role="owner"))],
)  # fmt: skip
def test_anything_else_is_named_without_showing_it(text):
    with pytest.raises(ValueError, match=r"^(no|another) ") as fault:
        user_of(text)
    assert "plain" not in str(fault.value)


def settings(**environ: str):
    return load({"ADMIN_PASSWORD": "operator-password-1", "SECRET_KEY": "only-for-tests-of-users", **environ})


def test_all_faults_are_named_at_once_and_no_hash_is_shown():
    hashed = user("anna").password_hash
    with pytest.raises(ConfigError) as error:
        settings(USERS=f"anna:{hashed}:admin,anna:{hashed}:viewer,admin:{hashed}:admin,olga:secret-text:admin")
    text = str(error.value)
    assert "entry 2 repeats the name 'anna'" in text and "entry 3 repeats the name 'admin'" in text
    assert "entry 4 has no hash of a password for 'olga'" in text
    assert "scrypt" not in text and "secret-text" not in text


def test_roles_and_passwords_open_what_they_should():
    people = People(settings(USERS=",".join([entry(user("anna")), entry(user("oleg", "another long one", "viewer"))])))
    assert (people.identify("anna", "correct horse battery") or user()).role == OPERATOR
    assert (people.identify("oleg", "another long one") or user()).role == VIEWER
    assert (people.identify("admin", "operator-password-1") or user()).role == OPERATOR
    for name, password in [("anna", "another long one"), ("oleg", ""), ("nobody", "x"), ("admin", "x"), ("", "")]:
        assert people.identify(name, password) is None


def test_what_was_right_once_is_right_again_and_wrong_stays_wrong(monkeypatch):
    people = People(settings(USERS=entry(user("anna"))))
    asked = []
    monkeypatch.setattr(
        "service.operator.people.check_password_hash", lambda *given: asked.append(1) or check_password_hash(*given)
    )
    for _ in range(3):
        assert people.identify("anna", "correct horse battery")
    assert len(asked) == 1
    assert people.identify("anna", "correct horse batterY") is None


def test_a_session_s_mark_changes_with_password_and_role():
    one, two = user("anna"), user("anna", "another long one")
    marks = {
        People(settings(USERS=entry(given))).mark("anna")
        for given in (one, two, NamedUser("anna", one.password_hash, "viewer"))
    }
    assert len(marks) == 3
    assert People(settings()).mark("anna") == ""
