# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rush of orders, and what shows that it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.rush import Rush
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import rush

from tests.unit.containers import down, target

API = target("trading-api")
PROXY = target("nginx", network={"Networks": {"lab_default": {"IPAddress": "172.18.0.9"}}, "Ports": {}})
SITE = Site([API, PROXY], False)
FAULT: dict[str, Any] = {"id": "rush", "rate": 100.0, "hold_s": 20.0, "clients": 40, "proxy_share": 0.5}


def test_the_plan_says_how_many_from_where_and_by_which_way() -> None:
    planned = rush.from_spec({**FAULT, "proxy": "nginx", "proxy_port": 80}, [API], SITE)
    assert planned.lines() == [
        "send 1300 orders on top within 20 s, 100 per second at the height, to trading-api from 40 clients, "
        "20 of them through http://172.18.0.9:80, 20 directly; undo: the load ends them"
    ]
    undo = planned.undo()
    assert undo["held"] is True
    assert Rush.from_data(undo["orders"]) == planned.rush
    direct = rush.from_spec(FAULT, [API], SITE)
    assert direct.rush.proxy_clients == 0


def test_a_proxy_that_cannot_be_reached_or_an_api_that_is_down_is_refused() -> None:
    with pytest.raises(ChaosError, match="No container of service nowhere runs"):
        rush.from_spec({**FAULT, "proxy": "nowhere"}, [API], SITE)
    with pytest.raises(ChaosError, match="needs a running container"):
        rush.from_spec(FAULT, [down("trading-api")], SITE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rate": 0}, "orders per second from 1 to 10000"),
        ({"rate": "many"}, "orders per second from 1 to 10000"),
        ({"clients": 501}, "a number from 1 to 500"),
        ({"proxy_share": 2}, "a share from 0 to 1"),
        ({"hold_s": 0}, "has no hold_s"),
        ({"proxy_port": 70000}, "must be from 1 to 65535"),
    ],
)
def test_wrong_arguments_are_told_before_any_host_is_asked(change: dict[str, Any], says: str) -> None:
    assert rush.check(FAULT) == []
    assert any(says in one for one in rush.check({**FAULT, **change}))


def test_the_kernels_count_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rush, "_PROC", tmp_path)
    (tmp_path / "7" / "net").mkdir(parents=True)
    (tmp_path / "7" / "net" / "snmp").write_text(
        "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm ActiveOpens PassiveOpens\nTcp: 1 12 345\n"
    )
    assert rush._count_taken(7) == 345
    with pytest.raises(ChaosError, match="nothing would show the connections"):
        rush._count_taken(8)


def test_what_was_sent_is_measured_against_what_was_due() -> None:
    made = Rush(100.0, 20.0)
    times = [50.0 + made.due_at(number) for number in range(made.orders)]
    assert rush.share_sent(made, times, 50.0, 70.0) == pytest.approx(1.0, abs=0.01)
    assert rush.share_sent(made, times[::2], 50.0, 70.0) == pytest.approx(0.5, abs=0.01)
    assert rush.share_sent(made, times[:400], 50.0, 55.0) == pytest.approx(1.0, abs=0.05), (
        "cut off by the guard"
    )
    assert rush.share_sent(made, [], 50.0, 70.0) == 0.0
    assert rush.densest_second([{"sent": at} for at in times]) == pytest.approx(100, abs=1)
