# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an API may take its orders otherwise: another method, another shape, another kind of id, a token, TLS."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import support
from tests.module.lab_stack import call, docker
from tests.shapes.certificates import make_certificates
from tests.shapes.project import PLAYED, Difference, Shaped
from tests.shapes.trait import Trait, require_right, run_experiment

pytestmark = pytest.mark.timeout(240)
TOKEN = "a-token-of-tests-4711"
ORDER = {"user_id": "c4a05000-0000-4000-8000-000000000001", "symbol": "CHAOS", "type": "LIMIT", "quantity": 1}
#: An order that is taken; it is far from what anybody else asks, and taken away with the exchange.
PRICED = {**ORDER, "side": "SELL", "price": 190}
PLACE = "mutation Place($order: Order!) { placeOrder(order: $order) { id } }"
CANCEL = "mutation Cancel($id: ID!) { cancelOrder(id: $id) { id } }"
#: Orders are known by numbers, which the table has in another column than its key.
BY_NUMBER = (
    "SELECT price, arrival FROM trading.orders WHERE price BETWEEN {first} AND {last} "
    "AND status IN ('PENDING', 'PARTIALLY_FILLED')"
)


def other(**environment: str) -> dict[str, Any]:
    """A further API, beside the embedded exchange's own."""
    return {
        "like": "trading-api", "command": ["python3", "-m", "other_api"],
        "environment": {"DATABASE_POOL": "2", **environment},
    }  # fmt: skip


def at(service: str, **given: Any) -> dict[str, Any]:
    """Variables of an owner whose API is that service."""
    return {"chaos_services": {**PLAYED, "api": service}, **given}


def status(service: str, method: str, path: str, body: Any = None, expected: int = 200) -> Any:
    """Whether a request without anything special is answered so."""
    return lambda exchange: call(exchange.address(service), method, path, body).status == expected


def wait_for_all(exchange: Shaped) -> None:
    """Wait until each of the other APIs takes connections."""
    services = json.loads((exchange.folder / "compose.json").read_text())["services"]
    until = time.monotonic() + 30
    for service in (name for name in services if name.startswith("api-")):
        while True:
            try:
                socket.create_connection((exchange.address(service), 8080), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, docker("logs", "--tail", "5", exchange.container(service))
                time.sleep(0.1)


def in_pieces(exchange: Shaped) -> bool:
    """Whether an answer comes in chunks, on a connection that ends with it."""
    with socket.create_connection((exchange.address("api-pieces"), 8080), 5) as connection:
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: api\r\n\r\n")
        heard = b"".join(iter(lambda: connection.recv(65536), b"")).lower()
    return b"transfer-encoding: chunked" in heard and b"connection: close" in heard


EXCHANGES = {
    "apis": Difference(
        {
            "api-put": other(API_METHOD="PUT"),
            "api-numbers": other(API_IDS="integer"),
            "api-graphql": other(API_GRAPHQL="1"),
            "api-token": other(API_TOKEN=TOKEN),
            "api-tls": {
                **other(API_CERTIFICATE="/opt/shape/server.pem", API_KEY="/opt/shape/server.key"),
                "ports": ["127.0.0.1::8080"],
            },
        },
        prepare=make_certificates,
        change=wait_for_all,
    ),
    "answers": Difference(
        {
            "api-accepts": other(API_ACCEPTED="1"),
            "api-below": other(API_PREFIX="/exchange/v2"),
            "api-pieces": other(API_PIECES="1"),
        },
        change=wait_for_all,
    ),
}

TRAITS = {
    "orders by PUT": Trait(
        "apis", status("api-put", "POST", "/api/orders", ORDER, 405), possible=(1, 2, 9, 11),
        given=at("api-put", chaos_order={"method": "PUT", "path": "/api/orders", "body": ORDER}),
    ),
    "order ids as integers": Trait(
        "apis", status("api-numbers", "DELETE", "/api/orders/4711", expected=404), possible=(1, 2, 9, 11),
        given=at("api-numbers", chaos_database={"name": "trading_db", "user": "trading_user", "open": BY_NUMBER}),
    ),
    "orders by GraphQL": Trait(
        "apis", status("api-graphql", "POST", "/api/orders", ORDER, 405), possible=(1, 2, 9, 11),
        given=at(
            "api-graphql",
            chaos_order={"method": "POST", "path": "/graphql", "body": {"query": PLACE, "variables": {"order": ORDER}}},
            chaos_order_side={"field": "variables.order.side", "values": ["SELL", "BUY"]},
            chaos_order_price={"field": "variables.order.price", "base": "100", "decimals": 8},
            chaos_order_accept={"status": 200, "expression": "data.placeOrder.id != `null`"},
            chaos_order_id="data.placeOrder.id",
            chaos_order_error="errors[0].message",
            chaos_order_cancel={
                "method": "POST", "path": "/graphql", "body": {"query": CANCEL, "variables": {"id": "{order_id}"}}
            },
        ),
    ),
    "a bearer token": Trait(
        "apis", status("api-token", "GET", "/ready", expected=401), possible=(1, 2, 9, 11),
        given=at("api-token"), refused=r"status 401.* set chaos_api_headers",
        remedy={"chaos_api_headers": {"Authorization": f"Bearer {TOKEN}"}},
    ),
    "orders accepted without a word": Trait(
        "answers", lambda made: call(made.address("api-accepts"), "POST", "/api/orders", PRICED).body == "",
        possible=(1, 2, 9, 11), given=at("api-accepts", chaos_order_accept={"status": 202}),
        refused="found no id in its answer: it has no body.* set chaos_order_id to an empty text",
        remedy={"chaos_order_id": ""},
    ),
    "an API below a path": Trait(
        "answers", status("api-below", "GET", "/ready", expected=404), possible=(1, 2, 9, 11),
        given=at("api-below"), refused="answered 404: that API has no such address; check chaos_api_url",
        remedy={"chaos_api_url": "http://{address api-below}:8080/exchange/v2"},
    ),
    "answers in pieces, a connection each": Trait(
        "answers", in_pieces, possible=(1, 2, 9, 11), given=at("api-pieces"),
    ),
    "an authority of its own": Trait(
        "apis", lambda made: made.inspect("api-tls")["State"]["Running"], possible=(1, 2, 9, 11),
        given=at("api-tls", chaos_api_url="https://127.0.0.1:{port api-tls:8080}"),
        refused=r"certificate.* set chaos_api_ca", remedy={"chaos_api_ca": "{file ca.pem}"},
    ),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("exchange", ["apis"], indirect=True)
def test_a_token_is_in_nothing_that_a_run_printed_or_wrote(exchange: Shaped, tmp_path: Path) -> None:
    """With -vvv, which shows the arguments of modules; the run itself gets in, and comes to a verdict."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    ran = run_experiment(
        "01-database-sudden-death", exchange, tmp_path, **at("api-token", chaos_api_headers=headers)
    )
    written = [path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    unpacked = [gzip.decompress(data) for data in written if data[:2] == b"\x1f\x8b"]
    assert len(unpacked) > 2
    assert not [one for one in (*written, *unpacked, ran.printed.encode()) if TOKEN.encode() in one]
    known = subprocess.run(
        ["grep", "-rl", TOKEN, str(support.STATE)], capture_output=True, text=True, check=False
    )
    assert known.stdout == ""


def test_a_trait_works_or_is_refused_with_what_helps(trait: Trait, exchange: Shaped, tmp_path: Path) -> None:
    require_right(trait, exchange, tmp_path)
