# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a service answers, as seen from the host: its published port, else its container's address, IPv4 or IPv6.

A port that the engine chose, and a container's own address, may be others after each start. So what was found here is
looked up again whenever a container of the project starts: by the events observer, which hears of it first and writes
it down for all who ask over HTTP; and by whoever asks the engine anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from urllib.parse import urlsplit

from ..common.errors import ChaosError
from ..common.json_files import read_object, write_json
from ..common.peer_addresses import write_endpoint
from ..common.shapes import LoadEntry
from ..host.docker_engine import Container, DockerEngine
from ..run.folder import RunDir
from ..run.specification import Gauge, LoadSpec, ProbeSpec, Specification

#: Bound to every address of the host, so to its loopback, too.
_ANY = ("", "0.0.0.0", "::")
#: Where services are now, in a run's folder.
_MOVED = "endpoints.json"
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
    return replace(asking, url=f"http://{write_endpoint(address, port)}{path}", moves=True)


def find_moved(spec: Specification, containers: Sequence[Container]) -> dict[str, str]:
    """Return where each service is now whose address was found, as ``address:port`` by ``service:port``.

    One that is nowhere is left out: it may be back any moment, where it was.
    """
    found = {}
    for service, port in _list_moving(spec):
        with contextlib.suppress(ChaosError):
            found[f"{service}:{port}"] = write_endpoint(*find_endpoint(containers, service, port))
    return found


def _list_moving(spec: Specification) -> set[tuple[str, int]]:
    """Return service and port of everything asked over HTTP whose address was found."""
    asking: list[LoadSpec | ProbeSpec | Gauge] = [
        *spec.probes,
        *spec.gauges,
        *([spec.load] if spec.load else []),
    ]
    return {(one.service, one.port) for one in asking if one.moves and one.port is not None}


def write_moved(run: RunDir, engine: DockerEngine) -> None:
    """Write down where services are now, for the other processes of the run."""
    spec = run.spec
    if _list_moving(spec):
        write_json(run.file(_MOVED), find_moved(spec, engine.containers(spec.project)))


def move_load(spec: Specification, engine: DockerEngine) -> LoadEntry:
    """Return ``load`` as the exchange's rooms take it, with the url as it is now: the engine is asked."""
    load = spec.order_load
    if load.get("moves"):
        with contextlib.suppress(ChaosError):
            load["url"] = move_url(load, find_moved(spec, engine.containers(spec.project)))
    return load


def move_url(asking: Mapping[str, object], moved: Mapping[str, object]) -> str:
    """Return the url of what asks over HTTP, at the address where its service is now, as far as that is known."""
    url = str(asking["url"])
    where = moved.get(f"{asking.get('service')}:{asking.get('port')}") if asking.get("moves") else None
    return urlsplit(url)._replace(netloc=str(where)).geturl() if where else url


class Moved:
    """What the events observer wrote of where services are now, read when it has changed; one for each thread."""

    def __init__(self, run: RunDir) -> None:
        self._path = run.file(_MOVED)
        self._stamp = 0
        self._known: dict[str, object] = {}

    def has_changed(self) -> bool:
        """Return whether something was written since the last call, and read it; costs one stat(2)."""
        try:
            stamp = self._path.stat().st_mtime_ns
        except OSError:
            return False
        if stamp == self._stamp:
            return False
        self._stamp, self._known = stamp, read_object(self._path)
        return True

    def url_of(self, asking: Mapping[str, object]) -> str:
        """Return the url of what asks over HTTP, as far as is known now."""
        return move_url(asking, self._known)


def _network_owner(container: Container, containers: Sequence[Container]) -> Container:
    """Return whose network a container lives in: of ``network_mode: service:x`` that of x, else its own."""
    mode, _colon, identity = container.network_mode.partition(":")
    if mode != "container":
        return container
    return next((one for one in containers if identity in (one.id, one.name)), container)
