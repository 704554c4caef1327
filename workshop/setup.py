"""Puts the pinned requirements into .venv, only when they changed: a second start needs no network.

Runs on the system's Python, before anything is installed: nothing but the standard library here.
"""

import hashlib
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent
VENV = FOLDER / ".venv"
PYTHON = VENV / "bin" / "python"
TRANSLATIONS = FOLDER / "service" / "operator" / "translations"
# What others would do with the environment before any of our code is prevented as this Python starts. Flask's command
# reads .env, replaces ${...} in it, and ends with a trace where it is no UTF-8 text. gunicorn ends with a trace where
# WEB_CONCURRENCY is no number, be it empty: service/environment.py finds it under the other name.
AT_START = """\
import os; os.environ.setdefault('FLASK_SKIP_DOTENV', '1')
import os; given = os.environ.pop('WEB_CONCURRENCY', None); given is None or os.environ.update(\
{'WEB_CONCURRENCY' if given.strip().isdecimal() else 'WEB_CONCURRENCY_AS_GIVEN': given})
"""
# What is installed with a file: the second holds all of the first.
SETS = {"run": ["requirements.txt"], "dev": ["requirements-dev.txt", "requirements.txt"]}


def main(wish: str) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - the system's Python may be any
        version = "%d.%d" % sys.version_info[:2]  # noqa: UP031 - an older Python must be able to say this
        sys.exit(
            "Dealpost needs Python 3.11 or newer, and this is " + version + ". Name another: make PYTHON=python3.11"
        )
    files = SETS[wish]
    if not all(is_installed(name) for name in files):
        make_venv()
        install(files[0])
        for name in files:
            stamp(name).write_text(digest(name))
    guard_starts()
    compile_translations()


def digest(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def stamp(name: str) -> pathlib.Path:
    return VENV / f"installed-{name}.sha256"


def is_installed(name: str) -> bool:
    return PYTHON.exists() and stamp(name).exists() and stamp(name).read_text() == digest(name)


def make_venv() -> None:
    try:
        import ensurepip  # noqa: F401 - Debian leaves it out of python3
        import venv
    except ImportError:
        sys.exit(
            "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv\n"
            "Elsewhere install Python from python.org, or name another one: make PYTHON=/path/to/python3"
        )
    # A half-made or moved environment is made anew: its pip does not answer.
    whole = PYTHON.exists() and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0
    if not whole:
        print("Making .venv", flush=True)
        venv.create(VENV, with_pip=True, clear=VENV.exists())


def install(name: str) -> None:
    print(f"Installing what {name} pins into .venv (once, and when the file changes)", flush=True)
    done = subprocess.run(
        [
            PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
            FOLDER / name,
        ]
    )
    if done.returncode:
        sys.exit("The requirements could not be installed: see pip's message above. The first start needs the network.")


def guard_starts() -> None:
    for folder in VENV.glob("lib/python*/site-packages"):
        file = folder / "skip_dotenv.pth"
        if not file.exists() or file.read_text() != AT_START:
            file.write_text(AT_START)


def compile_translations() -> None:
    sources = list(TRANSLATIONS.glob("*/LC_MESSAGES/*.po"))
    if any(is_older(source.with_suffix(".mo"), source) for source in sources):
        command = [str(PYTHON), "-m", "babel.messages.frontend", "--quiet", "compile", "--directory", str(TRANSLATIONS)]
        subprocess.run(command, check=True)


def is_older(made: pathlib.Path, source: pathlib.Path) -> bool:
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "run")
