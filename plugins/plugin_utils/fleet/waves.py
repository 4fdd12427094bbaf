# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blast radius: which of the chosen hosts are touched, in which waves, and when the next wave may begin. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...module_utils.common.shapes import Recorded
from .guard_rails import TargetError

#: Seconds that a slice of a window lasts at most where several hosts share a wave: siblings learn of an abort after it.
SLICE_S = 2.0
#: Seconds that the siblings' next pass takes at most, for as many hosts as the bound is promised for.
PASS_S, PASS_HOSTS = 5.0, 5
_NO_LIMIT_S = 3600.0
_COUNT = re.compile(r"[1-9]\d*")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True)
class Radius:
    """Who is touched: the chosen hosts in the order of the pattern, those drawn of them (in their waves), the seed."""

    chosen: Sequence[str]
    waves: Sequence[Sequence[str]]
    seed: str

    @property
    def hosts(self) -> list[str]:
        """Return the hosts that are touched, in the order of their waves."""
        return [host for wave in self.waves for host in wave]

    def facts(self) -> dict[str, Any]:
        """Return what the lifecycle needs of it, as the fact ``chaos_run`` has it."""
        return {
            "hosts": self.hosts,
            "waves": [list(wave) for wave in self.waves],
            "wave_of": {host: number for number, wave in enumerate(self.waves, 1) for host in wave},
            "serial": [len(wave) for wave in self.waves],
            "slices": [slice_limit(len(wave)) for wave in self.waves],
            "seed": self.seed,
        }


def count_hosts(name: str, value: object, hosts: int) -> int:
    """Return how many of ``hosts`` a count (3) or a percentage ("20%", rounded down, at least one) means.

    Raises TargetError naming the variable ``name``.
    """
    text = str(value).strip()
    share = _SHARE.fullmatch(text)
    if share and 0 < float(share.group(1)) <= 100:
        return max(1, int(float(share.group(1)) * hosts / 100))
    if _COUNT.fullmatch(text):
        return int(text)
    raise TargetError(
        f"{name} has {text!r}; it must be a number of hosts from 1 on, or a percentage above 0% and up to 100%."
    )


def draw_sample(hosts: Sequence[str], wanted: str, seed: str) -> list[str]:
    """Return the drawn hosts, in the order of ``hosts``; all of them when ``wanted`` is empty.

    The same seed draws the same hosts on any machine, and a larger sample holds the smaller one: each host has a place
    of its own, the digest of seed and name, and the first places win. Raises TargetError on a sample that is none.
    """
    if not wanted.strip():
        return list(hosts)
    count = count_hosts("chaos_sample", wanted, len(hosts))
    if count > len(hosts):
        raise TargetError(
            f"chaos_sample is {wanted}, and chaos_targets has {len(hosts)} hosts; ask for no more than that."
        )
    drawn = set(sorted(hosts, key=lambda host: hashlib.sha256(f"{seed}:{host}".encode()).digest())[:count])
    return [host for host in hosts if host in drawn]


def split_waves(hosts: Sequence[str], sizes: Sequence[object]) -> list[list[str]]:
    """Return the waves. Percentages are of all ``hosts``; the last size repeats until every host has its wave.

    Without sizes there is one wave. Raises TargetError on a size that is none.
    """
    counts = [count_hosts("chaos_waves", each, len(hosts)) for each in sizes] or [len(hosts)]
    waves: list[list[str]] = []
    begun = 0
    while begun < len(hosts):
        count = counts[min(len(waves), len(counts) - 1)]
        waves.append(list(hosts[begun : begun + count]))
        begun += count
    return waves


def slice_limit(hosts: int) -> float:
    """Return the longest slice of a window in a wave of so many hosts, seconds; alone, a host sets its own."""
    return SLICE_S if hosts > 1 else _NO_LIMIT_S


def check_engine(waves: Sequence[Sequence[str]], forks: int, strategy: str, *, simultaneous: bool) -> None:
    """Raise TargetError when Ansible, as it is set, cannot run these waves.

    A host beyond the forks would begin its window when that of another has ended, and its fault be overdue by then.
    Only the linear strategy has all hosts of a wave at its end before the next begins, and at one task together, which
    is where they agree on an instant.
    """
    for number, wave in enumerate(waves, 1):
        if len(wave) > forks:
            raise TargetError(
                f"Wave {number} has {len(wave)} hosts, and Ansible works on {forks} at a time: give -f {len(wave)} "
                f"(or ANSIBLE_FORKS={len(wave)}), or make chaos_waves smaller."
            )
    if strategy.rpartition(".")[2] == "linear":
        return
    if len(waves) > 1:
        raise TargetError(
            f"Several waves need Ansible's linear strategy, and it is set to {strategy}; "
            "unset it, or run all hosts in one wave."
        )
    if simultaneous:
        raise TargetError(
            f"One instant for all hosts (chaos_simultaneous) needs Ansible's linear strategy, and it is set to "
            f"{strategy}, with which each would take one of its own; unset it, or do without chaos_simultaneous."
        )


def describe_plan(radius: Radius, *, pattern: str, simultaneous: bool) -> list[str]:
    """Return the plan for people, a sentence a line."""
    several = len(radius.hosts) > 1
    if len(radius.chosen) == 1 and not several:
        return [f"Plan: {radius.hosts[0]} alone is touched"]
    drawn = f", drawn with chaos_sample_seed={radius.seed}" if radius.seed else ""
    lines = [f"Plan: {len(radius.hosts)} of the {len(radius.chosen)} hosts of {pattern}{drawn}"]
    for number, wave in enumerate(radius.waves, 1):
        condition = "" if number == 1 else f", if wave {number - 1} passed"
        lines.append(f"Wave {number} of {len(radius.waves)}{condition}: {', '.join(wave)}")
    largest = max(len(wave) for wave in radius.waves)
    if largest > 1:
        lines.append(
            "Each fault begins on all hosts of a wave at one agreed time"
            if simultaneous
            else "Each fault begins on each host of a wave as soon as Ansible comes to it"
        )
        known = f", {SLICE_S + PASS_S:g} s at most" if largest <= PASS_HOSTS else ""
        lines.append(
            f"A host that aborts stops the others of its wave within a slice of {SLICE_S:g} s and one pass{known}"
        )
    return lines


def may_continue(outcome: str, *, may_skip: bool) -> bool:
    """Return whether a host with this outcome lets the next wave begin."""
    return outcome == "passed" or (may_skip and outcome == "skipped")


def decide_gate(
    number: int, waves: Sequence[Sequence[str]], outcomes: Mapping[str, str], *, may_skip: bool
) -> tuple[bool, str]:
    """Return whether the wave after ``number`` may begin, and the sentence that says so.

    outcomes: of the hosts of wave ``number``; a host that has none, or an empty one, did not pass.
    """
    wave, rest = waves[number - 1], waves[number:]
    bad = not_passed(wave, outcomes, may_skip=may_skip)
    if not rest:
        return True, ""
    if not bad:
        return True, f"Wave {number} of {len(waves)} passed; wave {number + 1} begins: {', '.join(rest[0])}"
    hosts = [host for each in rest for host in each]
    untouched = f"{'host' if len(hosts) == 1 else f'{len(hosts)} hosts'} of the waves after it"
    return False, (
        f"Wave {number} of {len(waves)} did not pass ({', '.join(bad)}), so no further wave begins: "
        f"the {untouched} {'is' if len(hosts) == 1 else 'are'} not touched"
    )


def not_passed(hosts: Sequence[str], outcomes: Mapping[str, str], *, may_skip: bool) -> list[str]:
    """Return ``host: outcome`` of each host that keeps the next wave from beginning."""
    told = {host: outcomes.get(host) or "no outcome" for host in hosts}
    return [
        f"{host}: {outcome}" for host, outcome in told.items() if not may_continue(outcome, may_skip=may_skip)
    ]


def _name_record(record: Any, host: str, wave: int) -> Recorded:
    """Return a host's record under the name and in the wave that it has here, whatever it says of itself."""
    if not record:
        return {}
    known = {"host": host, "wave": wave}
    return {**record, **known} if isinstance(record, Mapping) else known


def gather_records(
    told: Sequence[Sequence[Any]], run: Mapping[str, Any], may_skip: bool = False
) -> dict[str, Any]:
    """Return the run's records, and what is known of the hosts without one, for the report.

    told: (host, the run it last was part of, its record, its problem) each; facts outlive a play, so what a host tells
    of an earlier run does not count. run: the fact ``chaos_run``.
    Returns hosts (records), without_record (pairs of host and {outcome, reason, wave}), refused (names of hosts whose
    problem is more than being skipped).
    """
    begun = {
        str(host): (_name_record(record, str(host), run["wave_of"][host]), problem)
        for host, run_id, record, problem in told
        if run_id == run["run_id"]
    }
    outcomes = {
        host: str((record or {}).get("outcome") or (problem or {}).get("outcome") or "")
        for host, (record, problem) in begun.items()
    }
    last = max((run["wave_of"][host] for host in begun), default=0)
    bad = not_passed(run["waves"][last - 1], outcomes, may_skip=may_skip) if last else []
    without = []
    for host in run["hosts"]:
        record, problem = begun.get(host, ({}, {}))
        if record:
            continue
        wave = run["wave_of"][host]
        if wave > last > 0:
            reason = (
                f"Not touched: wave {last} did not pass ({', '.join(bad)}), so wave {wave} did not begin."
            )
            problem = {"outcome": "skipped", "reason": reason}
        without.append([host, {**(problem or {}), "wave": wave}])
    return {
        "hosts": [record for record, _problem in begun.values() if record],
        "without_record": without,
        "refused": [
            host for host, problem in without if problem.get("outcome") not in (None, "skipped", "passed")
        ],
    }
