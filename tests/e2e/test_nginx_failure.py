"""Experiment 08 on the embedded exchange: without its proxy, the way past it stays good.

In `make test` a crash and an outage in a whole run are those of experiment 01, and its own findings those of a recorded
run (tests/unit/behaviour/test_recorded_runs.py).
"""

from __future__ import annotations

import pytest

from tests.e2e import live, support

pytestmark = pytest.mark.full
PLAYBOOK = "playbooks/08-nginx-failure.yml"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> support.Report:
    live.ready()
    return live.passed(
        PLAYBOOK, tmp_path_factory.mktemp("nginx"), **support.QUICK, nginx_failure_outage_s="4"
    )


def test_only_the_proxy_was_hit(report: support.Report) -> None:
    assert {fault["target"] for fault in report.record["hosts"][0]["faults"]} == {"nginx"}


def test_the_direct_way_stayed_good_and_the_other_did_not(report: support.Report) -> None:
    found = live.verdicts(report)
    for name in ("direct_errors", "peer_errors", "proxy_back", "recovery", "self_healing"):
        assert found[name] == "pass", report.finding(name)
    assert report.finding("proxy_errors")["value"] > 0.9
    assert report.finding("direct_rate")["value"] > 50, "more than the proxy lets a client have"


def test_the_kernel_saw_the_traffic_past_the_proxy(report: support.Report) -> None:
    """The capture looks at the proxy's and the API's ports, too: nginx connects to the API for every answer."""
    text = report.stem.with_name(f"{report.stem.name}.log.bpf").read_text()
    assert ":8080" in text
