"""Requests and answers as a person reads them."""

from jinja2 import Environment, FileSystemLoader

from service.operator.pages import exchange
from service.operator.pages.blueprint import TEMPLATES


def body(text: str) -> str:
    """The body as exchange.html writes it."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    environment.globals["_"] = str
    return str(environment.get_template("exchange.html").module.pieces(exchange.body(text)))  # type: ignore[attr-defined]


def test_whole_numbers_and_prices_stay_exact() -> None:
    found = body('{"id": 9007199254740993123, "price": 1500.10, "rate": 1e400}')
    assert '<span class="value">9007199254740993123</span>' in found
    assert '<span class="value">1500.10</span>' in found and "1e400" in found


def test_secrets_are_a_chip_without_a_length() -> None:
    assert body('{"key": "[hidden]", "a": 1}').count('<span class="secret">hidden</span>') == 1
    assert "[hidden]" not in body("token=[hidden]&a=1")


def test_forms_are_a_field_a_line() -> None:
    assert body("leads[status][0][id]=5&x=a+b") == (
        '<span class="key">leads[status][0][id]</span> = 5\n<span class="key">x</span> = a b'
    )


def test_what_is_no_json_stays_and_is_escaped() -> None:
    assert body("<html><b>503</b></html>") == "&lt;html&gt;&lt;b&gt;503&lt;/b&gt;&lt;/html&gt;"
    assert body('{"cut": "of') == '{<span class="key">&#34;cut&#34;</span>: &#34;of'
    assert body("") == ""


def test_markup_in_json_is_escaped() -> None:
    assert "<script" not in body('{"<script>": "<script>alert(1)</script>"}')


def test_an_exchange_without_an_answer_says_why() -> None:
    shown = exchange.show(
        {"method": "PATCH", "url": "https://school.amocrm.ru/api/v4/leads?with=x%20y", "fault": "timed out"}
    )
    assert (shown.path, shown.status, shown.fault) == ("/api/v4/leads?with=x y", "", "timed out")


def test_headers_that_tell_nothing_are_left_out() -> None:
    shown = exchange.show({"url": "", "request_headers": {"Authorization": "[hidden]", "User-Agent": "x"}})
    assert [name for name, _value in shown.request_headers] == ["Authorization"]
