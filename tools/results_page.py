"""docs/test-results.md: what make test-full came to last, a row for each gate and each file of tests.

A part that runs alone renews its own rows; each row has the time and the commit at which it ran.
"""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

_ROW = re.compile(r"\| (\S+) \| (\d+) \| (\d+) \| (\d+) \|")
_SKIP = re.compile(r"- (\S+): ")


@dataclass
class Row:
    """What one gate or one file of tests came to; ``reasons`` says why tests were skipped, and how many for each."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


def rows(report: Path) -> list[Row]:
    """Return a row for each file of tests in a JUnit report as pytest writes it; none for a report that is missing."""
    found: dict[str, Row] = {}
    cases = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else ()
    for case in cases:
        name = str(case.get("classname")).removeprefix("tests.").replace(".", "/")
        row = found.setdefault(name, Row(name))
        row.seconds += float(case.get("time", 0))
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            row.failed += 1
        elif skip is not None:
            row.skipped += 1
            row.reasons[str(skip.get("message"))] += 1
        else:
            row.passed += 1
    return list(found.values())


def merged(found: Iterable[Row]) -> list[Row]:
    """Return one row for each name: a file of which some tests ran apart has the sums."""
    whole: dict[str, Row] = {}
    for row in found:
        kept = whole.setdefault(row.name, Row(row.name))
        kept.passed, kept.failed, kept.skipped = (
            kept.passed + row.passed,
            kept.failed + row.failed,
            kept.skipped + row.skipped,
        )
        kept.seconds += row.seconds
        kept.reasons += row.reasons
    return list(whole.values())


def without(page: str, parts: Sequence[str]) -> str:
    """Return a page without the rows and reasons of these parts and of their files, which may be no more."""
    found = ((line, _ROW.match(line) or _SKIP.match(line)) for line in page.splitlines())
    return "\n".join(
        line
        for line, named in found
        if not (
            named and any(named[1] == part or named[1].startswith((f"{part}/", f"{part}.")) for part in parts)
        )
    )


def page(new: Iterable[Row], old: str, at: datetime, commit: str, order: Sequence[str]) -> str:
    """Return the page with the new rows in place of the old ones of their names; ``order`` is that of the parts."""
    kept: dict[str, str] = {}
    skips: dict[str, list[str]] = {}
    for line in old.splitlines():
        if found := _ROW.match(line):
            kept[found[1]] = line
        elif found := _SKIP.match(line):
            skips.setdefault(found[1], []).append(line)
    for row in new:
        kept[row.name] = (
            f"| {row.name} | {row.passed} | {row.failed} | {row.skipped} | {row.seconds:.0f} "
            f"| {at:%Y-%m-%d %H:%M} | {commit} |"
        )
        skips[row.name] = [
            f"- {row.name}: {reason} ({count})" for reason, count in sorted(row.reasons.items())
        ]
    names = sorted(kept, key=lambda name: (order.index(name.partition("/")[0]), name))
    sums = [
        sum(int(number) for number in column) for column in zip(*(_numbers(kept[name]) for name in names))
    ]
    why = [line for name in names for line in skips.get(name, [])]
    kernel = platform.release().partition("-")[0]
    lines = [
        "# Results of make test-full",
        "",
        f"{sums[0]} passed, {sums[1]} failed, {sums[2]} skipped; {os.cpu_count()} cores, Linux {kernel},",
        f"Python {platform.python_version()}. `make test-full` writes this page; a part that was run alone later",
        "(`make test-full PARTS=e2e/test_mutations.py`) has a time (UTC) and a commit of its own.",
        "",
        "| part | passed | failed | skipped | seconds | run | commit |",
        "|---|---|---|---|---|---|---|",
        *(kept[name] for name in names),
        "",
        "Skipped, and why:" if why else "Nothing was skipped.",
        "",
        *why,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _numbers(row: str) -> tuple[str, ...]:
    found = _ROW.match(row)
    return found.groups()[1:] if found else ()
