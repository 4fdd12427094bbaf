# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at an exchange from its host and says what an inventory needs to know of it. Changes and sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ..common import bounds
from ..common.errors import ChaosError
from ..common.peer_addresses import write_endpoint
from ..exchange.endpoints import find_endpoint
from ..host.docker_engine import Container, DockerEngine
from ..host.http_client import OPEN, Access
from .api import ApiAnswers, ask_api, find_book, find_symbols, has_path
from .facts import ProjectFacts
from .known import KnownSettings, hold_known
from .links import ServiceLink, draw_links
from .order_form import ORDER_PATHS
from .parts import Part, Parts, find_parts, shorten_image
from .reading import read_project
from .settings import Setting, Stored, build_settings, choose_listed, list_logins
from .store import ask_store

Say = Callable[[str, str], None]
#: Candidates for the API, and ports of one service, that are asked over HTTP.
_CANDIDATES, _PORTS = 4, 4
#: The image of the embedded exchange, whose values the defaults are.
_EMBEDDED = "exchange-chaos-lab"


@dataclass
class Discovery:
    """What was found of one project; ``secrets``: service → names of variables that hold one.

    stored, asked: what the database and the API told, of which the settings were made. password: the database's, given.
    """

    settings: list[Setting]
    links: list[ServiceLink]
    products: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, list[str]] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    stored: Stored = field(default_factory=Stored)
    asked: ApiAnswers | None = None
    password: str = ""

    def find_setting(self, variable: str) -> Setting:
        """Return what was found of a variable."""
        return next((one for one in self.settings if one.variable == variable), Setting(variable))


def list_projects(engine: DockerEngine) -> list[dict[str, Any]]:
    """Return each compose project of this host with its services and how many of its containers run."""
    found = []
    for name in engine.projects():
        containers = engine.containers(name)
        services = sorted({bounds.fit_line(one.service, 120) for one in containers})
        found.append({"name": name, "services": services, "running": sum(one.running for one in containers)})
    return found


def is_embedded(engine: DockerEngine, name: str) -> bool:
    """Return whether a project runs the embedded exchange's own image, under whatever name."""
    return any(shorten_image(one.image) == _EMBEDDED for one in engine.containers(name))


def discover_project(
    engine: DockerEngine, name: str, say: Say, known: KnownSettings | None = None
) -> Discovery:
    """Look at one project; ``known`` is gone by. Raises ChaosError where there is none of that name."""
    known = known or KnownSettings()
    facts = read_project(engine, name)
    if not facts.containers:
        others = ", ".join(engine.projects()) or "none"
        raise ChaosError(
            f"There is no compose project {name} on this host (found: {others}); name one by chaos_project."
        )
    containers = engine.containers(name)
    parts = find_parts(facts)
    hold_known(parts, facts, known)
    say(
        "ok",
        f"Project {name}: {len(facts.services)} services, {len(parts.links)} kinds of connection between them",
    )
    if len(parts.candidates) > 1 and "proxy" in parts.found:
        _see_behind_proxy(engine, name, facts, parts, containers)
    asked = _ask_candidates(facts, parts, containers, known)
    for role, part in parts.found.items():
        say("ok", f"{role}: {part.service} ({part.how})")
    for role, tried in parts.missing.items():
        say("warn", f"{role}: not found; {tried}")
    for variable, why in (asked.wants if asked else {}).items():
        say("warn", f"The API wants {variable}: {why}")
    stored = Stored()
    if "database" in parts.found:
        logins = [known.login] if known.login else list_logins(facts, parts)
        stored = ask_store(engine, name, parts.found["database"], logins, known)
    stored.user, stored.symbol = stored.user or known.user, stored.symbol or known.symbol
    if stored.login.why:
        say("warn", f"The database: {stored.login.why}")
    access = asked.access if asked else OPEN
    if not stored.symbol:
        _find_symbol(facts, parts, containers, stored, access)
    if asked and asked.form and stored.symbol and not asked.form.book:
        asked.form.book = find_book(asked.url, stored.symbol, access)
        asked.form.book_how = f"GET {asked.form.book} was answered"
    ports = _choose_proxy_port(facts, parts, containers, asked)
    settings = build_settings(facts, parts, stored, asked, ports)
    secrets = {
        one.service: sorted(set(one.environment.secrets))
        for one in facts.containers
        if one.environment.secrets
    }
    products = {
        part.service: f"{role}, {part.product}" if part.product else role
        for role, part in parts.found.items()
    }
    return Discovery(
        settings, list(parts.links), products, secrets, facts.services, stored, asked, known.password
    )


def _see_behind_proxy(
    engine: DockerEngine, name: str, facts: ProjectFacts, parts: Parts, containers: list[Container]
) -> None:
    """Put the service first that the proxy asks when it is asked itself: a silent one is connected to nobody."""
    proxy = parts.found["proxy"]
    if any(link.client == proxy.service for link in parts.links):
        return
    for _port, url, _own_way in _list_urls(facts, proxy, containers):
        for path in ("/health", f"{ORDER_PATHS[0]}?limit=1"):
            has_path(url, path)
    links = draw_links(read_project(engine, name, looks=1))
    asked = {link.server: link.port for link in links if link.client == proxy.service}
    found = [one for one in parts.candidates if one.service in asked]
    if found:
        how = (
            f"{found[0].how}; the proxy {proxy.service} connects to it when it is asked (the kernel's table)"
        )
        first = replace(found[0], port=asked[found[0].service], how=how)
        parts.candidates = [first, *(one for one in parts.candidates if one is not found[0])]
        parts.found["api"] = first


def _ask_candidates(
    facts: ProjectFacts, parts: Parts, containers: list[Container], known: KnownSettings
) -> ApiAnswers | None:
    """Ask each service that may be the API, the likeliest first, and take the first that knows of orders.

    Where none does, it is the first that tells nobody anything, else the first that answers at all.
    """
    tried = []
    for part, asked in _ask_each(facts, parts, containers, known):
        tried.append((part, asked))
        if asked.form:
            break
    ranked = sorted(tried, key=lambda one: (not one[1].form, not one[1].closed, not one[1].answers))
    if not ranked:
        return None
    part, best = ranked[0]
    if best.known:
        parts.found["api"] = part
    return best


def _ask_each(
    facts: ProjectFacts, parts: Parts, containers: list[Container], known: KnownSettings
) -> Iterator[tuple[Part, ApiAnswers]]:
    """Yield each place where the API may be, the likeliest first, with what is told there; one that was set, alone."""
    for candidate in parts.candidates[:_CANDIDATES]:
        given = [(candidate.port, known.api_url, False)] if known.api_url else None
        for port, url, own_way in given or _list_urls(facts, candidate, containers):
            asked = ask_api(url, known.access)
            asked.own_way = asked.own_way and own_way
            yield replace(candidate, port=port, how=_tell_choice(parts, candidate, asked)), asked


def _tell_choice(parts: Parts, chosen: Part, asked: ApiAnswers) -> str:
    """Return how the API was found among the services that may be it."""
    path = asked.form.path if asked.form and chosen is not parts.candidates[0] else ""
    others = ", ".join(one.service for one in parts.candidates if one is not chosen)
    return f"{chosen.how}{path and f', and GET {path} is there'}{others and f'; may be {others} as well'}"


def _find_symbol(
    facts: ProjectFacts, parts: Parts, containers: list[Container], stored: Stored, access: Access
) -> None:
    """Look for a symbol where a market is listed: at the API, through the proxy, at what simulates a market."""
    for part in [parts.found[role] for role in ("api", "proxy", "simulator") if role in parts.found]:
        for _port, url, _own_way in _list_urls(facts, part, containers):
            path, symbols = find_symbols(url, access if part.role in ("api", "proxy") else OPEN)
            if symbols:
                choose_listed(stored, symbols, f"listed by GET {path} of {part.service}")
                return


def _list_urls(
    facts: ProjectFacts, part: Part, containers: list[Container]
) -> Iterator[tuple[int, str, bool]]:
    """Yield each port of a service with where it is reached from here, the likeliest first.

    The last word says whether a run finds that place by itself: one that has IPv6 alone is not where it would look.
    """
    ports = [each.port for each in facts.listeners_of(part.service) if not each.on_loopback]
    for port in sorted(ports, key=lambda one: one != part.port)[:_PORTS]:
        try:
            address, outside = find_endpoint(containers, part.service, port)
        except ChaosError:
            continue
        yield port, f"http://{write_endpoint(address, outside)}", True
        further = [
            each
            for one in containers
            if one.service == part.service and one.running and address in one.addresses.values()
            for each in one.addresses6.values()
            if each and each != address
        ]
        for each in further[:1]:
            yield port, f"http://{write_endpoint(each, port)}", False


def _choose_proxy_port(
    facts: ProjectFacts, parts: Parts, containers: list[Container], asked: ApiAnswers | None
) -> dict[str, str]:
    """Take the proxy's port through which the API's health is answered, and say so; one that answers none stays."""
    proxy, path = parts.found.get("proxy"), str((asked.health if asked else {}).get("path") or "")
    if proxy is None or asked is None or not path:
        return {}
    for port, url, _own_way in _list_urls(facts, proxy, containers):
        if has_path(url, path, asked.access):
            parts.found["proxy"] = Part("proxy", proxy.service, port, proxy.how, proxy.product)
            return {"proxy": f"GET {path} is answered through it"}
    return {"proxy": f"it listens there (the kernel), but GET {path} is not answered with 200 through it"}
