# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine of another kind: one that maps the users of its containers to others of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shapes.engine import BRIDGE, FIRST, remapped_engine
from tests.shapes.project import Difference, Shaped
from tests.shapes.trait import Trait, require_right, run_experiment

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]
ITS_NETWORK = {"driver_opts": {"com.docker.network.bridge.name": BRIDGE}}
#: The engine's socket is named by the environment, which is another user's after sudo.
AS_WE_ARE = {"chaos_become": False}


def first_user(exchange: Shaped) -> int:
    """Who root in a container is, on this machine."""
    return int(exchange.execute("nginx", "cat", "/proc/self/uid_map").split()[1])


EXCHANGES = {
    "remapped": Difference(top={"networks": {"default": ITS_NETWORK}}, engine=remapped_engine),
}

TRAITS = {
    "users that are mapped to others": Trait(
        "remapped", lambda made: first_user(made) == FIRST, given=AS_WE_ARE,
        possible=(1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16),
    ),
}  # fmt: skip


@pytest.mark.parametrize("exchange", ["remapped"], indirect=True)
@pytest.mark.parametrize(
    ("experiment", "given"),
    [
        ("01-database-sudden-death", {}),
        ("06-connection-pool-exhaustion", {"connection_pool_exhaustion_hold_s": 4}),
    ],
)
def test_an_experiment_takes_effect_and_is_undone(
    exchange: Shaped, tmp_path: Path, experiment: str, given: dict[str, int]
) -> None:
    ran = run_experiment(experiment, exchange, tmp_path, **AS_WE_ARE, **given)
    host = ran.report.record["hosts"][0]
    assert host["bpf"]["status"] in ("attached", "absent"), host["bpf"]


def test_a_trait_works_or_is_refused_with_what_helps(trait: Trait, exchange: Shaped, tmp_path: Path) -> None:
    require_right(trait, exchange, tmp_path)
