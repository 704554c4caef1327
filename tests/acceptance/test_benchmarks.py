"""A light run of a benchmark, as a ratio of what was measured beside it in the same seconds, with a wide margin: it
fails when the way in has become twice as slow."""

import pathlib
import sys

from benchmarks import ingest

SETTING = ingest.Setting("one server with one worker", ("bare", "dealpost"))
LEAST, LEAST_IN_ARRAYS = 0.5, 2.0


def test_taking_in_on_disk_is_not_much_slower_than_forgetting(tmp_path: pathlib.Path) -> None:
    cells = ingest.measure(SETTING, tmp_path, pathlib.Path(sys.executable), rounds=3, seconds=0.7)
    assert ingest.ratio(cells, "dealpost", "bare") > LEAST
    assert ingest.ratio(cells, "arrays", "bare") > LEAST_IN_ARRAYS
