"""Other people's client libraries, as npm and PyPI serve them, each in a folder of its own.

They are installed once into DEALPOST_CLIENTS (a folder beside the system's temporary files unless it is set).
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

CACHE = pathlib.Path(os.environ.get("DEALPOST_CLIENTS") or pathlib.Path(tempfile.gettempdir()) / "dealpost-clients")


def npm(*packages: str) -> pathlib.Path:
    """The folder whose node_modules holds these packages, as in "inngest@4". Skips where npm cannot get them."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("needs node and npm")
    arguments = ["--omit=dev", "--omit=optional", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]
    return installed(["npm", "install", *arguments, *packages], "npm", packages, "package.json", "{}")


def pypi(*packages: str) -> pathlib.Path:
    """The folder to put on PYTHONPATH for these packages, as in "inngest==0.5.*". Skips where pip cannot get them."""
    return installed([sys.executable, "-m", "pip", "install", "-q", "--target", ".", *packages], "pypi", packages)


def installed(
    command: list[str], registry: str, packages: tuple[str, ...], file: str = "", content: str = ""
) -> pathlib.Path:
    name = "-".join(packages).translate(str.maketrans("/@=<>*,", "_______"))
    folder, whole = CACHE / registry / name, CACHE / registry / f"{name}.whole"
    if whole.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if file:
        (folder / file).write_text(content)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{registry} did not serve {packages} in 300 s")
    if done.returncode:
        pytest.skip(f"{registry} does not serve {packages}: {done.stderr.strip()[-300:]}")
    whole.touch()
    return folder
