# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file for a node exporter: read by the library's own parser, renewed at once, and no name can add to it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry import metric_samples
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry.hand_over import (
    check_destinations,
    hand_over,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry.problems import TelemetryProblem

from tests.unit import fleets
from tests.unit.report.test_page import HOSTILE, poisoned

openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")
PROMTOOL = shutil.which("promtool")
classic = pytest.importorskip("prometheus_client.parser")


def parsed(path: Path) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return value by name and labels, as both formats read the file."""
    read = [
        {
            (sample.name.removeprefix(metric_samples.PREFIX), frozenset(sample.labels.items())): sample.value
            for family in parser.text_string_to_metric_families(path.read_text())
            for sample in family.samples
        }
        for parser in (openmetrics, classic)
    ]
    assert read[0] == read[1], "a node exporter reads the older format"
    return read[0]


def value(path: Path, name: str, **labels: str) -> float | None:
    """Return the value of the one series that has these labels among its own."""
    found = [each for (one, has), each in parsed(path).items() if one == name and set(labels.items()) <= has]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("sample", ["passed", "failed", "invalid", "skipped"])
def test_it_says_what_the_record_says(tmp_path: Path, sample: str) -> None:
    record, path = fleets.sample(sample), tmp_path / "chaos.prom"
    assert hand_over(record, "", str(path)) == []
    for outcome in metric_samples.OUTCOMES:
        assert value(path, "run_outcome", outcome=outcome) == (outcome == record["outcome"])
    host = record["hosts"][0]
    for verdict, state in host["verdicts"].items():
        assert value(path, "verdict", verdict=verdict, state=state, host=host["host"]) == 1
    assert value(path, "orders", state="lost") == host["ledger"]["lost"]
    for phase in host["phases"]:
        which = {"phase": phase["id"], "fault": phase["fault"] or ""}
        assert value(path, "requests", **which) == phase["requests"]
        took = phase["latency_ms"]["p99"]
        assert value(path, "request_latency_seconds", **which, statistic="p99") == (
            None if took is None else pytest.approx(took / 1000)
        )
    for finding in host["findings"]:
        holds = {"pass": 1, "fail": 0, "unknown": None}[finding["verdict"]]
        assert value(path, "finding_holds", finding=finding["id"]) == holds


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here: Debian's package prometheus has it")
def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    assert hand_over(fleets.three(), "", str(tmp_path / "chaos.prom")) == []
    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"],
        stdin=(tmp_path / "chaos.prom").open(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_of_an_interval_the_worse_end_counts(tmp_path: Path) -> None:
    record, path = fleets.sample("passed"), tmp_path / "chaos.prom"
    finding = record["hosts"][0]["findings"][0]
    for op, worse in (("<=", 4.0), (">=", 2.0)):
        finding.update(value=[2.0, 4.0], threshold={"op": op, "value": 3})
        assert hand_over(record, "", str(path)) == []
        assert value(path, "finding_value", finding=finding["id"]) == worse


def test_each_experiment_keeps_its_newest_run(tmp_path: Path) -> None:
    path = tmp_path / "chaos.prom"
    first, second = fleets.sample("passed"), fleets.sample("failed")
    second["experiment"] = {"number": 7, "name": "redis_cache_failure", "title": "Redis cache failure"}
    newer = fleets.sample("failed")
    for record in (first, second, newer):
        assert hand_over(record, "", str(path)) == []
    for number in ("01", "07"):
        assert value(path, "run_outcome", number=number, outcome="failed") == 1
    assert value(path, "run_outcome", number="01", outcome="passed") == 0
    assert sum(1 for name, _labels in parsed(path) if name == "run_started_timestamp_seconds") == 2


def test_it_is_renewed_at_once_and_others_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chaos.prom"
    seen: list[tuple[str, str]] = []
    replace = os.replace

    def look(fresh: str, to: str) -> None:
        assert not fresh.endswith(".prom")
        seen.append((Path(fresh).read_text(), path.read_text() if path.exists() else ""))
        replace(fresh, to)

    monkeypatch.setattr(os, "replace", look)
    old = os.umask(0o077)
    try:
        for sample in ("passed", "failed"):
            assert hand_over(fleets.sample(sample), "", str(path)) == []
    finally:
        os.umask(old)
    assert [new.endswith("# EOF\n") for new, _was in seen] == [True, True]
    assert (seen[0][1], seen[1][1]) == ("", seen[0][0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["chaos.prom"]


@pytest.mark.parametrize(
    "text", [*HOSTILE, 'x"} 1\nevil_metric{a="b', "x\\", '\\"} 1\n# EOF\n'], ids=range(len(HOSTILE) + 3)
)
def test_no_name_adds_a_sample_or_a_label(tmp_path: Path, text: str) -> None:
    record, path = fleets.sample("failed"), tmp_path / "chaos.prom"
    clean = {name for name, _labels in (hand_over(record, "", str(path)), parsed(path))[1]}
    keys = {key for _name, labels in parsed(path) for key, _value in labels}
    path.unlink()
    assert hand_over(poisoned(record, text), "", str(path)) == []
    found = parsed(path)
    assert {name for name, _labels in found} <= clean
    assert {key for _name, labels in found for key, _value in labels} <= keys
    assert path.stat().st_size < 2_000_000
    assert hand_over(poisoned(record, text), "", str(path)) == [], "and it is read back as ours"


@pytest.mark.parametrize("what", ["text", "metrics of others", "a link", "a folder"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, what: str) -> None:
    path, elsewhere = tmp_path / "chaos.prom", tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    if what == "a link":
        path.symlink_to(elsewhere)
    elif what == "a folder":
        path.mkdir()
    else:
        path.write_text({"text": "precious", "metrics of others": "# TYPE up gauge\nup 1\n# EOF\n"}[what])
    was = path.read_text() if path.is_file() else ""
    (told,) = hand_over(fleets.sample("passed"), "", str(path))
    assert "no metrics file of exchange.chaos" in told
    assert (path.read_text() if path.is_file() else "") == was
    assert elsewhere.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["chaos.prom", "elsewhere"]


@pytest.mark.parametrize("path", ["chaos.prom", "/tmp/chaos.txt", "/no/such/folder/chaos.prom"])
def test_what_no_node_exporter_would_read_is_refused_beforehand(path: str) -> None:
    with pytest.raises(TelemetryProblem, match="chaos_metrics_file is"):
        check_destinations("", path)


def test_every_name_is_explained_in_the_documentation() -> None:
    told = (Path(__file__).resolve().parents[4] / "docs" / "live.md").read_text()
    missing = [name for name in metric_samples.MEANINGS if f"`{metric_samples.PREFIX}{name}`" not in told]
    assert missing == []


def test_nothing_is_loaded_or_written_where_nothing_was_asked_for(tmp_path: Path) -> None:
    record: dict[str, Any] = {}  # not even looked at
    assert hand_over(record, "", "") == []
    check_destinations("", "")
    assert os.listdir(tmp_path) == []
