# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a service answers, as seen from the host: its published port, else its container's address, IPv4 or IPv6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from ..common.errors import ChaosError
from ..common.peer_addresses import write_endpoint
from ..host.docker_engine import Container
from ..run.specification import Gauge, LoadSpec, ProbeSpec

#: Bound to every address of the host, so to its loopback, too.
_ANY = ("", "0.0.0.0", "::")
#: The variable that says where a service answers, by the role of what asks; everything else asks the API.
_VARIABLES = {"proxy": "chaos_proxy_url"}


def find_endpoint(containers: Sequence[Container], service: str, port: int) -> tuple[str, int]:
    """Return (address, port) at which the host reaches a container port of a service.

    Raises ChaosError when no container of it runs, or none has a published port or an address.
    """
    running = [one for one in containers if one.service == service and one.running]
    if not running:
        raise ChaosError(f"No container of service {service} runs, so nothing answers on its port {port}.")
    for container in running:
        owner = _network_owner(container, containers)
        if owner.network_mode == "host":
            return "127.0.0.1", port
        published = owner.ports.get(f"{port}/tcp")
        if published:
            return ("127.0.0.1" if published[0] in _ANY else published[0]), published[1]
        own = [one for one in (*owner.addresses.values(), *owner.addresses6.values()) if one]
        if own:
            return own[0], port
    raise ChaosError(
        f"Service {service} can't be reached from the host on port {port}: it publishes no such port and has no "
        f"address of its own (network mode {running[0].network_mode or 'unknown'}); publish the port, or name where it "
        "answers"
    )


Asking = TypeVar("Asking", LoadSpec, ProbeSpec, Gauge)


def resolve_url(asking: Asking, containers: Sequence[Container]) -> Asking:
    """Return what asks over HTTP with ``url`` filled in from service, port and path where it has none.

    Raises ChaosError with the variable to set where the service cannot be reached from the host.
    """
    if asking.url or not asking.service or asking.port is None:
        return asking
    try:
        address, port = find_endpoint(containers, asking.service, asking.port)
    except ChaosError as error:
        variable = _VARIABLES.get(asking.role if isinstance(asking, ProbeSpec) else "", "chaos_api_url")
        raise ChaosError(f"{str(error).rstrip('.')}: set {variable}.") from error
    path = "" if isinstance(asking, LoadSpec) else asking.path
    return replace(asking, url=f"http://{write_endpoint(address, port)}{path}")


def _network_owner(container: Container, containers: Sequence[Container]) -> Container:
    """Return whose network a container lives in: of ``network_mode: service:x`` that of x, else its own."""
    mode, _colon, identity = container.network_mode.partition(":")
    if mode != "container":
        return container
    return next((one for one in containers if identity in (one.id, one.name)), container)
