# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of docs/writing-an-experiment.md is an experiment: it runs, it proves, and it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import support

EXAMPLE = support.ROOT / "docs" / "examples" / "market_data_outage"
SHORT = {**support.QUICK, "market_data_outage_s": "4"}


def test_an_experiment_of_ones_own_is_a_role_and_a_playbook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    support.lab()
    monkeypatch.setenv("ANSIBLE_ROLES_PATH", str(EXAMPLE / "roles"))
    playbook = str(EXAMPLE / "11-market-data-outage.yml")
    done = support.ansible(playbook, chaos_report_dir=str(tmp_path), **SHORT)
    assert done.returncode == 0, done.stdout[-4000:]
    record = support.report(tmp_path).record
    assert record["experiment"]["name"] == "market_data_outage"
    assert record["outcome"] == "passed"
    findings = {finding["id"]: finding for finding in record["hosts"][0]["findings"]}
    assert findings["prices"]["verdict"] == "pass"
    assert findings["degradation"]["value"] == "kept_serving"
    assert findings["data_loss"]["value"] == 0
