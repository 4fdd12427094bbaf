# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which service plays which part: by what listens, by process, by image, and by who connects to whom. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .facts import ContainerFacts, ProjectFacts
from .links import HOST, OUTSIDE, ServiceLink, draw_links, find_clients

#: Names of processes, and words in names of images, by part: (part, product).
_PROCESSES = {
    "postgres": ("database", "PostgreSQL"),
    "postmaster": ("database", "PostgreSQL"),
    "redis-server": ("cache", "Redis"),
    "valkey-server": ("cache", "Valkey"),
    "keydb-server": ("cache", "KeyDB"),
    "dragonfly": ("cache", "Dragonfly"),
    "nginx": ("proxy", "nginx"),
    "haproxy": ("proxy", "HAProxy"),
    "caddy": ("proxy", "Caddy"),
    "traefik": ("proxy", "Traefik"),
    "envoy": ("proxy", "Envoy"),
}
_IMAGES = {
    "postgres": ("database", "PostgreSQL"),
    "postgresql": ("database", "PostgreSQL"),
    "timescaledb": ("database", "PostgreSQL"),
    "postgis": ("database", "PostgreSQL"),
    "redis": ("cache", "Redis"),
    "redis-stack-server": ("cache", "Redis"),
    "valkey": ("cache", "Valkey"),
    "keydb": ("cache", "KeyDB"),
    "dragonfly": ("cache", "Dragonfly"),
    "nginx": ("proxy", "nginx"),
    "nginx-unprivileged": ("proxy", "nginx"),
    "openresty": ("proxy", "nginx"),
    "haproxy": ("proxy", "HAProxy"),
    "caddy": ("proxy", "Caddy"),
    "traefik": ("proxy", "Traefik"),
    "envoy": ("proxy", "Envoy"),
}
_PORTS = {5432: ("database", "PostgreSQL"), 6379: ("cache", "Redis")}
#: Ports at which a proxy tells of itself, and takes no orders.
_ADMIN = {2019, 8404, 9901, 9090, 9100, 9113, 1936}
#: What looks into stores without being the exchange: by a word in the service's or the image's name.
_TOOLS = re.compile(
    r"exporter|adminer|pgadmin|pgweb|commander|redisinsight|prometheus|grafana|backup|migrat|pgbouncer|pgpool",
    re.IGNORECASE,
)
_POOLERS = re.compile(r"pgbouncer|pgpool|odyssey|pgcat", re.IGNORECASE)
_FLOW = re.compile(r"order.?flow|order.?gen|load.?gen|trader|bots?\b|flow", re.IGNORECASE)
_SIMULATOR = re.compile(r"simulat|market|price|feed|ticker|quote", re.IGNORECASE)
_API = re.compile(r"api|gateway|order|backend|trading|exchange", re.IGNORECASE)
_BY = ("process", "image", "port")


@dataclass(frozen=True)
class Part:
    """A service that plays a part; ``port`` inside its containers, 0 where unknown; ``how`` it was found."""

    role: str
    service: str
    port: int
    how: str
    product: str = ""


@dataclass
class Parts:
    """The parts found, by role; ``candidates`` for the API, the likeliest first; ``missing``: role → what was tried."""

    found: dict[str, Part] = field(default_factory=dict)
    candidates: list[Part] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    links: Sequence[ServiceLink] = ()

    def service_of(self, role: str) -> str:
        """Return the service of a role, empty where there is none."""
        return self.found[role].service if role in self.found else ""


def find_parts(project: ProjectFacts) -> Parts:
    """Return who plays which part in a project."""
    links = draw_links(project)
    parts = Parts(links=links)
    known = {service: _recognize(project, service) for service in project.services}
    for role in ("database", "cache", "proxy"):
        _choose(
            project, parts, role, {name: part for name, part in known.items() if part and part.role == role}
        )
    taken = {name for name, part in known.items() if part}
    free = [name for name in project.services if name not in taken]
    parts.candidates = _list_apis(project, parts, [name for name in free if not _is_tool(project, name)])
    if parts.candidates:
        parts.found["api"] = parts.candidates[0]
    else:
        parts.missing["api"] = (
            "no other service of the project was connected to the database, was reached by the proxy or "
            "listens on a port"
        )
    rest = [name for name in free if name != parts.service_of("api")]
    _name_others(project, parts, rest)
    return parts


def _recognize(project: ProjectFacts, service: str) -> Part | None:
    """Return the store or proxy that a service is, by the surest of its marks."""
    if _is_tool(project, service):
        return None
    for one in project.list_of(service):
        for by in _BY:
            part = _by(by, one)
            if part:
                return part
    return None


def _by(what: str, one: ContainerFacts) -> Part | None:
    if what == "process":
        for listener in one.listeners:
            if listener.process in _PROCESSES:
                return _made(
                    one, listener.port, _PROCESSES, listener.process, f"process {listener.process} listens"
                )
        name = next((each for each in one.processes if each in _PROCESSES), "")
        return _made(one, 0, _PROCESSES, name, f"process {name} runs in it") if name else None
    if what == "image":
        name = shorten_image(one.image)
        return _made(one, 0, _IMAGES, name, f"its image is {name}") if name in _IMAGES else None
    for listener in one.listeners:
        if listener.port in _PORTS:
            role, product = _PORTS[listener.port]
            how = f"it listens on {product}'s usual port {listener.port}"
            return Part(role, one.service, listener.port, how, product)
    return None


def _made(one: ContainerFacts, port: int, known: Mapping[str, tuple[str, str]], name: str, how: str) -> Part:
    role, product = known[name]
    port = port if role != "proxy" else 0
    port = port or _pick_port(one, role)
    on = f" on port {port}" if port and how.endswith("listens") else ""
    return Part(role, one.service, port, f"{product}: {how}{on}", product)


def _pick_port(one: ContainerFacts, role: str) -> int:
    """Return the port of a store or proxy among those it listens on: what is published first, then the lowest."""
    published = {inside for inside, _address, _outside in one.published}
    open_ports = [
        each.port
        for each in one.listeners
        if not each.on_loopback and not (role == "proxy" and each.port in _ADMIN)
    ]
    usual = {"database": 5432, "cache": 6379, "proxy": 80}[role]
    ordered = sorted(open_ports, key=lambda port: (port not in published, port != usual, port))
    return ordered[0] if ordered else (0 if one.running else usual)


def _choose(project: ProjectFacts, parts: Parts, role: str, known: Mapping[str, Part]) -> None:
    """Take the one service of a role, of several the one with the most connections."""
    if not known:
        words = {"database": "PostgreSQL", "cache": "Redis, Valkey, KeyDB or Dragonfly"}
        what = words.get(role, "nginx, HAProxy, Caddy, Traefik or Envoy")
        parts.missing[role] = (
            f"no service listens, runs a process or has an image as {what} does; "
            f"services: {', '.join(project.services)}"
        )
        return

    def _rank(name: str) -> tuple[bool, int, str]:
        running = any(one.running for one in project.list_of(name))
        ends = [link for link in parts.links if name in (link.server, link.client)]
        return (
            not running,
            -sum(link.seen for link in ends if HOST not in (link.client, link.server)),
            name,
        )

    ranked = sorted(known, key=_rank)
    part = known[ranked[0]]
    others = (
        f"; of {len(ranked)} the one with the most connections ({', '.join(ranked)})" if ranked[1:] else ""
    )
    parts.found[role] = Part(role, part.service, part.port, f"{part.how}{others}", part.product)


def _list_apis(project: ProjectFacts, parts: Parts, names: Sequence[str]) -> list[Part]:
    """Return the services that may be the API, the likeliest first: who asks the database, and whom the proxy asks."""
    store = parts.found.get("database")
    asking = _ask_database(project, parts)
    proxied = {
        link.server: link.port for link in parts.links if link.client == parts.service_of("proxy") != ""
    }
    found = []
    for name in names:
        ports = [each.port for each in project.listeners_of(name) if not each.on_loopback]
        if not ports:
            continue
        published = [port for port in ports if project.published_of(name, port)]
        port = proxied.get(name) or (published or ports)[0]
        if name in asking and store:
            how = f"it has {asking[name]} to {store.service}:{store.port} (the kernel's table)"
        elif name in proxied:
            how = f"the proxy {parts.service_of('proxy')} connects to it (the kernel's table)"
        elif _API.search(name):
            how = "by its name; it was not connected to the database while this was looked at"
        else:
            continue
        rank = (
            name not in asking,
            name not in proxied,
            not _API.search(name),
            bool(_FLOW.search(name)),
            name,
        )
        found.append((rank, Part("api", name, port, how)))
    return [part for _rank, part in sorted(found, key=lambda item: item[0])]


def _ask_database(project: ProjectFacts, parts: Parts) -> dict[str, str]:
    """Return who is connected to the database, directly or through a pooler: what there is of each, in words."""
    store = parts.found.get("database")
    if store is None:
        return {}
    found = {}
    for client, count in find_clients(parts.links, store.service).items():
        if _is_pooler(project, client):
            for behind, through in find_clients(parts.links, client).items():
                found[behind] = f"{_count(through)} by way of {client}"
        elif client not in (HOST, OUTSIDE):
            found[client] = _count(count)
    return found


def _count(connections: int) -> str:
    return f"{connections} connection{'s' if connections != 1 else ''}"


def _name_others(project: ProjectFacts, parts: Parts, names: Sequence[str]) -> None:
    """Find who simulates a market and who sends orders, by name: nothing else tells them apart."""
    for role, pattern in (("order_flow", _FLOW), ("simulator", _SIMULATOR)):
        name = next((one for one in names if pattern.search(one) and one not in _taken(parts)), "")
        if name:
            listeners = project.listeners_of(name)
            parts.found[role] = Part(role, name, listeners[0].port if listeners else 0, "by its name")


def _taken(parts: Parts) -> set[str]:
    return {part.service for part in parts.found.values()}


def _is_pooler(project: ProjectFacts, service: str) -> bool:
    """Return whether a service stands before the database, by its name or by what runs in it."""
    running = [name for one in project.list_of(service) for name in one.processes]
    return any(_POOLERS.search(text) for text in (service, *running))


def _is_tool(project: ProjectFacts, service: str) -> bool:
    if _is_pooler(project, service):
        return True
    images = [shorten_image(one.image) for one in project.list_of(service)]
    return any(_TOOLS.search(text) for text in (service, *images))


def shorten_image(image: str) -> str:
    """Return the last word of an image's name: ``registry/library/redis:7@sha256:…`` is ``redis``."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()
