# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at an exchange from its host and says what an inventory needs to know of it. Changes nothing.

A trial order is the one thing that is ever sent, and only where it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common import bounds
from ..common.errors import ChaosError
from ..common.peer_addresses import write_endpoint
from ..exchange.database import Store
from ..exchange.endpoints import find_endpoint
from ..exchange.trial_order import choose_numbers, place_trial_order
from ..host.docker_engine import Container, DockerEngine
from .api import ApiAnswers, ask_api, find_book, find_symbols, has_path
from .facts import ProjectFacts
from .known import KnownSettings, hold_known
from .links import ServiceLink
from .parts import Part, Parts, find_parts, shorten_image
from .reading import read_project
from .settings import SYMBOL, USER, Setting, Stored, build_settings, choose_listed, list_logins
from .store import ask_store

Say = Callable[[str, str], None]
#: Candidates for the API, and ports of one service, that are asked over HTTP.
_CANDIDATES, _PORTS = 4, 4
_TIMEOUT_S = 3.0
#: The image of the embedded exchange, whose values the defaults are.
_EMBEDDED = "exchange-chaos-lab"


@dataclass
class Discovery:
    """What was found of one project; ``secrets``: service → names of variables that hold one."""

    settings: list[Setting]
    links: list[ServiceLink]
    products: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, list[str]] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)

    def find_setting(self, variable: str) -> Any:
        """Return the value of a variable, {} where there is none."""
        return next((one.value for one in self.settings if one.variable == variable), None) or {}


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
    for role, part in parts.found.items():
        say("ok", f"{role}: {part.service} ({part.how})")
    for role, tried in parts.missing.items():
        say("warn", f"{role}: not found; {tried}")
    asked = _ask_candidates(facts, parts, containers, known.api_url)
    stored = Stored()
    if "database" in parts.found:
        logins = [known.login] if known.login else list_logins(facts, parts)
        stored = ask_store(engine, name, parts.found["database"], logins, known)
    stored.user, stored.symbol = stored.user or known.user, stored.symbol or known.symbol
    if stored.login.why:
        say("warn", f"The database: {stored.login.why}")
    if not stored.symbol:
        _find_symbol(facts, parts, containers, stored)
    if asked and asked.form and stored.symbol and not asked.form.book:
        asked.form.book = find_book(asked.url, stored.symbol)
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
    return Discovery(settings, list(parts.links), products, secrets, facts.services)


def _ask_candidates(
    facts: ProjectFacts, parts: Parts, containers: list[Container], api_url: str
) -> ApiAnswers | None:
    """Ask each service that may be the API, the likeliest first, and take the first that knows of orders.

    ``api_url`` says where it answers, if that was set.
    """
    first: ApiAnswers | None = None
    for candidate in parts.candidates[:_CANDIDATES]:
        urls = [(candidate.port, api_url)] if api_url else _list_urls(facts, candidate, containers)
        for port, url in urls:
            asked = ask_api(url)
            if asked.form:
                more = f", and GET {asked.form.path} is there" if candidate is not parts.candidates[0] else ""
                parts.found["api"] = Part("api", candidate.service, port, f"{candidate.how}{more}")
                return asked
            if first is None or (asked.answers and not first.answers):
                first = asked
    return first


def _find_symbol(facts: ProjectFacts, parts: Parts, containers: list[Container], stored: Stored) -> None:
    """Look for a symbol where a market is listed: at the API, through the proxy, at what simulates a market."""
    for part in [parts.found[role] for role in ("api", "proxy", "simulator") if role in parts.found]:
        for _port, url in _list_urls(facts, part, containers):
            path, symbols = find_symbols(url)
            if symbols:
                choose_listed(stored, symbols, f"listed by GET {path} of {part.service}")
                return


def _list_urls(facts: ProjectFacts, part: Part, containers: list[Container]) -> Iterator[tuple[int, str]]:
    """Yield each port of a service with where it is reached from here, the likeliest first."""
    ports = [each.port for each in facts.listeners_of(part.service) if not each.on_loopback]
    for port in sorted(ports, key=lambda one: one != part.port)[:_PORTS]:
        try:
            address, outside = find_endpoint(containers, part.service, port)
        except ChaosError:
            continue
        yield port, f"http://{write_endpoint(address, outside)}"


def _choose_proxy_port(
    facts: ProjectFacts, parts: Parts, containers: list[Container], asked: ApiAnswers | None
) -> dict[str, str]:
    """Take the proxy's port through which the API's health is answered, and say so; one that answers none stays."""
    proxy, path = parts.found.get("proxy"), str((asked.health if asked else {}).get("path") or "")
    if proxy is None or not path:
        return {}
    for port, url in _list_urls(facts, proxy, containers):
        if has_path(url, path):
            parts.found["proxy"] = Part("proxy", proxy.service, port, proxy.how, proxy.product)
            return {"proxy": f"GET {path} is answered through it"}
    return {"proxy": f"it listens there (the kernel), but GET {path} is not answered with 200 through it"}


def try_discovered(engine: DockerEngine, found: Discovery, say: Say) -> None:
    """Send one order as it was found, look for it in the database and cancel it. Raises ChaosError."""
    values = {one.variable: one.value for one in found.settings}
    lacking = [
        one.variable
        for one in found.settings
        if one.missing and one.variable not in ("chaos_services", "chaos_ports")
    ]
    if lacking:
        raise ChaosError(f"No trial order was sent: {', '.join(lacking)} must be filled in first.")
    services, ports, project = values["chaos_services"], values["chaos_ports"], values["chaos_project"]
    address, port = find_endpoint(engine.containers(project), services["api"], ports["api"])
    load: dict[str, Any] = {
        "url": f"http://{write_endpoint(address, port)}",
        "order": _fill_in(values["chaos_order"], values),
        "side": values["chaos_order_side"],
        "price": values["chaos_order_price"],
        "accept": values["chaos_order_accept"],
        "order_id": values["chaos_order_id"],
        "error": values["chaos_order_error"],
        "cancel": values["chaos_order_cancel"],
        "book": values["chaos_order_book"],
        "timeout_s": _TIMEOUT_S,
    }  # fmt: skip
    database = {**values["chaos_database"], "service": services["database"], "port": ports["database"]}
    store = Store(engine, project, database, load)
    load["price"] = {**load["price"], **choose_numbers(store, load["price"])}
    tried = place_trial_order(load, store)
    say(
        "ok",
        f"Trial order accepted in {tried.accepted_ms:g} ms, found in the database, {tried.ending}",
    )
    for warning in tried.warnings:
        say("warn", warning)
    for one in found.settings:
        if one.variable.startswith("chaos_order") and one.variable not in (
            "chaos_order_error",
            "chaos_order_book",
        ):
            proven = (
                "a trial order showed it" if one.variable != "chaos_order_cancel" or tried.cancelled else ""
            )
            one.how = "; ".join(text for text in (one.how, proven) if text)


def _fill_in(order: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order whose body has the user and the symbol themselves where the inventory refers to them."""
    known = {USER: values["chaos_user_id"], SYMBOL: values["chaos_symbol"]}
    body = {
        name: known.get(value, value) if isinstance(value, str) else value
        for name, value in order["body"].items()
    }
    return {**order, "body": body}
