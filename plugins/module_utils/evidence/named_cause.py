# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a text name what failed? What an error must say to be of use to whoever reads it at night."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..run.specification import FaultSpec, Specification

#: What people and drivers call a service of a role.
NAMES: Mapping[str, tuple[str, ...]] = {
    "database": ("database", "postgres", "postgresql", "asyncpg", "psycopg", "psycopg2", "sql", "db"),
    "cache": ("cache", "redis", "valkey", "keydb", "dragonfly"),
    "proxy": ("proxy", "nginx", "haproxy", "traefik", "caddy", "envoy", "upstream", "gateway"),
    "api": ("api",),
}


def cause_pattern(spec: Specification, fault: FaultSpec) -> re.Pattern[str]:
    """Return the pattern of a text that names the target of ``fault``, or the peer that it cannot reach.

    That is the fault's own ``log_words`` (a regular expression), or any of: the target's service (of several, any),
    the usual names of its role, its ports, its addresses; of a peer that is no service, its addresses alone. Each as a
    word of its own, in any case.
    """
    addresses = fault.peer_addresses
    named = [fault.peer] if fault.peer else [] if addresses else fault.services
    known = {word for service in named for word in _words(spec, service)} | set(addresses)
    words = "|".join(_as_word(word) for word in sorted(known))
    own = fault.log_words
    return re.compile(f"(?:{own})|{words}" if own else words, re.IGNORECASE)


def _as_word(word: str) -> str:
    """Return the pattern of a word of its own; a port, which alone is any number, stands where an address has one."""
    if word.isdecimal():
        return rf"""(?:(?<=[\w\]]:)|\bport[\s=:"']{{1,4}}|["'],\s?){word}(?![\w-])"""
    return rf"\b{re.escape(word)}\b"


def _words(spec: Specification, target: str) -> Iterator[str]:
    yield target
    roles = spec.role_of(target)
    for role in roles:
        yield from NAMES.get(role, (role,))
    for port, role in spec.capture.ports.items():
        if role in roles:
            yield port
    for probe in spec.probes:
        if probe.service == target and probe.port:
            yield str(probe.port)
    for container in spec.containers.get(target, ()):
        yield from container.addresses
