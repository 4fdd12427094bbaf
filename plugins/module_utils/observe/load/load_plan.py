# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a run's load and probes, in sentences, before anything is sent; and what they would do. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from ...common.bounds import PORT_MAX
from ...common.errors import ChaosError
from ...common.peer_addresses import write_endpoint
from ...common.schema import show_value
from ...exchange.order_queries import read_trader
from ...exchange.orders import SPAN, Numbering
from ...host.http_client import compile_expression

RATE_MAX = 1000.0
#: A reverse proxy limits each client, often to 50 requests per second; half of it leaves room for others.
PROXY_RATE_MAX = 25.0
TIMEOUT_MIN_S, TIMEOUT_MAX_S = 0.1, 60.0
BURST_MAX_S = 30.0
#: A slow request is finished at most so long after it was begun, s.
SLOW_MAX_S = 10.0
_URL = re.compile(r"^https?://[^/\s]+")


def validate_load(load: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing wrong with ``load`` of a run's specification; none when it is good."""
    found = [*_missing(load)]
    if found:
        return found
    found += _number(load, "rate", 0, RATE_MAX, "orders per second", above=True)
    for name in ("watch_rate", "burst_rate"):
        found += _number(load, name, 0, RATE_MAX, "orders per second", default=0)
    found += _number(load, "burst_s", 0, BURST_MAX_S, "seconds", default=0)
    found += _number(load, "floor", 0, RATE_MAX, "orders per second", default=0)
    found += _number(load, "timeout_s", TIMEOUT_MIN_S, TIMEOUT_MAX_S, "seconds")
    if not found:
        found += _sums(load)
    return found + _template(load)


def validate_probes(probes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each thing wrong with ``probes`` of a run's specification."""
    found = []
    names = [str(probe.get("name", "")) for probe in probes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.append(f"Two probes are called {show_value(name)}; each needs its own name.")
    for number, probe in enumerate(probes):
        where = f"probes[{number}] ({names[number] or 'without a name'})"
        kind = probe.get("kind")
        if not names[number]:
            found.append(f"{where} needs a name.")
        if kind == "http":
            found += _address(probe, where)
            found += _compiles(f"{where}.expect.expression", (probe.get("expect") or {}).get("expression"))
        elif kind == "tcp":
            found += _port(probe, where)
            if not probe.get("service") and not probe.get("address"):
                found.append(f"{where} needs a service or an address to connect to.")
        else:
            found.append(f"{where}: kind must be http or tcp; it is {show_value(kind)}.")
        found += _number(probe, "rate", 0, 200, "probes per second", above=True, where=where)
        for name in ("fault_rate", "outage_rate"):
            found += _number(probe, name, 0, 200, "probes per second", above=True, default=1, where=where)
        found += _number(probe, "slow_s", 0, SLOW_MAX_S, "seconds", default=0, where=where)
        found += _number(probe, "timeout_s", 0.05, TIMEOUT_MAX_S, "seconds", default=1, where=where)
    return found


def describe_load(load: Mapping[str, Any]) -> list[str]:
    """Return what the load would do, line by line, for check mode."""
    numbering = Numbering.from_price(load["price"])
    order, trader = load["order"], read_trader(load["order"]["body"])
    lines = [
        f"send {load['rate']:g} orders per second by {order.get('method', 'POST')} {load['url']}{order['path']}"
        f" for {trader['symbol']} as user {trader['user_id']}, each cut off after {load['timeout_s']:g} s",
        f"number them {numbering.first} to {numbering.last}: prices {numbering.price_of(numbering.first)}"
        f" to {numbering.price_of(numbering.last)}, {' and '.join(load['side']['values'])} "
        "in pairs that clear each other",
    ]
    if load.get("watch_rate"):
        lines.append(
            f"add {load['watch_rate']:g} orders per second from the announcement of a fault until it is over"
        )
    if load.get("burst_rate") and load.get("burst_s"):
        lines.append(
            f"add {load['burst_rate']:g} orders per second at most, as many as the placebo shows to be borne, from the "
            "announcement of a kill until just after it"
            f", for {load['burst_s']:g} s at most"
        )
    return lines


def describe_end(load: Mapping[str, Any]) -> list[str]:
    """Return what ending the load would do, line by line, for check mode."""
    return [
        "send no more orders, and wait until none can be under way",
        "count the run's orders in the database and hold them against the API's answers",
        f"cancel what stays open by {(load.get('cancel') or {}).get('path', 'nothing: load.cancel is not set')}",
    ]


def describe_probes(probes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the probes would do, line by line, for check mode."""
    lines = []
    for probe in probes:
        end = str(probe.get("address") or probe.get("service"))
        where = probe.get("url") or write_endpoint(end, int(probe.get("port") or 0))
        fast = max(float(probe["rate"]), float(probe.get("fault_rate") or 0))
        outage = float(probe.get("outage_rate") or 0)
        lines.append(
            f"probe {probe['name']}: {probe['kind']} {where}, {probe['rate']:g} times a second, {fast:g} around faults"
            + (f", {outage:g} while it is bad then" if outage > fast else "")
        )
    return lines


def _missing(load: Mapping[str, Any]) -> list[str]:
    wanted = {
        "order": ("path", "body"),
        "accept": (),
        "price": ("field", "base", "decimals"),
        "side": ("field", "values"),
    }
    names = ("service" if load.get("service") else "url", "rate", "timeout_s", *wanted)
    found = [f"load.{name} is missing." for name in names if not load.get(name)]
    if load.get("order_id") is None:  # an empty one says that no answer tells it
        found.append("load.order_id is missing.")
    for name, keys in wanted.items():
        part = load.get(name)
        if isinstance(part, Mapping):
            found += [f"load.{name}.{key} is missing." for key in keys if part.get(key) in (None, "")]
        elif part:
            found.append(f"load.{name} must be a dictionary; it is {show_value(part)}.")
    if load.get("rate") == 0:
        found.append(
            "load.rate is 0: a fault on an idle system proves nothing; give orders per second above 0."
        )
        found.remove("load.rate is missing.")
    return found


def _number(
    part: Mapping[str, Any],
    name: str,
    low: float,
    high: float,
    unit: str,
    *,
    above: bool = False,
    default: float | None = None,
    where: str = "load",
) -> list[str]:
    value = part.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [f"{where}.{name} must be a number of {unit}; it is {show_value(value)}."]
    if low <= value <= high and not (above and value == low):
        return []
    span = f"above {low:g} and at most {high:g}" if above else f"between {low:g} and {high:g}"
    return [f"{where}.{name} must be {span} {unit}; it is {value:g}."]


def _sums(load: Mapping[str, Any]) -> list[str]:
    found = []
    burst = (load.get("burst_rate") or 0) if load.get("burst_s") else 0
    total = load["rate"] + (load.get("watch_rate") or 0) + burst
    if total > RATE_MAX:
        found.append(
            "load.rate, watch_rate and burst_rate together must be at most "
            f"{RATE_MAX:g} orders per second; they are {total:g}."
        )
    if load.get("via") == "proxy" and total > PROXY_RATE_MAX:
        found.append(
            f"Through the proxy at most {PROXY_RATE_MAX:g} orders per second may go (its rate limit would answer, "
            f"not the exchange); rate, watch_rate and burst_rate make {total:g}."
        )
    if (load.get("floor") or 0) >= load["rate"]:
        found.append(
            f"load.floor ({load['floor']:g}) is not below load.rate ({load['rate']:g}): every run would be invalid."
        )
    return found


def _template(load: Mapping[str, Any]) -> list[str]:
    found = []
    found += _address(load, "load")
    if not str(load["order"]["path"]).startswith("/"):
        found.append(f"load.order.path must begin with a slash; it is {show_value(load['order']['path'])}.")
    values = load["side"]["values"]
    if not isinstance(values, (list, tuple)) or len(values) != 2 or values[0] == values[1]:
        found.append(
            f"load.side.values must be the word for selling and the word for buying; it is {show_value(values)}."
        )
    price = load["price"]
    if load["side"]["field"] == price["field"]:
        found.append(f"load.side.field and load.price.field are both {show_value(price['field'])}.")
    try:
        base = Decimal(str(price["base"]))
    except InvalidOperation:
        base = Decimal("NaN")
    if not base.is_finite() or base <= 0:
        found.append(f"load.price.base must be a price above 0; it is {show_value(price['base'])}.")
    decimals = price["decimals"]
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 5 <= decimals <= 12:
        found.append(
            f"load.price.decimals must be 5 to 12, so that the {SPAN} numbers of a run fit below one unit of price; "
            f"it is {show_value(decimals)}."
        )
    elif price.get("first_number") is not None:
        first, span = price["first_number"], price.get("span", SPAN)
        if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first <= 10**decimals - span:
            found.append(
                f"load.price.first_number must be 0 to {10**decimals - span}; it is {show_value(first)}."
            )
    for name, text in (
        ("load.accept.expression", load["accept"].get("expression")),
        ("load.order_id", load["order_id"]),
        ("load.error", load.get("error")),
        ("load.depth", load.get("depth")),
    ):
        found += _compiles(name, text)
    return found


def _address(part: Mapping[str, Any], where: str) -> list[str]:
    """A whole URL, or the service and port by which preflight finds one."""
    if part.get("url"):
        good = _URL.match(str(part["url"]))
        wrong = (
            f"{where}.url must begin with http:// or https:// and a host; it is {show_value(part['url'])}."
        )
        return [] if good else [wrong]
    if part.get("service"):
        return _port(part, where)
    return [f"{where} needs a url, or a service and a port."]


def _port(part: Mapping[str, Any], where: str) -> list[str]:
    return _number(part, "port", 1, PORT_MAX, "(a TCP port)", where=where)


def _compiles(where: str, text: str | None) -> list[str]:
    try:
        compile_expression(text, where)
    except ChaosError as error:
        return [str(error)]
    return []
