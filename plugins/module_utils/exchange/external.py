# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of the exchange that live on another host than its API: where they answer, and what is not done to them.

``external`` of a run's specification names them by the part they play. They have no container here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..common import clock
from ..common.errors import ChaosError
from ..common.peer_addresses import write_endpoint
from ..common.schema import show_value
from ..run.specification import ProbeSpec, Specification

#: What may live elsewhere: whose part in an experiment is to be connected to.
ROLES = ("database", "cache")
_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class ExternalService:
    """One such service: its part, its name among the services, where it answers."""

    role: str
    service: str
    address: str
    port: int

    def __str__(self) -> str:
        """Name it for a sentence."""
        return f"{self.service} ({self.role}) on another host, {write_endpoint(self.address, self.port)},"


def list_external(spec: Specification) -> dict[str, ExternalService]:
    """Return the services that live elsewhere, by the name they have among the run's services."""
    found = {}
    for role, where in spec.external.items():
        service = spec.services.get(role) or role
        if where.port is not None:
            found[service] = ExternalService(role, service, where.address, where.port)
    return found


def find_problems(spec: Specification) -> list[str]:
    """Return one sentence for each thing wrong with ``external`` of a specification; needs no host."""
    found = []
    for role, where in spec.external.items():
        name = f"chaos_external.{role}"
        if role not in ROLES:
            found.append(
                f"chaos_external names {show_value(role)}; only {' and '.join(ROLES)} may live on another host."
            )
            continue
        if not where.address or where.port is None:
            found.append(f"{name} must have an address and a port.")
            continue
        try:
            ipaddress.ip_address(where.address)
        except ValueError:
            found.append(
                f"{name}.address is {show_value(where.address)}; it must be an IPv4 or IPv6 address."
            )
    return found


def refuse_external(faults: Iterable[tuple[str, Sequence[str]]], away: Mapping[str, ExternalService]) -> None:
    """Raise ChaosError for a fault (id, services) whose target lives elsewhere: nothing of it is here to be touched."""
    for fault, services in faults:
        for service in services:
            if service in away:
                one = away[service]
                place = write_endpoint(one.address, one.port)
                raise ChaosError(
                    f"Service {service} ({one.role}) lives on another host, {place}, so fault "
                    f"{fault} cannot be injected from here; run the experiment there, with that host in "
                    "chaos_targets and its own chaos_project."
                )


def time_connect(one: ExternalService) -> float:
    """Connect to a service that lives elsewhere and return the milliseconds it took. Raises ChaosError."""
    began = clock.read()
    try:
        socket.create_connection((one.address, one.port), _TIMEOUT_S).close()
    except OSError as error:
        raise ChaosError(
            f"The {one.role} does not answer at {write_endpoint(one.address, one.port)} from this host "
            f"({error.strerror or error}); check chaos_external.{one.role}, and that the port is open to this host."
        ) from error
    return 1000 * (clock.read() - began)


def address_probe(wanted: ProbeSpec, away: Mapping[str, ExternalService]) -> ProbeSpec:
    """Return a TCP probe with the address of a service that lives elsewhere filled in; any other as it is."""
    one = away.get(wanted.service)
    return replace(wanted, address=one.address, port=one.port) if one else wanted
