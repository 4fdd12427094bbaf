"""What the page of a run costs: seconds, memory and size, for many hosts and for many requests.

Usage: PYTHONPATH=.collections .venv/bin/python -m tests.bench.page_cost
           [--hosts 100] [--requests 1000000] [--earlier 6] [--folder FOLDER]

Two runs are made out of a recorded one (tests/unit/data/runs/01): one of so many hosts, each with all the raw samples
of that run, and one of a host with so many requests, a fifth of them failed. Beside each lie earlier records, which the
page looks back on. Every page is made by a Python of its own, whose wall and CPU seconds and whose greatest memory the
kernel counts (wait4(2)); imports are in it. The exit code is 0 only if each keeps the bounds: 10 seconds of a processor
(a page is made by one: where nothing else runs that is its wall time), 200 MB, 5 MB.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit import recorded

ROOT = Path(__file__).resolve().parents[2]
#: What a page may take: seconds of a processor, MB of memory, MB of the file.
BOUNDS = {"CPU s": 10.0, "memory MB": 200.0, "page MB": 5.0}
_FAILED = 0.2
_MAKE = """
import json, sys
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page.page_file import write_page
stem = sys.argv[1]
with open(f"{stem}.json") as stream:
    record = json.load(stream)
write_page(record, stem, f"{stem}.html")
"""


@dataclass(frozen=True)
class PageCost:
    """One page: wall and CPU seconds, the most memory its Python had (MB of 1,000,000 bytes), and its size."""

    wall_s: float
    cpu_s: float
    memory_mb: float
    page_mb: float

    def broken(self) -> list[str]:
        """Return the bounds that it does not keep."""
        values = dict(zip(BOUNDS, (self.cpu_s, self.memory_mb, self.page_mb)))
        return [
            f"{name} {values[name]:.1f} > {most:g}" for name, most in BOUNDS.items() if values[name] > most
        ]


def make_fleet(folder: Path, hosts: int) -> Path:
    """Return the stem of a run of so many hosts, each with the raw samples of the recorded one."""
    record, stem = recorded.report(1, folder)
    record["hosts"] = [{**copy.deepcopy(record["hosts"][0]), "host": f"host-{n}"} for n in range(hosts)]
    for n in range(hosts):
        for path in (recorded.DATA / "01").glob("*.jsonl.gz"):
            shutil.copyfile(path, f"{stem}.host-{n}.{path.name}")
    Path(f"{stem}.json").write_text(json.dumps(record))
    return Path(stem)


def make_load(folder: Path, requests: int) -> Path:
    """Return the stem of a run of one host that sent so many requests while it lasted, a fifth of which failed."""
    record, stem = recorded.report(1, folder)
    path = Path(f"{stem}.{record['hosts'][0]['host']}.load.jsonl.gz")
    with gzip.open(path, "rt") as stream:
        anchor, *lines = [json.loads(line) for line in stream]
    sent = [line["sent"] for line in lines if "sent" in line]
    begin, length = min(sent), max(sent) - min(sent)
    good = next(line for line in lines if line.get("ok") is True)
    bad = next(line for line in lines if line.get("ok") is False)
    dice = random.Random(1)
    with gzip.open(path, "wt", compresslevel=1) as stream:
        stream.write(f"{json.dumps(anchor)}\n")
        for n in range(requests):
            at = begin + length * n / requests
            line = bad if dice.random() < _FAILED else good
            took = dice.lognormvariate(-5, 1.5)
            stream.write(f"{json.dumps({**line, 'n': n, 'at': at, 'sent': at, 'end': at + took})}\n")
    return Path(stem)


def lay_earlier(stem: Path, runs: int) -> None:
    """Write records of earlier runs beside one, a day apart."""
    record: dict[str, Any] = json.loads(Path(f"{stem}.json").read_text())
    for day in range(1, runs + 1):
        at = f"2026-10-{day:02d}"
        earlier = {**record, "started_at": f"{at}T02:00:00.000Z", "run_id": f"exp-01-{at}"}
        path = stem.with_name(f"chaos-exp-01-{at.replace('-', '')}-020000.json")
        path.write_text(json.dumps(earlier))


def measure_page(stem: Path) -> PageCost:
    """Make the page beside a record, and return what it took. Raises ChildProcessError if that failed."""
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".collections")}
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", _MAKE, str(stem)], environment)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise ChildProcessError(f"The page of {stem} was not made.")
    size = Path(f"{stem}.html").stat().st_size
    cpu = usage.ru_utime + usage.ru_stime
    return PageCost(time.monotonic() - began, cpu, usage.ru_maxrss * 1024 / 1e6, size / 1e6)


def main() -> int:
    """Print a line a page, and what else the machine was doing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--earlier", type=int, default=6, help="records of earlier runs that lie beside each")
    parser.add_argument(
        "--folder", help="where to work, and to leave the pages; by default a folder that goes"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(given.folder or scratch)
        stems = {}
        for name, make, count in (
            (f"{given.hosts} hosts", make_fleet, given.hosts),
            (f"{given.requests} requests", make_load, given.requests),
        ):
            folder = base / name.replace(" ", "-")
            folder.mkdir(parents=True)
            stems[name] = make(folder, count)
            lay_earlier(stems[name], given.earlier)
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
        print(f"{'page of':>20}  {'wall s':>6}  {'CPU s':>6}  {'memory MB':>9}  {'page MB':>7}")
        broken = []
        for name, stem in stems.items():
            cost = measure_page(stem)
            print(
                f"{name:>20}  {cost.wall_s:6.1f}  {cost.cpu_s:6.1f}  {cost.memory_mb:9.0f}  {cost.page_mb:7.2f}"
            )
            broken += [f"{name}: {each}" for each in cost.broken()]
    print("\n".join(broken) or "All within 10 s of a processor, 200 MB of memory, 5 MB.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
