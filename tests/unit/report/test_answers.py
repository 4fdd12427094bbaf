# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger asks of a run: each answer follows from what was measured, and says when nobody knows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.follow_up.signals import AlertSignal
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page import answers

from tests.unit import fleets


@pytest.fixture
def host() -> dict[str, Any]:
    made: dict[str, Any] = fleets.sample("passed")["hosts"][0]
    return made


def sign(source: str, name: str, after_s: float, lead_s: float | None, fault: str = "crash") -> AlertSignal:
    return AlertSignal(fault, source, name, f"{source} {name} moved", after_s, lead_s)


def test_what_broke_and_when_is_told_with_day_and_undo(host: dict[str, Any]) -> None:
    told = "; ".join(answers.tell_faults([host]))
    crash, outage = host["faults"]
    for fault in (crash, outage):
        at = fault["injected_at"]
        assert f"{fault['id']}: {fault['kind']} of {fault['target']}, {at[:10]} {at[11:23]} to " in told
        assert f"undone by {fault['undone_by']}" in told
    outage["undone_at"] = None
    assert answers.tell_faults([host])[-1].endswith("UTC, not undone")
    for fault in host["faults"]:
        fault["injected_at"] = None
    assert answers.tell_faults([host]) == ["Nothing: no fault was injected."]


def test_of_several_hosts_a_fault_lasts_from_the_first_to_the_last(host: dict[str, Any]) -> None:
    other = fleets.host(2)
    other["faults"][0]["undone_at"] = "2026-11-23T19:00:00.000Z"
    told = answers.tell_faults([host, other])[0]
    assert f"on {host['host']}, host-2, " in told
    assert "to 19:00:00.000 UTC" in told


def test_who_noticed_first(host: dict[str, Any]) -> None:
    moved = [sign("kernel", "CONN_RESET", 0.012, 0.3), sign("users", "orders", 0.312, 0.0)]
    crash, outage = answers.tell_first_sign(host, moved, [], several=False)
    assert crash == (
        "crash: the kernel, 0.012 s after the injection, as kernel CONN_RESET moved; the first order failed 0.3 s later"
    )
    assert outage.startswith("outage: nobody")
    users = answers.tell_first_sign(host, moved[1:], [], several=False)[0]
    assert users == "crash: users, by a failed order, 0.312 s after the injection"
    assert answers.tell_first_sign(host, moved, [], several=True)[-1] == "On localhost, the worst host."


def test_an_alert_is_what_comes_before_users_and_names_its_check(host: dict[str, Any]) -> None:
    spec = {"probes": [{"name": "ready", "url": "http://127.0.0.1:8080/ready"}]}
    early, late = sign("probe", "ready", 0.1, 0.2), sign("kernel", "CONN_FAILED", 0.4, -0.1)
    users = sign("users", "orders", 0.3, 0.0)
    (told,) = answers.tell_warning(host, [early, users, late], [], spec)
    assert told == (
        "crash: alert on 'probe ready moved', http://127.0.0.1:8080/ready, 0.2 s before the first failed order"
    )
    (told,) = answers.tell_warning(host, [users, late], [], spec)
    assert told == "crash: no sign came before the first failed order, so alert on failed orders"
    (told,) = answers.tell_warning(host, [sign("kernel", "OOM_KILL", 0.1, None)], [], {})
    assert "increase(node_vmstat_oom_kill[1m]) > 0, no order failed" in told


def test_without_raw_samples_nobody_knows(host: dict[str, Any]) -> None:
    for told in (
        answers.tell_first_sign(host, [], ["load"], several=False),
        answers.tell_warning(host, [], ["load"], {}),
    ):
        assert told == ["Not known: the raw samples are not beside the record."]


def test_a_fleet_s_sentences_speak_of_its_worst_host_that_saw_anything() -> None:
    hosts = fleets.three()["hosts"]
    views = [{"host": host, "signals": []} for host in hosts]
    assert answers.pick_worst_view(views)["host"]["host"] == "host-2"
    views[2]["signals"] = [sign("probe", "ready", 0.1, 0.2)]
    assert answers.pick_worst_view(views)["host"]["host"] == "host-3"
