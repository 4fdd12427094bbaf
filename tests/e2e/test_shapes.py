# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small exchanges, each with one trait that the embedded one lacks: preflight and its trial order get along with it.

Each is refused with the cause and a remedy that the test then carries out, or works as it is.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import support
from tests.module.lab_stack import docker
from tests.module.small_exchange import SmallExchange, small_exchange

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]
SERVICES = {"database": "postgres", "cache": "redis", "api": "trading-api", "proxy": "nginx"}
STARTED = ("postgres", "redis", "trading-api", "market-simulator", "nginx")
ACCEPTED = r"Trial order accepted in [0-9.]+ ms, found in the database, cancelled"


def nothing(exchange: SmallExchange) -> None:
    """The trait is in how the containers were made."""


def rest_order(exchange: SmallExchange) -> None:
    """Somebody buys whatever comes."""
    exchange.rest("BUY", "150")


@dataclass(frozen=True)
class Shape:
    """A trait: words of ``docker run`` by service, what is done then, and the experiments that must be possible.

    refused: what preflight says without ``remedy``, variables with which it works; empty where it works as it is.
    """

    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    change: Callable[[SmallExchange], None] = nothing
    possible: tuple[int, ...] = (1, 2, 9)
    refused: str = ""
    remedy: Mapping[str, Any] = field(default_factory=dict)


def own_database(**more: Any) -> dict[str, Any]:
    """``chaos_database`` with something besides."""
    return {"chaos_database": {"name": "trading_db", "user": "trading_user", **more}}


SHAPES = {
    "orders keyed by id": Shape(change=SmallExchange.key_by_id),
    "an ephemeral port": Shape({"trading-api": ("--publish", "127.0.0.1::8080")}),
    "published on IPv6": Shape({"trading-api": ("--publish", "[::1]::8080")}),
    "a database in two networks": Shape(change=lambda made: made.join("postgres", f"a-{made.project}")),
    "somebody trades in the symbol": Shape(change=rest_order),
    "two tables of orders": Shape(
        change=SmallExchange.add_second_table,
        refused=r"look alike, and both like a table of orders; give chaos_database\.lookup and chaos_database\.open",
        remedy=own_database(
            lookup="SELECT price FROM trading.orders WHERE price BETWEEN {first} AND {last}",
            open="SELECT price, order_id FROM trading.orders WHERE price BETWEEN {first} AND {last} "
            "AND status IN ('PENDING', 'PARTIALLY_FILLED')",
        ),
    ),
    "passwords on the socket": Shape(
        change=lambda made: made.require_passwords(postgres="boss", trading_user="trading"),
        possible=(1, 2, 6, 9, 13),
        refused="no password supplied",
        remedy=own_database(password="trading", admin={"user": "postgres", "password": "boss"}),
    ),
}


def preflight(folder: Path, exchange: SmallExchange, **variables: Any) -> str:
    """What 00-preflight says, on one line."""
    given = folder / "variables.json"
    known = {"chaos_trial": True, "chaos_project": exchange.project, "chaos_services": SERVICES}
    given.write_text(json.dumps({**known, **variables}))
    done = subprocess.run(
        [*support.command("playbooks/00-preflight.yml"), "-e", f"@{given}"], cwd=support.ROOT,
        env=support.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "boss" not in done.stdout
    return " ".join(done.stdout.split())


def impossible(said: str) -> set[int]:
    """The experiments that preflight calls impossible."""
    return {int(number) for number in re.findall(r"\b(\d\d) (?:\S+ ){1,5}?impossible", said)}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_works_or_is_refused_with_what_helps(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    with small_exchange(more=shape.more, services=STARTED) as exchange:
        shape.change(exchange)
        said = preflight(tmp_path, exchange)
        if shape.refused:
            assert re.search(shape.refused, said), said
            assert "Trial order accepted" not in said
            said = preflight(tmp_path, exchange, **shape.remedy)
        ending = "filled at once" if "trades" in name else "cancelled"
        assert re.search(ACCEPTED.replace("cancelled", ending), said), said
        assert not impossible(said) & set(shape.possible), said
        assert exchange.query(
            "SELECT count(*) FROM trading.orders WHERE symbol = 'CHAOS' AND price < 149 AND status = 'PENDING'"
        ) == ["0"]
    assert not docker("ps", "--quiet", "--all", "--filter", f"name={exchange.project}")
