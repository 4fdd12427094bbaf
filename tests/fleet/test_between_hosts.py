"""Experiment 02 between two groups, on an exchange whose database lives elsewhere and is asked over TCP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import live, support
from tests.module.apart_stack import Apart, apart

pytestmark = [pytest.mark.full, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
PASSWORD = "trading"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Apart]:
    with apart() as made:
        yield made


def run(
    exchange: Apart, folder: Path, playbook: str, *words: str, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run an experiment on this machine, which is zone_a; zone_b is a host known by the database's address."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    away = {"chaos_address": exchange.address(exchange.database)}
    groups = {
        "exchange": {"hosts": {"here": here}},
        "zone_a": {"hosts": {"here": {}}},
        "zone_b": {"hosts": {"there": away}},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(groups))
    given = {
        "chaos_project": exchange.project,
        "chaos_report_dir": str(folder),
        "chaos_external": {"database": {"address": "there", "port": 5432}},
        "chaos_database": {"name": "trading_db", "user": "trading_user", "password": PASSWORD},
        "chaos_baseline_s": 6,
        "network_partition_s": 5,
        **variables,
    }
    argv = [*support.command(playbook), "-i", str(folder / "hosts.yml"), "-e", json.dumps(given), *words]
    return subprocess.run(
        argv, cwd=support.ROOT, env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_the_path_between_two_zones_is_cut_and_orders_are_found_where_they_are(
    exchange: Apart, tmp_path: Path
) -> None:
    support.forget_records()
    zones = {"network_partition_between": ["zone_a", "zone_b"], "network_partition_peer_port": 5432}
    address = exchange.address(exchange.database)
    planned = run(exchange, tmp_path, "playbooks/02-network-partition.yml", "--check", **zones)
    assert planned.returncode == 0, planned.stdout[-4000:]
    line = (
        f"drop all packets between {exchange.container('trading-api')} (trading-api) and {address}, both ways"
    )
    assert line in planned.stdout
    done = run(exchange, tmp_path, "playbooks/02-network-partition.yml", "-vvv", **zones)
    report = support.report(tmp_path)
    assert done.returncode == 0, done.stdout[-8000:]
    assert report.record["outcome"] == "passed", report.log[-6000:]
    assert report.record["verdicts"] == live.PASSED
    host = report.record["hosts"][0]
    assert host["ledger"]["acknowledged"] > 0
    assert host["ledger"]["lost"] == 0
    assert host["bpf"]["status"] == "absent" or host["bpf"]["positive_control"]
    fault = live.fault(report)
    facts = [(proof["source"], proof["fact"]) for proof in fault["proof"] if proof["holds"]]
    assert ("tcp", f"connect from trading-api to {address}:5432") in facts
    assert any(source == "kernel" and f"to or from {address} dropped" in fact for source, fact in facts)
    assert report.finding("blast_radius")["value"] == 0
    assert "zone_b" in report.finding("degradation")["title"]
    # the password is nowhere that a person or a tool of theirs looks
    names = [path for path in tmp_path.iterdir() if path.name != "hosts.yml"]
    assert not [path.name for path in names if f'"password": "{PASSWORD}"'.encode() in path.read_bytes()]
    assert f'"password": "{PASSWORD}"' not in done.stdout
    assert support.leftovers() == []


def test_what_lives_elsewhere_is_not_killed_from_here(exchange: Apart, tmp_path: Path) -> None:
    done = run(exchange, tmp_path, "playbooks/01-database-sudden-death.yml")
    assert done.returncode != 0
    assert "Service postgres (database) lives on another host" in done.stdout
    assert support.leftovers() == []
