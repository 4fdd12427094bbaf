# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of fleets, made of the sample records: each host has values of its own, so that mixing them up shows."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.exchange.chaos.plugins.plugin_utils.record.merge import merge_hosts
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.missing_host import make_missing_host

DATA = Path(__file__).parent / "data"
Record = dict[str, Any]
NOT_BEGUN = "Its wave never began: host-1 failed in wave 1."
UNREACHABLE = "The host could not be reached any more in the fault window."


def sample(name: str) -> Record:
    """Return one of the sample records."""
    record: Record = json.loads((DATA / f"record-{name}.json").read_text())
    return record


def host(number: int, name: str = "passed", wave: int = 1) -> Record:
    """Return a host of its own: recovery, latencies, orders and clock depend on its number."""
    made: Record = copy.deepcopy(sample(name)["hosts"][0])
    seconds = round(0.3 + number / 10, 3)
    made.update(host=f"host-{number}", wave=wave)
    made["clock"] = {"offset_ms": round((-1) ** number * number * 1.25, 2), "uncertainty_ms": 0.4}
    if made["questions"]["recovery_s"] is not None:
        made["questions"]["recovery_s"] = seconds
    for finding in made["findings"]:
        if finding["id"] == "recovery" and finding["value"] is not None:
            finding["value"] = [round(seconds - 0.05, 3), seconds]
        if str(finding["unit"]).startswith("of "):
            finding["unit"] = f"of {1000 + number} orders"
    made["ledger"]["acknowledged"] = 1000 + number if made["ledger"]["acknowledged"] is not None else None
    return made


def unreachable(number: int, wave: int = 1) -> Record:
    """Return what is known of a host that was lost in the window."""
    return make_missing_host(f"host-{number}", "aborted", UNREACHABLE, wave)


def not_begun(number: int, wave: int = 2) -> Record:
    """Return what is known of a host whose wave never began."""
    return make_missing_host(f"host-{number}", "skipped", NOT_BEGUN, wave)


def record(hosts: Iterable[Record]) -> Record:
    """Return the record of a run on these hosts, as the controller merges it."""
    base = sample("passed")
    keys = ("run_id", "experiment", "started_at", "ended_at", "collection_version")
    return merge_hosts(list(hosts), **{key: base[key] for key in keys})


def three() -> Record:
    """Return two that passed and one, the second, that failed."""
    failed = host(2, "failed")
    failed["leftovers"], failed["verdicts"]["restored"] = [], "pass"
    return record([host(1), failed, host(3)])


def fifty() -> Record:
    """Return 45 that passed, two that failed, one invalid, one unreachable, one not restored."""
    hosts = {number: host(number, wave=1 + number // 25) for number in range(1, 51)}
    for number in (7, 31):
        hosts[number] = host(number, "failed", 1 + number // 25)
        hosts[number]["leftovers"], hosts[number]["verdicts"]["restored"] = [], "pass"
    hosts[12] = host(12, "failed")
    hosts[40] = host(40, "invalid", 2)
    hosts[44] = unreachable(44, 2)
    return record(hosts.values())
