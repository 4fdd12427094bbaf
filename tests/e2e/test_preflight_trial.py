# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong address, user or symbol is known from preflight, where the owner asks for the trial order."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import support

pytestmark = pytest.mark.usefixtures("ready")
#: What the embedded exchange is, where nobody sets it.
EMBEDDED = yaml.safe_load((support.ROOT / "roles" / "chaos" / "vars" / "main.yml").read_text())
ORDER = EMBEDDED["__chaos_embedded_order"]


def preflight(folder: Path, **variables: Any) -> str:
    """What 00-preflight says, from its first line to its last; it must not fail."""
    given = folder / "variables.json"
    given.write_text(json.dumps({"chaos_trial": True, **variables}))
    done = subprocess.run(
        [*support.command("playbooks/00-preflight.yml"), "-e", f"@{given}"], cwd=support.ROOT,
        env=support.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def waiting() -> int:
    """How many of our orders wait in the exchange's book."""
    (count,) = support.query(
        "SELECT count(*) FROM trading.orders WHERE symbol = 'CHAOS' AND status IN ('PENDING', 'PARTIALLY_FILLED')"
    )
    return int(count)


@pytest.mark.full
def test_a_right_order_goes_in_and_is_taken_back(tmp_path: Path) -> None:
    before = waiting()
    said = preflight(tmp_path)
    assert "Trial order accepted in" in said
    assert "found in the database, cancelled" in said
    assert waiting() == before


@pytest.mark.full
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"chaos_order": {**ORDER, "path": "/nowhere"}}, "answered 404: that API has no such address"),
        ({"chaos_user_id": "00000000-0000-4000-8000-000000000000"}, "Check chaos_user_id, chaos_symbol"),
        ({"chaos_user_id": "nobody"}, "The API refused the trial order with status 400"),
        ({"chaos_api_url": "http://127.0.0.1:1"}, "check chaos_api_url"),
    ],
    ids=["path", "user", "no uuid", "address"],
)
def test_what_is_wrong_is_said_and_every_experiment_is_impossible(
    variables: dict[str, Any], words: str, tmp_path: Path
) -> None:
    said = preflight(tmp_path, **variables)
    assert words in said
    assert "impossible" in said
    assert " ready " not in said.partition("database_sudden_death")[2]


@pytest.mark.full
def test_without_being_asked_none_goes_in(tmp_path: Path) -> None:
    assert "Trial order" not in preflight(tmp_path, chaos_trial=False)
