# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What proves that the kernel killed for want of memory: a process of the target's, and not ours that filled it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Proof
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import memory
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import container_end

from tests.unit.containers import target

VICTIM = {"pid": 4711, "comm": "python3", "t": 12.0}


@pytest.mark.parametrize(
    ("found", "proved"),
    [
        ({"kills": 1, "victims": [VICTIM]}, {"oom": True, "victim": True}),
        ({"kills": 1, "victims": []}, {"oom": True, "victim": False}),
        ({"kills": 0, "victims": [VICTIM]}, {"oom": False, "victim": False}),
        ({"kills": 0, "victims": []}, {"oom": False, "victim": False}),
    ],
    ids=["the target's", "our own", "ended by itself", "nobody"],
)
def test_a_kill_counts_only_if_a_process_of_the_target_ended(
    found: dict[str, Any], proved: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Proof("engine", "it ended", True, 12.0, True)
    monkeypatch.setattr(container_end, "prove_ended", lambda *_given: ended)
    proofs: Any = memory._proofs(target("trading-api"), found, None)  # type: ignore[arg-type]
    required = {one.name for one in memory.KIND.required}
    assert {one.name: one.holds for one in proofs if one.name in required} == proved
