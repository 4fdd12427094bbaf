# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the records of the hosts to the record of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import spread
from .spread import LIMIT_MS

Record = dict[str, Any]

# Worst first. A host that was skipped has shown nothing, so it weighs more than one that passed.
OUTCOMES = ("aborted", "invalid", "failed", "skipped", "passed")
VERDICTS = ("fail", "unknown", "pass")
QUESTIONS = ("effect", "hypothesis", "restored")


def worst_verdict(verdicts: Iterable[str]) -> str:
    """Return the worst of some verdicts: fail before unknown before pass; unknown if there are none."""
    return min(verdicts, key=VERDICTS.index, default="unknown")


def worst_outcome(hosts: Sequence[Mapping[str, Any]]) -> str:
    """Return the outcome of a run: not restored > aborted > invalid > failed > skipped > passed.

    A host that is not restored makes the run ``failed``, whatever else happened. Raises ValueError without hosts.
    """
    if any(host["verdicts"]["restored"] == "fail" for host in hosts):
        return "failed"
    return min((str(host["outcome"]) for host in hosts), key=OUTCOMES.index)


def merge_hosts(
    hosts: Sequence[Record],
    *,
    run_id: str,
    experiment: Mapping[str, Any],
    started_at: str,
    ended_at: str,
    collection_version: str,
    spread_ms: float = LIMIT_MS,
) -> Record:
    """Return the record (version 1) of a run on ``hosts``, in the order in which their waves ran.

    ``spread_ms``: how far apart hosts that agreed on an instant may have been hit.
    Raises ValueError when there is no host: a run of nothing has no record.
    """
    if not hosts:
        raise ValueError("a record needs at least one host")
    hosts = spread.add_spread(hosts, spread_ms)
    return {
        "schema_version": 1,
        "run_id": run_id,
        "experiment": {key: experiment[key] for key in ("number", "name", "title")},
        "started_at": started_at,
        "ended_at": ended_at,
        "outcome": worst_outcome(hosts),
        "verdicts": {key: worst_verdict(host["verdicts"][key] for host in hosts) for key in QUESTIONS},
        "open_questions": sorted({text for host in hosts for text in host.get("open_questions") or []}),
        "collection_version": collection_version,
        "hosts": sorted(hosts, key=lambda host: host["wave"]),
    }
