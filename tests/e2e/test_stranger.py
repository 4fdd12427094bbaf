# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger's first ten minutes: an exchange never seen, in another stack, from its name to a first verdict.

By the README alone: discover, look at the inventory, preflight, placebo, experiment 01; and once more with the
project's name and nothing else.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import support
from tests.e2e.bourse_stack import SECRET, Bourse, bourse

pytestmark = pytest.mark.full
#: The whole way of a stranger, s.
FIRST_TEN_MINUTES = 600
ALONE = "Not set, and found on this host: "


@pytest.fixture(scope="module")
def exchange() -> Iterator[Bourse]:
    with bourse() as made:
        yield made


@pytest.fixture(scope="module")
def took() -> Iterator[dict[str, float]]:
    """How long each step took, s; printed at the end."""
    found: dict[str, float] = {}
    yield found
    for step, seconds in found.items():
        print(f"{step:<40} {seconds:6.1f} s")
    print(f"{'together':<40} {sum(found.values()):6.1f} s")


def run_step(
    took: dict[str, float], step: str, playbook: str, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook as a stranger does, and keep how long it took."""
    began = time.monotonic()
    done = subprocess.run(
        [*support.command(playbook, **variables), *words], cwd=support.ROOT, env=support.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=400,
    )  # fmt: skip
    took[step] = time.monotonic() - began
    print(f"\n$ ansible-playbook {playbook} {' '.join(words)}\n{done.stdout}")
    assert done.returncode == 0, done.stdout[-6000:]
    assert SECRET not in done.stdout
    return done


@pytest.fixture(scope="module")
def inventory(exchange: Bourse, took: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory that discover writes."""
    path = tmp_path_factory.mktemp("stranger") / "found.yml"
    run_step(
        took, "discover", "playbooks/discover.yml",
        chaos_project=exchange.project, discover_inventory=str(path), discover_trial="true",
    )  # fmt: skip
    return path


def judged(folder: Path) -> dict[str, Any]:
    """The record of the only run in a folder: the fault was seen, all is as before, and the exchange was judged."""
    record = support.report(folder).record
    assert record["outcome"] in ("passed", "failed"), record["hosts"][0]["notes"]
    assert (record["verdicts"]["effect"], record["verdicts"]["restored"]) == ("pass", "pass"), record[
        "verdicts"
    ]
    assert SECRET not in support.report(folder).log
    return record


def test_discover_leaves_at_most_one_thing_open(inventory: Path) -> None:
    text = inventory.read_text()
    assert text.count("# fill in:") <= 1, text
    assert SECRET not in text
    known = yaml.safe_load(text)["exchange"]["vars"]
    assert known["chaos_services"] == {
        "database": "ledger",
        "cache": "valkey",
        "api": "gate",
        "proxy": "edge",
    }
    assert known["chaos_ports"] == {"database": 5544, "cache": 6380, "api": 8000, "proxy": 8090}
    assert known["chaos_order"]["path"] == "/v2/order-entries"
    assert (known["chaos_user_id"], known["chaos_symbol"]) == ("3", "TESTCO")


def test_its_inventory_runs_preflight_placebo_and_the_first_experiment(
    inventory: Path, took: dict[str, float], tmp_path: Path
) -> None:
    found = ("-i", str(inventory))
    done = run_step(took, "preflight", "playbooks/00-preflight.yml", *found, chaos_trial="true")
    assert "01  Database sudden death       ✓ ready" in done.stdout
    for number, playbook in ((0, "playbooks/00-placebo.yml"), (1, support.EXPERIMENT)):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_step(took, Path(playbook).stem, playbook, *found, chaos_report_dir=str(folder))
        assert "filled" not in judged(folder)["hosts"][0]
    assert sum(took.values()) < FIRST_TEN_MINUTES


def test_the_name_of_the_project_alone_is_enough(
    exchange: Bourse, took: dict[str, float], tmp_path: Path
) -> None:
    done = run_step(
        took, "01 with chaos_project alone", support.EXPERIMENT,
        chaos_project=exchange.project, chaos_report_dir=str(tmp_path),
    )  # fmt: skip
    assert "chaos_services: database ledger, cache valkey, api gate, proxy edge" in done.stdout
    (host,) = judged(tmp_path)["hosts"]
    how = {one["variable"]: one["how"] for one in host["filled"]}
    assert "process postgres listens on port 5544" in how["chaos_services"]
    assert "/openapi.json" in how["chaos_order"]
    assert any(note.startswith(ALONE) for note in host["notes"])


def test_what_is_set_overrides_what_would_be_found(exchange: Bourse, took: dict[str, float]) -> None:
    done = run_step(
        took, "01 --check, with a symbol of one's own", support.EXPERIMENT, "--check",
        chaos_project=exchange.project, chaos_symbol="GLOBEX",
    )  # fmt: skip
    assert '"instrument": "GLOBEX"' in done.stdout
    assert "chaos_symbol:" not in done.stdout


def test_where_nobody_is_for_tests_a_user_is_asked_for_and_no_order_sent(
    exchange: Bourse, took: dict[str, float]
) -> None:
    count = "SELECT count(*) FROM trades.order_entries"
    before = exchange.query(count)
    exchange.query("UPDATE trades.members SET handle = 'merlin' WHERE handle = 'desk-test'")
    try:
        done = run_step(
            took, "preflight, without a user for tests", "playbooks/00-preflight.yml",
            chaos_project=exchange.project, chaos_trial="true",
        )  # fmt: skip
    finally:
        exchange.query("UPDATE trades.members SET handle = 'desk-test' WHERE handle = 'merlin'")
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("01 ")]
    assert "impossible  Not set, and not found on this host: chaos_user_id (tried: there is " in row
    assert "nobody said that it may be used" in row
    assert exchange.query(count) == before
