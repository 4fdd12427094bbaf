# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: is this host, is this exchange, is this run ready? Everything is looked at or tried, nothing guessed.

What is required and wrong raises ChaosError (Unsupported where this host can't do it at all) with one sentence;
what is optional and missing is a warning. The only thing sent to the exchange is one order, which is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.errors import ChaosError, Unsupported
from ..common.secret import NO_SECRET, Secret
from ..exchange import external
from ..exchange.database import Store
from ..exchange.endpoints import resolve_url
from ..exchange.trial_order import choose_numbers, place_trial_order
from ..faults import planning
from ..faults.contract import Site
from ..host import consent
from ..host.docker_engine import ANSWER_S, Container, DockerEngine
from ..host.facts import kernel_at_least, read_facts
from ..host.http_client import OPEN, Access
from ..run.specification import KnownContainer, LoadSpec, Specification
from .abort_when import free_disk_mb

KERNEL = (4, 9)
FREE_MB = 500.0
_HEALTHY_S = 20.0
#: A container whose own health check is slower is waited for, but no longer than this.
_CHECKED_S = 180.0


@dataclass
class Report:
    """What preflight found: lines for people (level, text), the facts, the targets by service."""

    say: Callable[[str, str], None]
    facts: dict[str, Any] = field(default_factory=dict)
    targets: list[Container] = field(default_factory=list)

    def service(self, name: str) -> list[Container]:
        """Return the containers of a service."""
        return [container for container in self.targets if container.service == name]


def check_host(
    say: Callable[[str, str], None], *, remote: bool, folder: Path, slow: float = 1.0
) -> tuple[Report, DockerEngine]:
    """Look at the host alone: consent, engine, kernel, disk, bcc. It is ``slow`` times as slow as most."""
    if remote:
        consent.require_consent()
    engine = DockerEngine.connect(timeout=ANSWER_S * slow)
    report = Report(say, read_facts(engine))
    has = report.facts["capabilities"]
    say("ok", f"Docker {has['docker']} answers")
    if not has["compose"]:
        say(
            "warn",
            "Docker Compose was not found; it is not needed for a run, but recovery commands would name it",
        )
    if not kernel_at_least(report.facts["kernel"], KERNEL):
        raise Unsupported(f"The kernel is {report.facts['kernel']}; 4.9 or later is needed.")
    say(
        "ok",
        f"Kernel {report.facts['kernel']}, cgroup {has['cgroup'] or 'not mounted'}, Python {has['python']}",
    )
    for path in (str(_existing(folder)), report.facts["engine_root"]):
        free = free_disk_mb(path)
        if free is not None and free < FREE_MB:
            raise ChaosError(f"Only {free:.0f} MB are free under {path}; {FREE_MB:.0f} MB are needed.")
    if has["bcc"]:
        say("ok", f"bcc {has['bcc']} found")
    else:
        say(
            "warn",
            "bcc is missing, so the kernel is not watched; playbooks/setup-hosts.yml brings it (not on RHEL 8)",
        )
    return report, engine


def check_exchange(report: Report, engine: DockerEngine, spec: Specification) -> None:
    """Look at the exchange: project, services the experiment needs, their health and isolation."""
    project = spec.project
    report.targets = engine.containers(project)
    if not report.targets:
        known = ", ".join(engine.projects()) or "none"
        raise ChaosError(
            f"There is no compose project {project} on this host (found: {known}); set chaos_project."
        )
    away = external.list_external(spec)
    external.refuse_external([(fault.id, fault.services) for fault in spec.faults], away)
    roles = [*spec.needs, *planning.list_roles([fault.to_data() for fault in spec.faults])]
    needed = [spec.services[role] for role in dict.fromkeys(roles) if role in spec.services]
    targets = [service for fault in spec.faults for service in fault.services]
    needed += [service for service in dict.fromkeys(targets) if service not in needed]
    needed = [service for service in needed if service not in away]
    for service in needed:
        _require_up(report, engine, project, service)
    report.targets = engine.containers(project)
    named = {container.id for container in report.targets}
    for service in needed:
        for container in report.service(service):
            consent.refuse_shared(container, named)
            consent.require_own_process(container, engine.inspect)
            kind, _colon, other = container.network_mode.partition(":")
            if kind == "container":
                owner = next(one.name for one in report.targets if one.id == other)
                report.say(
                    "warn",
                    f"{container.name} has the network of {owner}; a fault of one's network is the other's",
                )
    report.say("ok", f"Project {project}: {', '.join(needed)} running and healthy")
    for one in away.values():
        milliseconds = external.time_connect(one)
        report.say("ok", f"{one} answers in {milliseconds:.1f} ms")
    flow = spec.services.get("order_flow", "")
    if any(container.running for container in report.service(flow)):
        report.say("warn", f"{flow} is running; our own load runs besides it, so stop it for clear figures")
    elif report.service(flow):
        report.say("ok", f"{flow} is stopped")


def _require_up(report: Report, engine: DockerEngine, project: str, service: str) -> None:
    targets = report.service(service)
    if not targets:
        others = ", ".join(sorted({container.service for container in report.targets}))
        raise ChaosError(
            f"Project {project} has no service {service} (it has: {others}); name it in chaos_services. "
            "A container of that name outside the project is never touched."
        )
    paused = [container for container in targets if container.status == "paused"]
    if paused:
        raise ChaosError(
            f"Service {service} of project {project} is paused; wake it first: docker unpause {paused[0].name}"
        )
    for container in targets:
        if container.status == "created" and any(other.running for other in targets):
            report.say(
                "warn",
                f"{container.name}, a second container of {service}, was never started and is left out; if nobody "
                f"needs it: docker rm {container.name}",
            )
    if not any(container.running for container in targets):
        raise ChaosError(
            f"Service {service} of project {project} is {targets[0].status}, but must run before the experiment; "
            f"start it with: docker start {targets[0].name}"
        )
    until = clock.read() + max(
        [_HEALTHY_S, *(min(one.check_needs_s, _CHECKED_S) for one in targets if one.running)]
    )
    while True:
        sick = [
            container
            for container in engine.containers(project, service)
            if container.running and container.health not in ("", "healthy")
        ]
        if not sick:
            return
        if clock.read() > until or sick[0].health == "unhealthy":
            said = f": {sick[0].health_said}" if sick[0].health_said else ""
            raise ChaosError(
                f"Service {service} of project {project} is {sick[0].health}, but must be healthy before the run; "
                f"its health check last said{said or ' nothing'}. Look into it with: docker inspect {sick[0].name}"
            )
        clock.sleep(0.5)


def resolve_specification(report: Report, spec: Specification) -> Specification:
    """Return the specification with addresses, container identities and facts filled in."""
    away = external.list_external(spec)
    return replace(
        spec,
        load=None if spec.load is None else resolve_url(spec.load, report.targets),
        probes=tuple(
            resolve_url(probe, report.targets)
            if probe.kind == "http"
            else external.address_probe(probe, away)
            for probe in spec.probes
        ),
        gauges=tuple(
            resolve_url(gauge, report.targets) if gauge.kind == "http" else gauge for gauge in spec.gauges
        ),
        capture=replace(spec.capture, ports=_watched_ports(spec)),
        facts={**report.facts, "clock": spec.clock},
        clock={},
        containers={
            service: tuple(_identity(container) for container in report.service(service))
            for service in sorted({container.service for container in report.targets})
        },
    )


def _watched_ports(spec: Specification) -> dict[str, str]:
    """Return the ports the capture looks at: those asked for, and those of paths to addresses."""
    to_addresses = {str(fault.port): "peer" for fault in spec.faults if fault.peer_addresses and fault.port}
    return {**to_addresses, **spec.capture.ports}


def _identity(container: Container) -> KnownContainer:
    return KnownContainer(
        id=container.id,
        name=container.name,
        pid=container.pid,
        addresses=tuple(address for address in container.addresses.values() if address),
        restart_policy=container.restart_policy,
    )


def try_faults(
    report: Report, spec: Specification, engine: DockerEngine, password: str, admin: Secret = NO_SECRET
) -> None:
    """Try what each fault needs; warns of a fault that will be milder than asked. Raises Unsupported or ChaosError.

    ``password`` of the database is in no description of a fault: those are printed, and kept with the record.
    Nor is ``admin``, that of its administrator.
    """
    has = report.facts["capabilities"]
    site = Site(report.targets, bool(has["root"]), engine, admin)
    for fault in spec.faults:
        login = {"password": password, "clear_password": spec.database.clear_password}
        found, *milder = planning.try_fault({**fault.to_data(), **login}, site).split("; ")
        has["trials"][fault.id] = found
        for line in milder:
            report.say("warn", f"Fault {fault.id}: {line}")


def try_order(
    report: Report,
    engine: DockerEngine,
    spec: Specification,
    database: Mapping[str, Any],
    access: Access = OPEN,
) -> Specification:
    """Send one order through: accepted, found in the database, cancelled. ``database``: with its password.

    access: how the API lets us in.

    Returns the specification with the run's range of numbers, chosen before, and the queries by which it was found.
    """
    wanted = spec.order_load
    store = Store(engine, spec.project, database, wanted)
    store.require_primary()
    wanted["price"] = {**wanted["price"], **choose_numbers(store, wanted["price"])}
    report.say("info", f"Orders are found by {store.queries.how}")
    found = place_trial_order({**wanted, "access": access}, store)
    report.say(
        "ok",
        f"Trial order accepted in {found.accepted_ms:g} ms, found in the database, {found.ending}",
    )
    for warning in found.warnings:
        report.say("warn", warning)
    queries = {"lookup": store.queries.lookup, **({"open": store.queries.open} if store.queries.open else {})}
    return replace(
        spec,
        load=LoadSpec.from_data(wanted),
        # what is asked at the end, by whomever, is what was tried here
        database=replace(spec.database, more={**spec.database.more, **queries}),
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())
