"""The docs keep up: each setting, route and command is told in both languages, each link and each file that is named
is there, and each line of the Procfile starts."""

import importlib
import pathlib
import re
import tomllib
from collections.abc import Iterator

import click
import pytest
from dotenv import dotenv_values
from flask import Flask

from service import config, create_app, create_commands
from service.version import VERSION
from tests.support.processes import FOLDER, PYTHON, Finished, Processes, free_port
from tests.support.processes import run as run_to_end
from workshop import docs

LANGUAGES = ["docs", "docs/ru"]
# Set by the host, not by a person.
OF_THE_HOST = {"DYNO", "RENDER", "K_SERVICE"}


class Asked(dict[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        self.names.add(name)
        return default


def settings() -> set[str]:
    """Every name that the service, gunicorn's hooks included, takes from the environment."""
    asked = Asked()
    config.load(asked)
    files = {f"{name}_FILE" for name in config.SECRETS}
    lessons = {"AMOCRM_STAGE_LESSON_1"}  # one for each lesson: known by their beginning
    return (asked.names - files - OF_THE_HOST) | lessons


def text_of(language: str, name: str) -> str:
    return (FOLDER / language / name).read_text()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    folder = tmp_path_factory.mktemp("docs")
    made = config.load({"DATABASE_URL": f"sqlite:///{folder}/docs.db", "SECRET_KEY": "for-this-test"})
    return create_app(made)


def commands(app: Flask) -> Iterator[str]:
    """`flask outbox list` and the like; groups are told by their commands."""

    def walk(name: str, command: click.Command) -> Iterator[str]:
        if isinstance(command, click.Group):
            for inner, child in command.commands.items():
                yield from walk(f"{name} {inner}", child)
        else:
            yield name

    dealpost = app.extensions["dealpost"]
    for name, command in create_commands(dealpost.settings, dealpost.store).cli.commands.items():
        yield from walk(f"flask {name}", command)


def blank(text: str) -> str:
    """What stands between < and > may be named otherwise in the docs."""
    return re.sub(r"<[^<>\n]*>", "<>", text.replace("&lt;", "<").replace("&gt;", ">"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_setting_is_told(language: str) -> None:
    text = text_of(language, "settings.md")
    missing = [name for name in sorted(settings()) if not re.search(rf"\b{name}\b", text)]
    assert not missing, f"{language}/settings.md does not tell of {missing}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_list_of_settings_is_what_the_code_reads(language: str) -> None:
    page = text_of(language, "settings.md")
    assert page == docs.with_settings(page, language == "docs/ru"), "run `python -m workshop.docs settings`"


def test_the_site_is_whole_and_needs_nobody_else(tmp_path: pathlib.Path) -> None:
    docs.build_site(tmp_path / "site")
    pages = list((tmp_path / "site").glob("**/*.html"))
    assert len(pages) > 60
    for page in pages:
        text = page.read_text()
        assert "<script" not in text and not re.search(r'<(?:link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//', text)
        for link in re.findall(r'(?:href|src)="(?!https?:|mailto:)([^"#]+)', text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_each_setting_is_in_the_example() -> None:
    text = (FOLDER / ".env.example").read_text()
    # ERP_API_*: other names for CRM_API_*, told beside them.
    missing = [name for name in sorted(settings()) if not re.search(rf"\b{name}\b", text)]
    assert not missing, f".env.example does not show {missing}"
    told = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
    unknown = {name for name in told - settings() if not re.fullmatch(r"AMOCRM_STAGE_LESSON_\d", name)}
    assert not unknown, f".env.example shows {unknown}, which nothing reads"


def test_the_example_counts_as_nothing_set() -> None:
    example = {name: value or "" for name, value in dotenv_values(FOLDER / ".env.example").items()}
    assert config.load(example) == config.load({})


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_route_is_told(language: str, app: Flask) -> None:
    text = blank(text_of(language, "api.md"))
    rules = sorted({blank(rule.rule) for rule in app.url_map.iter_rules() if rule.endpoint != "static"})
    missing = [rule for rule in rules if not re.search(re.escape(rule) + r"(?![\w/<.-])", text)]
    assert not missing, f"{language}/api.md does not tell of {missing}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_command_is_told(language: str, app: Flask) -> None:
    text = text_of(language, "commands.md")
    missing = [name for name in commands(app) if not re.search(rf"{name}\b", text)]
    assert not missing, f"{language}/commands.md does not tell of {missing}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_sender_is_told(language: str) -> None:
    text = text_of(language, "senders.md")
    missing = [path.name for path in (FOLDER / "senders").iterdir() if path.is_file() and f"/{path.name})" not in text]
    assert not missing


def pages(language: str) -> set[str]:
    return {path.name for path in (FOLDER / language).glob("*.md")}


def test_russian_docs_are_the_same_pages() -> None:
    assert pages("docs/ru") == pages("docs")


def test_russian_docs_have_the_same_headings() -> None:
    pairs = [(FOLDER / "docs" / name, FOLDER / "docs/ru" / name) for name in pages("docs") & pages("docs/ru")]
    for pair in [*pairs, (FOLDER / "SECURITY.md", FOLDER / "SECURITY.ru.md")]:
        english, russian = ([len(one) for one in re.findall(r"^(#+) ", page.read_text(), re.M)] for page in pair)
        assert english == russian, f"{pair[1].name}: the headings differ in number or level"


def test_security_says_the_same_in_russian() -> None:
    parts = [
        (text.count("\n- "), text.count("\n| "), len(text.strip().split("\n\n")))
        for text in ((FOLDER / name).read_text() for name in ("SECURITY.md", "SECURITY.ru.md"))
    ]
    assert parts[0] == parts[1], "lists, table rows or paragraphs differ in number"


def written() -> list[pathlib.Path]:
    return sorted([*FOLDER.glob("*.md"), *FOLDER.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", written(), ids=lambda page: str(page.relative_to(FOLDER)))
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text())
    lost = [link for link in links if not (page.parent / link).exists()]
    assert not lost


def shell_lines(page: pathlib.Path) -> list[str]:
    """The commands of a page's sh blocks, each whole."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def test_russian_docs_show_the_same_commands() -> None:
    for name in pages("docs"):
        assert shell_lines(FOLDER / "docs" / name) == shell_lines(FOLDER / "docs" / "ru" / name), name


@pytest.mark.parametrize("page", written(), ids=lambda page: str(page.relative_to(FOLDER)))
def test_targets_that_are_told_exist(page: pathlib.Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (FOLDER / "Makefile").read_text(), re.MULTILINE))
    told = re.findall(r"(?:`|^ {4}|^\$ )make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert set(told) <= targets


def files_named(text: str) -> set[str]:
    """Whatever looks like a path of the project, in text or in a diagram."""
    folders = "service|outbox|tests|docs|sandbox|workshop|benchmarks"
    path = rf"(?<![\w/.:-])(?:{folders})/[\w./-]*[\w/]"
    return set(re.findall(rf"{path}|(?<![\w/.-])[\w-]+\.(?:py|toml|md)\b", text))


@pytest.mark.parametrize(
    "page", ["docs/architecture.md", "docs/ru/architecture.md", "docs/adding-an-erp.md", "CONTRIBUTING.md"]
)
def test_files_that_are_named_exist(page: str) -> None:
    named = files_named((FOLDER / page).read_text())
    assert len(named) > 5
    beside = (FOLDER / page).parent
    lost = {name for name in named if not (FOLDER / name).exists() and not (beside / name).exists()}
    assert not lost, f"{page} names {sorted(lost)}, which are not there"


FIGURES = ("reliability.md", "benchmarks.md")
CHAPTERS = {"README.md": ("What was survived", "Figures"), "README.ru.md": ("Что удалось пережить", "Цифры")}


@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_of_the_readme_are_those_that_the_docs_tell_with_their_commands(name: str) -> None:
    folder = FOLDER / "docs" / ("ru" if name.endswith("ru.md") else "")
    known = re.sub(
        r"(?<=\d)(?<!\b0)[,\s](?=\d{3}\b)", "", " ".join((FOLDER / "docs" / one).read_text() for one in FIGURES)
    )
    for chapter in CHAPTERS[name]:
        text = (FOLDER / name).read_text().partition(f"## {chapter}\n")[2].partition("\n## ")[0]
        rows = [
            [cell.strip() for cell in row.split("|")[1:4]] for row in re.findall(r"^\|.+\|$", text, re.MULTILINE)[2:]
        ]
        assert len(rows) >= 4
        for what, seen, command in rows:
            told = re.sub(r"(?<=\d)(?<!\b0)[,\s](?=\d{3}\b)", "", f"{what} {seen}")
            numbers = {one.replace(",", ".") for one in re.findall(r"\d+(?:[.,]\d+)?", told)}
            assert {one for one in numbers if one not in known and float(one) > 10 and one != "99"} == set(), what
            assert re.search(r"make (chaos|test)|benchmarks\.(\w+)", command), command
            for module in re.findall(r"benchmarks\.(\w+)", command):
                assert f"python -m benchmarks.{module}" in (folder / "benchmarks.md").read_text()
            for file in re.findall(r"tests/[\w/.]+", command):
                assert (FOLDER / file).exists()


def test_every_picture_is_shown_in_both_languages() -> None:
    text = {
        language: "".join(page.read_text() for page in written() if is_of(page, language)) for language in ("en", "ru")
    }
    for picture in (FOLDER / "docs" / "images").glob("*.png"):
        language = picture.stem[-2:]
        assert f"images/{picture.name}" in text[language], picture.name


def is_of(page: pathlib.Path, language: str) -> bool:
    return (language == "ru") == ("ru" in page.parts or page.name.endswith(".ru.md"))


# --- decisions and the version ----------------------------------------------------------------------------------------

DECISIONS = sorted((FOLDER / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_each_decision_has_its_date_and_status_and_a_line_in_the_index(page: pathlib.Path) -> None:
    text = page.read_text()
    title = re.match(r"# (\d+)\. (.+)\n\nDate: (\d{4}-\d\d-\d\d)\b.*\. Status: (accepted|superseded by \d+)\.\n", text)
    assert title, f"{page.name} does not begin with '# N. Title', and 'Date: YYYY-MM-DD. Status: accepted.'"
    number, name, date, status = title.groups()
    assert int(number) == int(page.name[:4])
    line = f"| {number} | [{name}]({page.name}) | {date} | {status} |"
    assert line in (page.parent / "README.md").read_text(), f"docs/decisions/README.md lacks the line: {line}"


def test_the_version_is_written_once_and_has_its_chapter() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    assert "version" not in project["project"] and "version" in project["project"]["dynamic"]
    module, _, name = project["tool"]["setuptools"]["dynamic"]["version"]["attr"].rpartition(".")
    assert getattr(importlib.import_module(module), name) == VERSION
    code = [path for folder in ("outbox", "service", "sandbox", "workshop") for path in (FOLDER / folder).rglob("*.py")]
    assert [path.name for path in code if f'"{VERSION}"' in path.read_text()] == ["version.py"]
    chapters = re.findall(r"^## (.+)$", (FOLDER / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert chapters[0] == "Unreleased"
    dated = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", chapter) for chapter in chapters[1:]]
    assert all(dated), f"a chapter of CHANGELOG.md is not 'X.Y.Z (YYYY-MM-DD)': {chapters}"
    assert dated[0] and dated[0][1] == VERSION


def test_the_changelog_tells_of_the_same_versions_in_both_languages() -> None:
    english, russian = (
        re.findall(r"^## (\d.+)$", (FOLDER / name).read_text(), re.MULTILINE)
        for name in ("CHANGELOG.md", "CHANGELOG.ru.md")
    )
    assert english == russian


# --- the Procfile -----------------------------------------------------------------------------------------------------


def procfile() -> dict[str, str]:
    lines = (FOLDER / "Procfile").read_text().splitlines()
    return {name.strip(): command.strip() for name, _, command in (line.partition(":") for line in lines if line)}


def as_command(line: str) -> list[str]:
    """The line's program, from the environment that runs this test."""
    program, *arguments = line.split()
    return [PYTHON, *arguments] if program == "python" else [PYTHON, "-m", program, *arguments]


def test_the_procfile_has_these_lines() -> None:
    assert list(procfile()) == ["web", "worker", "release"]


def test_release_line_runs(service_env: dict[str, str]) -> None:
    done: Finished = run_to_end(as_command(procfile()["release"]), service_env)
    assert done.code == 0, done.text


def test_web_and_worker_lines_start(started: Processes, service_env: dict[str, str]) -> None:
    port = str(free_port())
    web = started.start("web", as_command(procfile()["web"]), {**service_env, "PORT": port})
    web.url = f"http://127.0.0.1:{port}"
    started.ready(web, "/readyz")
    assert web.call("GET", "/healthz")[0] == 200
    assert web.call("GET", "/healthz/worker")[0] != 200
    worker = started.start("worker", as_command(procfile()["worker"]), service_env)
    started.ready(web, "/healthz/worker")
    assert [web.stop(), worker.stop()] == [0, 0]
    assert "Traceback" not in web.output + worker.output
