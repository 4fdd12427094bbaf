# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays of every experiment in a real ansible-playbook, on hosts that touch nothing: batches, gate, the spared."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import read as records

from tests.controller.test_callback import ANSIBLE, BOTH, ROOT

DATA = Path(__file__).resolve().parents[1] / "unit" / "data"
FLEET = DATA / "playbooks" / "fleet"
#: Nobody listens on the discard port: refused at once, as a host is that is down.
GONE = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=9 stub_unreachable=true"


class Fleet:
    """Stub hosts h1 to h5 in group exchange, an ansible.cfg, and what came of a play."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = {f"h{number}": "ansible_connection=local" for number in range(1, 6)}
        self.variables = ""
        self.code = -1
        for name in ("reports", "touched"):
            (folder / name).mkdir()

    def play(self, *options: str, playbook: str = "experiment.yml", **variables: Any) -> str:
        """Play it and return what was on the screen."""
        settings = {
            **BOTH,
            "collections_path": ROOT / ".collections",
            "roles_path": FLEET / "roles",
            "timeout": 2,
        }
        lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
        (self.folder / "ansible.cfg").write_text(f"[defaults]\n{lines}\n")
        hosts = "\n".join(f"{host} {how}" for host, how in self.hosts.items())
        python = f"ansible_python_interpreter={ANSIBLE.with_name('python')}"
        inventory = f"[exchange]\n{hosts}\n[exchange:vars]\n{python}\n{self.variables}\n"
        (self.folder / "hosts").write_text(inventory)
        given = {
            "chaos_report_dir": str(self.folder / "reports"),
            "stub_folder": str(self.folder / "touched"),
            "stub_sample": str(DATA / "record-passed.json"),
            **variables,
        }
        keep = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("ANSIBLE_") or key == "ANSIBLE_STRATEGY"
        }
        done = subprocess.run(
            [str(ANSIBLE), "-i", "hosts", str(FLEET / playbook), "-e", json.dumps(given), *options],
            cwd=self.folder,
            env={**keep, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.code = done.returncode
        return done.stdout + done.stderr

    @property
    def batches(self) -> list[list[str]]:
        """Ansible's batches as the hosts saw them, in the order of their hosts; each once."""
        seen = [path.read_text().split() for path in sorted((self.folder / "touched").iterdir())]
        return [batch for number, batch in enumerate(seen) if batch not in seen[:number]]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records, oldest first."""
        paths = sorted((self.folder / "reports").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [dict(records.load_record(str(path))) for path in paths]

    def hosts_of(self, number: int = -1) -> dict[str, tuple[int, str]]:
        """Wave and outcome of each host of a record."""
        return {host["host"]: (host["wave"], host["outcome"]) for host in self.records[number]["hosts"]}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def complaints(screen: str) -> list[str]:
    lines = [line.partition(" ✗ ")[2] for line in screen.splitlines() if " ✗ " in line[:30]]
    return list(dict.fromkeys(lines))


def test_ansibles_batches_are_our_waves(fleet: Fleet) -> None:
    screen = fleet.play(chaos_waves=[1, "40%", "100%"])
    assert fleet.code == 0, screen
    assert fleet.batches == [["h1"], ["h2", "h3"], ["h4", "h5"]]
    assert fleet.hosts_of() == {
        "h1": (1, "passed"), "h2": (2, "passed"), "h3": (2, "passed"), "h4": (3, "passed"), "h5": (3, "passed"),
    }  # fmt: skip
    plan = screen.index("Wave 2 of 3, if wave 1 passed: h2, h3")
    assert plan < screen.index("Wave 1 of 3 passed; wave 2 begins: h2, h3")
    log = next((fleet.folder / "reports").glob("*.log")).read_text()
    assert "Wave 3 of 3, if wave 2 passed: h4, h5" in log
    assert "Wave 2 of 3 passed; wave 3 begins: h4, h5" in log
    assert "localhost" not in log, "what the controller says is nobody's line"


@pytest.mark.full
def test_one_host_needs_no_gate_and_one_wave_is_the_default(fleet: Fleet) -> None:
    screen = fleet.play()
    assert fleet.code == 0, screen
    assert fleet.batches == [["h1", "h2", "h3", "h4", "h5"]]
    assert " begins: " not in screen
    fleet.hosts = {"h1": "ansible_connection=local"}
    screen = fleet.play()
    assert "Plan: h1 alone is touched" in screen
    assert fleet.hosts_of() == {"h1": (1, "passed")}


@pytest.mark.full
def test_a_sample_is_drawn_and_its_seed_draws_it_again(fleet: Fleet) -> None:
    screen = fleet.play(chaos_sample=2)
    assert fleet.code == 0, screen
    drawn = set(fleet.hosts_of())
    assert len(drawn) == 2
    seed = screen.partition("drawn with chaos_sample_seed=")[2].split()[0]
    for path in (fleet.folder / "touched").iterdir():
        path.unlink()
    fleet.play(chaos_sample=2, chaos_sample_seed=seed, chaos_waves=[1])
    assert set(fleet.hosts_of()) == drawn
    assert {host for batch in fleet.batches for host in batch} == drawn
    assert [len(batch) for batch in fleet.batches] == [1, 1]


@pytest.mark.parametrize(
    "outcome",
    [
        "failed",
        "broken",
        *(pytest.param(name, marks=pytest.mark.full) for name in ("aborted", "invalid", "skipped")),
    ],
)
def test_a_canary_that_did_not_pass_spares_the_rest_and_is_reported(fleet: Fleet, outcome: str) -> None:
    screen = fleet.play(chaos_waves=[1, "100%"], stub_outcomes={"h1": outcome})
    assert fleet.batches == [["h1"]]
    known = "invalid" if outcome == "broken" else outcome
    assert f"Wave 1 of 2 did not pass (h1: {known}), so no further wave begins" in screen
    found = fleet.hosts_of()
    assert found.pop("h1") == (1, known)
    assert set(found.values()) == {(2, "skipped")}
    spared = fleet.records[0]["hosts"][-1]
    assert spared["notes"] == [f"Not touched: wave 1 did not pass (h1: {known}), so wave 2 did not begin."]
    assert fleet.records[0]["outcome"] == known
    assert (fleet.code != 0) is (known != "skipped")
    if outcome == "broken":
        assert fleet.records[0]["hosts"][0]["notes"] == ["This host broke."]


@pytest.mark.full
def test_a_skip_that_is_allowed_lets_the_next_wave_begin(fleet: Fleet) -> None:
    screen = fleet.play(chaos_waves=[1, "100%"], stub_outcomes={"h1": "skipped"}, chaos_may_skip=["stub"])
    assert fleet.batches == [["h1"], ["h2", "h3", "h4", "h5"]], screen


def test_a_host_that_cannot_be_reached_is_in_the_record_and_stops_the_next_wave(fleet: Fleet) -> None:
    fleet.hosts["h2"] = GONE
    screen = fleet.play(chaos_waves=[2, "100%"])
    assert fleet.code != 0
    assert fleet.hosts_of() == {
        "h1": (1, "passed"), "h2": (1, "aborted"), "h3": (2, "skipped"), "h4": (2, "skipped"), "h5": (2, "skipped"),
    }  # fmt: skip
    (note,) = next(host for host in fleet.records[0]["hosts"] if host["host"] == "h2")["notes"]
    assert note.startswith("Unreachable since 20")
    assert "step: Preflight, snapshot, lock, watchdog" in note
    assert "nothing was injected there" in note
    assert "Wave 1 of 2 did not pass (h2: aborted)" in screen


@pytest.mark.full
def test_the_only_host_that_cannot_be_reached_leaves_a_record_too(fleet: Fleet) -> None:
    fleet.hosts = {"h1": GONE}
    screen = fleet.play()
    assert fleet.code != 0
    assert fleet.hosts_of() == {"h1": (1, "aborted")}, screen
    assert "Experiment 11 ended: aborted" in screen


@pytest.mark.full
def test_a_first_wave_that_is_all_out_of_reach_spares_the_rest_and_is_reported(fleet: Fleet) -> None:
    fleet.hosts.update(h1=GONE, h2=GONE)
    screen = fleet.play(chaos_waves=[2, "100%"])
    assert fleet.code != 0
    assert fleet.batches == [["h1", "h2"]], screen
    found = fleet.hosts_of()
    assert (found.pop("h1"), found.pop("h2")) == ((1, "aborted"), (1, "aborted"))
    assert set(found.values()) == {(2, "skipped")}
    (note,) = fleet.records[0]["hosts"][-1]["notes"]
    assert note == "Not touched: wave 1 did not pass (h1: aborted, h2: aborted), so wave 2 did not begin."


@pytest.mark.full
def test_in_a_suite_each_experiment_has_its_own_waves(fleet: Fleet) -> None:
    screen = fleet.play(
        playbook="suite.yml", chaos_waves=[1, "100%"], stub_first={}, stub_second={"h1": "failed"}
    )
    assert {outcome for _wave, outcome in fleet.hosts_of(0).values()} == {"passed"}, screen
    second = fleet.hosts_of(1)
    assert second.pop("h1") == (1, "failed")
    assert set(second.values()) == {(2, "skipped")}, "what was told of the first experiment"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"chaos_waves": ["0"]}, "chaos_waves has '0'; it must be a number of hosts from 1 on"),
        ({"chaos_sample": "200%"}, "chaos_sample has '200%'; it must be a number of hosts from 1 on"),
        ({"chaos_sample": 6}, "chaos_sample is 6, and chaos_targets has 5 hosts"),
        ({"chaos_targets": "nobody"}, "chaos_targets is 'nobody', and the inventory has no such host"),
    ],
)
def test_a_bad_value_is_one_sentence_before_anything_happens(
    fleet: Fleet, variables: dict[str, Any], sentence: str
) -> None:
    (told,) = complaints(fleet.play(**variables))
    assert told.startswith(sentence)
    assert fleet.code != 0
    assert not list((fleet.folder / "reports").iterdir())
    assert not fleet.batches


@pytest.mark.full
def test_waves_in_the_inventory_do_not_count(fleet: Fleet) -> None:
    fleet.variables = "chaos_waves=1"
    (told,) = complaints(fleet.play())
    assert told.startswith("chaos_waves is set in the inventory (for host h1), where it does not count")
    assert not fleet.batches
    screen = fleet.play(chaos_waves=[2, "100%"])
    assert fleet.batches == [["h1", "h2"], ["h3", "h4", "h5"]], screen


@pytest.mark.full
def test_a_guard_rail_of_the_targets_alone_is_refused_and_one_of_all_counts(fleet: Fleet) -> None:
    fleet.variables = "chaos_forbidden_groups=['exchange']"
    (told,) = complaints(fleet.play())
    assert told.startswith(
        "chaos_forbidden_groups is set in the inventory for host h1, and not so for the controller"
    )
    assert not fleet.batches
    fleet.variables = "[all:vars]\nchaos_forbidden_groups=['exchange']"
    (told,) = complaints(fleet.play())
    assert told.startswith("Host h1 is in the forbidden group exchange")
    screen = fleet.play(chaos_forbidden_groups=["live"])
    assert fleet.code == 0, screen


@pytest.mark.full
def test_more_hosts_than_forks_and_another_strategy_are_refused(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told,) = complaints(fleet.play("-f", "4"))
    assert told.startswith("Wave 1 has 5 hosts, and Ansible works on 4 at a time: give -f 5")
    assert not fleet.batches
    screen = fleet.play("-f", "4", chaos_waves=[4])
    assert fleet.code == 0, screen
    monkeypatch.setenv("ANSIBLE_STRATEGY", "free")
    (told,) = complaints(fleet.play("-f", "4", chaos_waves=[4]))
    assert told.startswith("Several waves need Ansible's linear strategy, and it is set to free")
    before = fleet.batches
    (told,) = complaints(fleet.play("-f", "5", chaos_simultaneous=True))
    assert told.startswith("One instant for all hosts (chaos_simultaneous) needs Ansible's linear strategy")
    assert fleet.batches == before


@pytest.mark.full
def test_check_mode_shows_every_wave_and_leaves_nothing(fleet: Fleet) -> None:
    screen = fleet.play("--check", chaos_waves=[1, "100%"], stub_outcomes={"h1": "failed"})
    assert fleet.code == 0, screen
    assert "Wave 2 of 2, if wave 1 passed: h2, h3, h4, h5" in screen
    assert not list((fleet.folder / "reports").iterdir())


def test_an_experiment_is_repeated_with_a_record_for_each_run_and_one_summary(fleet: Fleet) -> None:
    fleet.hosts = dict.fromkeys(("h1", "h2"), "ansible_connection=local")
    screen = fleet.play(chaos_repeat=3)
    assert fleet.code == 0, screen
    assert len(fleet.records) == 3
    assert len({record["run_id"] for record in fleet.records}) == 3
    assert all(fleet.hosts_of(number) == {"h1": (1, "passed"), "h2": (1, "passed")} for number in range(3))
    assert "3 RUNS" in screen
    assert "3 passed" in screen
    assert len(list((fleet.folder / "reports").glob("*.log"))) == 3


@pytest.mark.full
def test_the_worst_of_several_runs_decides_the_exit_code(fleet: Fleet) -> None:
    fleet.hosts = {"h1": "ansible_connection=local"}
    screen = fleet.play(chaos_repeat=2, stub_outcomes={"h1": "failed"})
    assert fleet.code == 2, screen
    assert [record["outcome"] for record in fleet.records] == ["failed", "failed"]
    assert "2 failed" in screen


def test_waves_and_repetitions_are_not_had_at_once(fleet: Fleet) -> None:
    screen = fleet.play(chaos_repeat=2, chaos_waves=[1, "100%"])
    assert fleet.code != 0
    assert "chaos_repeat is 2 and chaos_waves makes 2 waves" in " ".join(screen.split())
    assert fleet.batches == []
