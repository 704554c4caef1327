"""One change, one record, by the sandbox's own books: hooks lost, repeated and late, the ERP's answers lost."""

import pathlib

import pytest

from benchmarks import ledger


@pytest.mark.parametrize(
    ("changes", "keyed", "kill"),
    [(480, True, False), (400, False, True)],
    ids=["with a key", "without a key, the worker killed"],
)
def test_each_change_has_exactly_one_record(tmp_path: pathlib.Path, changes: int, keyed: bool, kill: bool) -> None:
    outcome = ledger.run(tmp_path, changes, keyed=keyed, kill=kill, per_second=120)
    assert outcome.exact, f"{outcome}\n{(tmp_path / 'worker.log').read_text()[-4000:]}"
    assert outcome.changes == changes
    assert outcome.hooks > changes
    assert outcome.lost_answers > changes * 0.05
