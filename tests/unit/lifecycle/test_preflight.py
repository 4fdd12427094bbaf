# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight's last line says of a host: nothing that was not looked at, and nothing that was not done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abandoned
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.preflight import Report
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines
from ansible_collections.exchange.chaos.plugins.modules import preflight

RUN = "exp-01-20261123-180000"


def examined(state: Path, *, act: bool = True) -> dict[str, Any]:
    parameters = {
        "state_dir": str(state), "project": "lab", "remote": True, "experiments": [], "load": None, "database": {},
    }  # fmt: skip
    return preflight.examine_host(parameters, Lines(), act=act)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with consent and engine."""
    monkeypatch.setattr(preflight.preflight, "check_host", lambda say, **_given: (Report(say), None))


def test_a_host_that_is_not_let_in_is_not_called_clean_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any, **_named: Any) -> None:
        raise ChaosError("no consent")

    monkeypatch.setattr(preflight.preflight, "check_host", refuse)
    assert examined(tmp_path)["clean"] is True
    (tmp_path / "runs" / RUN).mkdir(parents=True)
    assert examined(tmp_path)["clean"] is False


@pytest.mark.usefixtures("ready")
def test_a_run_that_resists_is_not_cleaned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resist(*_given: Any, **_named: Any) -> int:
        raise ChaosError("could not be ended")

    (tmp_path / "runs" / RUN).mkdir(parents=True)
    monkeypatch.setattr(abandoned, "end_abandoned", resist)
    assert examined(tmp_path)["clean"] is False


@pytest.mark.usefixtures("ready")
def test_the_record_of_a_run_ended_just_now_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_given: Any, **_named: Any) -> int:
        (tmp_path / "records" / RUN).mkdir(parents=True)
        return 1

    monkeypatch.setattr(abandoned, "end_abandoned", end)
    found = examined(tmp_path)
    assert (found["clean"], found["uncollected"]) == (False, [RUN])


@pytest.mark.parametrize(
    ("clean", "acted", "words"),
    [
        (True, True, "The host is clean; "),
        (False, True, "cleaned of what"),
        (False, False, "not clean of what"),
    ],
)
def test_what_was_only_looked_at_was_not_cleaned(clean: bool, acted: bool, words: str) -> None:
    assert words in preflight.render_closing({"clean": clean, "uncollected": []}, acted=acted)
