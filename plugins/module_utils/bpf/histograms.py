# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs keep in the kernel, by phase of the run, as lines of histograms.jsonl.

The kernel counts under the number of an epoch. A phase of the run that begins (or two seconds that have gone by)
raises the number; a moment later, when no program can still hold the old one, everything below it is read and
deleted. So nothing is counted twice or in the wrong phase, owners are asked for while they are still known, and the
kernel's map stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..common import clock
from ..common.shapes import Line
from ..host.docker_socket import ListedContainer
from ..run import timeline
from .attribution import Owner, Unresolved
from .program import Series

#: Bits of an owner (files/bpf/histograms.c): a process, a network namespace; without them a cgroup.
_PID, _NETNS = 1 << 63, 1 << 62
_COLLECT_S = 2.0
#: A program that began before the number was raised has long ended by then.
_SETTLE_S = 0.04
#: What nobody owns by then belongs to nobody of the exchange.
_RESOLVE_S = 1.5
#: More lines than this are counted and not written; more keys of one series and service go into one line.
MOST_LINES = 5000
MOST_KEYS = 48


@dataclass(frozen=True)
class Bucket:
    """One entry of the kernel's map; slot: 0 below 1, n from 2^(n-1) on, below 2^n."""

    epoch: int
    owner: int
    series: int
    detail: int
    slot: int
    count: int
    sum: int
    max: int


class BucketSource(Protocol):
    """Where buckets come from."""

    def set_epoch(self, number: int) -> None:
        """Have the kernel count under this number from now on."""

    def take_buckets(self, below: int) -> list[Bucket]:
        """Return the buckets of epochs below a number, and delete them."""

    def forget_cgroup(self, cgroup: int) -> None:
        """Tell the kernel that a cgroup is not the exchange's."""


class OwnerLookup(Protocol):
    """Who owns what."""

    def owner(self, pid: int, netns: int, cgroup: int) -> Owner:
        """Return the container of a record's process, namespace or cgroup."""

    def is_named(self, cgroup: int) -> bool:
        """Return whether a cgroup's name is known, so that None as its owner is the last word."""


@dataclass(eq=False)
class CountedPhase:
    """A phase of the run as the kernel counted it. id: None outside of any."""

    id: str | None
    fault: str | None
    since: float
    until: float | None = None
    totals: dict[tuple[int, str | None, int], dict[int, list[int]]] = field(default_factory=dict)

    def add(self, service: str | None, bucket: Bucket) -> None:
        """Count a bucket."""
        slots = self.totals.setdefault((bucket.series, service, bucket.detail), {})
        have = slots.setdefault(bucket.slot, [0, 0, 0])
        slots[bucket.slot] = [have[0] + bucket.count, have[1] + bucket.sum, max(have[2], bucket.max)]


class Histograms:
    """The books of one capture. series: number -> (program, series); peers: names of the run's ports."""

    def __init__(
        self,
        source: BucketSource,
        scope: OwnerLookup,
        series: Mapping[int, tuple[str, Series]],
        write: Callable[..., None],
        peers: Mapping[int, str],
    ) -> None:
        self._source = source
        self._scope = scope
        self._series = series
        self._write = write
        self._peers = peers
        self._epoch = 1
        self._phase = CountedPhase(None, None, clock.read())
        self._of_epoch = {1: self._phase}
        self._ended: list[CountedPhase] = []
        self._waiting: list[tuple[float, CountedPhase, Bucket]] = []
        self._namespaces: dict[int, ListedContainer] = {}
        self._raised = clock.read()
        self._stale = False
        self.lines = self.unwritten = 0
        source.set_epoch(1)

    def step(self, marks: Sequence[Mapping[str, Any]]) -> None:
        """Follow the timeline's new lines and, when it is time, read the kernel's map."""
        for mark in marks:
            if mark.get("event") == timeline.PHASE:
                self._begin(str(mark.get("id")), mark.get("fault"))
            elif mark.get("event") == timeline.PHASE_END:
                self._begin(None, None)
        now = clock.read()
        if self._stale and now - self._raised >= _SETTLE_S:
            self._collect()
        elif now - self._raised >= _COLLECT_S:
            self._raise()

    def close(self) -> None:
        """End the last phase and write what is left."""
        self._begin(None, None)
        self._collect()
        self._resolve(final=True)
        self._write_ended()

    def _begin(self, name: str | None, fault: Any) -> None:
        if name == self._phase.id:
            return
        self._phase.until = clock.read()
        self._ended.append(self._phase)
        self._phase = CountedPhase(name, None if fault is None else str(fault), self._phase.until)
        self._raise()

    def _raise(self) -> None:
        self._epoch += 1
        self._of_epoch[self._epoch] = self._phase
        self._source.set_epoch(self._epoch)
        self._raised, self._stale = clock.read(), True

    def _collect(self) -> None:
        now = clock.read()
        for bucket in self._source.take_buckets(self._epoch):
            phase = self._of_epoch.get(bucket.epoch)
            if phase is not None and phase.id is not None and bucket.series in self._series:
                self._waiting.append((now, phase, bucket))
        self._of_epoch = {self._epoch: self._phase}
        self._stale = False
        self._resolve()
        self._write_ended()

    def _resolve(self, final: bool = False) -> None:
        now = clock.read()
        waiting, self._waiting = self._waiting, []
        for came, phase, bucket in waiting:
            owner = self._owner(bucket.owner)
            if isinstance(owner, ListedContainer):
                phase.add(owner.service, bucket)
            elif self._series[bucket.series][1].anybody and not isinstance(owner, Unresolved):
                phase.add(None, bucket)
            elif not final and now - came < _RESOLVE_S and (bucket.owner & _NETNS or owner is not None):
                self._waiting.append((came, phase, bucket))

    def _owner(self, owner: int) -> Owner:
        if not owner:
            return None
        if owner & _PID:
            return self._scope.owner(owner & 0xFFFFFFFF, 0, 0)
        if owner & _NETNS:
            netns = owner & 0xFFFFFFFF
            found = self._scope.owner(0, netns, 0)
            if isinstance(found, ListedContainer):
                self._namespaces[netns] = found
            return found or self._namespaces.get(netns)
        found = self._scope.owner(0, 0, owner)
        if found is None and self._scope.is_named(owner):
            self._source.forget_cgroup(owner)
        return found

    def _write_ended(self) -> None:
        open_phases = {id(phase) for _came, phase, _bucket in self._waiting}
        done = [phase for phase in self._ended if id(phase) not in open_phases]
        self._ended = [phase for phase in self._ended if id(phase) in open_phases]
        for phase in done:
            found = phase_lines(phase, self._series, self._peers)
            room = max(0, MOST_LINES - self.lines)
            if found[:room]:
                self._write(*found[:room])
            self.lines += len(found[:room])
            self.unwritten += len(found[room:])


def phase_lines(
    phase: CountedPhase, series: Mapping[int, tuple[str, Series]], peers: Mapping[int, str]
) -> list[Line]:
    """Return a phase as lines of histograms.jsonl, the busiest keys of a series first; past MOST_KEYS as one."""
    groups: dict[tuple[int, str | None], list[tuple[int | None, dict[int, list[int]]]]] = {}
    for (number, service, which), slots in phase.totals.items():
        groups.setdefault((number, service), []).append((which, slots))
    found = []
    for (number, service), entries in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        entries.sort(key=lambda entry: -sum(count for count, _sum, _max in entry[1].values()))
        if len(entries) > MOST_KEYS:
            entries[MOST_KEYS - 1 :] = [(None, _merged([slots for _key, slots in entries[MOST_KEYS - 1 :]]))]
        program, kind = series[number]
        for detail, slots in entries:
            key: dict[str, Any] = {"others": True} if detail is None else kind.key(detail)
            if key.get("port") in peers:
                key["peer"] = peers[key["port"]]
            found.append(_line(phase, program, kind, service, key, slots))
    return found


def _line(
    phase: CountedPhase,
    program: str,
    kind: Series,
    service: str | None,
    key: Line,
    slots: Mapping[int, Sequence[int]],
) -> Line:
    buckets = [[2 ** (slot - 1) if slot else 0, 2**slot, values[0]] for slot, values in sorted(slots.items())]
    return {
        "t": phase.until,
        "since": phase.since,
        "phase": phase.id,
        "fault": phase.fault,
        "program": program,
        "service": service,
        "series": kind.name,
        "key": key,
        "unit": kind.unit,
        "count": sum(values[0] for values in slots.values()),
        "sum": _scaled(sum(values[1] for values in slots.values()), kind.scale),
        "max": _scaled(max(values[2] for values in slots.values()), kind.scale),
        "buckets": buckets if kind.histogram else [],
    }


def _scaled(value: int, scale: int) -> float | int:
    return value if scale == 1 else round(value / scale, 3)


def _merged(several: Sequence[Mapping[int, Sequence[int]]]) -> dict[int, list[int]]:
    total: dict[int, list[int]] = {}
    for slots in several:
        for slot, values in slots.items():
            have = total.setdefault(slot, [0, 0, 0])
            total[slot] = [have[0] + values[0], have[1] + values[1], max(have[2], values[2])]
    return total
