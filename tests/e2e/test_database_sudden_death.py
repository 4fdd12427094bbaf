"""Experiment 01 on the embedded exchange, held against what the test knows by itself."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import jsonschema
import pytest

from tests.e2e import live, support


@pytest.fixture(scope="module")
def resilient() -> None:
    support.lab("resilient")
    support.forget_records()


@pytest.fixture(scope="module", params=["short", pytest.param("defaults", marks=pytest.mark.full)], ids=str)
def run(
    request: pytest.FixtureRequest, resilient: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[support.Report, str, list[dict[str, Any]]]:
    """One run, in full also one at defaults, watched by the independent observer: report, screen, samples."""
    folder = tmp_path_factory.mktemp("reports")
    windows: dict[str, Any] = (
        {**support.SHORT, "database_sudden_death_crash_window_s": "6"} if request.param == "short" else {}
    )
    with support.observer() as samples:
        done = support.ansible(support.EXPERIMENT, chaos_report_dir=str(folder), **windows)
    seen = [json.loads(line) for line in samples.read_text().splitlines()]
    samples.unlink()
    assert done.returncode == 0, done.stdout[-8000:]
    return support.report(folder), done.stdout, seen


#: A sleep of 1 ms that wakes later than this, seconds, tells of a machine that others use too.
IDLE_S = 0.001

Run = tuple[support.Report, str, list[dict[str, Any]]]


def test_all_three_verdicts_pass_and_the_record_is_valid(run: Run) -> None:
    record = run[0].record
    jsonschema.validate(record, live.SCHEMA)
    assert record["outcome"] == "passed"
    assert record["verdicts"] == live.PASSED


def test_the_crash_is_proved_by_the_kernel_and_by_tcp(run: Run) -> None:
    crash = run[0].record["hosts"][0]["faults"][0]
    holding = [
        (proof["source"], proof["fact"], str(proof["value"])) for proof in crash["proof"] if proof["holds"]
    ]
    assert any(source == "kernel" and "signal 9" in fact for source, fact, _ in holding)
    assert any(source == "tcp" and "refused" in value.lower() for source, _, value in holding)


def test_the_kernel_saw_the_api_refused(run: Run) -> None:
    refused = [
        event for event in run[0].raw("bpf")
        if event["event"] == "CONN_FAILED" and event["errno"] == 111 and event["service"] == "trading-api"
    ]  # fmt: skip
    assert refused
    assert run[0].record["hosts"][0]["bpf"]["events"] > 0
    bpf_log = run[0].stem.with_name(f"{run[0].stem.name}.log.bpf").read_text()
    assert re.search(
        r"^\[\d\d:\d\d:\d\d\] CONN_FAILED +trading-api \(PID: \d+, errno: 111 ECONNREFUSED", bpf_log, re.M
    )
    assert len(bpf_log[bpf_log.index("Statistics") :].strip().splitlines()) <= 11


def test_the_ledger_agrees_with_the_database(run: Run) -> None:
    """Counts of acknowledged, lost, duplicated and silently applied orders, from the raw answers and from SQL."""
    host = run[0].record["hosts"][0]
    assert host["ledger"] == truth(run[0]) | {
        "shortest_visible_loss_ms": host["ledger"]["shortest_visible_loss_ms"]
    }
    assert host["ledger"]["lost"] == 0
    seconds = sum(moment(phase["ended_at"]) - moment(phase["started_at"]) for phase in host["phases"])
    assert host["load"]["requests"] >= 10 * seconds


def test_recovery_is_where_the_independent_observer_saw_it(run: Run) -> None:
    """Both intervals hold the instant of recovery, so they overlap."""
    report, _, seen = run
    for fault, identity in (("crash", "self_healing"), ("outage", "recovery")):
        low, high = interval(report, identity)
        assert fault == "crash" or "outage: last bad" in report.finding(identity)["evidence"]
        bad, good = recovery(seen, around=low)
        # the observer asks for readiness alone; an order placed at that instant is answered a little later
        slack = max(0.050, slowest_answer(report, good, good + 2))
        assert low <= good + slack, f"{fault}: ours begins at {low}, theirs ends at {good}"
        assert high >= bad - 0.002, f"{fault}: ours ends at {high}, theirs begins at {bad}"


@pytest.mark.full
@pytest.mark.parametrize("run", ["defaults"], indirect=True)
def test_the_recovery_interval_is_at_most_50_ms_wide(run: Run, tmp_path: Path) -> None:
    """The median of five recoveries: the two of the run at defaults, and three crashes with short windows."""
    widths, late = [], [jitter()]
    for name in ("self_healing", "recovery"):
        low, high = interval(run[0], name)
        widths.append(high - low)
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        late.append(jitter())
        only_crash: dict[str, Any] = {"chaos_baseline_s": "6", "database_sudden_death_outage": "false"}
        done = support.ansible(support.EXPERIMENT, chaos_report_dir=str(folder), **only_crash)
        assert done.returncode == 0, done.stdout[-4000:]
        low, high = interval(support.report(folder), "self_healing")
        widths.append(high - low)
    shown = ", ".join(f"{1000 * width:.0f}" for width in sorted(widths))
    said = f"widths {shown} ms; idle jitter of this machine {1000 * max(late):.1f} ms (99th percentile, worst of 4)"
    print(said)
    assert min(widths) >= 0
    if max(late) > IDLE_S:
        pytest.skip(f"this machine is not idle, so an absolute bound says nothing: {said}")
    assert median(widths) <= 0.050, said


def test_screen_and_log_end_with_what_was_found(run: Run) -> None:
    report, screen, _ = run
    for text in (screen, report.log):
        end = "\n".join(text.rstrip().splitlines()[-30:])
        for wanted in ("KEY FINDINGS", "FIVE QUESTIONS", "OUTCOME: PASSED", str(report.stem)):
            assert wanted in end


@pytest.mark.full
@pytest.mark.parametrize("run", ["defaults"], indirect=True)
def test_it_takes_at_most_75_seconds_most_of_them_waiting_on_purpose(run: Run) -> None:
    record = run[0].record
    assert moment(record["ended_at"]) - moment(record["started_at"]) <= 75
    split = re.search(r"([\d.]+) s of waiting on purpose, ([\d.]+) s of work", run[0].log)
    assert split is not None
    assert float(split[1]) > float(split[2])


def test_nothing_is_left_behind(run: Run) -> None:
    assert support.leftovers() == []
    assert not list((support.STATE / "records").glob("*")) if support.STATE.exists() else True


@pytest.mark.full
def test_a_fragile_exchange_fails_with_its_losses_counted(tmp_path: Path) -> None:
    """The same command: outcome failed, exit code not 0, and the very counts that the database gives.

    In `make test`: module/test_ledger counts losses against the database, module/test_lab_stack has an exchange lose
    orders, and each recorded run with a finding turned red is judged as failed.
    """
    support.lab("fragile")
    try:
        report = live.failed(
            support.EXPERIMENT, tmp_path, **support.QUICK, database_sudden_death_outage="false"
        )
        known = truth(report)
    finally:
        support.lab("resilient")
    counts = report.record["hosts"][0]["ledger"]
    assert {key: counts[key] for key in known} == known
    assert counts["lost"] > 0
    assert report.finding("data_loss")["value"] == known["lost"]
    assert report.finding("data_loss")["verdict"] == "fail"


def truth(report: support.Report) -> dict[str, int]:
    """The ledger, computed anew from the client's raw answers and from the orders in the database."""
    answers = [line for line in report.raw("load") if "n" in line]
    numbers = [line["n"] for line in answers]
    low, high = (f"100.{number:08d}" for number in (min(numbers), max(numbers)))
    rows = support.query(
        f"SELECT price FROM trading.orders WHERE symbol = 'CHAOS' AND price BETWEEN {low} AND {high}"
    )
    stored = Counter(int(row.split(".")[1]) for row in rows)
    acknowledged = {line["n"] for line in answers if line["ok"]}
    return {
        "acknowledged": len(acknowledged),
        "lost": sum(number not in stored for number in acknowledged),
        "duplicated": sum(count > 1 for count in stored.values()),
        "unacknowledged_applied": sum(number in set(numbers) - acknowledged for number in stored),
    }


def interval(report: support.Report, identity: str) -> tuple[float, float]:
    """The instants between which steady state returned, as a finding's evidence names them."""
    stamps = re.findall(r"(?:last bad|first good) (\S+Z)", report.finding(identity)["evidence"])
    assert len(stamps) == 2, report.finding(identity)
    return moment(stamps[0]), moment(stamps[1])


def jitter() -> float:
    """How late a sleep of 1 ms wakes up, 99th percentile of 500, in seconds."""
    late = []
    for _ in range(500):
        begun = time.perf_counter()
        time.sleep(0.001)
        late.append(time.perf_counter() - begun - 0.001)
    return sorted(late)[494]


def slowest_answer(report: support.Report, begin: float, end: float) -> float:
    """Seconds that the slowest acknowledged order took of those sent between two instants since the epoch."""
    anchor = next(line for line in report.raw_lines("load") if "anchor" in line)["anchor"]
    since = anchor["realtime"] - anchor["boottime"]
    answers = [line for line in report.raw("load") if line.get("ok") and begin <= line["sent"] + since <= end]
    return max((line["end"] - line["sent"] for line in answers), default=0.0)


def recovery(seen: list[dict[str, Any]], around: float) -> tuple[float, float]:
    """When the API was last seen not ready, and first seen ready, near an instant; its database's container runs."""
    samples = [sample for sample in seen if sample["what"] == "ready" and abs(sample["sent"] - around) < 8]
    last_bad = max(sample["sent"] for sample in samples if not sample["good"] and sample["sent"] < around + 1)
    first_good = min(sample["end"] for sample in samples if sample["good"] and sample["sent"] > last_bad)
    up = [sample for sample in seen if sample["what"] == "container" and sample["end"] <= first_good]
    assert up[-1]["good"], "the API was ready while the engine said that the database's container was down"
    return last_bad, first_good


def moment(stamp: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
