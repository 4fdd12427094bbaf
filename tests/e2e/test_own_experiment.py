# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of docs/writing-an-experiment.md is an experiment: it runs, it proves, and it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

EXAMPLE = support.ROOT / "docs" / "examples" / "market_data_outage"
SHORT = {**support.QUICK, "market_data_outage_s": "4"}


@pytest.mark.full  # in `make test`, test_own_fault plays a role and a playbook of one's own
def test_an_experiment_of_ones_own_is_a_role_and_a_playbook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    support.lab()
    monkeypatch.setenv("ANSIBLE_ROLES_PATH", str(EXAMPLE / "roles"))
    report = live.passed(str(EXAMPLE / "91-market-data-outage.yml"), tmp_path, **SHORT)
    assert report.record["experiment"]["name"] == "market_data_outage"
    assert report.finding("prices")["verdict"] == "pass"
    assert report.finding("degradation")["value"] == "kept_serving"
    assert report.finding("data_loss")["value"] == 0
