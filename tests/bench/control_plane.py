"""What an experiment costs on a fleet: CPU seconds on either side, round trips, and whether a host more costs more.

Usage: python -m tests.bench.control_plane [COUNT...]        (default: 1 10 50; what `make bench` runs)

Experiment 01, crash and outage, on 1, 10 and 50 light hosts (light.py), all at a time. The hosts share this machine's
processors, so wall time says little; CPU seconds are the kernel's, of the processes in two cgroups: ansible-playbook
with all that it starts, and each host's sshd with the modules under it. What lives as long as the run (observers,
watchdogs) is counted apart, by the second of a run: how long that takes is the bench's two cores' doing. Round trips
are counted by a callback on the controller (callbacks/round_trips.py). The exit code is 0 only if every host went
through the whole experiment, its faults proved and undone, and what must hold of cost and round trips does; the growth
is judged where three counts are given, each larger than the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.bench import light
from tests.bench.accounting import CpuGroup
from tests.bench.machine import BenchError

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/01-database-sudden-death.yml"
COUNTS = (1, 10, 50)
VARIABLES = {
    # Fifty compilers at once would measure the bench; what a capture costs is in capture_cost.py.
    "chaos_programs": [],
    "chaos_gate": False,
}
#: A window watches in slices: how many there are is a matter of its length.
WINDOW = "exchange.chaos.window"
MOST_ROUND_TRIPS = 12
MOST_GROWTH = 1.3


@dataclass(frozen=True)
class Cost:
    """One run on ``hosts`` hosts: seconds in all, what its record says, and every round trip there was.

    controller_s, host_s, observers_s: CPU seconds of the controller, of all hosts' modules, of all their observers.
    complaints: the lines of its output that tell of a failure.
    """

    hosts: int
    wall_s: float
    controller_s: float
    host_s: float
    observers_s: float
    record: dict[str, Any]
    trips: tuple[dict[str, Any], ...]
    complaints: tuple[str, ...] = ()

    @property
    def observing(self) -> float:
        """Share of a core that the observers of a host take while the run lasts."""
        return self.observers_s / self.hosts / self.wall_s

    @property
    def modules(self) -> list[dict[str, Any]]:
        """Modules that ran on hosts, outside the windows."""
        return [trip for trip in self.trips if trip["what"] == "module" and trip["remote"]
                and trip["module"] != WINDOW]  # fmt: skip

    @property
    def most_modules(self) -> int:
        """Round trips outside the windows of the host that had most; 0 if there is a host on which none was counted."""
        counted = Counter(trip["host"] for trip in self.modules)
        return max(counted.values()) if len(counted) == self.hosts else 0

    @property
    def slices(self) -> float:
        """Round trips in the windows, of a host on average."""
        return len([trip for trip in self.trips if trip.get("module") == WINDOW]) / self.hosts

    @property
    def transfers(self) -> float:
        """Commands and files that SSH carried, of a host on average."""
        return len([trip for trip in self.trips if trip["what"] != "module"]) / self.hosts

    @property
    def unproved(self) -> list[str]:
        """Hosts that were cut short, or where a fault had no proof or was not undone, and what their record notes.

        A run that ends before its last fault is cheaper: what it cost says nothing of the experiment.
        """
        return [
            f"{host['host']} ({'; '.join(map(str, [*host['leftovers'], *host.get('notes', [])]))[:400]})"
            for host in self.record.get("hosts", [])
            if (host["verdicts"]["effect"], host["verdicts"]["restored"]) != ("pass", "pass")
            or host["outcome"] == "aborted"
            or not all(fault["injected_at"] for fault in host["faults"])
        ]


def measure(count: int, **variables: Any) -> Cost:
    """Run the experiment on so many light hosts. Raises BenchError when it left no record of all of them."""
    bench = light.up(count)
    controller = CpuGroup(f"{light.PREFIX}-controller")
    controller.remove()
    controller.create()
    before = spent(bench)
    with tempfile.TemporaryDirectory() as scratch:
        trips, reports = Path(scratch) / "trips.jsonl", Path(scratch) / "reports"
        reports.mkdir()
        given = json.dumps({**VARIABLES, "chaos_report_dir": str(reports), **variables})
        begun = time.monotonic()
        done = subprocess.run(
            controller.within("ansible-playbook", *bench.options, PLAYBOOK, "-e", given),
            cwd=ROOT, env=environment(trips), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        wall = time.monotonic() - begun
        used = controller.seconds()
        controller.remove()
        records = [json.loads(path.read_text()) for path in reports.glob("chaos-exp-01-*.json")]
        if done.returncode != 0 or len(records) != 1 or len(records[0]["hosts"]) != count:
            raise BenchError(f"the run on {count} hosts ended with {done.returncode}:\n{done.stdout[-6000:]}")
        lines = tuple(json.loads(line) for line in trips.read_text().splitlines())
    modules, observers = (now - then for now, then in zip(spent(bench), before))
    complaints = tuple(line for line in done.stdout.splitlines() if "✗" in line)
    return Cost(count, wall, used, modules, observers, records[0], lines, complaints)


def spent(bench: light.Bench) -> tuple[float, float]:
    """CPU seconds of all hosts so far: of sshd and modules, and of observers."""
    return (
        sum(host.cpu.seconds() for host in bench.hosts),
        sum(host.observers.seconds() for host in bench.hosts),
    )


def environment(trips: Path) -> dict[str, str]:
    """The environment of a run whose round trips are written to a file."""
    return {
        **os.environ,
        "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callbacks")),
        "ANSIBLE_CALLBACKS_ENABLED": "exchange.chaos.report,round_trips",
        "ROUND_TRIPS": str(trips),
        "NO_COLOR": "1",
    }


def table(costs: list[Cost]) -> list[str]:
    """Return the table, a line for each run."""
    head = (
        "hosts",
        "wall s",
        "controller CPU s",
        "a host",
        "host CPU s",
        "a host",
        "observers",
        "modules",
        "slices",
        "SSH",
    )
    widths = [max(len(word), 7) for word in head]
    rows = [
        (
            str(cost.hosts), f"{cost.wall_s:.1f}",
            f"{cost.controller_s:.1f}", f"{cost.controller_s / cost.hosts:.2f}",
            f"{cost.host_s:.1f}", f"{cost.host_s / cost.hosts:.2f}",
            f"{cost.observing:.1%}", str(cost.most_modules), f"{cost.slices:.1f}", f"{cost.transfers:.1f}",
        )
        for cost in costs
    ]  # fmt: skip
    return [" ".join(word.rjust(width) for word, width in zip(row, widths)) for row in (head, *rows)]


def trips(cost: Cost) -> list[str]:
    """Return the round trips of the first host outside its windows, a line each, in their order."""
    first = cost.modules[0]["host"] if cost.modules else ""
    return [
        " ".join(
            word
            for word in (f"{number:3}", trip["module"], trip["state"], trip["fault"], f"({trip['task']})")
            if word
        )
        for number, trip in enumerate((trip for trip in cost.modules if trip["host"] == first), 1)
    ]


def growth(costs: list[Cost], side: str) -> tuple[float, float]:
    """Return what a further host costs from small to middle, and from middle to large, CPU seconds of a side."""
    small, middle, large = costs
    one, ten, fifty = (float(getattr(cost, f"{side}_s")) for cost in costs)
    return (ten - one) / (middle.hosts - small.hosts), (fifty - ten) / (large.hosts - middle.hosts)


def judge(costs: list[Cost]) -> list[tuple[bool, str]]:
    """Return what must hold, each with whether it does."""
    found = [
        (
            not cost.unproved,
            f"{cost.hosts} hosts: both faults proved and undone on {cost.hosts - len(cost.unproved)}"
            + (f", not on {', '.join(cost.unproved)}" if cost.unproved else ""),
        )
        for cost in costs
    ]
    counted = [cost.most_modules for cost in costs]
    if 0 in counted:
        found.append((False, "the round trips were not counted on every host"))
    else:
        words = f"{max(counted)} round trips outside the windows, at most {MOST_ROUND_TRIPS}"
        found.append((max(counted) <= MOST_ROUND_TRIPS, words))
    if len(costs) == len(COUNTS):
        found += [_judge_growth(costs, side) for side in ("controller", "host")]
        found.append(_judge_observing(costs))
    return found


def _judge_growth(costs: list[Cost], side: str) -> tuple[bool, str]:
    """Return whether a further host costs no more in a large fleet than in a small one, in CPU seconds of a side."""
    few, many = growth(costs, side)
    if few <= 0 or many <= 0:
        return False, f"more hosts cost no more CPU seconds ({side} side): the measurement is at fault"
    return many <= MOST_GROWTH * few, (
        f"a further host costs {few:.2f} CPU s up to {costs[1].hosts} hosts and {many:.2f} beyond "
        f"({side} side): {many / few:.2f} times, at most {MOST_GROWTH}"
    )


def _judge_observing(costs: list[Cost]) -> tuple[bool, str]:
    """Return whether watching a host costs it no more in a large fleet than in a small one, by the second."""
    _one, few, many = (cost.observing for cost in costs)
    return 0 < many <= MOST_GROWTH * few, (
        f"its observers take {few:.1%} of a core among {costs[1].hosts} hosts and {many:.1%} among {costs[2].hosts}: "
        f"at most {MOST_GROWTH} times"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave the light hosts up afterwards")
    parser.add_argument("counts", nargs="*", type=int, default=list(COUNTS), metavar="COUNT")
    options = parser.parse_args()
    counts = options.counts
    if counts[0] < 1 or counts != sorted(set(counts)) or len(counts) > len(COUNTS):
        parser.error("one to three counts of hosts are needed, each larger than the one before")

    costs = []
    try:
        for count in counts:
            begin = time.monotonic()
            light.up(count)
            print(f"✓ {count} light hosts are up ({time.monotonic() - begin:.1f} s)", flush=True)
            costs.append(measure(count))
            print(f"✓ Experiment 01 on {count} ({costs[-1].wall_s:.1f} s)", flush=True)
            if costs[-1].unproved:
                print(*costs[-1].complaints, sep="\n", flush=True)
    except BenchError as error:
        print(f"✗ {error}", flush=True)
        return 1
    finally:
        if not options.keep:
            light.down()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    judged = judge(costs)
    print(
        "",
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}",
        "",
        *table(costs),
        "",
        *trips(costs[-1]),
        "",
        *(f"{'✓' if good else '✗'} {text}" for good, text in judged),
        *(["· the growth is not judged: that takes three counts"] if len(costs) < len(COUNTS) else []),
        sep="\n",
        flush=True,
    )
    return 0 if all(good for good, _text in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
