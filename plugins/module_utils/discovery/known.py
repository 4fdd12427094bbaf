# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is set of an exchange already: it is gone by, and not looked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..host.http_client import OPEN, Access
from .facts import ProjectFacts
from .parts import Part, Parts
from .settings import DatabaseLogin

SET = "as it was set"


@dataclass(frozen=True)
class KnownSettings:
    """The variables that are set, as far as others are found by them.

    ``external``: the stores that live on another host, by part, with ``address`` and ``port``; ``password``: the
    database's; ``access``: how the API lets us in. ``likely_user`` is taken if there is such a user.
    """

    services: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    external: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    api_url: str = ""
    database: Mapping[str, Any] = field(default_factory=dict)
    password: str = ""
    user: str = ""
    symbol: str = ""
    likely_user: str = ""
    access: Access = OPEN

    @property
    def login(self) -> DatabaseLogin | None:
        """Return how the database is asked, None where nobody said."""
        if not self.database.get("name") or not self.database.get("user"):
            return None
        return DatabaseLogin(str(self.database.get("name", "")), str(self.database.get("user", "")), SET)

    @property
    def store(self) -> dict[str, Any]:
        """Return what besides service, name and user is to be known to ask the database: a password, an address."""
        found = {key: self.database[key] for key in ("clear_password",) if key in self.database}
        found.update({"password": self.password} if self.password else {})
        return {**found, **self.external.get("database", {})}


def read_known(
    variables: Mapping[str, Any],
    *,
    external: Mapping[str, Any],
    password: str,
    likely_user: str,
    access: Access = OPEN,
) -> KnownSettings:
    """Return what is known by the variables that are set; a service without a name plays no part."""
    services = variables.get("chaos_services") or {}
    return KnownSettings(
        services={str(role): str(name) for role, name in services.items() if name},
        ports={
            str(role): int(port)
            for role, port in (variables.get("chaos_ports") or {}).items()
            if int(port or 0)
        },
        external={str(role): dict(place) for role, place in external.items()},
        api_url=str(variables.get("chaos_api_url") or ""),
        database=variables.get("chaos_database") or {},
        password=password,
        user=str(variables.get("chaos_user_id") or ""),
        symbol=str(variables.get("chaos_symbol") or ""),
        likely_user=likely_user,
        access=access,
    )


def hold_known(parts: Parts, project: ProjectFacts, known: KnownSettings) -> None:
    """Put the services and ports that are set in the place of those that were found."""
    for role, service in known.services.items():
        found = parts.found.get(role)
        same = found if found and found.service == service else None
        listeners = [each.port for each in project.listeners_of(service) if not each.on_loopback]
        port = same.port if same else next(iter(listeners), 0)
        parts.found[role] = Part(role, service, port, SET, same.product if same else "")
        parts.missing.pop(role, None)
    for role, place in known.external.items():
        name = known.services.get(role, role)
        parts.found[role] = Part(role, name, int(place.get("port") or 0), SET)
        parts.missing.pop(role, None)
    for role, port in known.ports.items():
        if role in parts.found and role not in known.external:
            part = parts.found[role]
            parts.found[role] = Part(role, part.service, port, part.how, part.product)
    if "api" in known.services:
        parts.candidates = [parts.found["api"]]
