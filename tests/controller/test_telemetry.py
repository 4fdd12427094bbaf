# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring is told of a run, in a real ansible-playbook: it is told, and whatever fails there is one warning."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.controller.test_callback import PLAYBOOK, Bench
from tests.unit.report.telemetry.test_metrics_file import value
from tests.unit.report.telemetry.test_spans import Collector

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def play(bench: Bench, python_path: str = "", **variables: Any) -> subprocess.CompletedProcess[str]:
    command, environment = bench.command(PLAYBOOK, **variables)
    if python_path:
        environment["PYTHONPATH"] = python_path
    return subprocess.run(
        command, env=environment, cwd=bench.folder, text=True, capture_output=True, timeout=120, check=False
    )


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the warnings of a run, each as one line."""
    text = re.sub(r"\s+", " ", done.stderr)
    return [each.strip() for each in text.split("[WARNING]:")[1:]]


def test_a_run_is_told_to_both(bench: Bench, tmp_path: Path) -> None:
    collector, path = Collector(), tmp_path / "chaos.prom"
    done = play(bench, otel_endpoint=collector.url, metrics_file=str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert collector.spans()[0].name == "chaos 01 Database sudden death"
    assert value(path, "run_outcome", outcome="passed") == 1
    collector.server.shutdown()


def test_neither_changes_what_a_run_comes_to(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "chaos.prom").write_text("somebody's")
    began = time.monotonic()
    done = play(bench, otel_endpoint=NOWHERE, metrics_file=str(tmp_path / "chaos.prom"))
    assert time.monotonic() - began < 60
    assert done.returncode == 0
    spans, metrics = warnings(done)
    assert spans.startswith(f"The spans of this run were not taken by {NOWHERE}/v1/traces")
    assert metrics.startswith("The metrics of this run were not written")
    assert "Traceback" not in done.stdout + done.stderr
    log = bench.file(".log").read_text()
    assert log.count("⚠ The spans of this run were not taken") == 1
    assert log.index("⚠ The spans") < log.index("KEY FINDINGS:")
    assert bench.file(".html").stat().st_size > 10_000
    assert (tmp_path / "chaos.prom").read_text() == "somebody's"


@pytest.mark.parametrize(
    ("missing", "variables", "package"),
    [
        ("opentelemetry", {"otel_endpoint": NOWHERE}, "opentelemetry-exporter-otlp-proto-http"),
        ("prometheus_client", {"metrics_file": "chaos.prom"}, "install prometheus_client"),
    ],
)
def test_without_the_library_one_warning_names_the_package(
    bench: Bench, tmp_path: Path, missing: str, variables: dict[str, str], package: str
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{missing}'\", name='{missing}')\n"
    )
    given = {key: str(tmp_path / each) if key == "metrics_file" else each for key, each in variables.items()}
    done = play(bench, str(hidden), **given)
    assert done.returncode == 0
    (told,) = warnings(done)
    assert f"has no {missing}" in told
    assert package in told
    assert "OUTCOME: PASSED" in done.stdout


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"otel_endpoint": "collector:4318"}, "chaos_otel_endpoint is 'collector:4318'"),
        ({"metrics_file": "/no/such/chaos.prom"}, "its folder does not exist on the controller"),
    ],
)
def test_what_is_no_destination_is_refused_before_anything_was_made(
    bench: Bench, variables: dict[str, str], sentence: str
) -> None:
    done = play(bench, **variables)
    assert done.returncode == 2
    assert sentence in done.stdout + done.stderr
    assert list(bench.reports.iterdir()) == []
