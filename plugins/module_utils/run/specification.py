# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's specification as the processes of the run see it: typed parts, each default in this one place.

It is written once, as ``spec.json``, by the class that reads it (:meth:`Specification.to_data`, ``from_data``). What a
part does not name itself is kept in its ``more``: a fault's own arguments, which belong to its kind, and what the load
sends, which the exchange's rooms understand. Whether the parts go together is said by ``lifecycle.specification``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..common.clock import Anchor
from ..common.errors import ChaosError
from ..common.schema import (
    Described,
    Scalar,
    Wrong,
    anything,
    choice,
    flag,
    keyed,
    mapping,
    number,
    part,
    parts,
    parts_by_name,
    scalar,
    text,
    text_mapping,
    texts,
    texts_or_one,
    unsound,
    whole,
)

#: Roles of the probes whose expectation is part of steady state, unless others are named.
STEADY_ROLES = ("readiness", "store", "health")
#: So many times slower than most a host may be.
SLOWEST = 50.0
#: Longer no window is, nor does a fault live, s.
WINDOW_MAX_S, TTL_MAX_S = 1800.0, 3600.0
_PORT_MAX = 65535
_IDENTITY = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"
_IDENTITY_WORDS = "1 to 64 letters, digits, -, _, . or :"
#: What a user calls the parts, and the values of parts, whose variables have other names.
_VARIABLES = {
    "load.rate": "chaos_rate", "load.watch_rate": "chaos_watch_rate",
    "load.burst_rate": "chaos_burst_rate", "load.burst_s": "chaos_burst_s", "load.floor": "chaos_floor",
    "load.timeout_s": "chaos_client_timeout_s", "load.url": "chaos_api_url", "load.port": "chaos_ports.api",
    "capture.ports": "chaos_capture_ports", "capture.programs": "chaos_programs",
}  # fmt: skip
_SHARED = frozenset(
    {
        "experiment", "project", "services", "external", "needs", "slow_host", "thresholds", "steady_roles",
        "abort_when", "rescue", "require", "accept_noise", "database", "faults", "findings", "probes", "gauges",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Experiment(Described):
    """Which experiment it is."""

    number: int = whole(0, least=0)
    name: str = text("")
    title: str = text("")
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Windows(Described):
    """How long what is watched, s. ``ttl_margin_s`` is added to each fault's window.

    A placebo of 0 is none by choice; None stands in runs of a time that knew no placebo.
    """

    baseline_s: float = number(8.0, least=0, most=WINDOW_MAX_S, above=True)
    baseline_timeout_s: float | None = number(None, least=0, most=WINDOW_MAX_S, above=True)
    placebo_s: float | None = number(None, least=0, most=WINDOW_MAX_S)
    steady_s: float = number(3.0, least=0, most=WINDOW_MAX_S, above=True)
    recovery_timeout_s: float = number(60.0, least=0, most=WINDOW_MAX_S, above=True)
    ttl_margin_s: float = number(15.0, least=0, most=WINDOW_MAX_S, above=True)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return the variable's name."""
        return f"chaos_{key}"


@dataclass(frozen=True)
class Thresholds(Described):
    """What steady means: share of failed orders, 99th percentile of the good ones; the briefest loss that counts."""

    error_ratio: float = number(0.01, least=0, most=1)
    p99_ms: float = number(500.0, least=0, above=True)
    loss_visible_ms: float = number(10.0, least=0)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AbortWhen(Described):
    """The guard's limits, None where there is none: the free ones must not be undercut, the others not exceeded."""

    error_ratio: float | None = number(None, least=0, most=1)
    latency_ms: float | None = number(None, least=0, above=True)
    free_disk_mb: float | None = number(None, least=0)
    free_memory_mb: float | None = number(None, least=0)


@dataclass(frozen=True)
class Load(Described):
    """How many orders a second go where, and when one is given up; ``more`` says what an order looks like."""

    url: str = text("")
    service: str = text("")
    port: int | None = whole(None, least=1, most=_PORT_MAX)
    rate: float = number(0.0)
    watch_rate: float = number(0.0)
    burst_rate: float = number(0.0)
    burst_s: float = number(0.0)
    floor: float = number(0.0)
    timeout_s: float = number(3.0)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return the variable's name."""
        return _VARIABLES.get(f"load.{key}", f"chaos_order_{key}")


@dataclass(frozen=True)
class Probe(Described):
    """A question asked again and again: of a URL, or of a port. ``fault_rate``: from a fault's announcement on."""

    name: str = text("")
    kind: str = text("")
    role: str = text("")
    service: str = text("")
    address: str = text("")
    port: int | None = whole(None, least=1, most=_PORT_MAX)
    url: str = text("")
    path: str = text("")
    rate: float = number(1.0)
    fault_rate: float | None = number(None)
    outage_rate: float | None = number(None)
    timeout_s: float | None = number(None)
    expect: Mapping[str, Any] = mapping()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gauge(Described):
    """A figure that is read at certain moments: of a query (sql), of a program (command) or of an answer (http)."""

    kind: str = text("")
    name: str = text("")
    service: str = text("")
    query: str = text("")
    command: Any = anything()
    url: str = text("")
    port: int | None = whole(None, least=1, most=_PORT_MAX)
    path: str = text("")
    values: Mapping[str, str] = text_mapping()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FaultSpec(Described):
    """A fault as specified: what all kinds share; ``more`` holds the arguments of its own kind.

    ``hold_s`` of 0 is a single blow; ``ttl_s``, absent, is the window and the margin all faults share.
    """

    id: str = text("", pattern=_IDENTITY, what=_IDENTITY_WORDS)
    kind: str = text("")
    target: str = text("")
    targets: tuple[str, ...] = texts()
    window_s: float | None = number(None, least=0, most=WINDOW_MAX_S, above=True)
    hold_s: float = number(0.0, least=0, most=WINDOW_MAX_S)
    ttl_s: float | None = number(None, least=0, most=TTL_MAX_S, above=True)
    log_words: str = text("")
    peer: str = text("")
    peer_addresses: tuple[str, ...] = texts_or_one()
    port: int | None = whole(None, least=0, most=_PORT_MAX)  # 0: none
    only_port: bool = flag(False)
    mode: str = text("")
    engine: str = text("")
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def services(self) -> list[str]:
        """Return the services it is aimed at, in dependency order."""
        return list(self.targets or ([self.target] if self.target else []))


@dataclass(frozen=True)
class FindingSpec(Described):
    """What is expected of a metric: at most ``max``, at least ``min`` or ``equals``; none of them, it only informs."""

    id: str = text("", pattern=_IDENTITY, what=_IDENTITY_WORDS)
    title: str = text("")
    metric: str = text("")
    fault: str | None = text(None)
    unit: str | None = text(None)
    informational: bool = flag(False)
    max: Scalar | None = scalar()
    min: Scalar | None = scalar()
    equals: Scalar | None = scalar()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def limits(self) -> dict[str, Any]:
        """Return the limits that are given; more than one is a mistake."""
        each = {"max": self.max, "min": self.min, "equals": self.equals}
        return {key: value for key, value in each.items() if value is not None}


@dataclass(frozen=True)
class Database(Described):
    """The exchange's database and as whom it is asked; the password lies apart (``secrets.json``)."""

    service: str = text("")
    name: str = text("")
    user: str = text("")
    address: str = text("")
    port: int | None = whole(None, least=1, most=_PORT_MAX)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def password(self) -> str:
        """Return the password, if it came with the rest; it is never written with it."""
        return str(self.more.get("password") or "")

    def without_password(self) -> Database:
        """Return the rest."""
        return replace(self, more={key: value for key, value in self.more.items() if key != "password"})


@dataclass(frozen=True)
class Control(Described):
    """The connection that the capture must see: from a service to another one's port."""

    source: str = keyed("from", text(""))
    to: str = text("")
    port: int | None = whole(None, least=1, most=_PORT_MAX)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaptureSpec(Described):
    """What the kernel is asked: programs (none: no capture), services (none: all), ports and the role behind each."""

    programs: tuple[str, ...] = texts()
    services: tuple[str, ...] = texts()
    ports: Mapping[str, str] = text_mapping()
    all_ports: bool = flag(False)
    ring: bool = flag(True)
    control: Control | None = part(Control, optional=True)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return the variable's name."""
        return _VARIABLES.get(f"capture.{key}", f"{where}.{key}")


@dataclass(frozen=True)
class Place(Described):
    """Where a service answers that lives on another host."""

    address: str = text("")
    port: int | None = whole(None, least=1, most=_PORT_MAX)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownContainer(Described):
    """A container as it was when the run began."""

    id: str = text("")
    name: str = text("")
    pid: int = whole(0, least=0)
    addresses: tuple[str, ...] = texts()
    restart_policy: str = text("")
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading(Described):
    """The pair of clock readings of the run (:class:`..common.clock.Anchor`)."""

    boottime: float = number(0.0)
    realtime: float = number(0.0)
    boot_id: str = text("")

    def as_anchor(self) -> Anchor:
        """Return it as the clock takes it."""
        return Anchor(self.boottime, self.realtime, self.boot_id)


@dataclass(frozen=True)
class Specification(Described):
    """Everything that a run goes by."""

    schema_version: int = whole(1, least=1)
    run_id: str = text("")
    experiment: Experiment = part(Experiment)
    collection_version: str = text("")
    host: str = text("localhost")
    wave: int = whole(1, least=1)
    project: str = text("")
    services: Mapping[str, str] = text_mapping()
    external: Mapping[str, Place] = mapping(Place.from_data)
    needs: tuple[str, ...] = texts()
    windows: Windows = part(Windows)
    slow_host: float = number(1.0, least=1, most=SLOWEST)
    thresholds: Thresholds = part(Thresholds)
    steady_roles: tuple[str, ...] = texts(*STEADY_ROLES)
    abort_when: AbortWhen = part(AbortWhen)
    load: Load | None = part(Load, optional=True)
    probes: tuple[Probe, ...] = parts(Probe)
    gauges: tuple[Gauge, ...] = parts(Gauge)
    capture: CaptureSpec = part(CaptureSpec)
    #: questions that must not stay open
    require: tuple[str, ...] = texts()
    accept_noise: bool = flag(False)
    rescue: str = choice("none", "none", "restart")
    patience_s: float = number(0.0, least=0)
    database: Database = part(Database)
    faults: tuple[FaultSpec, ...] = parts(FaultSpec)
    findings: tuple[FindingSpec, ...] = parts(FindingSpec)
    #: what the host told of itself when the run was opened
    facts: Mapping[str, Any] = mapping()
    clock: Mapping[str, Any] = mapping()
    containers: Mapping[str, tuple[KnownContainer, ...]] = parts_by_name(KnownContainer, listed=True)
    python: str = text("")
    anchor: Reading | None = part(Reading, optional=True)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return what a user calls a part."""
        return f"chaos_{key}" if key in _SHARED else key

    @classmethod
    def read(cls, data: Any) -> Specification:
        """Return the specification that ``data`` holds. Raises ChaosError naming what is wrong with it."""
        try:
            return cls.from_data(data)
        except Wrong as error:
            raise ChaosError(" ".join(error.sentences[:3])) from None

    @classmethod
    def problems(cls, data: Any) -> list[str]:
        """Return a sentence for each value that is not what it has to be; none when all parts can be read."""
        try:
            cls.from_data(data)
        except Wrong as error:
            return error.sentences
        return list(unsound(data))

    def fault(self, identity: str) -> FaultSpec | None:
        """Return a fault by its id, None if there is none of it."""
        return next((one for one in self.faults if one.id == identity), None)

    def ttl_of(self, fault: FaultSpec) -> float:
        """Return a fault's time to live: its own, else its window and the margin all faults share, s."""
        return (fault.window_s or 0.0) + self.windows.ttl_margin_s if fault.ttl_s is None else fault.ttl_s

    def role_of(self, service: str) -> list[str]:
        """Return the parts that a service plays."""
        return [role for role, name in self.services.items() if name == service]

    @property
    def order_load(self) -> dict[str, Any]:
        """Return ``load`` with what an order looks like, as the rooms that send orders take it."""
        return {} if self.load is None else self.load.to_data()

    @property
    def client_timeout_s(self) -> float:
        """Return after how many seconds the load gives an order up."""
        return 0.0 if self.load is None else self.load.timeout_s

    @property
    def host_clock(self) -> Mapping[str, Any]:
        """Return what was measured of the host's clock against the controller's; empty if nobody did."""
        known: Mapping[str, Any] = self.facts.get("clock") or {}
        return known
