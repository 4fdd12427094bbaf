"""The capture beside bpftrace on the same work: refused connects, every event kept by both.

    PYTHONPATH=.collections .venv/bin/python -m tests.bench.capture_peer [connects] [rounds]

Untraced, the capture and a bpftrace script that prints the same events take turns, so that a machine whose speed
drifts treats them alike. Printed, as median (lowest to highest) of the rounds: seconds of the work and their ratio to
untraced, CPU seconds of the tracer from its start to its end (compiling included; of the capture also those of making
events of what it kept), events lost, bytes an event on disk, memory, seconds from the start of the tracer to its first
event. Needs root, bcc and bpftrace.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.exchange.chaos.plugins.module_utils.bpf import spool
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module import capture_support as support
from tests.module.capture_support import CLOSED, Exchange

#: The same tracepoint, the same ports, the same facts; a line for each attempt and each end.
SCRIPT = """
tracepoint:sock:inet_sock_set_state /args->protocol == 6 && (args->dport == %(port)d || args->sport == %(port)d)/ {
  if (args->newstate == 2 || args->newstate == 7) {
    printf("%%llu %%d %%s %%d %%d %%d %%s %%s\\n", nsecs, pid, comm, args->newstate, args->sport, args->dport,
           ntop(args->saddr_v6), ntop(args->daddr_v6));
  }
}
"""
_READY_S = 30.0


@dataclass
class Figures:
    """What one way of tracing showed, a value a round; seconds, MiB, bytes, counts."""

    work: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    size: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


def work_s(pid: int, count: int) -> float:
    """Return the seconds that so many refused connects take inside the container of a process."""
    with tempfile.NamedTemporaryFile("r") as result:
        script = f"""
begun = time.monotonic()
for _ in range({count}):
    s = socket.socket()
    s.connect_ex(("127.0.0.1", {CLOSED}))
    s.close()
open({result.name!r}, "w").write(str(time.monotonic() - begun))
"""
        support.work(pid, script)
        return float(Path(result.name).read_text())


def knock(pid: int) -> subprocess.Popen[bytes]:
    """Connect a hundred times a second until ended: what shows when a tracer begins to see."""
    text = support.joining_script(
        f"while True:\n    s = socket.socket(); s.connect_ex(('127.0.0.1', {CLOSED})); s.close(); time.sleep(0.01)"
    )
    return subprocess.Popen([support.PYTHON, "-c", text, str(pid)])


def first_event_s(begun: float, seen: Path) -> float:
    """Wait until a file holds a first line; returns the seconds since ``begun``."""
    while not (seen.exists() and b"\n" in seen.read_bytes()):
        assert time.monotonic() - begun < _READY_S, f"nothing came into {seen}"
        time.sleep(0.005)
    return time.monotonic() - begun


def trace_with_capture(exchange: Exchange, count: int, into: Figures) -> None:
    """One round of the capture."""
    pid = exchange.pid("api")
    with tempfile.TemporaryDirectory() as folder:
        knocking = knock(pid)
        begun = time.monotonic()
        with support.capture(Path(folder), exchange.spec(control={})) as capture:
            into.first.append(first_event_s(begun, Path(folder, "bpf.jsonl")))
            end(knocking)
            into.work.append(work_s(pid, count))
            into.memory.append(support.resident_mb(capture.process.pid))
            capture.stop()
        spooled = Path(folder, spool.NAME)
        kept = spooled.stat().st_size if spooled.exists() else 0
        status = capture.status
        before = cpu_s(resource.RUSAGE_SELF)
        spool.expand_spool(RunDir(folder))
        into.cpu.append(status["cpu_s"] + cpu_s(resource.RUSAGE_SELF) - before)
        into.lost.append(status["lost"])
        into.size.append(kept / max(1, 2 * count))


def trace_with_bpftrace(exchange: Exchange, count: int, into: Figures) -> None:
    """One round of bpftrace."""
    pid = exchange.pid("api")
    with tempfile.TemporaryDirectory() as folder:
        printed, complaints = Path(folder, "out"), Path(folder, "err")
        knocking = knock(pid)
        begun = time.monotonic()
        with printed.open("wb") as out, complaints.open("wb") as err:
            tracer = subprocess.Popen(
                ["bpftrace", "-q", "-e", SCRIPT % {"port": CLOSED}], stdout=out, stderr=err
            )
        into.first.append(first_event_s(begun, printed))
        end(knocking)
        size = printed.stat().st_size
        into.work.append(work_s(pid, count))
        time.sleep(1.0)
        into.memory.append(support.resident_mb(tracer.pid))
        tracer.send_signal(2)
        _pid, _status, usage = os.wait4(tracer.pid, 0)
        into.cpu.append(usage.ru_utime + usage.ru_stime)
        into.lost.append(sum(int(word) for word in complaints.read_text().split() if word.isdecimal()))
        into.size.append((printed.stat().st_size - size) / (2 * count))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process we started."""
    process.kill()
    process.wait()


def cpu_s(who: int) -> float:
    """Return the CPU seconds of this process or its children."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def shown(values: Sequence[float], digits: int) -> str:
    """Return median, lowest and highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratios(values: Sequence[float], against: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [one / other for one, other in zip(values, against)]


def main(count: int, rounds: int) -> None:
    """Measure and print."""
    if shutil.which("bpftrace") is None:
        raise SystemExit("bpftrace is wanted beside the capture; install its package (Debian: bpftrace).")
    untraced: list[float] = []
    ours, peer = Figures(), Figures()
    with support.exchange() as exchange:
        work_s(exchange.pid("api"), count // 10)
        for _round in range(rounds):
            untraced.append(work_s(exchange.pid("api"), count))
            trace_with_capture(exchange, count, ours)
            trace_with_bpftrace(exchange, count, peer)
    print(f"{count} refused connects, {2 * count} events, {rounds} rounds: median (lowest to highest)")
    print(f"{'':34}{'capture':>28}{'bpftrace':>28}")
    rows = (
        ("work, times untraced", ratios(ours.work, untraced), ratios(peer.work, untraced), 2),
        ("CPU s of the tracer", ours.cpu, peer.cpu, 2),
        ("records lost", ours.lost, peer.lost, 0),
        ("bytes an event", ours.size, peer.size, 0),
        ("memory while it works, MiB", ours.memory, peer.memory, 0),
        ("first event after the start, s", ours.first, peer.first, 2),
    )
    for name, mine, theirs, digits in rows:
        print(f"{name:34}{shown(mine, digits):>28}{shown(theirs, digits):>28}")
    print(f"CPU, capture / bpftrace           {shown(ratios(ours.cpu, peer.cpu), 2)}")
    print(f"first event, capture / bpftrace   {shown(ratios(ours.first, peer.first), 2)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
