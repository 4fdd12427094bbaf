# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the load costs the machine it measures, and how punctual it is: ``python -m tests.bench.load_cost``.

For 10 to 1,000 orders per second, against an API in a process of its own that answers at once. The median of some
rounds (default 3), with least and most; ``--busy`` puts that many processes of endless arithmetic beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".collections"))

from ansible_collections.exchange.chaos.plugins.module_utils.common import jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes

from tests.module.load_api import load_spec, make_run

SECONDS = 10.0
RATES = (10, 50, 200, 500, 1000)
_STUB = Path(__file__).with_name("fast_stub.py")
COLUMNS = ("good", "late p50", "late p99", "late max", "answer p50", "CPU s")


@contextlib.contextmanager
def stub() -> Iterator[str]:
    """Run the API; gives its address."""
    with subprocess.Popen(
        [sys.executable, str(_STUB)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


@contextlib.contextmanager
def busy(number: int) -> Iterator[None]:
    """Other work on the machine: so many processes that want a processor each."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(url: str, rate: int, folder: Path) -> dict[str, float]:
    """Send for some seconds; returns a figure for each of COLUMNS: per second, milliseconds, and per 1,000 orders."""
    run = make_run(folder, load_spec(url, rate=rate, timeout_s=3))
    processes.start_process(run, "load")
    time.sleep(SECONDS)
    processes.stop_process(run, "load")
    lines: list[dict[str, Any]] = jsonl.read_lines(run.file("load.jsonl"))
    orders, cpu = lines[:-1], float(lines[-1]["summary"]["cpu_s"])
    late = sorted((line["sent"] - line["at"]) * 1000 for line in orders)
    answers = sorted((line["end"] - line["sent"]) * 1000 for line in orders)
    span = max(line["at"] for line in orders) - min(line["at"] for line in orders) + 1 / rate
    return dict(
        zip(
            COLUMNS,
            (
                sum(line["ok"] for line in orders) / span,
                late[len(late) // 2],
                late[len(late) * 99 // 100],
                late[-1],
                answers[len(answers) // 2],
                cpu / len(orders) * 1000,
            ),
        )
    )


def main() -> None:
    """Print a table: a row for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0)
    wanted = parser.parse_args()
    print("| orders/s | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    with tempfile.TemporaryDirectory() as folder, stub() as url, busy(wanted.busy):
        for rate in RATES:
            rounds = [measure(url, rate, Path(folder) / f"{rate}-{k}") for k in range(wanted.rounds)]
            cells = []
            for name in COLUMNS:
                values = sorted(one[name] for one in rounds)
                cells.append(f"{median(values):.3g} ({values[0]:.3g} to {values[-1]:.3g})")
            print(f"| {rate} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
