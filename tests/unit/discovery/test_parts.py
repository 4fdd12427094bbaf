# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts are found by what listens, by process, image and connections, in several stacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.environment import read_environment
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.facts import Connection, ProjectFacts
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.links import HOST, draw_links
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.parts import find_parts, shorten_image
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.settings import (
    Stored,
    build_settings,
    list_logins,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host.netns import (
    parse_endpoint,
    parse_table,
)

from tests.unit.discovery import stacks


def roles(project: ProjectFacts) -> dict[str, tuple[str, int]]:
    """Return (service, port) of each part."""
    return {role: (part.service, part.port) for role, part in find_parts(project).found.items()}


def test_fastapi_with_valkey_and_haproxy() -> None:
    assert roles(stacks.fastapi()) == {
        "database": ("db", 5432), "cache": ("kv", 6379), "proxy": ("edge", 80), "api": ("web", 8000)
    }  # fmt: skip


def test_each_part_says_how_it_was_found() -> None:
    found = find_parts(stacks.fastapi()).found
    assert found["cache"].how == "Valkey: process valkey-server listens on port 6379"
    assert found["api"].how == "it has 3 connections to db:5432 (the kernel's table)"


def test_without_processes_by_image_and_port() -> None:
    found = find_parts(stacks.express()).found
    assert {role: part.service for role, part in found.items()} == {
        "database": "store", "cache": "session-cache", "proxy": "router", "api": "orders"
    }  # fmt: skip
    assert "usual port 5432" in found["database"].how
    assert "its image is redis" in found["cache"].how
    assert found["proxy"].port == 80


def test_without_an_api_it_is_said_what_was_tried() -> None:
    parts = find_parts(stacks.without_api())
    assert roles(stacks.without_api()) == {"database": ("db", 5433), "cache": ("cache", 6379)}
    assert "connected to the database" in parts.missing["api"]
    assert "Envoy" in parts.missing["proxy"]


def test_a_tool_that_looks_into_the_database_is_not_the_api() -> None:
    project = stacks.fastapi()
    tools_alone = replace(project, containers=[one for one in project.containers if one.service != "web"])
    assert "api" not in find_parts(tools_alone).found


def test_a_replica_that_is_connected_to_the_database_is_not_the_api() -> None:
    api = stacks.container("core", 2, listens=[(8000, "java")], to=[("172.20.0.3", 5432)])
    store = stacks.container("db", 3, listens=[(5432, "postgres")])
    replica = stacks.container("api-replica", 4, listens=[(5432, "postgres")], to=[("172.20.0.3", 5432)])
    parts = find_parts(ProjectFacts("p", [api, store, replica]))
    assert [part.service for part in parts.candidates] == ["core"]


def test_a_pooler_is_known_by_what_runs_in_it() -> None:
    api = stacks.container("core", 2, listens=[(8000, "java")], to=[("172.20.0.4", 6432)])
    store = stacks.container("db", 3, listens=[(5432, "postgres")])
    pooler = stacks.container("front", 4, listens=[(6432, "pgbouncer")], to=[("172.20.0.3", 5432)])
    pooler = replace(pooler, processes=["pgbouncer"])
    parts = find_parts(ProjectFacts("p", [api, store, pooler]))
    assert [(one.service, one.how) for one in parts.candidates] == [
        ("core", "it has 1 connection by way of front to db:5432 (the kernel's table)")
    ]


def test_who_is_asked_and_closes_tells_who_asked() -> None:
    """Of a connection that ended, the kernel keeps an entry at who closed it alone."""
    proxy = stacks.container("edge", 2, listens=[(80, "nginx")])
    api = stacks.container("core", 3, listens=[(8000, "java")])
    ended = Connection(proxy.addresses[0], 8000, incoming=True, ended=True)
    links = draw_links(ProjectFacts("p", [proxy, replace(api, connections=[ended])]))
    assert [(one.client, one.server, one.port) for one in links] == [("edge", "core", 8000)]
    still = replace(ended, ended=False)
    assert draw_links(ProjectFacts("p", [proxy, replace(api, connections=[still])])) == []


def test_behind_a_pooler_the_api_is_who_asks_it() -> None:
    api = stacks.container("core", 2, listens=[(8000, "java")], to=[("172.20.0.4", 6432)])
    store = stacks.container("db", 3, listens=[(5432, "postgres")])
    pooler = stacks.container("pgbouncer", 4, listens=[(6432, "pgbouncer")], to=[("172.20.0.3", 5432)])
    found = find_parts(ProjectFacts("p", [api, store, pooler])).found
    assert found["api"].service == "core"
    assert "by way of pgbouncer" in found["api"].how


def test_of_two_databases_the_one_with_connections() -> None:
    api = stacks.container("core", 2, listens=[(8000, "java")], to=[("172.20.0.4", 5432)])
    stores = [
        stacks.container(name, number, listens=[(5432, "postgres")]) for name, number in (("a", 3), ("b", 4))
    ]
    found = find_parts(ProjectFacts("p", [api, *stores])).found
    assert found["database"].service == "b"
    assert "of 2" in found["database"].how


def test_a_database_on_another_host_is_named_as_external() -> None:
    project = stacks.elsewhere()
    parts = find_parts(project)
    settings = {one.variable: one for one in build_settings(project, parts, Stored(), None, {})}
    assert settings["chaos_external"].value == {"database": {"address": "10.0.0.9", "port": 5432}}
    assert parts.found["api"].service == "trading-api"


def test_logins_begin_with_what_the_api_does() -> None:
    project = stacks.fastapi()
    first = list_logins(project, find_parts(project))[0]
    assert (first.name, first.user) == ("markets", "trader")
    assert "sessions" in first.how
    other = stacks.express()
    first = list_logins(other, find_parts(other))[0]
    assert (first.name, first.user, first.how) == (
        "shopdb", "shop", "POSTGRES_DB and POSTGRES_USER in the environment of store"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("address", "incoming", "port", "expected"),
    [
        (stacks.GATEWAY, True, 80, (HOST, "edge", 80)),
        (stacks.GATEWAY, False, 8088, None),  # by the host to its own published port: itself
        ("172.20.0.3", False, 5432, ("edge", "db", 5432)),
        ("127.0.0.1", False, 80, None),
    ],
)
def test_a_connection_becomes_a_link(
    address: str, incoming: bool, port: int, expected: tuple[str, str, int] | None
) -> None:
    project = stacks.fastapi()
    only = [
        replace(one, connections=[Connection(address, port, incoming)] if one.service == "edge" else [])
        for one in project.containers
    ]
    links = draw_links(ProjectFacts("fast", only))
    assert [(link.client, link.server, link.port) for link in links] == ([expected] if expected else [])


def test_an_environment_tells_names_and_never_a_secret() -> None:
    canary = "S3cr3t-canary"
    found = read_environment(
        [
            f"POSTGRES_PASSWORD={canary}",
            f"DATABASE_URL=postgres://app:{canary}@db/markets?sslmode=off",
            f"BROKEN_URL=postgres://app:{canary}@x@db/markets",
            f"SLASH_URL=postgres://app:{canary}/y@db/markets",
            f"REDIS_URL=redis://:{canary}@kv:6379",
            f"JDBC=jdbc:postgresql://db/markets?user=app&password={canary}",
            "POSTGRES_DB=markets",
            f"API_TOKEN={canary}",
            f"UNKNOWN={canary}",
        ]
    )
    assert canary not in repr(found)
    assert [one.value for one in found.databases] == ["markets", "markets", "markets"]
    assert {"POSTGRES_PASSWORD", "DATABASE_URL", "REDIS_URL", "JDBC", "API_TOKEN", "BROKEN_URL"} <= set(
        found.secrets
    )


def test_the_kernels_table_is_read_in_both_families() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n"
        "   nonsense\n"
        "   1: 0000000000000000FFFF0000050012AC:1538 0000000000000000FFFF0000060012AC:83D2 01 0:0 0:0 0 0 0 12 1\n"
    )
    first, second = parse_table(table)
    assert (first.local, first.state, first.inode) == (("127.0.0.1", 8080), 10, 4711)
    assert (second.local, second.remote) == (("172.18.0.5", 5432), ("172.18.0.6", 33746))
    assert parse_endpoint("00000000000000000000000001000000:0050") == ("::1", 80)


def test_an_images_name_is_its_last_word() -> None:
    assert shorten_image("registry.example:5000/library/Redis:7@sha256:00") == "redis"
