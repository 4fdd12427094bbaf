"""Run parts of the project's tests and gates, and close with tables of what each found and where the time went.

Usage: python -m tools.parts [--full | --swift] PART...   (lint, one gate of tools/gates, unit, controller, lab,
module, shapes, e2e, fleet, crash, or one file of the last five, such as e2e/test_mutations.py)

First the gates and the tests on the controller, two at a time, and beside them `lab`, which brings up the embedded
exchange and the engine it needs; these show their output only when they fail. Then, with nothing beside it, what breaks
things on this machine and measures time, one after the other: the tests of `module` that bear each other's company, two
at a time; its tests marked alone; `shapes`, `e2e`, `fleet` and `crash`, with their output as it goes.

The exit code is 0 only if every part passed; a suite without any test has not passed. With --full the results are kept
in docs/test-results.md, each with date and commit; those of other parts stay there as they were.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from tools import results_page
from tools.commit import describe_commit

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".cache" / "parts"
SUITES = ("module", "shapes", "e2e", "fleet", "crash")
#: The tests of `module` that have the machine to themselves; the others come in a part of the suite's own name.
ALONE = "module-alone"
STEPS = ("lab", *SUITES)
# The slowest first, so that the two lanes end at about the same time.
GATES = (
    "sanity",
    "ansible-lint",
    "docs",
    "artifact",
    "types",
    "oldest-ansible",
    "yaml",
    "shell",
    "ruff",
    "security",
)
PYTESTS = ("unit", "controller")
#: What a gate is told where --full is not.
QUICK = {"sanity": ["--quick"]}
LANES = (*GATES, "controller", "unit")
#: Workers of pytest; the tests of a file stay together, in order. No more than processors: a fault with three seconds
#: to live has to find its host awake.
WORKERS = {"unit": 2, "controller": 2, "module": 2}
SLOWEST = 10


@dataclass(frozen=True)
class Result:
    """What one part came to; a gate counts as one test."""

    part: str
    passed: int
    failed: int
    skipped: int
    seconds: float

    @property
    def ok(self) -> bool:
        return self.failed == 0 and self.passed > 0


def counts(report: Path) -> tuple[int, int, int]:
    """Return (passed, failed, skipped) of a JUnit file as pytest writes it; a missing file is one failure."""
    if not report.exists():
        return 0, 1, 0
    total = failed = skipped = 0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return max(total - failed - skipped, 0), failed, skipped


def run_quietly(name: str, command: list[str]) -> Result:
    """Run a gate, or pytest on a suite; the output is kept, and shown if it fails."""
    begin = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.monotonic() - begin
    failed = int(done.returncode != 0)
    mark = "✗" if failed else "✓"
    print(
        f"{mark} {name} ({seconds:.1f} s)", *([done.stdout] if failed else []), sep="\n", end="\n", flush=True
    )
    if name in (*PYTESTS, *SUITES):
        return counted(name, done.returncode, seconds)
    return Result(name, 1 - failed, failed, 0, seconds)


def lane(name: str, full: bool, swift: bool = False) -> list[str]:
    """Return the words that run a gate or a suite on the controller."""
    if name in PYTESTS:
        examples = ["--hypothesis-profile=full"] if full and name == "unit" else []
        marks = marked("not slow" if swift else "", full)
        return pytest(name, *examples, *(["-m", marks] if marks else []))
    quick = [] if full else QUICK.get(name, [])
    return [str(ROOT / "tools" / "gates" / name), *quick]


def run_lanes(names: list[str], full: bool, swift: bool) -> list[Result]:
    """Run gates and suites on the controller, two at a time."""
    with ThreadPoolExecutor(max_workers=2) as lanes:
        return [*lanes.map(lambda name: run_quietly(name, lane(name, full, swift)), names)]


def run_live(names: list[str], full: bool) -> list[Result]:
    """Run what breaks things on this machine, one after the other."""
    results = []
    for name in names:
        if name == "module":
            results.append(run_quietly(name, pytest(name, "-m", marked("not alone", full))))
        else:
            results.append(run_suite(name, full))
    return results


def run_all(lanes: list[str], live: list[str], full: bool, swift: bool) -> list[Result]:
    """Run parts of both sorts in the order that the head of this file tells."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        exchange = [beside.submit(bring_up_lab)] if "lab" in live else []
        results = run_lanes(lanes, full, swift) + [one.result() for one in exchange]
    ordered: list[str] = []
    for name in live:
        ordered += {"lab": [], "module": ["module", ALONE]}.get(name, [name])
    return results + run_live(ordered, full)


def bring_up_lab() -> Result:
    """Bring up the embedded exchange, which the live suites break."""
    return run_quietly("lab", ["ansible-playbook", "playbooks/lab.yml"])


def marked(marks: str, full: bool) -> str:
    """Return pytest's expression for tests with these marks, without those marked full unless they are wanted."""
    return marks if full else f"{marks} and not full".removeprefix(" and ")


def report_of(name: str) -> Path:
    """Where pytest reports what it found on tests/<name>."""
    return RESULTS / f"{name.replace('/', '-')}.xml"


def pytest(name: str, *more: str) -> list[str]:
    """Return the words that run pytest on tests/<name>."""
    report = report_of(name)
    report.unlink(missing_ok=True)
    workers = ["-n", str(WORKERS[name]), "--dist", "loadfile"] if name in WORKERS else []
    folder = name.removesuffix("-alone")
    return [sys.executable, "-m", "pytest", f"tests/{folder}", f"--junitxml={report}", *workers, *more]


def counted(name: str, code: int, seconds: float) -> Result:
    """Return what pytest's report on tests/<name> came to, and its exit code."""
    passed, failed, skipped = counts(report_of(name))
    if code != 0 and failed == 0:  # no test collected, an interrupt, a crash of pytest itself
        failed = 1
    return Result(name, passed, failed, skipped, seconds)


def run_suite(name: str, full: bool) -> Result:
    """Run pytest on tests/<name>, output to the terminal as it comes."""
    marks = marked("alone" if name == ALONE else "", full)
    command = pytest(name, *(["-m", marks] if marks else []))
    print(f"\n── tests/{name}", flush=True)
    begin = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    return counted(name, code, time.monotonic() - begin)


def table(results: list[Result]) -> str:
    """Return the closing table, one line a part, and the closing line with the sums."""
    lines = [f"{'part':14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    for result in results:
        mark = "✓" if result.ok else "✗"
        lines.append(
            f"{mark} {result.part:12}{result.passed:8}{result.failed:8}{result.skipped:9}{result.seconds:9.1f}"
        )
    passed, failed, skipped = (
        sum(getattr(result, key) for result in results) for key in ("passed", "failed", "skipped")
    )
    return "\n".join([*lines, "", f"{passed} passed, {failed} failed, {skipped} skipped"])


def slowest(results: list[Result]) -> str:
    """Return the tests that took longest, of all that left a report: seconds with what was set up for them."""
    cases = [
        (
            float(case.get("time", 0)),
            f"{str(case.get('classname')).removeprefix('tests.')}::{case.get('name')}",
        )
        for result in results
        if report_of(result.part).exists()
        for case in ElementTree.parse(report_of(result.part)).getroot().iter("testcase")
    ]
    lines = [f"{seconds:9.1f}  {name}" for seconds, name in sorted(cases, reverse=True)[:SLOWEST]]
    return "\n".join([f"the slowest {len(lines)} of {len(cases)} tests, in seconds", *lines]) if lines else ""


def kept_rows(result: Result) -> list[results_page.Row]:
    """Return a part's rows for the page: one for each file of a suite's tests, one for anything else.

    What failed beside the tests themselves (an interrupt, a crash of pytest) is a row in the part's own name.
    """
    suite = result.part.partition("/")[0] in (*SUITES, ALONE)
    found = results_page.rows(report_of(result.part)) if suite else []
    if not found:
        return [results_page.Row(result.part, result.passed, result.failed, result.skipped, result.seconds)]
    beside = result.failed - sum(row.failed for row in found)
    return [*found, *([results_page.Row(result.part, failed=beside)] if beside > 0 else [])]


def keep(results: list[Result]) -> None:
    """Write docs/test-results.md."""
    path = ROOT / "docs" / "test-results.md"
    old = results_page.without(path.read_text(), [result.part.removesuffix(".py") for result in results])
    new = results_page.merged(row for result in results for row in kept_rows(result))
    commit = describe_commit(path)
    path.write_text(results_page.page(new, old, datetime.now(timezone.utc), commit, (*LANES, *STEPS, ALONE)))


def part(word: str) -> str:
    """Return a part that the command line names. Raises ArgumentTypeError for anything else."""
    suite, slash, name = word.partition("/")
    if word in ("lint", *LANES, *STEPS) or (
        suite in SUITES and slash and (ROOT / "tests" / suite / name).is_file()
    ):
        return word
    raise argparse.ArgumentTypeError(
        f"{word!r} is no part; it must be lint, one of {', '.join((*LANES, *STEPS))}, or such as e2e/test_mutations.py"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--full", action="store_true", help="the suites' tests marked full, too")
    much.add_argument(
        "--swift", action="store_true", help="without the tests marked slow, where none is live"
    )
    parser.add_argument("parts", nargs="+", type=part, metavar="PART")
    options = parser.parse_args()
    wanted = {*options.parts, *(GATES if "lint" in options.parts else ())}

    RESULTS.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    begin = time.monotonic()
    lanes = [name for name in LANES if name in wanted]
    live = sorted(wanted - {*LANES, "lint"}, key=lambda name: (STEPS.index(name.partition("/")[0]), name))
    results = run_all(lanes, live, options.full, options.swift)
    seconds = time.monotonic() - begin
    print(f"\n{seconds:.0f} s in all", table(results), sep="\n")
    print(slowest(results), flush=True)
    if options.full:
        keep(results)
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
