"""The crash matrix: every experiment broken at every step in every way, pair by pair. Who cleans the machine up?

Usage: python -m tests.crash.matrix [--cells N] [--seed N] [--only CONDITION ...] [--again] [--minutes N] [--list]

A cell is an experiment, a step of it, and a crash: the experiment runs with short windows on the embedded exchange, and
is broken when it comes to the step. A photograph of the machine from before (tests/crash/photograph.py, which shares no
code with the collection) is then compared with what there is: once the host had its time, after 00-preflight.yml, and
after halt.yml. Nothing may be left, and after any cell the next preflight has to be content.

All cells together have each pair of experiment, step and crash. They are run in an order that the seed draws. A cell
that was run is kept with its time and commit, and run again only at another commit: if it failed, or if --again says
so. --only "step=window" --only "crash=all killed" --only "experiment=05" takes some of them, --minutes begins none
after that time. What is kept makes docs/crash-matrix.md, a cell's evidence lies in .cache/crash/.
The exit code is 0 if no cell that was asked for has failed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.crash.cell import Result, run_cell
from tests.crash.cover import CRASHES, STEPS, Cell, drawn, matrix, only, pairs
from tools.commit import describe_commit

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("matrix.json")
PAGE = ROOT / "docs" / "crash-matrix.md"
#: What else of the issue's crashes is shown, and where; or why it is not.
ELSEWHERE = (
    ("SSH cut", "`tests/fleet/test_link.py`, against remote hosts: `make test-fleet`"),
    ("reboot, power cut", "`tests/vm`, on a kernel of its own: `make test-vm`, [test-vm.txt](test-vm.txt)"),
    (
        "engine restarted",
        "not tried: without systemd nobody starts the engine again if the test ends in between, and all other "
        "containers of the machine go with it",
    ),
)


def load_kept() -> dict[Cell, Result]:
    """Return the cells that were run so far."""
    if not KEPT.exists():
        return {}
    found = (
        Result(**{**each, "left": tuple(each["left"]), "wrong": tuple(each["wrong"])})
        for each in json.loads(KEPT.read_text())
    )
    return {result.cell: result for result in found}


def keep(results: Iterable[Result]) -> None:
    """Write the cells, and the page made of them."""
    ordered = sorted(
        results, key=lambda one: (one.experiment, STEPS.index(one.step), list(CRASHES).index(one.crash))
    )
    KEPT.write_text(json.dumps([asdict(one) for one in ordered], indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(show_page(ordered))


def is_due(result: Result | None, commit: str, again: bool) -> bool:
    """Return whether a cell is to be run: it was not, or of another commit that it failed at or that will not do."""
    return result is None or (result.commit != commit and (again or not result.ok))


def show_page(results: list[Result]) -> str:
    """Return docs/crash-matrix.md."""
    cells = matrix()
    failed = sum(not one.ok for one in results)
    by = Counter(one.by for one in results)
    seen, all_pairs = len(pairs(one.cell for one in results)), len(pairs(cells))
    lines = [
        "# The crash matrix",
        "",
        "Each experiment on the embedded exchange, broken on purpose while it runs, by `make test-crash`. Who cleaned",
        "the machine: `play` is the playbook itself, which lived; `host` the watchdogs, alone; `preflight` and `halt`",
        "the playbooks that were called next, since nobody of the run was left. Clean means that a photograph of the",
        "machine from before the run and one from after are the same: containers, limits, networks, packet filters,",
        "settings and sessions of the database, processes, listeners, mounts, programs in the kernel, sockets,",
        "cgroups, files (`tests/crash/photograph.py`). Seconds count from the crash. After each cell a preflight was",
        "content. The outcome is what the run says of itself: in its report, or in the record that waits on the host.",
        "",
        f"{len(results)} of {len(cells)} cells run, {seen} of {all_pairs} pairs of experiment, step and crash seen: "
        f"**{failed} failed**.",
    ]
    if results:
        slowest = max(results, key=lambda one: one.seconds)
        lines += [
            "",
            "Cleaned by: "
            + ", ".join(
                f"{name} {by[name]}" for name in ("play", "host", "preflight", "halt", "nobody") if by[name]
            )
            + f". Longest time to clean: {slowest.seconds:.0f} s (experiment {slowest.experiment:02d}, "
            f"{slowest.step}, {slowest.crash}).",
        ]
    lines += [
        "",
        "| experiment | step | crash | cleaned by | s | outcome | run (UTC) | commit |",
        "|" + "---|" * 8,
    ]
    for one in results:
        lines.append(
            f"| {one.experiment:02d} | {one.step} | {one.crash} | {one.by}{'' if one.ok else ' **✗**'} "
            f"| {one.seconds:.0f} | {one.outcome} | {one.run} | {one.commit} |"
        )
    if failed:
        lines += ["", "## What failed", ""]
        for one in results:
            lines += [f"- {one.cell.name}: {line}" for line in (*one.left, *one.wrong)]
    lines += ["", "## The crashes", "", "| crash | what is done |", "|---|---|"]
    lines += [f"| {name} | {what} |" for name, what in CRASHES.items()]
    lines += ["", "## Elsewhere", "", "| crash | where |", "|---|---|"]
    lines += [f"| {name} | {where} |" for name, where in ELSEWHERE]
    return "\n".join(lines) + "\n"


def run(cells: list[Cell], commit: str, again: bool, minutes: float) -> int:
    """Run those of the cells that are due; returns how many have failed."""
    until = time.monotonic() + 60 * minutes
    failed = 0
    for cell in cells:
        kept = load_kept()
        if is_due(kept.get(cell), commit, again):
            if time.monotonic() > until:
                break
            kept[cell] = run_cell(cell, commit)
            keep(kept.values())
        result = kept[cell]
        failed += not result.ok
        print(
            f"{'✓' if result.ok else '✗'} {cell.experiment:02d} {cell.step}, {cell.crash}: cleaned by {result.by} "
            f"after {result.seconds:.0f} s, {result.outcome}, {result.commit}",
            *(f"    {line[:300]}" for line in (*result.left, *result.wrong)),
            sep="\n",
            flush=True,
        )
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cells", type=int, default=len(matrix()), metavar="N", help="the first N of the order"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="draws the order; one is drawn and printed without"
    )
    parser.add_argument("--only", action="append", default=[], metavar="CONDITION", help='"step=window"')
    parser.add_argument("--again", action="store_true", help="cells of other commits, too")
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="N")
    parser.add_argument("--list", action="store_true", help="name the cells and run none")
    given = parser.parse_args()
    seed = random.randrange(10_000) if given.seed is None else given.seed
    try:
        cells = only(drawn(matrix(), seed), given.only)[: given.cells]
    except ValueError as error:
        parser.error(str(error))
    commit = describe_commit(KEPT, PAGE)
    print(f"{len(cells)} cells, seed {seed}, {commit}", flush=True)
    if given.list:
        print(*(cell.name for cell in cells), sep="\n")
        return 0
    try:
        return 1 if run(cells, commit, given.again, given.minutes) else 0
    except AssertionError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
