"""Experiments with other work on the machine: does a good exchange ever fail, does a weak one ever pass?

Usage: python -m tests.bench.noise [--profile resilient|fragile] [--noise KIND ...] [--again] [NUMBER ...]

Runs each experiment (01 to 16, or those named) on the embedded exchange under each kind of noise: `quiet`;
`processors`, two of other work by stress-ng; `disk`, writes of another process; `passing`, a neighbour on both
processors that comes and goes every three seconds. On `resilient` no cell may end `failed` and no quiet one other than
`passed`; on `fragile` none may end `passed`. A cell that was run is kept, with its time and commit, and not run again
unless `--again` says so; all that are kept make docs/noise.md. The exit code is 0 if no cell that was asked for breaks
its rule.

A cell takes a minute or two. The windows are the experiments' own, their noise is never accepted (chaos_accept_noise).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tools.commit import describe_commit

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "tests" / "bench" / "noise.json"
PAGE = ROOT / "docs" / "noise.md"
PROFILES = ("resilient", "fragile")
#: No run takes as long as this (s).
_LONGEST_S = 420
_FILLS_THE_DISK = 15
#: So long a neighbour works, and so long it does not (s).
_COMES_AND_GOES_S = 3
#: Other work has begun, and is not the first thing that a run sees (s).
_WARM_S = 2.0


@dataclass(frozen=True)
class Cell:
    """One run: what it came to, and which findings failed or could not be told. ``seconds``: wall time."""

    profile: str
    number: int
    noise: str
    outcome: str
    failed: tuple[str, ...]
    unknown: int
    seconds: float
    run: str
    commit: str

    @property
    def breaks(self) -> str:
        """Return which rule the cell breaks, "" for none."""
        if self.profile == "fragile":
            return "a weak exchange passed" if self.outcome.startswith("passed") else ""
        if self.noise == "quiet" and not self.outcome.startswith("passed"):
            return f"a good exchange on a quiet machine is {self.outcome}"
        return "a good exchange failed" if self.outcome == "failed" else ""


def read_cell(record: dict[str, Any], profile: str, noise: str, seconds: float, commit: str) -> Cell:
    """Return the cell of a run by its record."""
    findings = [finding for host in record["hosts"] for finding in host["findings"]]
    number = int(record["experiment"]["number"])
    open_questions = ", ".join(record.get("open_questions") or ())
    return Cell(
        profile,
        number,
        noise,
        f"{record['outcome']}{f', {open_questions}' if open_questions else ''}",
        tuple(sorted(one["id"] for one in findings if one["verdict"] == "fail")),
        sum(one["verdict"] not in ("pass", "fail") for one in findings),
        round(seconds, 1),
        record["started_at"][:16].replace("T", " "),
        commit,
    )


# -- the noise ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stress(*arguments: str) -> Iterator[None]:
    """Have stress-ng at work meanwhile, in a session of its own, which ends with it."""
    command = ["stress-ng", "--quiet", "--timeout", str(_LONGEST_S), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        time.sleep(_WARM_S)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@contextlib.contextmanager
def passing() -> Iterator[None]:
    """Have a neighbour come and go meanwhile."""
    over = threading.Event()

    def comes_and_goes() -> None:
        while not over.is_set():
            command = ["stress-ng", "--quiet", "--cpu", "2", "--timeout", str(_COMES_AND_GOES_S)]
            subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
            over.wait(_COMES_AND_GOES_S)

    thread = threading.Thread(target=comes_and_goes)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


@contextlib.contextmanager
def disk() -> Iterator[None]:
    """Have another process write and sync meanwhile."""
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,  # on the disk, where /tmp may be in memory
        stress("--hdd", "1", "--hdd-bytes", "256M", "--hdd-opts", "fsync", "--temp-path", folder),
    ):
        yield


NOISES: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "quiet": contextlib.nullcontext,
    "processors": lambda: stress("--cpu", "2"),
    "disk": disk,
    "passing": passing,
}


# -- the runs -------------------------------------------------------------------------------------------------


def playbook(number: int) -> str:
    """Return the playbook of an experiment. Raises LookupError where there is none."""
    found = [path.name for path in (ROOT / "playbooks").glob(f"{number:02d}-*.yml")]
    if not number or len(found) != 1:
        raise LookupError(f"There is no experiment {number:02d}.")
    return f"playbooks/{found[0]}"


def play(*words: str, **variables: str) -> int:
    """Play a playbook, silently; returns its exit code."""
    given = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    done = subprocess.run(
        ["ansible-playbook", *words, *given],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=_LONGEST_S,
    )
    return done.returncode


def run_cell(profile: str, number: int, noise: str, commit: str, variables: dict[str, str]) -> Cell:
    """Run one cell. Raises LookupError when the run left no record."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        with NOISES[noise]():
            play(playbook(number), chaos_report_dir=folder, **variables)
        seconds = time.monotonic() - begun
        records = list(Path(folder).glob("chaos-exp-*.json"))
        if len(records) != 1:
            raise LookupError(f"Experiment {number:02d} under {noise} left {len(records)} records.")
        return read_cell(json.loads(records[0].read_text()), profile, noise, seconds, commit)


def bring_up(profile: str, disk: str) -> None:
    """Bring the embedded exchange up, its database on a `disk` (shared, own). Raises LookupError when that fails."""
    if play("playbooks/lab.yml", lab_profile=profile, lab_database_disk=disk):
        raise LookupError(f"The embedded exchange did not come up ({profile}, {disk} disk).")


def disk_of(number: int) -> str:
    """Return which disk the database has in an experiment: 15 fills it, and refuses one that is the host's, too."""
    return "own" if number == _FILLS_THE_DISK else "shared"


# -- what is kept ---------------------------------------------------------------------------------------------


def load_kept() -> list[Cell]:
    """Return the cells that were run so far."""
    if not KEPT.exists():
        return []
    return [Cell(**{**each, "failed": tuple(each["failed"])}) for each in json.loads(KEPT.read_text())]


def keep_cells(cells: Iterable[Cell]) -> None:
    """Write the cells, and the page made of them."""
    ordered = sorted(
        cells, key=lambda one: (PROFILES.index(one.profile), one.number, list(NOISES).index(one.noise))
    )
    KEPT.write_text(json.dumps([asdict(one) for one in ordered], indent=1) + "\n")
    PAGE.write_text(show_page(ordered))


def show_page(cells: list[Cell]) -> str:
    """Return docs/noise.md."""
    lines = [
        "# Experiments under noise",
        "",
        "Each experiment on the embedded exchange while the machine does something else, by",
        "`python -m tests.bench.noise`: `processors` is two of other work, `disk` another process that writes and",
        "syncs, `passing` a neighbour on both processors that comes and goes every three seconds. On the resilient",
        "exchange no run may fail, on the fragile one none may pass; `?` counts findings that could not be told,",
        "which is what noise is to come to. `invalid` means that nothing was injected, or that the run says itself",
        "that nothing can be learnt from it.",
    ]
    for profile in PROFILES:
        chosen = [one for one in cells if one.profile == profile]
        if not chosen:
            continue
        broken = sum(bool(one.breaks) for one in chosen)
        lines += [
            "",
            f"## The {profile} exchange",
            "",
            f"{len(chosen)} cells, {broken} of which break the rule.",
            "",
            "| experiment | noise | outcome | failed findings | ? | s | run (UTC) | commit |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for one in chosen:
            failed = ", ".join(one.failed) or "–"
            mark = " **✗**" if one.breaks else ""
            lines.append(
                f"| {one.number:02d} | {one.noise} | {one.outcome}{mark} | {failed} | {one.unknown} "
                f"| {one.seconds:.0f} | {one.run} | {one.commit} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER")
    parser.add_argument("--profile", choices=PROFILES, default="resilient")
    parser.add_argument("--noise", nargs="+", choices=list(NOISES), default=list(NOISES))
    parser.add_argument("--again", action="store_true", help="cells that are kept, too")
    parser.add_argument(
        "-e", action="append", default=[], metavar="NAME=VALUE", help="a variable of the runs"
    )
    given = parser.parse_args()
    if shutil.which("stress-ng") is None:
        print("✗ There is no stress-ng here: make setup-dev brings it.", file=sys.stderr)
        return 2
    commit = describe_commit(KEPT, PAGE)
    variables = dict(each.split("=", 1) for each in given.e)
    kept = {(one.profile, one.number, one.noise): one for one in load_kept()}
    broken, up = 0, ("", "")
    try:
        for number in given.numbers or range(1, 17):
            for noise in given.noise:
                key = (given.profile, number, noise)
                if key not in kept or given.again:
                    if up != (given.profile, disk_of(number)):
                        up = (given.profile, disk_of(number))
                        bring_up(*up)
                    kept[key] = run_cell(*key, commit, variables)
                    keep_cells(kept.values())
                one = kept[key]
                broken += bool(one.breaks)
                print(
                    f"{'✗' if one.breaks else '✓'} {number:02d} {noise:10} {one.outcome} {', '.join(one.failed)}",
                    f"{one.unknown} ?  {one.seconds:.0f} s  {datetime.now(timezone.utc):%H:%M}",
                    flush=True,
                )
    except LookupError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 2
    finally:
        if up not in (("", ""), ("resilient", "shared")):
            bring_up("resilient", "shared")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
