# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short live runs of the experiments that kill services other than the database alone. No tests."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import support

SERVICES = ("postgres", "redis", "trading-api", "market-simulator", "nginx")
PASSED = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}


def ready() -> None:
    """Wait until the exchange is whole, with no record of an earlier test in the way."""
    support.forget_records()
    for service in SERVICES:
        support.healthy(service)


def run(playbook: str, folder: Path, *, passes: bool = True, **variables: str) -> support.Report:
    """Run an experiment with a short baseline; it must end as expected."""
    done = support.ansible(playbook, chaos_report_dir=str(folder), **support.QUICK, **variables)
    assert (done.returncode == 0) is passes, done.stdout[-6000:]
    return support.report(folder)


def verdicts(report: support.Report) -> dict[str, str]:
    """The verdict of each finding of the only host."""
    return {found["id"]: found["verdict"] for found in report.record["hosts"][0]["findings"]}


def passed(report: support.Report) -> None:
    """The outcome and all three verdicts are good, and nothing is left behind on the machine."""
    assert report.record["outcome"] == "passed"
    assert report.record["verdicts"] == PASSED
    assert "fail" not in verdicts(report).values()
    assert support.leftovers() == []
