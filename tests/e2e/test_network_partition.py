"""Experiment 02 on the embedded exchange, and one that cuts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/02-network-partition.yml"
SHORT = {"network_partition_s": "5"}

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_a_cut_path_is_proved_borne_and_healed(tmp_path: Path) -> None:
    before = support.state_of("trading-api")["Pid"]
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    fault = live.fault(report)
    assert (fault["kind"], fault["engine"], fault["undone_by"]) == ("partition", "nftables", "module")
    holding = [(proof["source"], proof["fact"]) for proof in fault["proof"] if proof["holds"]]
    assert any(source == "kernel" and "before our own connect" in fact for source, fact in holding)
    assert any(source == "tcp" and "control path" in fact for source, fact in holding)
    assert report.finding("blast_radius")["value"] == 0
    assert report.finding("first_order")["verdict"] == "pass"
    assert support.state_of("trading-api")["Pid"] == before
    # silence on that path, as the kernel saw it
    silent = [
        event
        for event in report.raw("bpf")
        if event["event"] in ("CONN_GAVE_UP", "TCP_RETRANSMIT") and event.get("rport") == 5432
    ]
    assert silent


def test_a_partition_that_cuts_nothing_is_invalid(tmp_path: Path) -> None:
    """In `make test`: module/test_network_faults (no drop, no proof), and each recorded run without its effect."""
    change = (
        "plugins/module_utils/faults/kinds/partition.py",
        "nftables.Ruleset(table, far.addresses, change.only,",
        'nftables.Ruleset(table, ("192.0.2.1",), change.only,',
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)
