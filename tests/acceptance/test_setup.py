"""Setting up: a virtual environment is made once, mended when broken, and left alone when nothing changed."""

import pathlib
import re
import shutil
import sys

import pytest

from tests.support.processes import FOLDER, Finished, bare_environ, run
from workshop import setup

NEITHER_INDEX = {"PIP_NO_INDEX": "1"}


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project folder that needs no package."""
    (tmp_path / "workshop").mkdir()
    shutil.copy(FOLDER / "workshop" / "setup.py", tmp_path / "workshop")
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("# nothing\n")
    return tmp_path


def set_up(project: pathlib.Path, wish: str = "run") -> Finished:
    return run([sys.executable, "workshop/setup.py", wish], bare_environ(**NEITHER_INDEX), within=120, cwd=project)


def test_setup_makes_mends_names_what_it_cannot_install_and_then_rests(project: pathlib.Path) -> None:
    first = set_up(project)
    assert first.code == 0, first.text
    assert "Making .venv" in first.out
    python = project / ".venv" / "bin" / "python"
    assert run([str(python), "-m", "pip", "--version"], bare_environ()).code == 0

    assert set_up(project).text == ""
    says = run([str(python), "-c", "import os; print(os.environ['FLASK_SKIP_DOTENV'])"], bare_environ())
    assert says.out == "1\n", says.text
    for given, kept in (
        ("3", "WEB_CONCURRENCY"),
        ("auto", "WEB_CONCURRENCY_AS_GIVEN"),
        ("", "WEB_CONCURRENCY_AS_GIVEN"),
    ):
        asks = "import os; print({n: v for n, v in os.environ.items() if n.startswith('WEB_')})"
        says = run([str(python), "-c", asks], bare_environ(WEB_CONCURRENCY=given))
        assert says.out == f"{ {kept: given} }\n", says.text

    (project / "requirements.txt").write_text("# still nothing, but changed\n")
    changed = set_up(project)
    assert "Installing what requirements.txt pins" in changed.out
    assert "Making" not in changed.out
    assert set_up(project).text == ""

    (project / "requirements.txt").write_text("no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n")
    impossible = set_up(project)
    assert impossible.code == 1
    assert "needs the network" in impossible.err
    assert set_up(project).code == 1  # it is not taken for installed
    (project / "requirements.txt").write_text("# nothing\n")

    # Another set, whose file holds the first: one installation serves both.
    assert "requirements-dev.txt" in set_up(project, "dev").out
    assert set_up(project, "run").text == ""

    # As after an upgrade of the system's Python: the link leads nowhere.
    python.unlink()
    python.symlink_to(project / "no-such-python")
    mended = set_up(project)
    assert mended.code == 0, mended.text
    assert "Making .venv" in mended.out
    assert run([str(python), "-c", "pass"], bare_environ()).code == 0


def test_setup_says_what_debian_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        setup.make_venv()


def test_setup_says_that_a_python_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"3\.11 or newer, and this is 3\.9"):
        setup.main("run")


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", (FOLDER / name).read_text(), re.MULTILINE)
    return dict(found)


def test_developers_run_the_same_versions() -> None:
    running, developing = pins("requirements.txt"), pins("requirements-dev.txt")
    assert len(running) > 20
    assert {name: developing.get(name) for name in running} == running


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_has_hashes(name: str) -> None:
    text = (FOLDER / name).read_text()
    for package in re.split(r"\n(?=[\w.-]+(?:\[[\w,-]+\])?==)", text):
        assert "--hash=sha256:" in package, package
