# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real runs judged again: as they were they pass, and every lie about them is found out.

A mutation changes the raw data to what a broken instrument, or a broken exchange, would have left behind. Each finding
that counts must turn red under one of them: one that no exchange can turn red would be a defect.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence, Order, Sample
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.phases import fault_windows
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.kernel.connects import target_ports
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.registry import measure
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import run_record
from ansible_collections.exchange.chaos.plugins.module_utils.judge.verdicts import judge_run
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

from tests.unit import recorded

pytestmark = pytest.mark.slow

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "files" / "record.schema.json").read_text())
PASSED = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}
#: Longer than any threshold of a recovery.
WATCHED_S = 70.0

Mutation = Callable[[Evidence], Evidence]


@pytest.fixture(scope="module", params=recorded.EACH)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Each recorded run in turn."""
    return recorded.evidence(request.param, tmp_path_factory.mktemp("run"))


def test_it_passes_as_it_did(run: Evidence) -> None:
    record = run_record(run)
    jsonschema.validate(record, SCHEMA)
    assert record["outcome"] == "passed"
    assert record["verdicts"] == PASSED
    verdicts = {finding.id: finding.verdict for finding in judge_run(run).findings if finding.counts}
    # where no order failed, no error was there to be clear
    assert {name for name, verdict in verdicts.items() if verdict != "pass"} <= {"error_clarity"}


# -- the instrument broken ------------------------------------------------------------------------------------


def replace(run: Evidence, **changes: Any) -> Evidence:
    """The run with other evidence in place of some of its own."""
    if "timeline" in changes:
        changes["timeline"] = Timeline(changes["timeline"])
    return dataclasses.replace(run, **changes)


def events(timeline: Sequence[Mapping[str, Any]], name: str, **changes: Any) -> list[dict[str, Any]]:
    """The timeline with every event of a name changed."""
    return [{**event, **changes} if event["event"] == name else dict(event) for event in timeline]


def without_effect(run: Evidence) -> Evidence:
    """Nothing died, nothing was held: no proof holds, and the kernel and the engine saw nothing of it."""
    kept = [event for event in run.bpf if event.get("event") not in ("PROC_EXIT", "OOM_KILL")]
    timeline = [
        {key: value for key, value in event.items() if key != "share"}
        for event in events(run.timeline, "proof", holds=False)
    ]
    return replace(run, bpf=kept, engine=[], timeline=timeline)


def test_a_fault_without_effect_is_invalid(run: Evidence) -> None:
    judged = judge_run(without_effect(run))
    assert judged.effect == "fail"
    assert judged.outcome == "invalid"


def test_a_capture_that_did_not_see_its_own_connect_is_invalid(run: Evidence) -> None:
    judged = judge_run(replace(run, capture={**run.capture, "positive_control": False}))
    assert judged.outcome == "invalid"


def test_a_run_without_load_is_invalid(run: Evidence) -> None:
    judged = judge_run(replace(run, orders=[]))
    assert judged.outcome == "invalid"


def test_an_undo_that_left_something_fails_the_host(run: Evidence) -> None:
    assert run.restore is not None
    left = {"kind": "container_state", "what": "postgres", "before": "running", "after": "exited"}
    judged = judge_run(replace(run, restore={**run.restore, "leftovers": [left]}))
    assert (judged.restored, judged.outcome) == ("fail", "failed")


def test_a_change_never_undone_fails_the_host(run: Evidence) -> None:
    opened = [line for line in run.journal if line["entry"] != "undone"]
    judged = judge_run(replace(run, journal=opened))
    assert (judged.restored, judged.outcome) == ("fail", "failed")


def test_a_host_that_was_not_compared_is_neither_restored_nor_not(run: Evidence) -> None:
    judged = judge_run(replace(run, restore=None))
    assert judged.restored == "unknown"
    assert judged.outcome == "invalid"
    assert "invalid: the host was not compared with the snapshot from before the run." in judged.reasons


# -- the exchange broken --------------------------------------------------------------------------------------


def struck(run: Evidence) -> float:
    """When the first fault was injected."""
    return fault_windows(run)[0].injected


def failed(order: Order, words: str | None = None) -> Order:
    """The same order, answered with an error."""
    return order._replace(ok=False, status=500, kind="error", error=words)


def bad(sample: Sample) -> Sample:
    """The same sample, without a good answer."""
    return sample._replace(ok=False, status=0, kind="refused", detail="connection refused")


def watched_on(run: Evidence, last: Callable[[Sample], Sample] | None = None) -> Evidence:
    """The same run, watched for long after its end: no order is acknowledged, and samples are as they were last."""
    end = fault_windows(run)[-1].end
    orders = [order for order in run.orders if order.sent < end]
    probes = [sample for sample in run.probes if sample.at < end]
    latest = {sample.probe: sample if last is None else last(sample) for sample in probes}
    times = [end + 0.1 * step for step in range(int(10 * WATCHED_S))]
    order = failed(orders[-1]._replace(stream="steady"))
    return replace(
        run,
        orders=orders + [order._replace(at=t, sent=t, end=t + 0.01) for t in times],
        probes=probes + [one._replace(at=t, end=t + 0.01) for t in times[::3] for one in latest.values()],
        timeline=[
            {**event, "t": event["t"] + (WATCHED_S if event["t"] >= end else 0)}
            | ({"event": "not_steady"} if event["event"] == "steady" else {})
            for event in run.timeline
        ],
    )


def never_back(run: Evidence) -> Evidence:
    """From the fault on no answer is ever good again, though every port is open; nobody connects."""
    at = struck(run)
    broken = replace(
        run,
        orders=[failed(order) if order.sent >= at else order for order in run.orders],
        probes=[bad(sample) if sample.at >= at and sample.status else sample for sample in run.probes],
        bpf=[event for event in run.bpf if event["event"] != "CONN_OK" or event["t"] < at],
    )
    return watched_on(broken)


def late(run: Evidence) -> Evidence:
    """What the fault hit is away for more than a minute, and then it is good."""
    at = struck(run)
    broken = replace(run, probes=[bad(sample) if sample.at >= at else sample for sample in run.probes])
    found = watched_on(broken)
    end = fault_windows(found)[-1].end
    back = [
        sample._replace(ok=True, status=200, kind="ok") if sample.at > end - 1 else sample
        for sample in found.probes
    ]
    return replace(found, probes=back)


def slow(run: Evidence) -> Evidence:
    """From the fault on every good answer takes 5 s longer, for good."""
    at = struck(run)
    return replace(
        run,
        orders=[order._replace(end=order.end + 5) if order.sent >= at else order for order in run.orders],
    )


def sluggish(run: Evidence) -> Evidence:
    """From the fault on every good answer takes 0.2 s longer, which is steady still."""
    at = struck(run)
    return replace(
        run,
        orders=[order._replace(end=order.end + 0.2) if order.sent >= at else order for order in run.orders],
    )


def vague(run: Evidence) -> Evidence:
    """Orders sent in a fault's window fail without a cause, and the log names none."""
    spans = [(window.injected, window.undone or window.end) for window in fault_windows(run)]
    return replace(
        run,
        orders=[
            failed(order, "internal error") if any(a <= order.sent < b for a, b in spans) else order
            for order in run.orders
        ],
        timeline=events(run.timeline, "app_log", line="ERROR something went wrong"),
    )


def forgetful(run: Evidence) -> Evidence:
    """Acknowledged orders are not in the database, others are there twice."""
    assert run.ledger is not None
    worse = {"lost": 3, "duplicated": 2, "lost_numbers": [1, 2, 3]}
    per_fault = {name: {**counts, **worse} for name, counts in run.ledger["per_fault"].items()}
    return replace(run, ledger={**run.ledger, **worse, "per_fault": per_fault})


def helped(run: Evidence) -> Evidence:
    """Somebody had to start it by hand."""
    helps = [
        {"t": window.injected + 0.5, "event": "rescue", "text": "started"} for window in fault_windows(run)
    ]
    return replace(run, timeline=by_time([*run.timeline, *helps]))


def unaware(run: Evidence) -> Evidence:
    """Orders hang and are given up, while readiness and health go on saying that all is well."""
    at = struck(run)
    return replace(
        run,
        orders=[
            order._replace(ok=False, status=0, kind="timeout", end=order.sent + 3)
            if order.end >= at
            else order
            for order in run.orders
        ],
        probes=[
            sample._replace(ok=True, status=200, kind="ok")
            if sample.role in ("readiness", "health")
            else sample
            for sample in run.probes
        ],
    )


def falls_over(run: Evidence) -> Evidence:
    """The application dies in every window, and is started again."""
    api = run.service("api")
    deaths = [
        {"t": window.injected + after, "service": api, "container": api, "action": action, "exit_code": code}
        for window in fault_windows(run)
        for after, action, code in ((0.2, "die", 1), (0.7, "start", None))
    ]
    return replace(run, engine=by_time([*run.engine, *deaths]))


def flood(run: Evidence, *names: str) -> Evidence:
    """The application's sockets to what the fault hit do this, a thousand times a second."""
    api = run.service("api")
    made = next(event for event in run.bpf if event["event"] == "CONN_ATTEMPT")
    many = [
        {
            **made,
            "event": name,
            "service": api,
            "control": False,
            "rport": port,
            "t": window.injected + 0.001 * n,
        }
        for window in fault_windows(run)
        for port in target_ports(run, window.spec.peer or window.target)
        for n in range(2000)
        for name in names
    ]
    return replace(run, bpf=by_time([*run.bpf, *many]))


def storms(run: Evidence) -> Evidence:
    """The application connects, and lets go, again and again."""
    return flood(run, "CONN_ATTEMPT", "CONN_CLOSED")


def hoarding(run: Evidence) -> Evidence:
    """The application keeps every connection it makes."""
    return flood(run, "CONN_OK")


def by_time(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Events in time order."""
    return sorted(events, key=lambda event: float(event["t"]))


def wide(run: Evidence) -> Evidence:
    """The ports of all stores are silent in the fault's windows."""
    spans = [(window.injected, window.undone or window.end) for window in fault_windows(run)]
    return replace(
        run,
        probes=[
            bad(sample) if not sample.status and any(a <= sample.at < b for a, b in spans) else sample
            for sample in run.probes
        ],
    )


def early(run: Evidence) -> Evidence:
    """The application calls itself good while what it needs is away."""
    at = struck(run)
    probes = []
    for sample in run.probes:
        if at <= sample.at < at + 0.3 or (not sample.status and at <= sample.at < at + 2):
            probes.append(bad(sample))
        elif sample.role in ("readiness", "health"):
            probes.append(sample._replace(ok=True, status=200, kind="ok"))
        else:
            probes.append(sample)
    return replace(run, probes=probes)


def measured(run: Evidence, name: str, **changes: Any) -> Evidence:
    """The run with other values where an event ``measured`` of that name has these keys."""
    return replace(
        run,
        timeline=[
            {**event, **{key: value for key, value in changes.items() if key in event}}
            if event["event"] == "measured" and event["name"] == name
            else event
            for event in run.timeline
        ],
    )


def wrong_victim(run: Evidence) -> Evidence:
    """The kernel took the process that charged the memory, which is nobody's of the target."""
    marked = [
        {**event, "pid": 1, "service": None, "container": None} if event["event"] == "OOM_KILL" else event
        for event in run.bpf
    ]
    return replace(measured(run, "oom", victims=[], ours_taken=True), bpf=marked)


def leaking(run: Evidence) -> Evidence:
    """It used all of its limit, and grew by a megabyte each second before the fault."""
    first = run.timeline[0]["t"]
    found = measured(run, "oom", used=268435456)
    return replace(
        found,
        timeline=[
            {**event, "value": event["value"] + int(1e6 * (event["t"] - first))}
            if event.get("name") == "memory_used"
            else event
            for event in found.timeline
        ],
    )


def other_limits(run: Evidence) -> Evidence:
    """The limits on memory are others than before."""
    return measured(run, "memory_limits", after={"memory.limit_in_bytes": "1"})


def other_connections(run: Evidence) -> Evidence:
    """After the fault the database allows fewer connections, and keeps some that nobody ended."""
    return replace(
        run,
        timeline=[
            {**event, "limit": event["limit"] - 1, "others": event["others"] + 20, "ours": 5}
            if event.get("name") == "connections" and event["when"] == "after"
            else event
            for event in run.timeline
        ],
    )


def unheard(run: Evidence) -> Evidence:
    """Nothing was published any more."""
    return measured(run, "events_published", value=1.0)


def scattered(run: Evidence) -> Evidence:
    """The targets died more than a second apart, by both the tracer and the file descriptors."""
    several = [event for event in run.timeline.injections() if "targets" in event]
    after = {kill["pid"]: 1.5 * rank for event in several for rank, kill in enumerate(event["kills"])}

    def shifted(event: Mapping[str, Any]) -> Mapping[str, Any]:
        kills = [{**kill, "exited": kill["exited"] + after[kill["pid"]]} for kill in event["kills"]]
        return {**event, "kills": kills}

    return replace(
        run,
        bpf=by_time([{**event, "t": event["t"] + after.get(event.get("pid"), 0.0)} for event in run.bpf]),
        timeline=[shifted(event) if event in several else event for event in run.timeline],
    )


def lost_proxy(run: Evidence) -> Evidence:
    """The proxy never finds its backends again."""
    at = struck(run)
    return replace(
        run,
        probes=[
            bad(sample) if sample.at >= at and sample.role in ("front", "proxy") else sample
            for sample in run.probes
        ],
    )


EXCHANGES: tuple[Mutation, ...] = (
    never_back,
    late,
    slow,
    sluggish,
    vague,
    forgetful,
    helped,
    unaware,
    falls_over,
    storms,
    wide,
    early,
    wrong_victim,
    leaking,
    other_limits,
    other_connections,
    unheard,
    scattered,
    lost_proxy,
    hoarding,
)


def red(run: Evidence) -> set[str]:
    """The findings that count and fail."""
    return {finding.id for finding in judge_run(run).findings if finding.counts and finding.verdict == "fail"}


def test_every_finding_can_turn_red(run: Evidence) -> None:
    green = {finding.id for finding in judge_run(run).findings if finding.counts}
    assert green
    turned: dict[str, set[str]] = {}
    for mutation in EXCHANGES:
        if green:
            turned[mutation.__name__] = red(mutation(run))
            green -= turned[mutation.__name__]
    assert green == set(), turned


def test_a_short_stall_at_the_kill_is_not_the_latency_without_the_cache(tmp_path: Path) -> None:
    run = recorded.evidence(7, tmp_path)
    at = next(window.injected for window in fault_windows(run) if window.id == "outage")
    orders = [
        order._replace(end=order.at + 0.3) if order.ok and at <= order.at < at + 0.3 else order
        for order in run.orders
    ]
    assert sum(order.latency_ms > 250 for order in orders) > 40, "most of them of the dense streams"
    usual, stalled, slowed = (
        measure(one, "latency_while_away", "outage")["outage"].value
        for one in (run, replace(run, orders=orders), slow(run))
    )
    assert isinstance(usual, float)
    assert isinstance(stalled, float)
    assert isinstance(slowed, float)
    assert stalled < 2 * usual < slowed / 2
