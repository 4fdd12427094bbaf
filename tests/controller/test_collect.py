# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/collect.yml on local hosts, each with a state folder of its own that keeps a recorded run."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import (
    load_evidence as load_evidence,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge import record as host_records
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import collect, rejudge
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import read as records
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.merge import merge_hosts
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.missing_host import (
    make_missing_host,
    owes_record,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.spread import LIMIT_MS

from tests.unit import fleets, recorded

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"
RUN = "exp-01-20261123-180000"
NAME = f"chaos-{RUN}"
LOST = make_missing_host("host-2", "aborted", fleets.UNREACHABLE)
Record = dict[str, Any]


@dataclass
class Fleet:
    """Three local hosts with a state folder each; host-4 is an address at which nobody listens."""

    folder: Path

    def __post_init__(self) -> None:
        self.reports.mkdir()
        hosts = "\n".join(
            f"host-{n} chaos_state_dir={self.state(n)} ansible_connection=local" for n in (1, 2, 3)
        )
        (self.folder / "hosts").write_text(
            f"localhost ansible_connection=local\n[exchange]\n{hosts}\n"
            "[lost]\nhost-4 ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_retries=0\n"
            f"[all:vars]\nansible_python_interpreter={sys.executable}\n"
        )

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def state(self, number: int) -> Path:
        return self.folder / f"state-{number}"

    def keeps(self, number: int, run: int = 1) -> Record:
        """Lay a recorded run into a host's state folder, as its watchdog would have kept it; return its record."""
        path = self.state(number) / "records" / RUN
        path.mkdir(parents=True)
        recorded.evidence(run, path)
        spec = json.loads((path / "spec.json").read_text())
        write_json(path / "spec.json", {**spec, "run_id": RUN, "host": f"host-{number}", "wave": number})
        judged = host_records.host_record(load_evidence(RunDir(path)))
        write_json(path / "record.json", judged)
        return judged

    def run(
        self, *options: str, code: int = 0, playbook: str = "playbooks/collect.yml", **variables: Any
    ) -> str:
        """Play collect.yml; return what was on the screen."""
        given = {"chaos_become": False, "chaos_report_dir": str(self.reports), **variables}
        command = [str(ANSIBLE), "-i", str(self.folder / "hosts"), playbook,
                   "-e", json.dumps(given), *options]  # fmt: skip
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_SSH_RETRIES": "0"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=180, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def files(self) -> set[str]:
        return {path.name for path in self.reports.iterdir()}

    def record(self, suffix: str = "") -> Record:
        return records.load_record(str(self.reports / f"{NAME}{suffix}.json"))

    def left(self, *hosts: Record) -> Path:
        """Write the record that the run's playbook left."""
        base = fleets.sample("passed")
        keys = ("experiment", "started_at", "ended_at", "collection_version")
        path = self.reports / f"{NAME}.json"
        path.write_text(json.dumps(merge_hosts(list(hosts), run_id=RUN, **{key: base[key] for key in keys})))
        return path


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def brought(stem: str, host: str, run_id: str = RUN) -> None:
    """Lay the raw samples of a host beside a stem, as exchange.chaos.record brings them home."""
    for path in (recorded.DATA / "01").glob("*.jsonl.gz"):
        lines = gzip.decompress(path.read_bytes()).splitlines()
        documents = [json.loads(line) for line in lines] if path.name == "run.jsonl.gz" else []
        for each in documents[1:]:
            if each["document"] == "spec":
                each["value"].update(run_id=run_id, host=host, wave=1)
        raw = [json.dumps(each).encode() for each in documents] or lines
        Path(f"{stem}.{host}.{path.name}").write_bytes(gzip.compress(b"\n".join(raw)))


def test_a_host_that_was_lost_is_added_under_a_new_name(fleet: Fleet) -> None:
    kept = fleet.keeps(2)
    path = fleet.left(fleets.host(1), LOST, fleets.not_begun(3))
    before = path.read_text()
    (fleet.reports / f"{NAME}.host-1.bpf.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    screen = fleet.run(chaos_record=str(path))
    done = fleet.record("-2")
    assert done["hosts"][1] == kept
    assert [host["host"] for host in done["hosts"]] == ["host-1", "host-2", "host-3"]
    assert done["outcome"] == "skipped"  # host-3 was never begun; nothing else speaks against it
    assert not any(map(owes_record, done["hosts"]))
    assert path.read_text() == before
    for ending in (".log", ".log.bpf", ".xml", ".host-2.load.jsonl.gz", ".host-1.bpf.jsonl.gz"):
        assert f"{NAME}-2{ending}" in fleet.files()
    assert "1 host owes a record of run exp-01-20261123-180000: host-2" in screen
    assert "Added to the record: host-2 (passed)" in screen
    assert "HOSTS, the worst first" in screen
    last = screen.splitlines()[-30:]
    assert "KEY FINDINGS:" in last
    assert f"JUnit:      {fleet.reports}/{NAME}-2.xml" in last
    root = ET.parse(fleet.reports / f"{NAME}-2.xml").getroot()
    assert [suite.get("hostname") for suite in root] == ["host-1", "host-2", "host-3"]
    events = (fleet.reports / f"{NAME}-2.log.bpf").read_text().splitlines()
    assert any(" host-2 CONN_" in line for line in events)
    assert not fleet.state(2).exists()  # collected, and nothing else was there

    # again: of the old record and of the new one
    files = fleet.files()
    for given in (path, fleet.reports / f"{NAME}-2.json"):
        screen = fleet.run(chaos_record=str(given))
        assert "Nothing is left to fetch" in screen
        assert f"{NAME}-2.json" in screen
    assert fleet.files() == files


@pytest.mark.full
def test_a_host_that_is_still_away_is_named_and_the_others_are_added(fleet: Fleet) -> None:
    fleet.keeps(2)
    path = fleet.left(fleets.host(1), LOST, make_missing_host("host-4", "aborted", fleets.UNREACHABLE))
    screen = fleet.run(code=2, chaos_record=str(path))
    assert "Added to the record: host-2 (passed)" in screen
    assert "⚠ Still to be collected: host-4: it cannot be reached" in screen
    assert "Not complete: host-4 could not give a record; collect again when that is mended." in screen
    done = fleet.record("-2")
    assert {host["host"]: owes_record(host) for host in done["hosts"]} == {
        "host-1": False,
        "host-2": False,
        "host-4": True,
    }
    assert done["outcome"] == "aborted"

    # what was added last time stays, though the first record is named again
    files = fleet.files()
    screen = fleet.run(code=2, chaos_record=str(path))
    assert "1 host owes a record" in screen
    assert fleet.files() == files


@pytest.mark.full
def test_a_host_that_has_nothing_changes_nothing(fleet: Fleet) -> None:
    path = fleet.left(fleets.host(1), LOST)
    files = fleet.files()
    screen = fleet.run(chaos_record=str(path))
    assert collect.NOTHING_THERE in screen
    assert f"Nothing more to fetch of run {RUN}: no host holds any of it" in screen
    assert fleet.files() == files
    assert not fleet.state(2).exists()


@pytest.mark.full
def test_a_run_that_left_no_record_at_all(fleet: Fleet) -> None:
    """Its playbook was killed: the log had been begun, host-1 had given everything away already."""
    first, second = fleet.keeps(1), fleet.keeps(2)
    (fleet.reports / f"{NAME}.log").write_text("begun\n")
    source = str(fleet.reports / NAME)
    brought(source, "host-1")
    for path in (fleet.state(1) / "records" / RUN).iterdir():
        path.unlink()
    (fleet.state(1) / "records" / RUN).rmdir()

    screen = fleet.run(chaos_run_id=RUN)
    done = fleet.record("-2")
    assert done["run_id"] == RUN
    assert done["experiment"]["name"] == "database_sudden_death"
    assert done["hosts"][0] == first  # judged again from its raw samples: to the same end
    assert done["hosts"][1] == {**make_missing_host("host-3", "invalid", collect.NOTHING_THERE)}
    assert done["hosts"][2] == second
    assert done["started_at"] < done["ended_at"]
    assert (fleet.reports / f"{NAME}.log").read_text() == "begun\n"
    assert "Added to the record: host-1 (passed)" in screen
    # again: now there is a record, and host-3 has nothing still
    files = fleet.files()
    assert "Nothing more to fetch" in fleet.run(chaos_run_id=RUN)
    assert fleet.files() == files


@pytest.mark.full
def test_of_a_run_that_nobody_knows_nothing_is_written(fleet: Fleet) -> None:
    screen = fleet.run(code=2, chaos_run_id=RUN)
    assert f"No host holds anything of run {RUN}: there is nothing to report." in screen
    assert fleet.files() == set()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param(
            {}, "Neither a record nor a run was named: add -e chaos_record=", marks=pytest.mark.full
        ),
        ({"chaos_run_id": "../etc"}, "'../etc' is no run id: exp-01-20261123-180000 is one."),
        ({"chaos_record": "/nonexistent.json"}, "The record /nonexistent.json cannot be read: No such file"),
        pytest.param(
            {"chaos_run_id": RUN, "chaos_targets": "nobody"},
            "No host is meant by 'nobody'",
            marks=pytest.mark.full,
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(fleet: Fleet, given: Record, sentence: str) -> None:
    assert sentence in fleet.run(code=2, **given)
    assert fleet.files() == set()


@pytest.mark.full
def test_check_mode_says_whom_it_would_ask(fleet: Fleet) -> None:
    fleet.keeps(2)
    path = fleet.left(fleets.host(1), LOST)
    files = fleet.files()
    screen = fleet.run("--check", playbook="exchange.chaos.collect", chaos_record=str(path))
    assert f"Would ask for its record of run {RUN}" in screen
    assert fleet.files() == files
    assert (fleet.state(2) / "records" / RUN / "record.json").exists()


@pytest.mark.full
def test_a_host_that_is_not_in_the_inventory_waits(fleet: Fleet) -> None:
    path = fleet.left(fleets.host(1), {**LOST, "host": "host-9"})
    screen = fleet.run(code=2, chaos_record=str(path))
    assert (
        "Still to be collected: host-9: it was not asked: is it in the inventory, or limited away?" in screen
    )
    assert "Not complete: host-9 could not give a record" in screen


# Without Ansible


def test_a_new_name_steps_aside_for_anything(tmp_path: Path) -> None:
    root = str(tmp_path / NAME)
    assert collect.free_stem(root) == root
    (tmp_path / f"{NAME}.host-1.bpf.jsonl.gz").touch()
    assert collect.free_stem(root) == f"{root}-2"
    (tmp_path / f"{NAME}-2.log").touch()
    assert collect.free_stem(root) == f"{root}-3"


@pytest.mark.full
def test_what_a_collection_that_was_killed_brought_home_is_not_lost(fleet: Fleet) -> None:
    """Its host has given record and raw samples away, and the completed record was never written."""
    path = fleet.left(fleets.host(1), LOST)
    brought(str(fleet.reports / f"{NAME}-2"), "host-2", f"{RUN}-2")  # another run's, of the same second
    brought(str(fleet.reports / f"{NAME}-3"), "host-2")
    screen = fleet.run(chaos_record=str(path))
    assert "Added to the record: host-2 (passed)" in screen
    done = fleet.record("-4")
    assert [host["outcome"] for host in done["hosts"]] == ["passed", "passed"]
    assert f"{NAME}-4.host-2.bpf.jsonl.gz" in fleet.files()


@pytest.mark.full
def test_the_same_of_a_run_without_a_record(fleet: Fleet) -> None:
    brought(str(fleet.reports / NAME), "host-1")
    brought(str(fleet.reports / f"{NAME}-2"), "host-2")
    plan = collect.from_run(RUN, str(fleet.reports), ["host-1", "host-2"])
    found = collect.sort_answers(plan, {host: {"asked": True} for host in plan.hosts})
    assert sorted(found.records) == ["host-1", "host-2"]
    assert len(collect.complete_record(plan, found)["hosts"]) == 2


def test_the_spread_is_held_against_the_runs_own_limit(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another limit, by default or not, would be another verdict."""
    first = fleets.host(1)
    known = {
        "id": "simultaneity", "title": "Spread", "value": [10.0, 20.0], "unit": "ms",
        "threshold": {"op": "<=", "value": 50.0}, "verdict": "pass", "evidence": "by their clocks",
    }  # fmt: skip
    first["findings"] = [*first["findings"], known]
    found = collect.Found(records={"host-2": fleets.host(2)})
    asked = []
    monkeypatch.setattr(collect, "merge_hosts", lambda _hosts, **given: asked.append(given["spread_ms"]))
    for host in (first, fleets.host(1)):
        path = fleet.left(fleets.host(1), LOST)
        path.write_text(json.dumps({**json.loads(path.read_text()), "hosts": [host, LOST]}))
        collect.complete_record(collect.from_record(str(path)), found)
    assert asked == [50.0, LIMIT_MS]


@pytest.mark.full
def test_another_run_of_the_same_second_is_not_mixed_in(fleet: Fleet) -> None:
    path = fleet.left(fleets.host(1), LOST)
    other = json.loads(path.read_text()) | {"run_id": f"{RUN}-2"}
    other["hosts"] = other["hosts"][:1]  # complete, but another run
    (fleet.reports / f"{NAME}-2.json").write_text(json.dumps(other))
    plan = collect.from_record(str(path))
    assert (plan.base, plan.hosts, plan.stem) == (str(path), ["host-2"], str(fleet.reports / f"{NAME}-3"))


def test_raw_samples_that_are_not_whole_are_not_judged(tmp_path: Path) -> None:
    stem = str(tmp_path / NAME)
    assert rejudge.unpack_evidence(stem, "host-1") is None
    for path in (recorded.DATA / "01").glob("*.jsonl.gz"):
        Path(f"{stem}.host-1.{path.name}").write_bytes(path.read_bytes())
    assert rejudge.unpack_evidence(stem, "host-1") is not None
    assert rejudge.unpack_evidence(stem, "host") is None
    Path(f"{stem}.host-1.timeline.jsonl.gz").unlink()
    assert rejudge.unpack_evidence(stem, "host-1") is None
