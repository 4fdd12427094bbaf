# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a service answers, as seen from the host: its published port, else its container's address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..common.errors import ChaosError
from ..host.docker_engine import Container

_ANY = ("", "0.0.0.0", "::")


def find_endpoint(targets: Sequence[Container], service: str, port: int) -> tuple[str, int]:
    """Return (address, port) at which the host reaches a container port of a service.

    Raises ChaosError when it has neither a published port nor an address.
    """
    for container in (
        container for container in targets if container.service == service and container.running
    ):
        published = container.ports.get(f"{port}/tcp")
        if published:
            return ("127.0.0.1" if published[0] in _ANY else published[0]), published[1]
        if container.address:
            return container.address, port
    raise ChaosError(
        f"Service {service} can't be reached from the host on port {port}: no running container has an address."
    )


def resolve_url(part: Mapping[str, Any], targets: Sequence[Container]) -> dict[str, Any]:
    """Return a load or HTTP probe with ``url`` filled in from ``service``, ``port`` and ``path`` where it has none."""
    found = dict(part)
    if not found.get("url") and found.get("service"):
        address, port = find_endpoint(targets, str(found["service"]), int(found["port"]))
        found["url"] = f"http://{address}:{port}{found.get('path', '')}"
    return found
