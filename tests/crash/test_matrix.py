"""Twenty cells of the crash matrix, drawn by a seed that stands in their names: CRASH_SEED=7 draws them again."""

from __future__ import annotations

import os
import random

import pytest

from tests.crash.cell import run_cell
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
