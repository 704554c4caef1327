"""Nothing that a person reads stays untranslated, and nothing bypasses the catalogue."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from jinja2 import Environment, FileSystemLoader
from jinja2.ext import extract_from_ast

FOLDER = pathlib.Path(__file__).resolve().parent.parent
OPERATOR = FOLDER / "service" / "operator"
RUSSIAN = OPERATOR / "translations" / "ru" / "LC_MESSAGES" / "messages.po"
TEMPLATES = sorted((OPERATOR / "templates").glob("*.html"))
FOLDERS = (OPERATOR / "pages", OPERATOR / "words", FOLDER / "service" / "commands")
SERVICE = sorted((FOLDER / "service").rglob("*.py"))
CODE = sorted(path for folder in FOLDERS for path in folder.glob("*.py"))

NAMES = {"Dealpost", "amoCRM", "ERP", "Esc", "r", "AMOCRM_STAGE_LESSON_"}
"""What is the same in all languages."""

GETTEXT = {"_", "N_", "gettext", "ngettext", "pgettext", "npgettext"}
PLACES = re.compile(r"%\((\w+)\)[sd]")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    """All texts that the code marks."""
    pot = tmp_path_factory.mktemp("texts") / "messages.pot"
    command = [sys.executable, "-m", "babel.messages.frontend", "--quiet", "extract", "--mapping-file"]
    command += [str(OPERATOR / "translations" / "babel.cfg"), "-k", "N_", "-k", "pgettext:1c,2", "-o", str(pot), "."]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    with pot.open("rb") as file:
        return [message for message in read_po(file) if message.id]


@pytest.fixture(scope="module")
def russian() -> dict[tuple[str | None, str], Message]:
    with RUSSIAN.open("rb") as file:
        found = [message for message in read_po(file, locale="ru") if message.id]
    return {(message.context, key(message)): message for message in found}


def key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def forms(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string)


MARKS = {"_": 0, "N_": 0, "gettext": 0, "ngettext": 0, "pgettext": 1, "npgettext": 1}
"""The functions that take a text to be translated, and which of their arguments it is; before it stands its context."""


def marked_in_code(source: str) -> Iterator[tuple[str | None, str]]:
    """(context, text) of all texts that code marks, those within f-strings too: Babel's own reader misses them."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in MARKS:
            told = [str(one.value) if isinstance(one, ast.Constant) else None for one in node.args]
            text = told[MARKS[name]] if len(told) > MARKS[name] else None
            if text:
                yield told[0] if MARKS[name] else None, text


def marked_in_template(source: str) -> Iterator[tuple[str | None, str]]:
    environment = Environment(loader=FileSystemLoader(OPERATOR / "templates"), extensions=["jinja2.ext.i18n"])
    for _line, name, told in extract_from_ast(environment.parse(source), tuple(MARKS)):
        parts = (told,) if isinstance(told, str) else told or ()
        text = parts[MARKS[name]] if len(parts) > MARKS[name] else None
        if text:
            yield parts[0] if MARKS[name] else None, text


def untranslated(texts: Iterator[tuple[str | None, str]], russian) -> list[tuple[str | None, str]]:
    return [text for text in texts if text not in russian or not all(forms(russian[text]))]


def test_every_text_of_the_code_is_translated(russian) -> None:
    found = {path.name: untranslated(marked_in_code(path.read_text()), russian) for path in SERVICE}
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_every_text_of_the_templates_is_translated(russian) -> None:
    found = {path.name: untranslated(marked_in_template(path.read_text()), russian) for path in TEMPLATES}
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_a_text_within_an_f_string_or_a_template_is_read(russian) -> None:
    code = "f\"{_('Never said')}: {ngettext('One', 'Many', 2)}\", pgettext(\"context\", \"Said\")"
    assert set(marked_in_code(code)) == {(None, "Never said"), (None, "One"), ("context", "Said")}
    template = '<p title="{{ _("Never said") }}">{% if x %}{{ pgettext("context", "Said") }}{% endif %}</p>'
    assert set(marked_in_template(template)) == {(None, "Never said"), ("context", "Said")}
    assert set(untranslated(marked_in_code(code), russian)) == set(marked_in_code(code))


def test_every_text_is_translated(wanted, russian) -> None:
    missing = [key(one) for one in wanted if (one.context, key(one)) not in russian]
    empty = [key(one) for one in russian.values() if not all(forms(one)) or one.fuzzy]
    assert not missing and not empty


def test_nothing_is_left_of_texts_that_are_gone(wanted, russian) -> None:
    known = {(one.context, key(one)) for one in wanted}
    assert [text for text in russian if text not in known] == []


def test_every_plural_has_its_three_forms(wanted, russian) -> None:
    for one in wanted:
        if not isinstance(one.id, str):
            assert len(forms(russian[one.context, key(one)])) == 3, one.id


def test_translations_name_no_place_that_the_text_lacks(russian) -> None:
    for one in russian.values():
        ids = (one.id,) if isinstance(one.id, str) else one.id
        known = {place for text in ids for place in PLACES.findall(text)} | ({"num"} if len(ids) > 1 else set())
        for form in forms(one):
            assert set(PLACES.findall(form)) <= known, form
            assert "%(" not in PLACES.sub("", form), form


def test_russian_is_written_as_on_the_page(russian) -> None:
    for one in russian.values():
        for form in forms(one):
            assert not re.search(r"[“”]|\s$|  |успешно|!", form), form


def test_a_button_that_a_text_names_bears_that_name(russian) -> None:
    texts = [form for one in russian.values() for form in forms(one)]
    named = {name for text in texts for name in re.findall(r"[Нн]ажмите «([^»%]+)»", text)}
    begins = {text.removesuffix("…") for text in texts} | {"Разрешить"}  # which is amoCRM's own
    assert len(named) > 3
    assert {name for name in named if not any(text == name or text.startswith(f"{name} ") for text in begins)} == set()


# --- nothing bypasses the catalogue -----------------------------------------------------------------------------------


def texts_of_template(path: pathlib.Path) -> Iterator[str]:
    """What a template says by itself: text between tags, and in attributes that people read or hear."""
    environment = Environment(loader=FileSystemLoader(path.parent), extensions=["jinja2.ext.i18n"])
    parts = [value if kind == "data" else "\x00" for _, kind, value in environment.lex(path.read_text())]
    source = re.sub(r"\x00+", "\x00", "".join(parts))
    yield from re.findall(r'(?:aria-label|title|placeholder|alt|data-wait|data-loading)="([^"]*)"', source)
    yield from re.split(r"<[^>]*>|\x00|&\w+;", source)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_by_itself(path: pathlib.Path) -> None:
    said = {text.strip(" \n/.,:;·…—-()0123456789?↓→₽") for text in texts_of_template(path)}
    assert {text for text in said if re.search(r"[A-Za-zА-Яа-я]", text)} - NAMES == set()


SPOKEN = re.compile(r"[A-Za-z]{2,} [a-z]{2,}|[А-Яа-яЁё]")
SILENT_CALLS = {"getLogger", "debug", "info", "warning", "error", "compile", "findall", "fullmatch", "Refusal"}


def hard_coded(path: pathlib.Path) -> Iterator[str]:
    """Texts of two words or more that are given to nobody who translates."""
    tree = ast.parse(path.read_text())
    quiet: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in GETTEXT | SILENT_CALLS:
                quiet.update(inner for argument in node.args for inner in ast.walk(argument))
            if name in ("command", "group", "option", "argument"):  # click's own help is for developers, in English
                quiet.update(ast.walk(node))
        if isinstance(node, ast.keyword) and node.arg in ("help", "short_help"):
            quiet.update(ast.walk(node.value))
        if isinstance(node, ast.Raise | ast.Assert):
            quiet.update(ast.walk(node))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            quiet.add(node.value)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node in quiet:
            continue
        if SPOKEN.search(node.value) and not re.search(r"[<>{}]|^\W*default-src", node.value):
            yield node.value


# Names of languages in their own language; what other code says and the page only recognises; a log's placeholder;
# shapes; a command to type.
KNOWN = {
    "Русский",
    "an unknown address",
    *(" MB", ", free "),
    "flask webhook subscribe",
}


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_the_code_says_nothing_past_the_catalogue(path: pathlib.Path) -> None:
    assert [text for text in hard_coded(path) if text not in KNOWN] == []


def test_the_test_would_notice(tmp_path: pathlib.Path) -> None:
    template = tmp_path / "one.html"
    template.write_text('<p title="Say it">{{ _("ok") }} Hello there <b>{{ x }}</b></p>')
    assert {"Say it", "Hello there"} <= {text.strip() for text in texts_of_template(template)}
    module = tmp_path / "one.py"
    module.write_text(
        'def f():\n    """Docs are quiet."""\n    return "Hello there", _("Said well"), f"Two words {1}"\n'
    )
    assert list(hard_coded(module)) == ["Hello there", "Two words "]
