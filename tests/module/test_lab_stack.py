"""The embedded exchange under fault, in a small copy of its own: what it promises, and each weakness it can have."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.module.lab_stack import LABEL, Answer, Stack, call, docker, lab_image, order, stack

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def image() -> str:
    if os.geteuid() != 0:
        pytest.skip("killing a container's process needs root")
    found = lab_image()
    if not found:
        pytest.skip("the embedded exchange is not up: `make lab` brings it up")
    return found


@pytest.fixture(scope="module")
def resilient(image: str) -> Iterator[Stack]:
    with stack(image) as made:
        yield made


def send(made: Stack, numbers: range, interval: float) -> list[tuple[int, Answer]]:
    """Orders at a set rate, each on a thread of its own, whatever becomes of them."""
    host_answers: list[tuple[int, Answer]] = []

    def one(number: int) -> None:
        side = "SELL" if number % 2 else "BUY"
        host_answers.append((number, made.api("POST", "/api/orders", order(number, side=side))))

    threads = []
    begin = time.monotonic()
    for place, number in enumerate(numbers):
        time.sleep(max(0.0, begin + place * interval - time.monotonic()))
        threads.append(threading.Thread(target=one, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return host_answers


@pytest.mark.full
def test_best_price_first_then_the_oldest_and_at_the_resting_order_s_price(resilient: Stack) -> None:
    ids = {}
    for name, price in {"high": "31.00", "old": "30.00", "young": "30.00"}.items():
        body = order(symbol="SOL-USD", price=price)
        ids[name] = resilient.api("POST", "/api/orders", body).body["data"]["order_id"]
    taker = resilient.api(
        "POST", "/api/orders", order(symbol="SOL-USD", side="BUY", quantity=2, price="31.00")
    )
    trades = resilient.query(
        f"SELECT sell_order_id, price FROM trading.trades WHERE buy_order_id = '{taker.body['data']['order_id']}'"
        " ORDER BY trade_id"
    )
    assert trades == [f"{ids['old']}|30.00000000", f"{ids['young']}|30.00000000"]
    status = {
        name: resilient.api("GET", f"/api/orders/{made}").body["data"]["status"] for name, made in ids.items()
    }
    assert status == {"high": "PENDING", "old": "FILLED", "young": "FILLED"}
    assert resilient.api("DELETE", f"/api/orders/{ids['high']}").body["data"]["status"] == "CANCELLED"
    assert resilient.api("DELETE", f"/api/orders/{ids['old']}").status == 409


def test_a_crash_of_the_database_loses_nothing_and_heals(resilient: Stack) -> None:
    killed: list[float] = []
    timer = threading.Timer(0.5, lambda: killed.append(resilient.crash("postgres")))
    timer.start()
    answers = send(resilient, range(1000, 1150), 0.02)
    resilient.wait_ready()
    assert killed
    assert int(resilient.inspect("postgres")["RestartCount"]) >= 1
    acknowledged = {f"100.{number:08d}" for number, answer in answers if answer.status == 201}
    stored = [price for price in resilient.prices() if price.startswith("100.")]
    assert acknowledged
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored)), "no order twice"
    assert {answer.status for _, answer in answers} <= {201, 500}, "an answer for each"


def test_an_outage_is_answered_soon_and_names_its_cause(resilient: Stack) -> None:
    resilient.stop("postgres")
    try:
        begin = time.monotonic()
        while resilient.api("GET", "/ready").status != 503:
            assert time.monotonic() - begin < 2
        ready = resilient.api("GET", "/ready")
        assert "postgres:5432" in ready.body["reason"]
        answer = resilient.api("POST", "/api/orders", order(1))
        assert answer.status == 500
        assert answer.body["success"] is False
        assert answer.body["error"]["code"] == "STORE_UNAVAILABLE"
        assert "database postgres:5432" in answer.body["error"]["details"]
        assert answer.seconds < 3  # 1 s by design; the rest is for a busy machine
        health = resilient.api("GET", "/health")
        assert (health.status, health.body["status"]) == (200, "unhealthy")
        assert health.body["checks"] == {"database": "unhealthy", "cache": "healthy"}
        assert resilient.api("GET", "/live").status == 200
        assert resilient.api("GET", "/api/metrics").status == 500, "no invented numbers"
        assert "database postgres:5432 unavailable" in resilient.logs("trading-api")
    finally:
        resilient.start("postgres")
    resilient.wait_ready()
    assert f"100.{1:08d}" not in resilient.prices(), "what was refused is not stored later"


@pytest.mark.full
def test_refused_connects_are_made_while_the_database_starts(resilient: Stack) -> None:
    resilient.crash("postgres")
    resilient.wait_ready()
    assert "[Errno 111] Connection refused" in resilient.logs("trading-api")


def test_the_cache_s_outage_leaves_orders_alone(resilient: Stack) -> None:
    resilient.stop("redis")
    try:
        assert resilient.api("POST", "/api/orders", order(2)).status == 201
        assert resilient.api("GET", "/api/orderbook/CHAOS").body["data"]["source"] == "database"
        health = resilient.api("GET", "/health").body
        assert health["checks"] == {"database": "healthy", "cache": "unhealthy"}
        assert resilient.api("GET", "/ready").status == 200
    finally:
        resilient.start("redis")
    end = time.monotonic() + 20
    while resilient.api("GET", "/health").body["status"] != "healthy":
        assert time.monotonic() < end, "the subscription comes back"
        time.sleep(0.1)


@pytest.mark.full
def test_ack_before_store_loses_acknowledged_orders(image: str) -> None:
    with stack(image, "ack_before_store") as made:
        made.stop("postgres")
        acknowledged = [made.api("POST", "/api/orders", order(number)).status for number in range(5)]
        assert acknowledged == [201] * 5
        made.start("postgres")
        made.wait_ready()
        assert made.prices() == []


@pytest.mark.full
def test_duplicate_on_retry_stores_orders_twice(image: str) -> None:
    with stack(image, "duplicate_on_retry") as made:
        assert made.api("POST", "/api/orders", order(7)).status == 201
        made.crash("postgres")
        time.sleep(0.2)
        made.wait_ready()
        end = time.monotonic() + 5
        while made.prices().count("100.00000007") != 2:
            assert time.monotonic() < end, made.prices()
            time.sleep(0.1)


@pytest.mark.full
def test_fragile_dies_with_its_database_and_comes_back(image: str) -> None:
    with stack(image, "fragile") as made:
        made.stop("postgres")
        end = time.monotonic() + 10
        while made.inspect("trading-api")["RestartCount"] == 0:
            assert time.monotonic() < end, "the API survived its database"
            time.sleep(0.1)
        made.start("postgres")
        made.wait_ready(30)


@pytest.mark.full
def test_silent_errors_say_nothing(image: str) -> None:
    with stack(image, "silent_errors", "no_retry") as made:
        made.stop("postgres")
        answer = made.api("POST", "/api/orders", order(1))
        assert (answer.status, answer.body) == (500, "")
        assert "unavailable" not in made.logs("trading-api")


@pytest.mark.full
def test_no_reconnect_stays_down(image: str) -> None:
    with stack(image, "no_reconnect") as made:
        made.crash("postgres")
        made.wait_database()
        time.sleep(1)
        assert made.api("GET", "/ready").status == 503


@pytest.mark.full
def test_no_cache_fallback_fails_with_the_cache(image: str) -> None:
    with stack(image, "no_cache_fallback", "synchronous_commit_off") as made:
        backends = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trading-api'"
        end = time.monotonic() + 20
        while made.query(backends) != ["6"]:
            assert time.monotonic() < end, "the pool fills up"
            time.sleep(0.1)
        assert made.api("POST", "/api/orders", order(1)).status == 201
        made.stop("redis")
        time.sleep(0.5)
        assert made.api("POST", "/api/orders", order(2)).body["error"]["code"] == "CACHE_UNAVAILABLE"
        assert made.api("GET", "/api/orderbook/CHAOS").status == 500


@pytest.mark.full
def test_weaknesses_that_only_cost_still_serve(image: str) -> None:
    with stack(image, "connection_per_order", "chatty_store", "no_group_commit", "no_timeout") as made:
        answers = [made.api("POST", "/api/orders", order(number)).status for number in range(20)]
        assert answers.count(201) >= 10  # all of them, but for a busy machine
        assert len(made.prices()) >= answers.count(201)


@pytest.mark.full
def test_cpu_hungry_and_memory_leak_cost_what_they_say(image: str) -> None:
    def memory(made: Stack) -> int:
        words = ("exec", made.container("trading-api"), "grep", "VmRSS", "/proc/1/status")
        return int(docker(*words).split()[1])

    with stack(image, "cpu_hungry", "memory_leak") as made:
        for number in range(50):
            made.api("POST", "/api/orders", order(number))
        before = memory(made)
        answers = [made.api("POST", "/api/orders", order(number)) for number in range(100, 300)]
        assert min(answer.seconds for answer in answers) >= 0.005
        assert 1_200 < memory(made) - before < 6_000, "200 orders leave 2 MB behind (in KiB)"


def test_the_order_flow_simulator_s_orders_are_taken(image: str) -> None:
    with stack(image, more=("market-simulator", "order-flow-simulator")) as made:
        address = made.address("order-flow-simulator")
        end = time.monotonic() + 20
        while True:
            health = call(address, "GET", "/health", port=8082)
            if health.status == 200 and health.body["answers"].get("201", 0) >= 5:
                break
            assert time.monotonic() < end, health
            time.sleep(0.2)
        assert made.query("SELECT count(*) FROM trading.orders WHERE symbol = 'CHAOS'") == ["0"]


@pytest.mark.full
@pytest.mark.parametrize("switches", [(), pytest.param(("static_upstream",), marks=pytest.mark.full)])
def test_the_proxy_finds_an_api_that_moved_unless_it_looks_but_once(
    image: str, switches: tuple[str, ...]
) -> None:
    with stack(image, *switches, more=("market-simulator", "nginx")) as made:
        proxy = made.address("nginx")
        end = time.monotonic() + 10
        while call(proxy, "GET", "/health", port=80).status != 200:
            assert time.monotonic() < end
            time.sleep(0.2)
        before = made.address("trading-api")
        docker("network", "disconnect", made.name, made.container("trading-api"))
        # Somebody else takes the address it had.
        docker(
            *("run", "--detach", "--name", f"{made.name}-squatter", "--label", LABEL),
            *("--network", made.name, "--hostname", "squatter", image, "sleep", "60"),
        )
        try:
            docker("network", "connect", "--alias", "trading-api", made.name, made.container("trading-api"))
            assert made.address("trading-api") != before
            time.sleep(2.5)
            assert (call(proxy, "GET", "/health", port=80).status == 200) == (not switches)
        finally:
            docker("rm", "--force", f"{made.name}-squatter")
