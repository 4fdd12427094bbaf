# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard: which limit is crossed, by what, and when there is too little to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abort_when
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir


def orders(good: int, bad: int, latency: float = 0.01, end: float | None = None) -> list[dict[str, Any]]:
    now = clock.read() if end is None else end
    line = {"at": now - latency, "sent": now - latency, "end": now}
    return [{**line, "ok": True}] * good + [{**line, "ok": False}] * bad


@pytest.mark.parametrize(
    ("limits", "readings", "crossed"),
    [
        ({"error_ratio": 0.5}, {"error_ratio": 0.51}, True),
        ({"error_ratio": 0.5}, {"error_ratio": 0.5}, False),
        ({"error_ratio": 0.0}, {"error_ratio": 0.1}, True),
        ({"free_disk_mb": 200}, {"free_disk_mb": 199.9}, True),
        ({"free_disk_mb": 200}, {"free_disk_mb": 201}, False),
        ({"free_memory_mb": 100}, {"free_memory_mb": 1e6}, False),
        ({"latency_ms": 500}, {"latency_ms": 501}, True),
        ({"latency_ms": 500}, {"latency_ms": None}, False),
        ({"latency_ms": None}, {"latency_ms": 9e9}, False),
        ({}, {"error_ratio": 1.0}, False),
    ],
)
def test_free_must_not_fall_below_and_the_others_not_rise_above(
    limits: dict[str, float | None], readings: dict[str, float | None], crossed: bool
) -> None:
    assert (abort_when.crossed_limit(limits, readings) is not None) is crossed


def test_the_reason_names_limit_reading_and_side() -> None:
    assert (
        abort_when.crossed_limit({"error_ratio": 0.5}, {"error_ratio": 0.75})
        == "error_ratio is 0.75, above its limit of 0.5"
    )
    assert (
        abort_when.crossed_limit({"free_disk_mb": 200}, {"free_disk_mb": 12.0})
        == "free_disk_mb is 12, below its limit of 200"
    )


def test_readings_of_orders() -> None:
    assert abort_when.order_readings(orders(15, 5)) == {"error_ratio": 0.25, "latency_ms": pytest.approx(10)}
    assert abort_when.order_readings(orders(0, 20)) == {"error_ratio": 1.0, "latency_ms": None}
    assert abort_when.order_readings(orders(19, 0)) == {"error_ratio": None, "latency_ms": None}


def test_the_latency_is_the_99th_percentile_of_good_orders_from_the_intended_time() -> None:
    slow = orders(2, 0, latency=0.9)
    readings = abort_when.order_readings([*orders(98, 0), *slow, *orders(0, 50, latency=5.0)])
    assert readings["latency_ms"] == pytest.approx(900)
    readings = abort_when.order_readings([*orders(199, 0), *orders(1, 0, latency=0.9)])
    assert readings["latency_ms"] == pytest.approx(10)


def test_only_the_last_seconds_count(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    write_json(run.file("spec.json"), {"abort_when": {"error_ratio": 0.2}})
    watching = abort_when.Guard(run)
    assert watching.crossed() is None
    writer = jsonl.Writer(run.file("load.jsonl"))
    writer.write(*orders(0, 100, end=clock.read() - 60))
    assert watching.crossed() is None, "an error of a minute ago says nothing of now"
    writer.write(*orders(100, 0))
    assert watching.crossed() is None
    writer.write(*orders(0, 100), {"summary": {"scheduled": 1}})
    assert "error_ratio is 0.5" in str(watching.crossed())


def test_every_disk_that_a_run_writes_to_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = "/engine"
    free = {engine: 900.0, str(tmp_path): 12.0}
    monkeypatch.setattr(abort_when, "free_disk_mb", free.get)
    run = RunDir(tmp_path)
    spec = {"abort_when": {"free_disk_mb": 200}, "facts": {"engine_root": engine}}
    write_json(run.file("spec.json"), spec)
    watching = abort_when.Guard(run)
    assert watching.crossed() == f"free_disk_mb is 12, below its limit of 200 (under {tmp_path})"
    free.update({engine: 11.0, str(tmp_path): 900.0})
    assert watching.crossed() == "free_disk_mb is 11, below its limit of 200 (under /engine)"
    free.update({engine: 900.0})
    assert watching.crossed() is None
    free.clear()
    assert watching.crossed() is None, "what nobody can tell crosses nothing"


def test_the_host_is_read_for_real(tmp_path: Path) -> None:
    assert 0 < float(abort_when.free_memory_mb() or 0) < 1e8
    assert 0 < float(abort_when.free_disk_mb(str(tmp_path)) or 0) < 1e10
    assert abort_when.free_disk_mb("/nowhere/at/all") is None
    assert abort_when.free_disk_mb("/proc") is None, "it tells no room, and is not full"
