"""Twenty cells of the crash matrix, drawn by a seed that stands in their names: CRASH_SEED=7 draws them again."""

from __future__ import annotations

import json
import os
import random

import pytest

from tests.crash.cell import EVIDENCE, run_cell
from tests.crash.cover import Cell, drawn, matrix
from tests.crash.matrix import KEPT, PAGE, keep, load_kept
from tools.commit import describe_commit

_CELLS = 20
SEED = int(os.environ.get("CRASH_SEED") or random.randrange(10_000))

pytestmark = pytest.mark.full


@pytest.mark.parametrize(
    "cell", drawn(matrix(), SEED)[:_CELLS], ids=lambda cell: f"{cell.name}-of-seed-{SEED}"
)
def test_nothing_is_left(cell: Cell) -> None:
    result = run_cell(cell, describe_commit(KEPT, PAGE))
    keep({**load_kept(), cell: result}.values())
    assert not result.left, f"seed {SEED}: nobody took it away"
    assert not result.wrong, f"seed {SEED}"


def test_what_was_done_is_told_though_the_disk_was_full_from_the_window_on() -> None:
    """It once ended: nothing was injected, docker absent, no root, below a line that said what was injected."""
    cell = Cell(1, "window", "state full")
    result = run_cell(cell, describe_commit(KEPT, PAGE))
    assert (result.left, result.wrong) == ((), ())
    (path,) = (EVIDENCE / cell.name / "reports").glob("chaos-exp-01-*[0-9].json")
    record = json.loads(path.read_text())
    (host,) = record["hosts"]
    (told,) = host["faults"]
    assert told["injected_at"]
    assert told["proof"]
    assert host["capabilities"]["docker"]
    assert host["capabilities"]["root"] is True
    assert host["kernel"]
    assert not [note for note in host["notes"] if "nothing was injected" in note]
    assert "nothing was injected" not in path.with_suffix(".log").read_text()
