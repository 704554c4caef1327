"""A test that cannot run says so on a user's machine, and fails where everything must be there."""

import pathlib
from collections.abc import Callable

import pytest

from tests.support.processes import PYTHON, Finished, bare_environ, run

CASES = {
    "in_a_test": "import pytest\n\ndef test_it():\n    pytest.skip('no Chromium 1')\n",
    "by_a_mark": "import pytest\n\n@pytest.mark.skipif(True, reason='no Chromium 2')\ndef test_it():\n    pass\n",
    "of_a_module": "import pytest\n\npytest.skip('no Chromium 3', allow_module_level=True)\n",
    "in_a_fixture": (
        "import pytest\n\n@pytest.fixture\ndef browser():\n    pytest.skip('no Chromium 4')\n\n"
        "def test_it(browser):\n    pass\n"
    ),
}
EXPECTED_FAILURE = "import pytest\n\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"

RunTests = Callable[..., Finished]


@pytest.fixture
def run_tests(tmp_path: pathlib.Path) -> RunTests:
    """run_tests(**environment): pytest over the folder, with this project's rules."""

    def start(**environ: str) -> Finished:
        options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-ra", "--continue-on-collection-errors"]
        return run(
            [PYTHON, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)], bare_environ(**environ)
        )

    return start


def test_every_kind_of_skip_is_told_at_home_and_a_failure_in_ci(run_tests: RunTests, tmp_path: pathlib.Path) -> None:
    for name, text in CASES.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    at_home = run_tests()
    assert at_home.code == 0, at_home.text
    assert all(f"no Chromium {number}" in at_home.out for number in (1, 2, 3, 4)), at_home.text
    in_ci = run_tests(CI="true")
    assert in_ci.code == 1, in_ci.text
    assert "1 failed, 3 errors" in in_ci.out, in_ci.text
    for number in (1, 2, 3, 4):
        assert f"nothing may be skipped with CI set (Skipped: no Chromium {number})" in in_ci.out, in_ci.text


def test_expected_failure_is_no_skip(run_tests: RunTests, tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_it.py").write_text(EXPECTED_FAILURE)
    assert run_tests(CI="true").code == 0
