"""When the kernel sent which signals: read from tracefs in a buffer of our own, by no code of the collection."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TRACING = Path("/sys/kernel/tracing")
_LINE = re.compile(r"\s(\d+\.\d+): signal_generate: .*\bpid=(\d+)\b")


@dataclass(frozen=True)
class Signals:
    """A trace of every SIGKILL since it was begun."""

    folder: Path

    def sent(self) -> dict[int, float]:
        """Return when each process was first sent one: seconds of boottime, as precise as the kernel prints (1 µs)."""
        found: dict[int, float] = {}
        for line in (self.folder / "trace").read_text().splitlines():
            match = _LINE.search(line)
            if match:
                found.setdefault(int(match[2]), float(match[1]))
        return found


@contextlib.contextmanager
def sigkills() -> Iterator[Signals]:
    """Trace every SIGKILL meanwhile."""
    if not (TRACING / "instances").is_dir():  # as it is on every machine that has an init of its own
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(TRACING)], check=True)
    folder = TRACING / "instances" / f"exchange-chaos-test-{os.getpid()}"
    folder.mkdir()
    event = folder / "events" / "signal" / "signal_generate"
    try:
        (folder / "trace_clock").write_text("boot")
        (event / "filter").write_text("sig == 9")
        (event / "enable").write_text("1")
        yield Signals(folder)
    finally:
        (event / "enable").write_text("0")
        folder.rmdir()
