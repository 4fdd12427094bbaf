# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input to load and probes: one clear sentence each, and none for what is good."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.load_plan import (
    describe_load,
    describe_probes,
    validate_load,
    validate_probes,
)

LOAD: dict[str, Any] = {
    "url": "http://127.0.0.1:8080",
    "rate": 10,
    "watch_rate": 40,
    "burst_rate": 200,
    "burst_s": 2.0,
    "floor": 5,
    "timeout_s": 3,
    "order": {"path": "/api/orders", "body": {"user_id": "u", "symbol": "CHAOS"}},
    "accept": {"status": 201, "expression": "success"},
    "order_id": "data.order_id",
    "error": "error.details || error.message",
    "price": {"field": "price", "base": "100", "decimals": 8},
    "side": {"field": "side", "values": ["SELL", "BUY"]},
    "cancel": {"method": "DELETE", "path": "/api/orders/{order_id}"},
}
PROBES: list[dict[str, Any]] = [
    {"name": "ready", "kind": "http", "url": "http://127.0.0.1:8080/ready", "rate": 10, "fault_rate": 100},
    {"name": "database", "kind": "tcp", "service": "postgres", "port": 5432, "rate": 10, "fault_rate": 100},
]


def changed(base: Any, path: str, value: Any) -> Any:
    """Return a copy of ``base`` with one value replaced; None removes it."""
    result = copy.deepcopy(base)
    part = result
    *folders, name = path.split(".")
    for folder in folders:
        part = part[int(folder) if folder.isdigit() else folder]
    if value is None:
        del part[name]
    else:
        part[name] = value
    return result


def test_good_settings_have_nothing_wrong_with_them() -> None:
    assert validate_load(LOAD) == []
    assert validate_probes(PROBES) == []
    by_service = {**LOAD, "service": "trading-api", "port": 8080}
    del by_service["url"]
    assert validate_load(by_service) == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("rate", -5, "load.rate must be above 0 and at most 1000 orders per second; it is -5."),
        ("rate", 0, "idle system"),
        ("rate", 1001, "load.rate must be above 0 and at most 1000"),
        ("rate", "ten", "load.rate must be a number"),
        ("rate", float("nan"), "load.rate must be"),
        ("rate", True, "load.rate must be a number"),
        ("burst_rate", 995, "together must be at most 1000"),
        ("watch_rate", -1, "load.watch_rate must be between 0 and 1000"),
        ("burst_s", 3600, "load.burst_s must be between 0 and 30"),
        ("timeout_s", 0, "load.timeout_s"),
        ("timeout_s", 0.05, "load.timeout_s must be between 0.1 and 60"),
        ("timeout_s", 61, "load.timeout_s must be between 0.1 and 60"),
        ("floor", 11, "every run would be invalid"),
        ("floor", 10, "is not below"),
        ("url", "127.0.0.1:8080", "load.url must begin with http"),
        ("url", None, "load.url is missing"),
        ("order.path", "api/orders", "must begin with a slash"),
        ("order.body", None, "load.order.body is missing"),
        ("accept.expression", "success ==", "load.accept.expression is not a JMESPath expression"),
        ("order_id", None, "load.order_id is missing"),
        ("order_id", "data.[", "load.order_id is not a JMESPath expression"),
        ("price.base", "-1", "load.price.base must be a price above 0"),
        ("price.base", "cheap", "load.price.base must be a price above 0"),
        ("price.decimals", 2, "load.price.decimals must be 5 to 12"),
        ("price.first_number", 10**8, "load.price.first_number must be 0 to 99934464"),
        ("side.values", ["BUY"], "load.side.values must be"),
        ("side.values", ["BUY", "BUY"], "load.side.values must be"),
        ("side.field", "price", "are both 'price'"),
        ("price", "100", "load.price must be a dictionary"),
    ],
)
def test_each_thing_wrong_with_the_load_is_told_in_one_sentence(path: str, value: Any, told: str) -> None:
    found = validate_load(changed(LOAD, path, value))
    assert len(found) == 1, found
    assert told in found[0]


def test_an_empty_path_to_the_id_says_that_no_answer_tells_it() -> None:
    assert validate_load({**LOAD, "order_id": ""}) == []


def test_through_the_proxy_only_a_gentle_load_may_go() -> None:
    assert "at most 25 orders per second" in validate_load({**LOAD, "via": "proxy"})[0]
    gentle = {**LOAD, "via": "proxy", "rate": 15, "watch_rate": 10, "burst_rate": 0}
    assert validate_load(gentle) == []
    assert validate_load({**gentle, "watch_rate": 10.5}) != []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("0.rate", 0, "rate must be above 0 and at most 200"),
        ("0.fault_rate", 5000, "fault_rate must be above 0 and at most 200"),
        ("0.url", "ready", "url must begin with http"),
        ("0.url", None, "needs a url, or a service and a port"),
        ("0.expect", {"expression": "status == "}, "expect.expression is not a JMESPath"),
        ("0.kind", "icmp", "kind must be http or tcp"),
        ("0.name", "database", "Two probes are called 'database'"),
        ("1.port", 0, "port must be between 1 and 65535"),
        ("1.service", None, "needs a service or an address"),
        ("1.timeout_s", 0, "timeout_s must be between"),
    ],
)
def test_each_thing_wrong_with_a_probe_is_told_in_one_sentence(path: str, value: Any, told: str) -> None:
    found = validate_probes(changed(PROBES, path, value))
    assert len(found) == 1, found
    assert told in found[0]


def test_the_plan_names_rates_address_and_numbers() -> None:
    text = "\n".join(describe_load({**LOAD, "price": {**LOAD["price"], "first_number": 123456}}))
    for word in (
        "10 orders per second",
        "http://127.0.0.1:8080/api/orders",
        "100.00123456",
        "200 orders",
        "CHAOS",
    ):
        assert word in text
    assert "100 around faults" in describe_probes(PROBES)[1]
