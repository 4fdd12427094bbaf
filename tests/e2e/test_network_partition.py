"""Experiment 02 on the embedded exchange, and one that cuts nothing."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.e2e import support

EXPERIMENT = "playbooks/02-network-partition.yml"
SCHEMA = json.loads((support.ROOT / "files" / "record.schema.json").read_text())
SHORT = {"chaos_baseline_s": "6", "network_partition_s": "5"}


@pytest.fixture(autouse=True)
def _clean() -> None:
    support.forget_records()
    for service in ("postgres", "trading-api"):
        support.healthy(service)


def test_a_cut_path_is_proved_borne_and_healed(tmp_path: Path) -> None:
    before = support.state_of("trading-api")["Pid"]
    done = support.ansible(EXPERIMENT, chaos_report_dir=str(tmp_path), **SHORT)
    assert done.returncode == 0, done.stdout[-8000:]
    report = support.report(tmp_path)
    record = report.record
    jsonschema.validate(record, SCHEMA)
    assert record["outcome"] == "passed"
    assert record["verdicts"] == {"effect": "pass", "hypothesis": "pass", "restored": "pass"}
    (fault,) = record["hosts"][0]["faults"]
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
    assert support.leftovers() == []


def test_a_partition_that_cuts_nothing_is_invalid(tmp_path: Path) -> None:
    tree = support.mutant(
        tmp_path / "tree", "plugins/module_utils/faults/partition.py",
        "nft.Ruleset(table, change.addresses, change.only,", 'nft.Ruleset(table, ("192.0.2.1",), change.only,',
    )  # fmt: skip
    done = support.ansible(EXPERIMENT, tree=tree, chaos_report_dir=str(tmp_path), **SHORT)
    assert done.returncode != 0, done.stdout[-4000:]
    record = support.report(tmp_path).record
    assert record["verdicts"]["effect"] == "fail"
    assert record["outcome"] == "invalid"
