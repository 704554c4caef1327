"""What a reply of Rukovoditel means: the body decides."""

import json

import pytest

from outbox.outcome import PauseKind
from service.destinations.records.rukovoditel.refusals import error_of
from service.destinations.records.rukovoditel.replies import (
    Garbled,
    Moved,
    Refused,
    Success,
    inserted_id,
    read_reply,
    rows_of,
    taken_fields,
)
from service.network.http import NoAnswer


def test_success() -> None:
    assert read_reply(200, '{"status":"success","data":{"id":"1"}}') == Success({"id": "1"}, {})
    assert read_reply(500, '\ufeff {"status":"success","data":[],"page":1}\n') == Success([], {"page": 1})


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, "", "empty page"),
        (200, "", "empty page"),
        (200, "<app_db_error>\n<div>2002</div>", "database"),
        (200, "<br />\n<b>Fatal error</b>: Uncaught", "PHP"),
        (502, "<html>Bad Gateway</html>", "24 characters"),
        (200, '{"status":"done"}', "JSON"),
        (200, "[]", "JSON"),
        (200, '{"status":"success","data":{"id":"1"}', "characters"),
        (200, "[" * 100_000, "characters"),
    ],
)
def test_what_is_neither_success_nor_refusal_is_garbled(status: int, body: str, words: str) -> None:
    with pytest.raises(Garbled, match=words) as caught:
        read_reply(status, body)
    error = error_of(caught.value)
    assert (error.cause, error.outage, error.permanent, error.pause) == ("erp_unreadable", True, False, None)
    assert body[:60] not in error.message or not body


def refusal(words: str, code: object = 500, status: int = 500) -> Refused:
    with pytest.raises(Refused) as caught:
        read_reply(status, json.dumps({"status": "error", "error_code": code, "error_message": words}))
    return caught.value


@pytest.mark.parametrize(
    "words",
    [
        "API Key mismatch",
        "Parameter key is required",
        "Parameter entity_id is required",
        "Entity 70 not found",
        "entity 70 not found",
        "Field field_1039 not found",
        "field_1039 not exist in entity 70",
        "Action not found",
        'action "insert" not exist',
        "No access",
        'IP "10.0.0.1" is not allowed!',
        "No match for Username and/or Password.",
        "API is not enabled",
        "Access is denied from IP 203.0.113.7",
        "Module extension is not installed",
        "Something went wrong",
        "Сервис временно отключён администратором",
    ],
)
def test_a_refusal_of_our_settings_pauses_all(words: str) -> None:
    error = error_of(refusal(words))
    assert (error.cause, error.pause, error.permanent) == ("erp_settings", PauseKind.SETTINGS, False)
    assert words in error.message


def test_an_older_version_says_so_with_a_200() -> None:
    assert error_of(refusal("Wrong", "login_fail", 200)).cause == "erp_settings"
    assert error_of(refusal("Something is odd", "", 200)).cause == "erp_settings"


@pytest.mark.parametrize(
    "words",
    [
        "Field field_1041 must be unique: value dp-1 already exists",
        "Duplicate entry 'x' for key 'field_1041'",
        'Choice "Казань" of field_1060 not found',
        "Invalid value for field_1060",
    ],
)
def test_a_refusal_of_the_rows_own_value_kills_only_the_row(words: str) -> None:
    error = error_of(refusal(words))
    assert (error.cause, error.code, error.permanent, error.pause) == ("erp_refused", "refused", True, None)


def test_an_entity_that_came_with_the_event_is_the_fault_of_its_row() -> None:
    for words in ("Entity 71 not found", "Field field_1039 not found"):
        error = error_of(refusal(words), entity="71")
        assert error.permanent and "entity 71" in error.message and "entityId" in error.message
    assert error_of(refusal("API Key mismatch"), entity="71").pause == PauseKind.SETTINGS
    assert error_of(refusal("Parameter key is required"), entity="71").pause == PauseKind.SETTINGS
    assert error_of(refusal("Something is odd"), entity="71").pause == PauseKind.SETTINGS


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_with_where_it_leads(status: int) -> None:
    with pytest.raises(Moved) as caught:
        read_reply(status, "<html>Moved</html>", "https://erp.example.org/api/rest.php")
    error = error_of(caught.value)
    assert (error.cause, error.pause, error.permanent) == ("erp_moved", PauseKind.SETTINGS, False)
    assert f"({status}) to https://erp.example.org/api/rest.php" in error.message and "CRM_API_URL" in error.message


@pytest.mark.parametrize(
    "noise",
    [
        "<br />\n<b>Warning</b>:  Undefined variable $x in <b>/var/www/rest.php</b> on line <b>9</b><br />\n",
        'Deprecated: json {"status" of the past} is odd\n',
        "\ufeff\nNotice: x",
    ],
)
def test_what_PHP_writes_before_an_answer_hides_no_success(noise: str) -> None:
    said = read_reply(200, noise + '{"status":"success","data":{"id":"7"}}')
    assert said.data == {"id": "7"} and said.before and "<" not in said.before
    with pytest.raises(Refused, match="API Key mismatch"):
        read_reply(500, noise + '{"status":"error","error_code":500,"error_message":"API Key mismatch"}')


@pytest.mark.parametrize(
    ("status", "body", "ended"),
    [
        (500, "", True),
        (200, "<app_db_error>x", True),
        (200, "<b>Fatal error</b>", True),
        (502, "", False),
        (502, "<html>Bad Gateway</html>", False),
        (500, "<html>Internal Server Error</html>", False),
        (200, "<html>Please wait</html>", False),
    ],
)
def test_only_what_PHP_itself_says_tells_that_its_script_has_ended(status: int, body: str, ended: bool) -> None:
    with pytest.raises(Garbled) as caught:
        read_reply(status, body)
    assert caught.value.ended is ended


def test_no_answer_is_an_outage() -> None:
    error = error_of(NoAnswer("nobody there", kind="connect", acted=False))
    assert (error.cause, error.outage) == ("erp_down", True)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"id": "5"}, "5"),
        ({"id": 5}, "5"),
        ({"id": ""}, ""),
        ({"id": "0"}, ""),
        ({"id": None}, ""),
        ([], ""),
        ("", ""),
        ({"id": True}, ""),
    ],
)
def test_the_id_of_an_insert(data: object, found: str) -> None:
    assert inserted_id(data) == found


def test_fields_that_were_taken() -> None:
    assert taken_fields({"id": "", "unique_fields_warning": [{"id": 1041, "value": "x"}]}) == ["1041"]
    assert taken_fields({"unique_fields_warning": {"1": {"id": "field_9"}}}) == ["9"]
    assert taken_fields({"unique_fields_warning": "?"}) == taken_fields([]) == []


def test_rows() -> None:
    assert rows_of([{"id": "1"}, "?"]) == rows_of({"3": {"id": "1"}}) == [{"id": "1"}]
    assert rows_of("") == rows_of(None) == []
