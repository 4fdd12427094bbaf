# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Complete a run's record with what its hosts kept: which record to go on from, who owes, what comes of it."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.common.files import open_regular, read_regular
from ...module_utils.evidence.evidence import Evidence
from ...module_utils.judge import unjudged
from ...module_utils.judge.record import run_bounds
from . import rejudge, report_files, spread
from .merge import merge_hosts
from .missing_host import make_missing_host, owes_record
from .read import RecordError, load_record, own_users, sound_host

Record = dict[str, Any]
AWAY = "it cannot be reached"
OUT_OF_REACH = "The host was not reached, neither at the end of the run nor when it was collected."
NOTHING_THERE = (
    "The host holds nothing of this run: it never began there, or its record was collected or is too old."
)
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")


class CollectError(Exception):
    """What was asked for cannot be done; the message is one sentence for people."""


@dataclass(frozen=True)
class CollectionPlan:
    """Where to go on from. base: path of the record, empty if the run left none; source: the stem of what there is
    (raw samples beside it); stem: that of what will be written; hosts: who owes a record."""

    run_id: str
    base: str
    source: str
    stem: str
    hosts: list[str]


@dataclass
class Found:
    """What came of asking: host records by name, hosts that have nothing, and why others still wait.

    again: of the hosts that were judged again, the stem beside which their raw samples lie.
    """

    records: dict[str, Record] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)


def from_record(path: str) -> CollectionPlan:
    """Plan from a record; one that was completed since then is gone on from instead. Raises RecordError."""
    path = os.path.abspath(path)
    record = load_record(path)
    source = path.removesuffix(".json")
    root = _root(record["run_id"], source)
    base, record = min(
        [(path, record), *_siblings(root, record["run_id"], path)],
        key=lambda each: sum(map(owes_record, each[1]["hosts"])),
    )
    hosts = [str(host["host"]) for host in record["hosts"] if owes_record(host)]
    return CollectionPlan(record["run_id"], base, base.removesuffix(".json"), free_stem(root), hosts)


def from_run(run_id: str, folder: str, hosts: Sequence[str]) -> CollectionPlan:
    """Plan for a run by its id: from its record if there is one in ``folder``, else from nothing but its hosts.

    Raises CollectError for an id that is none.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise CollectError(f"{run_id!r} is no run id: exp-01-20261123-180000 is one.")
    root = os.path.join(os.path.abspath(folder), f"chaos-{run_id}")
    known = _siblings(root, run_id)
    if known:
        return from_record(known[0][0])
    return CollectionPlan(run_id, "", root, free_stem(root), list(hosts))


def _siblings(root: str, run_id: str, but: str = "") -> list[tuple[str, Record]]:
    """Return the records of a run that lie beside each other, by path."""
    found = []
    for path in sorted(glob.glob(f"{glob.escape(root)}*.json")):
        with contextlib.suppress(RecordError):
            record = load_record(path) if path != but else {}
            if record.get("run_id") == run_id:
                found.append((path, record))
    return found


def _root(run_id: str, stem: str) -> str:
    """Return the first stem of a run, of which ``stem`` is one; a record that was renamed begins anew."""
    root = os.path.join(os.path.dirname(stem), f"chaos-{run_id}")
    return root if stem.startswith(root) else stem


def _stems(root: str) -> Iterator[str]:
    """Yield ``root``, root-2, root-3, …"""
    return itertools.chain([root], (f"{root}-{attempt}" for attempt in itertools.count(2)))


def _taken(stem: str) -> bool:
    return bool(glob.glob(f"{glob.escape(stem)}.*"))


def free_stem(root: str) -> str:
    """Return ``root`` if there is no file of that stem, else the first free one of root-2, root-3, …"""
    return next(stem for stem in _stems(root) if not _taken(stem))


def _sources(plan: CollectionPlan) -> list[str]:
    """Return the stems beside which raw samples of the run may lie: an earlier collection may have been killed, too."""
    others = itertools.takewhile(
        lambda stem: stem != plan.stem and _taken(stem), _stems(_root(plan.run_id, plan.source))
    )
    return list(dict.fromkeys([plan.source, *others]))


def sort_answers(plan: CollectionPlan, answers: Mapping[str, Mapping[str, Any]]) -> Found:
    """Return what the hosts answered, each by its name; who did not is judged again from raw samples, or waits."""
    found = Found()
    for host in plan.hosts:
        answer = answers.get(host) or {}
        if answer.get("host_record"):
            found.records[host] = _believed(answer["host_record"], host)
            continue
        stem, seen = _left(plan, host)
        if seen is not None:
            found.again[host] = stem
            found.records[host] = {**unjudged.safe_record(seen), "host": host}
        elif answer.get("asked") and not answer.get("problem"):
            found.empty.append(host)
        elif answer.get("unreachable"):
            found.waiting[host] = AWAY
        else:
            found.waiting[host] = str(
                answer.get("problem")
                or answer.get("msg")
                or "it was not asked: is it in the inventory, or limited away?"
            )
    return found


def _believed(answer: Any, host: str) -> Record:
    """Return what a host sent as its record, by the name it has here; one that is none is that host's ``invalid``."""
    return sound_host({**answer, "host": host} if isinstance(answer, dict) else {"host": host})


def _left(plan: CollectionPlan, host: str) -> tuple[str, Evidence | None]:
    """Return what raw samples of a host there are here, and their stem; None without any of this run."""
    for stem in _sources(plan):
        seen = rejudge.unpack_evidence(stem, host)
        if seen is not None and seen.spec.run_id == plan.run_id:
            return stem, seen
    return "", None


def complete_record(plan: CollectionPlan, found: Found) -> Record:
    """Return the record of the run with what was found. Raises RecordError, and CollectError without any sample."""
    if plan.base:
        base = load_record(plan.base)
        hosts = [found.records.get(host["host"], host) for host in base["hosts"]]
        keys = ("run_id", "experiment", "started_at", "ended_at", "collection_version")
        return merge_hosts(
            hosts, **{key: base[key] for key in keys}, spread_ms=spread.read_limit(base["hosts"])
        )
    known = [rejudge.unpack_evidence(found.again.get(host, plan.stem), host) for host in found.records]
    seen = [each for each in known if each is not None]
    if not seen:
        raise CollectError(
            f"The hosts gave their records of run {plan.run_id}, but no raw samples: what ran is not known."
        )
    stubs = [make_missing_host(host, "invalid", NOTHING_THERE) for host in found.empty]
    stubs += [make_missing_host(host, "aborted", OUT_OF_REACH) for host in found.waiting]
    spec = seen[0].spec
    return merge_hosts(
        [*found.records.values(), *stubs],
        run_id=plan.run_id,
        experiment=spec.experiment.to_data(),
        started_at=min(run_bounds(each)[0] for each in seen),
        ended_at=max(run_bounds(each)[1] for each in seen),
        collection_version=spec.collection_version,
    )


def _is_ours(path: str) -> bool:
    """Return whether a file beside a report is a regular one of a user who is believed."""
    try:
        open_regular(path, owners=own_users()).close()
    except OSError:
        return False
    return True


def carry_samples(plan: CollectionPlan, found: Found) -> None:
    """Give the raw samples that the new record rests on its stem too, so that it is whole.

    A link where the file system has them, a copy elsewhere. Raises FileError.
    """
    wanted = [
        (plan.source, "*"),
        *((stem, report_files.raw_name(host)) for host, stem in found.again.items()),
    ]
    for stem, host in wanted:
        for path in sorted(glob.glob(f"{glob.escape(stem)}.{host}.*.jsonl.gz")):
            target = f"{plan.stem}{path[len(stem) :]}"
            if os.path.lexists(target) or not _is_ours(path):
                continue
            try:
                os.link(path, target, follow_symlinks=False)
            except OSError:
                with contextlib.suppress(OSError):
                    report_files.create_bytes(target, read_regular(path, owners=own_users()))
