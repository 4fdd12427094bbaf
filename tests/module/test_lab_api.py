"""The trading API's contract: what it accepts, what it refuses and how, and what the whole exchange looks like."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.module.lab_stack import Stack, call, docker, lab_image, order, stack

PROJECT = "label=com.docker.compose.project=exchange-chaos-lab"
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def image() -> str:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    found = lab_image()
    if not found:
        pytest.skip("the embedded exchange is not up: `make lab` brings it up")
    return found


@pytest.fixture(scope="module")
def exchange(image: str) -> Iterator[Stack]:
    with stack(image) as made:
        yield made


@pytest.fixture(scope="module")
def lab(image: str) -> dict[str, dict[str, Any]]:
    """The containers of the embedded exchange by service, as the engine describes them."""
    described = json.loads(docker("inspect", *docker("ps", "--all", "--quiet", "--filter", PROJECT).split()))
    return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in described}


def published(item: dict[str, Any]) -> tuple[str, int]:
    """Address and port on the host that lead to a container."""
    (binding,) = next(iter(item["HostConfig"]["PortBindings"].values()))
    return binding["HostIp"], int(binding["HostPort"])


def test_an_order_is_stored_exactly_and_can_be_cancelled(exchange: Stack) -> None:
    placed = exchange.api("POST", "/api/orders", order(12345678))
    assert (placed.status, placed.body["success"], placed.body["data"]["status"]) == (201, True, "PENDING")
    path = f"/api/orders/{placed.body['data']['order_id']}"
    assert exchange.api("GET", path).body["data"]["price"] == "100.12345678"
    assert any(
        item["order_id"] in path for item in exchange.api("GET", "/api/orders?limit=5").body["data"]["orders"]
    )
    asks = exchange.api("GET", "/api/orderbook/CHAOS").body["data"]["asks"]
    assert asks == [{"price": "100.12345678", "quantity": "1.00000000", "orders": 1}]
    for _ in range(2):  # cancelling again is no mistake
        assert exchange.api("DELETE", path).body["data"]["status"] == "CANCELLED"
    assert exchange.api("GET", "/api/orderbook/CHAOS").body["data"]["asks"] == []


def test_a_price_given_as_a_number_keeps_its_decimals(exchange: Stack) -> None:
    text = json.dumps(order()).replace('"100.00000000"', "123456789.12345678")
    placed = exchange.api("POST", "/api/orders", text)
    path = f"/api/orders/{placed.body['data']['order_id']}"
    assert exchange.api("GET", path).body["data"]["price"] == "123456789.12345678"
    exchange.api("DELETE", path)


def test_a_pair_that_matches_clears_itself(exchange: Stack) -> None:
    before = exchange.api("GET", "/api/metrics").body["data"]
    exchange.api("POST", "/api/orders", order(10))
    exchange.api("POST", "/api/orders", order(11, side="BUY"))
    after = exchange.api("GET", "/api/metrics").body["data"]
    assert after["trade_count"] == before["trade_count"] + 1
    assert after["open_orders"] == before["open_orders"]


def test_a_market_order_that_finds_nothing_does_not_rest(exchange: Stack) -> None:
    placed = exchange.api("POST", "/api/orders", order(symbol="ETH-USD", type="MARKET"))
    status = exchange.api("GET", f"/api/orders/{placed.body['data']['order_id']}").body["data"]["status"]
    assert status == "CANCELLED"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("no json", "INVALID_JSON"),
        ("[]", "INVALID_JSON"),
        (order(user_id="me"), "INVALID_USER_ID"),
        (order(user_id=None), "INVALID_USER_ID"),
        (order(user_id=NOBODY), "UNKNOWN_USER"),
        (order(symbol="GOLD"), "INVALID_SYMBOL"),
        (order(symbol=["CHAOS"]), "INVALID_SYMBOL"),
        (order(side="HOLD"), "INVALID_SIDE"),
        (order(side=["BUY"]), "INVALID_SIDE"),
        (order(type="STOP"), "INVALID_TYPE"),
        (order(quantity=0), "INVALID_QUANTITY"),
        (order(quantity=-1), "INVALID_QUANTITY"),
        (order(quantity=True), "INVALID_QUANTITY"),
        (order(quantity="1e3"), "INVALID_QUANTITY"),
        (order(price=None), "INVALID_PRICE"),
        (order(price="NaN"), "INVALID_PRICE"),
        (order(price="0.000000001"), "INVALID_PRICE"),
        (order(price=10**12), "INVALID_PRICE"),
    ],
)
def test_a_client_s_mistake_is_named(exchange: Stack, body: Any, code: str) -> None:
    answer = exchange.api("POST", "/api/orders", body)
    assert answer.status == 400
    assert answer.body["success"] is False
    assert answer.body["error"]["code"] == code
    assert answer.body["error"]["message"]
    assert answer.body["error"]["details"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/api/orders/{NOBODY}", 404),
        ("DELETE", f"/api/orders/{NOBODY}", 404),
        ("GET", "/api/orders/me", 400),
        ("GET", "/api/orders?limit=many", 400),
        ("GET", "/api/orderbook/GOLD", 400),
        ("GET", "/api/nothing", 404),
        ("PUT", "/api/orders", 405),
    ],
)
def test_what_is_not_there_is_not_an_error_of_the_store(
    exchange: Stack, method: str, path: str, status: int
) -> None:
    assert exchange.api(method, path).status == status


def test_the_whole_exchange_is_there_with_its_labels_and_limits(lab: dict[str, dict[str, Any]]) -> None:
    assert set(lab) == {
        "postgres",
        "redis",
        "trading-api",
        "market-simulator",
        "nginx",
        "order-flow-simulator",
    }
    for service, item in lab.items():
        host = item["HostConfig"]
        assert item["Name"] == f"/exchange-chaos-lab-{service}"
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["Memory"] == host["MemorySwap"] > 0
        assert host["NanoCpus"] > 0
        assert published(item)[0] == "127.0.0.1"
        assert item["Config"]["Healthcheck"]["Test"]
        assert item["State"]["Running"] == (service != "order-flow-simulator")


def test_database_and_cache_are_process_1(lab: dict[str, dict[str, Any]]) -> None:
    for service, program in {"postgres": "postgres", "redis": "redis-server"}.items():
        pid = lab[service]["State"]["Pid"]
        assert Path(f"/proc/{pid}/comm").read_text().strip() == program


def test_the_database_s_own_client_needs_no_password_inside(lab: dict[str, dict[str, Any]]) -> None:
    for host in ("/var/run/postgresql", "127.0.0.1"):
        words = (
            "psql",
            "-h",
            host,
            "-U",
            "trading_user",
            "-d",
            "trading_db",
            "-Atc",
            "SHOW synchronous_commit",
        )
        assert docker("exec", "exchange-chaos-lab-postgres", *words) == "on"


def test_the_proxy_passes_what_it_should_and_nothing_else(lab: dict[str, dict[str, Any]]) -> None:
    host, port = published(lab["nginx"])
    paths = (
        "/health",
        "/api/health",
        "/api/orders?limit=1",
        "/api/metrics",
        "/api/market",
        "/api/price/BTC-USD",
    )
    assert {path: call(host, "GET", path, port=port).status for path in paths} == dict.fromkeys(paths, 200)
    for path in ("/ready", "/live/", "/api/orderbook/CHAOS"):
        assert call(host, "GET", path, port=port).status == 404


def test_prices_flow_over_redis_and_the_simulator_reaches_the_api(lab: dict[str, dict[str, Any]]) -> None:
    host, port = published(lab["trading-api"])
    assert call(host, "GET", "/api/price/BTC-USD", port=port).body["data"]["source"] == "redis"
    host, port = published(lab["market-simulator"])
    checks = call(host, "GET", "/health", port=port).body["checks"]
    assert checks == {"cache": "healthy", "api": "healthy"}


def test_a_second_run_changes_nothing(lab: dict[str, dict[str, Any]], root: Path) -> None:
    switches = dict(text.split("=", 1) for text in lab["trading-api"]["Config"]["Env"])["EXCHANGE_FRAGILE"]
    if switches:
        pytest.skip(f"the exchange is up with weaknesses: {switches}")
    done = subprocess.run(
        ["ansible-playbook", "playbooks/lab.yml"],
        cwd=root,
        env={
            **os.environ,
            "PATH": f"{root}/.venv/bin:{os.environ['PATH']}",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout
    assert "http://127.0.0.1:" in done.stdout


@pytest.mark.parametrize("wrong", ["lab_profile=robust", '{"lab_switches": ["typo"]}'])
def test_a_wrong_variable_is_refused_before_anything_is_done(image: str, root: Path, wrong: str) -> None:
    done = subprocess.run(
        ["ansible-playbook", "playbooks/lab.yml", "-e", wrong],
        cwd=root,
        env={**os.environ, "PATH": f"{root}/.venv/bin:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "must be one" in done.stdout + done.stderr
