# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's record: valid against the schema, small, and judged alike from raw files copied elsewhere."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import load_evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import (
    fit_record,
    host_record,
    run_record,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

from tests.unit.scenario import T0, Scenario

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "files" / "record.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def record(folder: Path, scenario: Scenario) -> dict[str, Any]:
    """Return the run's record, proven valid and as JSON would carry it."""
    found = json.loads(json.dumps(run_record(scenario.evidence(folder))))
    VALIDATOR.validate(found)
    return dict(found)


def test_valid_and_complete(tmp_path: Path) -> None:
    found = record(tmp_path, Scenario(cache_reads=True))
    host = found["hosts"][0]
    assert (found["outcome"], found["verdicts"]) == ("passed", host["verdicts"])
    assert found["started_at"] == "2026-11-23T18:00:00.000Z"
    assert [phase["id"] for phase in host["phases"]] == ["baseline", "crash", "outage"]
    assert host["phases"][0]["requests"] == 80
    assert host["load"]["requests"] == host["load"]["ok"] + host["load"]["errors"]
    assert host["ledger"]["acknowledged"] == host["load"]["ok"]
    assert host["bpf"]["events"] == 44, "the positive control is left out"
    crash, outage = host["faults"]
    assert (crash["engine"], outage["engine"]) == ("process", "engine")
    assert crash["injected_at"] == "2026-11-23T18:00:10.000000Z", "microseconds: compared between hosts"
    assert crash["proof"][0] == {
        "source": "kernel",
        "fact": "postgres exits by signal 9 (tracepoint)",
        "value": "PID 1700",
        "at": "2026-11-23T18:00:10.001Z",
        "holds": True,
    }
    assert {proof["source"] for proof in outage["proof"]} == {"kernel", "engine", "tcp", "fault"}
    assert outage["proof"][-1]["value"] > 0.99


def test_what_was_begun_and_undone_is_told_though_it_never_came_into_force(tmp_path: Path) -> None:
    """As when the host loses its power while a fault is being applied: the journal alone knows of it."""
    whole = Scenario().evidence(tmp_path)
    timeline = [event for event in whole.timeline if event.get("fault") != "outage"]
    journal = [
        {**line, **({"by": "boot"} if line["entry"] == "undone" else {})}
        for line in whole.journal
        if line["fault"] != "outage" or line["entry"] != "applied"
    ]
    found = run_record(replace(whole, timeline=Timeline(timeline), journal=journal))
    outage = found["hosts"][0]["faults"][1]
    assert (outage["injected_at"], outage["undone_by"], outage["proof"]) == (None, "boot", [])
    assert outage["undone_at"] is not None
    VALIDATOR.validate(json.loads(json.dumps(found)))


def test_questions(tmp_path: Path) -> None:
    asked = record(tmp_path, Scenario())["hosts"][0]["questions"]
    assert asked["recovered_automatically"] is True
    # The outage was ours for 5.2 s; the crash took 1.4 s from its beginning.
    assert 1.39 <= asked["recovery_s"] <= 1.45
    assert asked["data_loss"] == 0
    assert asked["users_saw"]["what"] == "errors"
    assert asked["users_saw"]["baseline_p99_ms"] == 4.0
    assert asked["errors_clear"]["clear"] is True
    assert asked["errors_clear"]["kinds"] == {"error": asked["users_saw"]["errors"]}
    assert "postgres" in asked["errors_clear"]["first_log_line"]
    assert asked["errors_clear"]["first_log_after_s"] == 0.149


def test_slowness_instead_of_errors(tmp_path: Path) -> None:
    scenario = Scenario()
    for episode in scenario.episodes:
        episode.api_bad, episode.slow_ms = None, 700.0
    saw = record(tmp_path, scenario)["hosts"][0]["questions"]["users_saw"]
    assert saw["what"] == "slowness"
    assert saw["errors"] == 0
    assert saw["slow"] == 75
    assert saw["orders"] == 160, "those of the steady stream, which stand for users"
    assert saw["p99_ms"] == 700.0


def test_nothing_seen_by_users(tmp_path: Path) -> None:
    scenario = Scenario()
    for episode in scenario.episodes:
        episode.api_bad = None
    asked = record(tmp_path, scenario)["hosts"][0]["questions"]
    assert asked["users_saw"]["what"] == "nothing"
    assert asked["errors_clear"]["clear"] is None


def test_no_recovery(tmp_path: Path) -> None:
    scenario = Scenario()
    scenario.episode("outage").api_good = None
    asked = record(tmp_path, scenario)["hosts"][0]["questions"]
    assert asked["recovered_automatically"] is False
    assert asked["recovery_s"] is None


def test_unclear_errors(tmp_path: Path) -> None:
    scenario = Scenario()
    for episode in scenario.episodes:
        episode.error = "Internal server error"
    asked = record(tmp_path, scenario)["hosts"][0]["questions"]["errors_clear"]
    assert asked["clear"] is False
    assert asked["clear_count"] == 0
    assert asked["example"] == "Internal server error"


@pytest.mark.parametrize(
    "name", ["load", "probes", "bpf", "engine", "timeline", "journal", "capture", "ledger", "restore"]
)
def test_a_missing_file_is_missing_evidence_and_no_crash(name: str, tmp_path: Path) -> None:
    Scenario().write(tmp_path)
    for path in tmp_path.glob(f"{name}.json*"):
        path.unlink()
    found = json.loads(json.dumps(run_record(load_evidence(RunDir(tmp_path)))))
    VALIDATOR.validate(found)
    assert (
        found["outcome"]
        == {
            "load": "invalid",
            "probes": "invalid",
            "bpf": "passed",
            "engine": "passed",
            "timeline": "failed",
            "journal": "passed",
            "capture": "passed",
            "ledger": "passed",
            "restore": "invalid",
        }[name]
    )


def test_nothing_but_a_specification(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps({**Scenario().spec_data(), "facts": {}}))
    found = json.loads(json.dumps(run_record(load_evidence(RunDir(tmp_path)))))
    VALIDATOR.validate(found)
    assert found["outcome"] == "passed" or found["outcome"] == "invalid"
    assert found["outcome"] == "invalid"
    assert found["verdicts"] == {"effect": "unknown", "hypothesis": "unknown", "restored": "unknown"}


def test_what_nobody_set_and_the_host_told_is_in_the_record_with_how(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(
        json.dumps({**Scenario().spec_data(), "filled": {"chaos_symbol": "in trades.instruments"}})
    )
    found = json.loads(json.dumps(run_record(load_evidence(RunDir(tmp_path)))))
    VALIDATOR.validate(found)
    (host,) = found["hosts"]
    assert host["filled"] == [{"variable": "chaos_symbol", "how": "in trades.instruments"}]
    assert any("chaos_symbol; 'filled' in the record says how" in note for note in host["notes"])
    assert "filled" not in record(tmp_path / "set", Scenario())["hosts"][0]


def test_recorded_raw_data_is_judged_alike_elsewhere(tmp_path: Path) -> None:
    first = Scenario().evidence(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert host_record(load_evidence(RunDir(tmp_path / "there"))) == host_record(first)


def test_torn_lines_are_left_out(tmp_path: Path) -> None:
    Scenario().write(tmp_path)
    before = host_record(load_evidence(RunDir(tmp_path)))
    for name in ("load", "probes", "bpf", "engine", "timeline", "journal"):
        with (tmp_path / f"{name}.jsonl").open("a") as stream:
            stream.write('{"t": 5011.0, "event": "fault_inj')
    assert host_record(load_evidence(RunDir(tmp_path))) == before


def test_small_though_the_run_said_much(tmp_path: Path) -> None:
    chatter = [
        {"t": T0 + n / 100, "event": "log", "level": "info", "step": "observe", "text": f"{n} " + "x" * 1000}
        for n in range(1000)
    ]
    left = [
        {"kind": "process", "what": f"process {n}", "before": None, "after": "y" * 900} for n in range(300)
    ]
    scenario = Scenario(extra_timeline=chatter, restore={"leftovers": left, "restarts": {}})
    host = record(tmp_path, scenario)["hosts"][0]
    assert len(json.dumps(host)) <= 60 * 1024
    assert host["timeline"][0]["text"] == "Docker found"
    assert host["timeline"][-1]["text"] == "done"
    assert any("timeline entries left out" in note for note in host["notes"])
    assert any("leftovers entries left out" in note for note in host["notes"])


def test_fit_leaves_a_small_record_alone() -> None:
    small = {"leftovers": [], "timeline": [{"text": "a"}], "notes": ["b"]}
    assert fit_record(small) == small
