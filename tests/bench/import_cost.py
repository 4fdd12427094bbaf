"""What a module's imports cost: CPU seconds of a Python that imports it, and nothing else.

Usage: python -m tests.bench.import_cost [--tree CHECKOUT] [--rounds N] [MODULE...]

A module is named by its path below plugins, such as modules/window; by default, those that need neither Docker nor
netlink. Each is imported by Pythons of its own, N times; of their CPU time, user's and system's, the least counts,
since what else a machine does only adds to it. A Python that imports nothing is taken off. --tree measures another
checkout, so that two versions can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "ansible_collections.exchange.chaos.plugins."
MODULES = (
    "modules/window",
    "modules/record",
    "modules/probes",
    "modules/load",
    "modules/capture",
    "modules/halt",
)
#: What loading either of these would show: most of what an import can cost here.
HEAVY = ("docker", "pyroute2")
_TOLD = "import json, sys; print(json.dumps(sorted(sys.modules)))"


@dataclass(frozen=True)
class Cost:
    """One import: CPU seconds more than a bare Python's, how many modules came, which of the heavy ones."""

    module: str
    cpu_s: float
    modules: int
    heavy: tuple[str, ...]


def cpu_s(path: Path, script: str, rounds: int) -> tuple[float, set[str]]:
    """Return the least CPU time of a Python that runs a script with a search path, and the modules it had loaded."""
    times, loaded = [], set[str]()
    for _ in range(rounds):
        reads, writes = os.pipe()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", f"{script}\n{_TOLD}"],
            {**os.environ, "PYTHONPATH": str(path)},
            file_actions=[(os.POSIX_SPAWN_DUP2, writes, 1), (os.POSIX_SPAWN_CLOSE, reads)],
        )
        os.close(writes)
        with os.fdopen(reads) as told:
            text = told.read()
        _, status, usage = os.wait4(pid, 0)
        if status:
            raise SystemExit(f"✗ {script!r} fails; is there such a module in that checkout?")
        times.append(usage.ru_utime + usage.ru_stime)
        loaded = set(json.loads(text))
    return min(times), loaded


def measure(tree: Path, modules: list[str], rounds: int) -> list[Cost]:
    """Measure each module of a checkout."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        link = Path(scratch) / "ansible_collections" / "exchange" / "chaos"
        link.parent.mkdir(parents=True)
        link.symlink_to(tree)
        bare, known = cpu_s(Path(scratch), "", rounds)
        for module in modules:
            took, loaded = cpu_s(Path(scratch), f"import {PREFIX}{module.replace('/', '.')}", rounds)
            heavy = tuple(name for name in HEAVY if name in loaded)
            found.append(Cost(module, max(0.0, took - bare), len(loaded - known), heavy))
    return found


def table(costs: list[Cost]) -> str:
    """Return the figures, a line a module."""
    lines = [f"{'module':26}{'CPU s':>8}{'modules':>9}  heavy"]
    lines += [
        f"{one.module:26}{one.cpu_s:8.3f}{one.modules:9}  {', '.join(one.heavy) or '–'}" for one in costs
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=Path, default=ROOT, metavar="CHECKOUT", help="default: this one")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("modules", nargs="*", default=list(MODULES), metavar="MODULE")
    options = parser.parse_args()
    print(table(measure(options.tree.resolve(), options.modules, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
