# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing two snapshots: every difference once, restarts counted, what cannot be read is not equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.snapshot import host, network, snapshot

BEFORE: snapshot.Snapshot = {
    "unchecked": {},
    "started_at": {"postgres.1": "18:00", "api.1": "18:00"},
    "cgroup": {"postgres.1 memory.max": "max"},
    "executable": {"api.1 /usr/bin/curl": "runs"},
    "nft": {},
}


def changed(kind: str, **facts: str) -> snapshot.Snapshot:
    return {**BEFORE, kind: {**BEFORE.get(kind, {}), **facts}}


def test_equal_is_no_leftover() -> None:
    assert snapshot.find_differences(BEFORE, BEFORE) == []


def test_what_came_went_or_changed_is_one_leftover_each() -> None:
    after = {**BEFORE, "cgroup": {"postgres.1 memory.max": "100"}, "nft": {"host inet ours": "1"}}
    assert snapshot.find_differences(BEFORE, after) == [
        {"kind": "cgroup", "what": "postgres.1 memory.max", "before": "max", "after": "100"},
        {"kind": "nft", "what": "host inet ours", "before": None, "after": "1"},
    ]
    assert snapshot.find_differences(after, BEFORE)[1] == {
        "kind": "nft",
        "what": "host inet ours",
        "before": "1",
        "after": None,
    }


def test_a_kind_that_is_missing_altogether_is_no_equality() -> None:
    before = {kind: part for kind, part in BEFORE.items() if kind != "cgroup"}
    assert [item["kind"] for item in snapshot.find_differences(before, BEFORE)] == ["cgroup"]


def test_a_program_that_ended_is_none_and_one_that_came_is() -> None:
    after = {**BEFORE, "executable": {"api.1 /usr/bin/nc": "runs"}}
    assert [item["what"] for item in snapshot.find_differences(BEFORE, after)] == ["api.1 /usr/bin/nc"]


def test_restarts_are_counted_by_service_and_those_nobody_asked_for_named() -> None:
    after = changed("started_at", **{"postgres.1": "18:01", "api.1": "18:02", "api.2": "18:03"})
    asked = [{"event": "fault_injected", "target": "postgres"}, {"event": "fault_undone", "target": "api"}]
    found = snapshot.compare_snapshots(BEFORE, after, asked)
    assert found["leftovers"] == []
    assert found["restarts"] == {"postgres": 1, "api": 1}
    assert found["unasked_restarts"] == ["api"]


def test_what_could_not_be_read_on_either_side_is_said() -> None:
    found = snapshot.compare_snapshots(
        {**BEFORE, "unchecked": {"nets": "needs root"}}, {**BEFORE, "unchecked": {"x": "y"}}, []
    )
    assert found["unchecked"] == ["nets: needs root", "x: y"]


def test_nested_engine_data_becomes_flat_without_what_changes_at_each_start_or_is_empty() -> None:
    data = {
        "Memory": 0,
        "Hostname": "a1b2",
        "Policy": {"Name": "always", "Max": 3},
        "Binds": ["a", "b"],
        "None": None,
        "DnsSearch": [],
        "Sysctls": {},
    }
    assert snapshot.flatten_config("config", data) == [
        ("config.Memory", "0"),
        ("config.Policy.Name", "always"),
        ("config.Policy.Max", "3"),
        ("config.Binds", "['a', 'b']"),
    ]


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("0100007F:1538 00000000:0000 0A", [("127.0.0.1", 5432)]),
        ("00000000:0050 00000000:0000 0A", [("0.0.0.0", 80)]),
        ("0100007F:1538 00000000:0000 01", []),
        ("00000000000000000000000000000000:0050 0:0 0A", [("::", 80)]),
        ("00000000000000000000000001000000:1F90 0:0 0A", [("::1", 8080)]),
        ("0000000000000000FFFF00000100007F:1F90 0:0 0A", [("::ffff:127.0.0.1", 8080)]),
    ],
)
def test_listeners_are_read_from_the_kernels_hexadecimal(
    tmp_path: Path, table: str, found: list[tuple[str, int]]
) -> None:
    path = tmp_path / "tcp"
    path.write_text(f"  sl  local_address rem_address   st\n   0: {table} 00000000:00000000\n")
    assert [(str(address), port) for address, port in host._listening(path)] == [
        (address if "ffff" not in address else str(__import__("ipaddress").ip_address(address)), port)
        for address, port in found
    ]


def test_names_that_docker_makes_up_are_compared_without_them() -> None:
    assert network._stable("veth1a2b3c") == "veth"
    assert network._stable("eth0@if15") == "eth0"
    assert network._foreign("br-0123456789ab", {"br-feed"})
    assert not network._foreign("br-feed", {"br-feed"})
    assert not network._foreign("eth0", set())


def test_a_health_check_caught_in_the_act_is_none_that_lasts() -> None:
    last = {"executable": {"api.1 /usr/bin/left": "runs"}, "cgroup": {}}
    after = {
        "executable": {"api.1 /usr/bin/left": "runs", "api.1 /usr/bin/curl": "runs"},
        "cgroup": {"api.1 cpu.max": "1"},
    }
    assert snapshot.drop_passing(last, after) == {**after, "executable": {"api.1 /usr/bin/left": "runs"}}


@pytest.mark.parametrize(("due", "leftovers"), [("75", 0), ("-1", 1)])
def test_a_health_check_that_need_not_have_spoken_yet_is_no_leftover(due: str, leftovers: int) -> None:
    before = {"container_health": {"postgres.1": "healthy"}, "health_due": {"postgres.1": "0"}}
    after = {"container_health": {"postgres.1": "starting"}, "health_due": {"postgres.1": due}}
    found = snapshot.compare_snapshots(before, after, [])
    assert len(found["leftovers"]) == leftovers
    assert found["still_starting"] == (["postgres.1: up to 75 s more"] if not leftovers else [])


def test_a_health_check_that_says_no_is_a_leftover_however_slow_it_is() -> None:
    before = {"container_health": {"api.1": "healthy"}, "health_due": {"api.1": "90"}}
    after = {"container_health": {"api.1": "unhealthy"}, "health_due": {"api.1": "90"}}
    assert len(snapshot.compare_snapshots(before, after, [])["leftovers"]) == 1
