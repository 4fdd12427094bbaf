"""The table of incidents: each has its date, cause and source, and names an experiment that exists, or why not."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "incidents.md"
EXPERIMENTS = {
    path.stem[:2]: path.stem[3:].replace("-", "_") for path in (ROOT / "playbooks").glob("[0-9][0-9]-*.yml")
}
_ROW = re.compile(r"^\| (\d{4}-\d\d-\d\d) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_EXPERIMENT = re.compile(r"^\[(\d\d) (\w+)\]\(\.\./roles/(\w+)/README\.md\)$")
_COUNT = re.compile(
    r"^Of these (\d+), an experiment brings about the kind of (\d+), and (\d+) are not ours\.$", re.MULTILINE
)
ROWS = _ROW.findall(PAGE.read_text())


def is_ours(experiment: str) -> bool:
    return not experiment.startswith("not ours")


def test_the_table_is_long_enough_and_in_order() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d{4}", line)]
    assert len(ROWS) == len(lines) >= 25, "each row has all its columns"
    days = [date.fromisoformat(row[0]) for row in ROWS]
    assert days == sorted(days)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_an_incident_has_a_source_and_an_experiment_or_says_why_not(row: tuple[str, ...]) -> None:
    _day, _venue, cause, experiment, source = row
    assert re.fullmatch(r"\[[^\]]+\]\(https?://[^)\s]+\)", source)
    assert cause[0].islower()
    assert not cause.endswith(".")
    if not is_ours(experiment):
        assert re.fullmatch(r"not ours: \w.+", experiment)
        return
    named = _EXPERIMENT.match(experiment)
    assert named is not None, experiment
    number, name, folder = named.groups()
    assert EXPERIMENTS.get(number) == name == folder


def test_the_coverage_is_what_the_table_says() -> None:
    (told,) = _COUNT.findall(PAGE.read_text())
    ours = sum(is_ours(row[3]) for row in ROWS)
    assert tuple(map(int, told)) == (len(ROWS), ours, len(ROWS) - ours)
