# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input through the playbook of experiment 01: one clear sentence, an honest exit code, nothing changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module import core_support
from tests.module.core_support import PROJECT, ROOT, SERVICE, Host, Project, wait_for

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(180),
]
LAB = "exchange-chaos-lab"
PLAYBOOK = "playbooks/01-database-sudden-death.yml"
INVENTORY = """
exchange: {hosts: {localhost: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}}}
prod: {hosts: {localhost: {}}, vars: {chaos_i_accept_production: true}}
"""


@dataclass(frozen=True)
class Played:
    """What a playbook said and left behind."""

    code: int
    text: str
    reports: list[dict[str, Any]]

    @property
    def complaints(self) -> list[str]:
        """The lines of the screen that tell what went wrong, without time and mark, each once."""
        lines = [line.partition(" ✗ ")[2] for line in self.text.splitlines() if " ✗ " in line[:30]]
        return list(dict.fromkeys(lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    return tmp_path


def play(folder: Path, playbook: str = PLAYBOOK, *options: str, **variables: Any) -> Played:
    """Run a playbook with its runs and reports in a folder of the test's own."""
    given = {
        "chaos_state_dir": str(folder / "state"),
        "chaos_report_dir": str(folder / "reports"),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", playbook, "-e", json.dumps(given), *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        timeout=150,
        check=False,
    )
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    records = [json.loads(path.read_text()) for path in sorted((folder / "reports").glob("*.json"))]
    return Played(done.returncode, text, records)


def started() -> dict[str, str]:
    """Return when each container of the embedded exchange was started."""
    found = docker.from_env().containers.list(all=True, filters={"label": f"{PROJECT}={LAB}"})
    return {one.labels[SERVICE]: str(one.attrs["State"]["StartedAt"]) for one in found}


def refused(folder: Path, *options: str, **variables: Any) -> str:
    """Return the one sentence with which the controller refuses, before any host is asked."""
    before = started()
    found = play(folder, PLAYBOOK, *options, **variables)
    assert found.code != 0
    assert len(found.complaints) == 1, found.text
    assert not (folder / "state").exists()
    assert list((folder / "reports").iterdir()) == [], "a report of a run that never was"
    assert started() == before
    return found.complaints[0]


def test_everybody_is_no_target(folder: Path) -> None:
    assert refused(folder, chaos_targets="all").startswith("chaos_targets is 'all', which is every host")
    assert "no such host" in refused(folder, chaos_targets="nobody")


@pytest.mark.full
def test_a_forbidden_group_even_where_its_inventory_accepts(folder: Path) -> None:
    path = folder / "hosts.yml"
    path.write_text(INVENTORY)
    text = refused(folder, "-i", str(path))
    assert text.startswith("Host localhost is in the forbidden group prod")
    assert "-e chaos_i_accept_production=true" in text


@pytest.mark.full
def test_a_report_folder_that_cannot_be_written(folder: Path) -> None:
    assert "/proc/nowhere" in refused(folder, chaos_report_dir="/proc/nowhere")
    (folder / "file").write_text("")
    assert str(folder / "file") in refused(folder, chaos_report_dir=str(folder / "file"))


def test_hours_in_which_nothing_may_break(folder: Path) -> None:
    assert "must look like 09:00-17:00" in refused(folder, chaos_allowed_hours="9 to 5")


@pytest.mark.full
def test_senseless_seconds(folder: Path) -> None:
    found = ended(folder, database_sudden_death_outage_s=-15)
    assert found.complaints[0].startswith(
        "chaos_faults[1].window_s is -15; it must be a number above 0 and up to 1800."
    )
    before = started()
    found = play(folder, database_sudden_death_outage_s="long")
    assert found.code != 0
    assert "database_sudden_death_outage_s must be a number" in found.complaints[0]
    assert started() == before


def ended(folder: Path, **variables: Any) -> Played:
    """Return what a run said that was refused on its host: one sentence, an invalid record that holds it."""
    before = started()
    for report in (folder / "reports").iterdir():
        report.unlink()
    found = play(folder, **variables)
    assert found.code != 0
    (sentence,) = [line for line in found.complaints if not line.startswith("Experiment ")]
    (record,) = found.reports
    (host,) = record["hosts"]
    assert record["outcome"] in ("invalid", "skipped")
    assert [note.rstrip(".…") in sentence for note in host["notes"]] == [True]
    assert host["faults"] == []
    assert not (folder / "state").exists(), "a run that was never opened left something"
    assert started() == before, "something of the exchange was restarted"
    return found


def once_more(test: Any) -> None:
    """Others use the embedded exchange at the same time: what they disturb is tried a second time."""
    if not started():
        pytest.skip("the embedded exchange is not here (make lab)")
    try:
        test()
    except AssertionError:
        wait_for(_healthy, 60)
        test()


def _healthy() -> bool:
    found = docker.from_env().containers.list(filters={"label": f"{PROJECT}={LAB}", "health": "healthy"})
    return len(found) >= 5


@pytest.mark.full
def test_a_user_that_does_not_exist_is_told_in_the_apis_own_words(folder: Path) -> None:
    def asked() -> None:
        nobody = "00000000-0000-4000-8000-000000000bad"
        text = ended(folder, chaos_user_id=nobody).complaints[0]
        assert "UNKNOWN_USER" in text
        assert nobody in text

    once_more(asked)


@pytest.mark.full
def test_an_order_the_api_refuses_is_told_in_the_apis_own_words(folder: Path) -> None:
    def asked() -> None:
        body = {"user_id": "{{ chaos_user_id }}", "symbol": "CHAOS", "type": "LIMIT", "quantity": -1}
        order = {"method": "POST", "path": "/api/orders", "body": body}
        text = ended(folder, chaos_order=order).complaints[0]
        assert "status 400" in text
        assert "quantity" in text

    once_more(asked)


def test_a_wrong_address_of_the_api(folder: Path) -> None:
    def asked() -> None:
        text = ended(folder, chaos_api_url="http://127.0.0.1:9").complaints[0]
        assert "http://127.0.0.1:9" in text
        assert "refused" in text.lower()

    once_more(asked)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with core_support.project() as project, core_support.host(tmp_path, project) as made:
        made.project.up("store")
        yield made


def hold(host: Host) -> RunDir:
    run = host.open()
    host.kill(fault="outage", mode="engine", hold=True, ttl=600)
    assert _store(host.project) is None
    return run


def _store(project: Project) -> Any:
    return project.running(f"{project.name}-store-1")


@pytest.mark.alone  # it ends whatever runs on this host
def test_halt_undoes_everything_through_its_playbook(host: Host, folder: Path) -> None:
    hold(host)
    found = play(folder, "playbooks/halt.yml")
    assert found.code == 0, found.text
    assert "Run exp-01-core ended; everything of it is undone" in found.text
    assert _store(host.project) is not None
    assert not host.processes()
    assert "nothing to undo" in play(folder, "playbooks/halt.yml").text


def test_a_play_that_ends_its_run_within_a_fault_undoes_it(host: Host) -> None:
    """As Ansible packs the module, with what it imports and nothing else."""
    hold(host)
    arguments = {"run_id": "exp-01-core", "state_dir": str(host.state_dir)}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ansible",
            "adhoc",
            "localhost",
            "-m",
            "exchange.chaos.record",
            "-a",
            json.dumps(arguments),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "minimal"},
        timeout=120,
        check=False,
    )
    assert "localhost | CHANGED" in done.stdout, done.stdout + done.stderr
    assert _store(host.project) is not None
    journal = host.journal(host.state.record_dir("exp-01-core"))
    assert [(line["entry"], line.get("by")) for line in journal][-1] == ("undone", "module")
    assert not host.processes()
