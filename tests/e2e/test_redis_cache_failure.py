"""Experiment 07 on the embedded exchange: orders go on without the cache.

In `make test` a crash, an outage and the cache's death in a whole run are those of experiments 01 and 10, and its own
findings those of a recorded run (tests/unit/behaviour/test_recorded_runs.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

pytestmark = pytest.mark.full
PLAYBOOK = "playbooks/07-redis-cache-failure.yml"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> support.Report:
    live.ready()
    return live.passed(
        PLAYBOOK, tmp_path_factory.mktemp("redis"), **support.QUICK, redis_cache_failure_outage_s="4"
    )


def test_it_lost_its_cache_twice(report: support.Report) -> None:
    faults = report.record["hosts"][0]["faults"]
    assert [(fault["id"], fault["target"]) for fault in faults] == [("crash", "redis"), ("outage", "redis")]


def test_its_own_findings_were_measured(report: support.Report) -> None:
    found = live.verdicts(report)
    for name in (
        "errors_while_away",
        "database_load",
        "subscription",
        "events_resumed",
        "keys_lost",
        "latency",
    ):
        assert found[name] == "pass", report.finding(name)
    # the exchange's own counter: what it could not publish while its cache was away
    assert report.finding("events_lost")["value"] > 0


def test_the_outage_was_seen_by_the_port_and_lasted(report: support.Report) -> None:
    (outage,) = [fault for fault in report.record["hosts"][0]["faults"] if fault["id"] == "outage"]
    shares = [proof["value"] for proof in outage["proof"] if proof["fact"] == "share of the window in force"]
    assert shares[0] >= 0.8


def test_what_never_subscribes_again_is_red_though_its_health_is_green(tmp_path: Path) -> None:
    live.ready()
    with live.weakened("no_redis_resubscribe"):
        broken = live.run(
            PLAYBOOK, tmp_path, passes=False, **support.QUICK, redis_cache_failure_outage="false"
        )
    assert broken.record["outcome"] == "failed"
    assert broken.record["verdicts"]["restored"] == "pass"
    found = live.verdicts(broken)
    assert [name for name, verdict in found.items() if verdict == "fail"] == ["subscription"]
    assert found["recovery"] == "pass"
