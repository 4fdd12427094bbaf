# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of the exchange that live on another host than its API: where they answer, and what is not done to them.

``external`` of a run's specification names them by the part they play. They have no container here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from . import fault_entry

#: What may live elsewhere: whose part in an experiment is to be connected to.
ROLES = ("database", "cache")
_TIMEOUT_S = 2.0
_PORT_MAX = 65535


@dataclass(frozen=True)
class ExternalService:
    """One such service: its part, its name among the services, where it answers."""

    role: str
    service: str
    address: str
    port: int

    def __str__(self) -> str:
        """Name it for a sentence."""
        return f"{self.service} ({self.role}) on another host, {_where(self.address, self.port)},"


def list_external(spec: Mapping[str, Any]) -> dict[str, ExternalService]:
    """Return the services that live elsewhere, by the name they have among the run's services."""
    names = spec.get("services") or {}
    found = {}
    for role, where in (spec.get("external") or {}).items():
        service = str(names.get(role) or role)
        found[service] = ExternalService(str(role), service, str(where["address"]), int(where["port"]))
    return found


def find_problems(spec: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing wrong with ``external`` of a specification; needs no host."""
    found = []
    for role, where in (spec.get("external") or {}).items():
        name = f"chaos_external.{role}"
        if role not in ROLES:
            found.append(
                f"chaos_external names {role!r}; only {' and '.join(ROLES)} may live on another host."
            )
            continue
        if not isinstance(where, Mapping) or not {"address", "port"} <= set(where):
            found.append(f"{name} must have an address and a port.")
            continue
        try:
            ipaddress.ip_address(str(where["address"]))
        except ValueError:
            found.append(f"{name}.address is {where['address']!r}; it must be an IPv4 or IPv6 address.")
        port = str(where["port"])
        if not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
            found.append(f"{name}.port is {where['port']!r}; it must be a number from 1 to {_PORT_MAX}.")
    return found


def refuse_external(faults: Iterable[Mapping[str, Any]], away: Mapping[str, ExternalService]) -> None:
    """Raise ChaosError for a fault whose target lives elsewhere: nothing of it is here to be touched."""
    for fault in faults:
        for service in fault_entry.services_of(fault):
            if service in away:
                one = away[service]
                raise ChaosError(
                    f"Service {service} ({one.role}) lives on another host, {_where(one.address, one.port)}, so fault "
                    f"{fault.get('id')} cannot be injected from here; run the experiment there, with that host in "
                    "chaos_targets and its own chaos_project."
                )


def time_connect(one: ExternalService) -> float:
    """Connect to a service that lives elsewhere and return the milliseconds it took. Raises ChaosError."""
    began = clock.now()
    try:
        socket.create_connection((one.address, one.port), _TIMEOUT_S).close()
    except OSError as error:
        raise ChaosError(
            f"The {one.role} does not answer at {_where(one.address, one.port)} from this host "
            f"({error.strerror or error}); check chaos_external.{one.role}, and that the port is open to this host."
        ) from error
    return 1000 * (clock.now() - began)


def address_probe(wanted: Mapping[str, Any], away: Mapping[str, ExternalService]) -> dict[str, Any]:
    """Return a TCP probe with the address of a service that lives elsewhere filled in; any other as it is."""
    one = away.get(str(wanted.get("service")))
    return {**wanted, "address": one.address, "port": one.port} if one else dict(wanted)


def _where(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
