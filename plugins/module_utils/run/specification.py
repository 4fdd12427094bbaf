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
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..common.bounds import PORT_MAX
from ..common.clock import Anchor
from ..common.errors import ChaosError
from ..common.schema import (
    Described,
    Scalar,
    Wrong,
    find_unsound,
    rename_key,
    take_anything,
    take_choice,
    take_flag,
    take_mapping,
    take_number,
    take_part,
    take_parts,
    take_parts_by_name,
    take_scalar,
    take_text,
    take_text_mapping,
    take_texts,
    take_texts_or_one,
    take_whole,
)

#: Roles of the probes whose expectation is part of steady state, unless others are named.
STEADY_ROLES = ("readiness", "store", "health")
#: So many times slower than most a host may be.
SLOWEST = 50.0
#: Longer no window is, nor does a fault live, s.
WINDOW_MAX_S, TTL_MAX_S = 1800.0, 3600.0
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
        "filled",
    }
)  # fmt: skip


def take_port(*, least: int = 1) -> Any:
    """A TCP port; absent it is None."""
    return take_whole(None, least=least, most=PORT_MAX)


@dataclass(frozen=True)
class ExperimentSpec(Described):
    """Which experiment it is."""

    number: int = take_whole(0, least=0)
    name: str = take_text("")
    title: str = take_text("")
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Windows(Described):
    """How long what is watched, s. ``ttl_margin_s`` is added to each fault's window.

    A placebo of 0 is none by choice; None stands in runs of a time that knew no placebo.
    """

    baseline_s: float = take_number(8.0, least=0, most=WINDOW_MAX_S, above=True)
    baseline_timeout_s: float | None = take_number(None, least=0, most=WINDOW_MAX_S, above=True)
    placebo_s: float | None = take_number(None, least=0, most=WINDOW_MAX_S)
    steady_s: float = take_number(3.0, least=0, most=WINDOW_MAX_S, above=True)
    recovery_timeout_s: float = take_number(60.0, least=0, most=WINDOW_MAX_S, above=True)
    ttl_margin_s: float = take_number(15.0, least=0, most=WINDOW_MAX_S, above=True)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return the variable's name."""
        return f"chaos_{key}"


@dataclass(frozen=True)
class Thresholds(Described):
    """What steady means: share of failed orders, 99th percentile of the good ones; the briefest loss that counts."""

    error_ratio: float = take_number(0.01, least=0, most=1)
    p99_ms: float = take_number(500.0, least=0, above=True)
    loss_visible_ms: float = take_number(10.0, least=0)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AbortWhen(Described):
    """The guard's limits, None where there is none: the free ones must not be undercut, the others not exceeded."""

    error_ratio: float | None = take_number(None, least=0, most=1)
    latency_ms: float | None = take_number(None, least=0, above=True)
    free_disk_mb: float | None = take_number(None, least=0)
    free_memory_mb: float | None = take_number(None, least=0)


@dataclass(frozen=True)
class LoadSpec(Described):
    """How many orders a second go where, and when one is given up; ``more`` says what an order looks like.

    ``moves``, here and below: the url was found from service and port, and is looked up again when a container starts.
    """

    url: str = take_text("")
    service: str = take_text("")
    port: int | None = take_port()
    rate: float = take_number(0.0)
    watch_rate: float = take_number(0.0)
    burst_rate: float = take_number(0.0)
    burst_s: float = take_number(0.0)
    floor: float = take_number(0.0)
    timeout_s: float = take_number(3.0)
    moves: bool | None = take_flag(None)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return the variable's name."""
        return _VARIABLES.get(f"load.{key}", f"chaos_order_{key}")


@dataclass(frozen=True)
class ProbeSpec(Described):
    """A question asked again and again: of a URL, or of a port. ``fault_rate``: from a fault's announcement on.

    ``slow_s``: a request to a URL is finished only so many seconds after it was begun.
    """

    name: str = take_text("")
    kind: str = take_text("")
    role: str = take_text("")
    service: str = take_text("")
    address: str = take_text("")
    port: int | None = take_port()
    url: str = take_text("")
    path: str = take_text("")
    rate: float = take_number(1.0)
    fault_rate: float | None = take_number(None)
    outage_rate: float | None = take_number(None)
    timeout_s: float | None = take_number(None)
    slow_s: float | None = take_number(None)
    expect: Mapping[str, Any] = take_mapping()
    moves: bool | None = take_flag(None)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gauge(Described):
    """A figure that is read at certain moments: of a query (sql), of a program (command) or of an answer (http)."""

    kind: str = take_text("")
    name: str = take_text("")
    service: str = take_text("")
    query: str = take_text("")
    command: Any = take_anything()
    url: str = take_text("")
    port: int | None = take_port()
    path: str = take_text("")
    values: Mapping[str, str] = take_text_mapping()
    moves: bool | None = take_flag(None)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FaultSpec(Described):
    """A fault as specified: what all kinds share; ``more`` holds the arguments of its own kind.

    ``hold_s`` of 0 is a single blow; ``ttl_s``, absent, is the window and the margin all faults share.
    """

    id: str = take_text("", pattern=_IDENTITY, what=_IDENTITY_WORDS)
    kind: str = take_text("")
    target: str = take_text("")
    targets: tuple[str, ...] = take_texts()
    window_s: float | None = take_number(None, least=0, most=WINDOW_MAX_S, above=True)
    hold_s: float = take_number(0.0, least=0, most=WINDOW_MAX_S)
    ttl_s: float | None = take_number(None, least=0, most=TTL_MAX_S, above=True)
    log_words: str = take_text("")
    peer: str = take_text("")
    peer_addresses: tuple[str, ...] = take_texts_or_one()
    port: int | None = take_port(least=0)  # 0: none
    only_port: bool = take_flag(False)
    mode: str = take_text("")
    engine: str = take_text("")
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_data(cls, data: Any, where: str = "") -> FaultSpec:
        """Read it. What a role hands over as ``arguments`` is the kind's own, and stands beside the rest from here on.

        Raises Wrong where one of them is something that all kinds share, said twice.
        """
        given = data.get("arguments") if isinstance(data, Mapping) else None
        if not isinstance(given, Mapping):
            return super().from_data(data, where)
        rest = {key: value for key, value in data.items() if key != "arguments"}
        twice = sorted(set(given) & {one.name for one in fields(cls)} | set(given) & set(rest))
        if twice:
            raise Wrong(
                f"{where or 'A fault'} has {', '.join(twice)} among its arguments; that stands beside them."
            )
        return super().from_data({**rest, **given}, where)

    @property
    def services(self) -> list[str]:
        """Return the services it is aimed at, in dependency order."""
        return list(self.targets or ([self.target] if self.target else []))


@dataclass(frozen=True)
class FindingSpec(Described):
    """What is expected of a metric: at most ``max``, at least ``min`` or ``equals``; none of them, it only informs."""

    id: str = take_text("", pattern=_IDENTITY, what=_IDENTITY_WORDS)
    title: str = take_text("")
    metric: str = take_text("")
    fault: str | None = take_text(None)
    unit: str | None = take_text(None)
    informational: bool = take_flag(False)
    max: Scalar | None = take_scalar()
    min: Scalar | None = take_scalar()
    equals: Scalar | None = take_scalar()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def limits(self) -> dict[str, Any]:
        """Return the limits that are given; more than one is a mistake."""
        each = {"max": self.max, "min": self.min, "equals": self.equals}
        return {key: value for key, value in each.items() if value is not None}


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


@dataclass(frozen=True)
class Administrator(Described):
    """The role that may read everything in the database; its password lies apart, too."""

    user: str = take_text("")
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def password(self) -> str:
        """Return the password, if it came with the rest."""
        return str(self.more.get("password") or "")


@dataclass(frozen=True)
class Database(Described):
    """The exchange's database and as whom it is asked; the password lies apart (``secrets.json``)."""

    service: str = take_text("")
    name: str = take_text("")
    user: str = take_text("")
    address: str = take_text("")
    port: int | None = take_port()
    clear_password: bool = take_flag(False)
    admin: Administrator | None = take_part(Administrator, optional=True)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def password(self) -> str:
        """Return the password, if it came with the rest; it is never written with it."""
        return str(self.more.get("password") or "")

    @property
    def admin_password(self) -> str:
        """Return the administrator's, if it came with the rest."""
        return self.admin.password if self.admin else ""

    def without_passwords(self) -> Database:
        """Return the rest."""
        admin = replace(self.admin, more=_without(self.admin.more, "password")) if self.admin else None
        return replace(self, admin=admin, more=_without(self.more, "password"))


@dataclass(frozen=True)
class ControlSpec(Described):
    """The connection that the capture must see: from a service to another one's port."""

    source: str = rename_key("from", take_text(""))
    to: str = take_text("")
    port: int | None = take_port()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaptureSpec(Described):
    """What the kernel is asked: programs (none: no capture), services (none: all), ports and the role behind each."""

    programs: tuple[str, ...] = take_texts()
    services: tuple[str, ...] = take_texts()
    ports: Mapping[str, str] = take_text_mapping()
    all_ports: bool = take_flag(False)
    ring: bool = take_flag(True)
    control: ControlSpec | None = take_part(ControlSpec, optional=True)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return the variable's name."""
        return _VARIABLES.get(f"capture.{key}", f"{where}.{key}")


@dataclass(frozen=True)
class Place(Described):
    """Where a service answers that lives on another host."""

    address: str = take_text("")
    port: int | None = take_port()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownContainer(Described):
    """A container as it was when the run began."""

    id: str = take_text("")
    name: str = take_text("")
    pid: int = take_whole(0, least=0)
    addresses: tuple[str, ...] = take_texts()
    restart_policy: str = take_text("")
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AnchorSpec(Described):
    """The pair of clock readings of the run (:class:`..common.clock.Anchor`)."""

    boottime: float = take_number(0.0)
    realtime: float = take_number(0.0)
    boot_id: str = take_text("")

    def as_anchor(self) -> Anchor:
        """Return it as the clock takes it."""
        return Anchor(self.boottime, self.realtime, self.boot_id)


@dataclass(frozen=True)
class Specification(Described):
    """Everything that a run goes by."""

    schema_version: int = take_whole(1, least=1)
    run_id: str = take_text("")
    experiment: ExperimentSpec = take_part(ExperimentSpec)
    collection_version: str = take_text("")
    host: str = take_text("localhost")
    wave: int = take_whole(1, least=1)
    project: str = take_text("")
    services: Mapping[str, str] = take_text_mapping()
    external: Mapping[str, Place] = take_mapping(Place.from_data)
    needs: tuple[str, ...] = take_texts()
    windows: Windows = take_part(Windows)
    slow_host: float = take_number(1.0, least=1, most=SLOWEST)
    thresholds: Thresholds = take_part(Thresholds)
    steady_roles: tuple[str, ...] = take_texts(*STEADY_ROLES)
    abort_when: AbortWhen = take_part(AbortWhen)
    load: LoadSpec | None = take_part(LoadSpec, optional=True)
    probes: tuple[ProbeSpec, ...] = take_parts(ProbeSpec)
    gauges: tuple[Gauge, ...] = take_parts(Gauge)
    capture: CaptureSpec = take_part(CaptureSpec)
    #: questions that must not stay open
    require: tuple[str, ...] = take_texts()
    accept_noise: bool = take_flag(False)
    rescue: str = take_choice("none", "none", "restart")
    patience_s: float = take_number(0.0, least=0)
    database: Database = take_part(Database)
    faults: tuple[FaultSpec, ...] = take_parts(FaultSpec)
    findings: tuple[FindingSpec, ...] = take_parts(FindingSpec)
    #: the variables that nobody set and this host told, and how each was found
    filled: Mapping[str, str] = take_text_mapping()
    #: what the host told of itself when the run was opened
    facts: Mapping[str, Any] = take_mapping()
    clock: Mapping[str, Any] = take_mapping()
    containers: Mapping[str, tuple[KnownContainer, ...]] = take_parts_by_name(KnownContainer, listed=True)
    python: str = take_text("")
    anchor: AnchorSpec | None = take_part(AnchorSpec, optional=True)
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
        return list(find_unsound(data))

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
