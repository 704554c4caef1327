"""A test that cannot run says so on a user's machine, and fails where everything must be there."""

import pathlib

import pytest

from tests.support.processes import PYTHON, bare_environ, run

CASES = {
    "in a test": "import pytest\n\ndef test_it():\n    pytest.skip('no Chromium')\n",
    "by a mark": "import pytest\n\n@pytest.mark.skipif(True, reason='no Chromium')\ndef test_it():\n    pass\n",
    "of a module": "import pytest\n\npytest.skip('no Chromium', allow_module_level=True)\n",
    "in a fixture": (
        "import pytest\n\n@pytest.fixture\ndef browser():\n    pytest.skip('no Chromium')\n\n"
        "def test_it(browser):\n    pass\n"
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_skip(case: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(CASES[case])
    command = [
        PYTHON,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        str(file),
        "--rootdir",
        str(tmp_path),
        "-ra",
    ]
    at_home = run(command, bare_environ())
    assert at_home.code in (0, 5)  # 5: nothing was collected
    assert "no Chromium" in at_home.out
    in_ci = run(command, bare_environ(CI="true"))
    assert in_ci.code in (1, 2), in_ci.text
    assert "nothing may be skipped with CI set" in in_ci.out
    assert "no Chromium" in in_ci.out


def test_expected_failure_is_no_skip(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text("import pytest\n\n@pytest.mark.xfail\ndef test_it():\n    assert False\n")
    command = [
        PYTHON,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        str(file),
        "--rootdir",
        str(tmp_path),
    ]
    assert run(command, bare_environ(CI="true")).code == 0
