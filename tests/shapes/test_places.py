# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where services may answer otherwise: what is published, in which networks, at which addresses, in whose namespace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.module.lab_stack import LABEL, docker
from tests.shapes.project import PLAYED, Difference, Shaped
from tests.shapes.trait import Trait, require_right

pytestmark = pytest.mark.timeout(240)
QUICK = ("an ephemeral port",)
#: A network of addresses that nobody else here has, IPv4 and IPv6.
SUBNET, SUBNET6 = "10.213.7.0/24", "fd00:213:7::/64"
OWN_NETWORK = {
    "name": "{project}", "labels": {LABEL: "1"}, "enable_ipv6": True,
    "ipam": {"config": [{"subnet": SUBNET}, {"subnet": SUBNET6}]},
}  # fmt: skip


def network_of(exchange: Shaped, service: str) -> dict[str, Any]:
    """What the engine says of a service in the project's network."""
    return dict(exchange.inspect(service)["NetworkSettings"]["Networks"][exchange.project])


EXCHANGES = {
    "published": Difference(
        {
            "trading-api": {"ports": ["127.0.0.1::8080"]},
            "api-six": {"like": "trading-api", "ports": ["[::1]::8080"]},
        }
    ),
    "in two networks": Difference(change=lambda made: made.join("postgres", f"a-{made.project}")),
    "inside": Difference(
        top={"networks": {"default": {"internal": True}}},
    ),
    "with addresses": Difference(
        {
            "postgres": {"networks": {"default": {"ipv4_address": "10.213.7.21"}}},
            "api-six": {
                "like": "trading-api", "command": ["python3", "-m", "other_api"],
                "environment": {"API_HOST": "::", "DATABASE_POOL": "2"},
            },
            "api-guest": {"like": "trading-api", "network_mode": "service:nginx", "hostname": None, "dns": None,
                          "dns_opt": None},
        },
        {"version": "2.4", "networks": {"default": OWN_NETWORK}},
    ),
}  # fmt: skip

TRAITS = {
    "an ephemeral port": Trait("published", lambda made: made.published("trading-api", 8080) > 1024),
    "published on IPv6": Trait(
        "published", lambda made: made.published("api-six", 8080) > 1024,
        given={"chaos_services": {**PLAYED, "api": "api-six"}},
    ),
    "a proxy that is not published": Trait(
        "published", lambda made: not made.inspect("nginx")["HostConfig"]["PortBindings"], possible=(1, 8)
    ),
    "a network without a way out": Trait(
        "inside", lambda made: docker("network", "inspect", "-f", "{{.Internal}}", made.project) == "true"
    ),
    "a database in two networks": Trait(
        "in two networks", lambda made: len(made.inspect("postgres")["NetworkSettings"]["Networks"]) == 2
    ),
    "static addresses": Trait(
        "with addresses", lambda made: network_of(made, "postgres")["IPAMConfig"] == {"IPv4Address": "10.213.7.21"}
    ),
    "an API that listens on IPv6 alone": Trait(
        "with addresses", lambda made: bool(network_of(made, "api-six")["GlobalIPv6Address"]),
        given={"chaos_services": {**PLAYED, "api": "api-six"}},
        refused="refused the connection.* check chaos_api_url",
        remedy={"chaos_api_url": "http://[{address6 api-six}]:8080"},
    ),
    "an API in the network of another service": Trait(
        "with addresses", lambda made: made.inspect("api-guest")["HostConfig"]["NetworkMode"].startswith("container:"),
        given={"chaos_services": {**PLAYED, "api": "api-guest"}},
        says=r"-api-guest-1 has the network of \S+-nginx-1; a fault of one's network is the other's",
    ),
}  # fmt: skip


def test_a_trait_works_or_is_refused_with_what_helps(trait: Trait, exchange: Shaped, tmp_path: Path) -> None:
    require_right(trait, exchange, tmp_path)
