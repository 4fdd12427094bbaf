# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of exchanges in several stacks, as the host reads them. No tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.discovery.environment import read_environment
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.facts import (
    Connection,
    ContainerFacts,
    Listener,
    ProjectFacts,
    ServedSession,
)

GATEWAY = "172.20.0.1"


def container(
    service: str,
    number: int,
    *,
    listens: Sequence[tuple[int, str]] = (),
    to: Sequence[tuple[str, int]] = (),
    env: Sequence[str] = (),
    **more: Any,
) -> ContainerFacts:
    """Return a running container with the address 172.20.0.<number>; listens: (port, process), to: (address, port)."""
    return ContainerFacts(
        service=service,
        name=f"shop-{service}-1",
        network=number,
        addresses=[f"172.20.0.{number}"],
        gateways=[GATEWAY],
        processes=[process for _port, process in listens],
        listeners=[Listener(port, "0.0.0.0", process) for port, process in listens],
        connections=[Connection(address, port) for address, port in to],
        environment=read_environment(env),
        **more,
    )


def fastapi() -> ProjectFacts:
    """FastAPI, PostgreSQL, Valkey, HAProxy; the environment of the API holds a password."""
    return ProjectFacts(
        "fast",
        [
            container("web", 2, listens=[(8000, "uvicorn")], to=[("172.20.0.3", 5432)] * 3 + [("172.20.0.4", 6379)],
                      env=["DATABASE_URL=postgresql+asyncpg://trader:hunter2@db:5432/markets"]),
            container("db", 3, listens=[(5432, "postgres")], image="postgres:16",
                      sessions=[ServedSession("trader", "markets", "172.20.0.2")], env=["POSTGRES_PASSWORD=hunter2"]),
            container("kv", 4, listens=[(6379, "valkey-server")], image="valkey/valkey:8"),
            container("edge", 5, listens=[(8404, "haproxy"), (80, "haproxy")], to=[("172.20.0.2", 8000)],
                      published=[(80, "0.0.0.0", 8088)], image="haproxy:3"),
            container("exporter", 6, listens=[(9187, "postgres_exporte")], to=[("172.20.0.3", 5432)],
                      image="prometheuscommunity/postgres-exporter"),
        ],
    )  # fmt: skip


def express() -> ProjectFacts:
    """Express behind Traefik, its processes unknown (no root); Redis found by its image, PostgreSQL by its port."""
    return ProjectFacts(
        "express",
        [
            container("orders", 2, listens=[(3000, "")], to=[("172.20.0.3", 5432), ("172.20.0.4", 6379)]),
            container("store", 3, listens=[(5432, "")], image="company/pg:1",
                      env=["POSTGRES_USER=shop", "POSTGRES_DB=shopdb"]),
            container("session-cache", 4, listens=[(6379, "")], image="registry.example:5000/redis:7@sha256:00"),
            container("router", 5, listens=[(443, ""), (80, "")], to=[("172.20.0.2", 3000)], image="traefik:v3",
                      published=[(80, "127.0.0.1", 80)]),
        ],
    )  # fmt: skip


def without_api() -> ProjectFacts:
    """A database and a cache alone; what asks them lives elsewhere."""
    return ProjectFacts(
        "stores",
        [
            container("db", 2, listens=[(5433, "postgres")]),
            container("cache", 3, listens=[(6379, "keydb-server")]),
        ],
    )


def elsewhere() -> ProjectFacts:
    """An API whose database is on another host."""
    return ProjectFacts(
        "split",
        [
            container(
                "trading-api", 2, listens=[(8080, "python3")], to=[("10.0.0.9", 5432), ("172.20.0.3", 6379)]
            ),
            container("redis", 3, listens=[(6379, "redis-server")]),
            container("nginx", 4, listens=[(80, "nginx")], to=[("172.20.0.2", 8080)]),
        ],
    )
