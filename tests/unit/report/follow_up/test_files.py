# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runbook, alert rules, dashboard and checks, from real runs: that they parse, and say what was measured."""

from __future__ import annotations

import copy
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.samples import Band, Samples, Span
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.follow_up import files
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.follow_up.signals import first_signals

from tests.unit import fleets, recorded

#: A record and the texts of its files by kind.
Made = tuple[dict[str, Any], dict[str, str]]


@pytest.fixture(scope="module", params=recorded.EACH)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Each recorded run with what follows from it."""
    record, stem = recorded.report(request.param, tmp_path_factory.mktemp("run"))
    return record, files.make_follow_up(record, stem)


def balanced(expression: str) -> bool:
    """Return whether brackets and quotes of an expression close: what a parser of PromQL would stop at first."""
    bare = re.sub(r'"(\\.|[^"\\])*"', "", expression)
    return '"' not in bare and all(bare.count(a) == bare.count(b) for a, b in ("()", "{}", "[]"))


def test_alert_rules_have_the_shape_that_prometheus_reads(
    made: Made,
) -> None:
    (group,) = yaml.safe_load(made[1]["rules"])["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rule["alert"])
        assert balanced(rule["expr"])
        assert re.search(r" s after the injection of ", rule["annotations"]["description"])


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here: Debian's package prometheus has it"
)
def test_prometheus_itself_takes_the_rules(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "chaos.rules.yml"
    path.write_text(made[1]["rules"])
    checked = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_dashboard_and_annotations_are_json(made: Made) -> None:
    record, texts = made
    dashboard = json.loads(texts["dashboard"])
    assert all(balanced(panel["targets"][0]["expr"]) for panel in dashboard["panels"])
    shaded = json.loads(texts["annotations"])
    assert [one["timeEnd"] > one["time"] for one in shaded] == [True] * len(record["hosts"][0]["faults"])


def test_a_runbook_has_its_five_parts_and_first_log_line(made: Made) -> None:
    record, texts = made
    heads = re.findall(r"^## (.*)$", texts["runbook"], re.M)
    assert heads == ["How it looks", "What heals by itself", "What to do where it does not", "Expected and not",
                     "What would make it better"]  # fmt: skip
    line = record["hosts"][0]["questions"]["errors_clear"]["first_log_line"]
    assert line is None or line[:40] in texts["runbook"]


def test_what_moved_first_is_told_to_the_millisecond() -> None:
    host = copy.deepcopy(fleets.sample("passed")["hosts"][0])
    host["faults"] = [{**host["faults"][0], "id": "f", "injected_at": "1970-01-01T00:01:40.000Z"}]
    samples = Samples(Span(90, 200))
    for at, ok in ((99, True), (100.25, False), (101, False), (102, True), (103, False)):
        samples.probes.setdefault("ready", Band("readiness")).add(
            samples.span.column(at), at, {"ok": ok, "detail": "503"}
        )
    for at, ok in ((99.0, True), (100.1, False)):
        samples.requests.add({"at": at, "end": at + 0.5, "ok": ok, "kind": "error"}, 0.0)
    told = [
        (one.name, round(one.after_s, 3), round(one.lead_s or 0, 3)) for one in first_signals(host, samples)
    ]
    assert told == [("ready", 0.25, 0.35), ("orders", 0.6, 0)]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    record = fleets.sample("failed")
    nasty = "`x` <script>alert(1)</script> [a](javascript:b) \x1b[31m\n# head"
    record["experiment"]["title"] = record["run_id"] = nasty
    record["hosts"][0]["questions"]["errors_clear"].update(first_log_line=nasty, example=nasty)
    texts = files.make_follow_up(record, str(tmp_path / "s"))
    outside = re.sub(r"`[^`]*`", "", texts["runbook"])
    assert "<script>" not in outside.replace("\\<script\\>", "")
    assert "](" not in outside.replace("\\](", "")
    assert "\x1b" not in "".join(texts.values())
    assert yaml.safe_load(texts["rules"])["groups"]
    json.loads(texts["dashboard"])


def test_files_are_private_and_never_written_over(tmp_path: Path) -> None:
    record, stem = recorded.report(1, tmp_path)
    files.write_follow_up(record, stem)
    paths = files.paths_of(stem)
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in paths.values()} == {0o600}
    with pytest.raises(FileExistsError):
        files.write_follow_up(record, stem)


@pytest.mark.parametrize("name", ["invalid", "skipped"])
def test_a_run_without_samples_still_has_a_runbook(tmp_path: Path, name: str) -> None:
    texts = files.make_follow_up(fleets.sample(name), str(tmp_path / "s"))
    assert "Nothing that this run measured calls for a change." in texts["runbook"]
    assert yaml.safe_load(texts["rules"])["groups"][0]["rules"] == []
