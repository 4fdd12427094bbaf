"""What the capture costs: refused connects on loopback, with and without it.

    PYTHONPATH=.collections .venv/bin/python -m tests.bench.capture_cost [count]

Who connects is a container in the capture's scope, and the host itself, which is out of it (the filters of its own
namespace make it slower, traced or not). Printed: microseconds of a connect, the ratio to untraced, records lost, CPU
seconds of the capture (to be attached, and for the work), and its share of one core while nothing happens. Needs root.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.module import capture_support as support

ROUNDS = 3


def connects(pid: int, count: int) -> float:
    """Return the microseconds of CPU a refused connect takes, measured inside the container of process ``pid``.

    On loopback all of it, the tracing too, runs in the connecting process; other load on the machine does not count.
    """
    with tempfile.NamedTemporaryFile("r") as result:
        script = f"""
begun = time.process_time()
for _ in range({count}):
    s = socket.socket()
    s.connect_ex(("127.0.0.1", {support.CLOSED}))
    s.close()
open({result.name!r}, "w").write(str((time.process_time() - begun) / {count} * 1e6))
"""
        support.work(pid, script)
        return float(Path(result.name).read_text())


def show(name: str, untraced: list[float], traced: list[float]) -> None:
    """Print what a connect takes with the capture against without it."""
    before, after = min(untraced), min(traced)
    runs = " ".join(f"{value:.1f}" for value in untraced + traced)
    print(
        f"{name:<20}{before:.1f} µs each untraced, {after:.1f} traced: {after / before:.2f} times (runs: {runs})"
    )


def main(count: int) -> None:
    """Measure and print."""
    with support.exchange() as exchange, tempfile.TemporaryDirectory() as folder:
        api = exchange.pid("api")
        connects(api, count // 10)
        untraced = [connects(api, count) for _ in range(ROUNDS)]
        untraced_host = [connects(os.getpid(), count) for _ in range(ROUNDS)]
        with support.capture(Path(folder), exchange.spec()) as capture:
            time.sleep(2.5)
            start = capture.status
            time.sleep(10)
            idle = capture.status
            traced = [connects(api, count) for _ in range(ROUNDS)]
            time.sleep(3)
            busy = capture.status
            foreign = [connects(os.getpid(), count) for _ in range(ROUNDS)]
            capture.stop()
    show("in scope", untraced, traced)
    show("out of scope", untraced_host, foreign)
    total = ROUNDS * count
    events = busy["events"] - idle["events"]
    used = busy["cpu_s"] - idle["cpu_s"]
    print(
        f"events              {events} of {2 * total}, {busy['lost']} lost, {busy['unwritten']} past the file's limit"
    )
    print(f"CPU of the capture  {start['cpu_s']:.2f} s until it was attached and proved")
    each = used / max(events, 1) * 1e6
    print(f"                    {used / ROUNDS:.2f} s per {count} connects ({each:.1f} µs an event)")
    share = (idle["cpu_s"] - start["cpu_s"]) / (idle["until"] - start["until"])
    print(f"                    {share:.1%} of one core while nothing happens")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
