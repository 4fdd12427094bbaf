# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may be touched at all, decided on the controller before any host is asked."""

from __future__ import annotations

from datetime import datetime

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import guard_rails
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.missing_host import make_missing_host
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.version import collection_version


@pytest.mark.parametrize(
    "pattern",
    [
        "all",
        " all ",
        "*",
        "",
        "exchange,all",
        "all,exchange",
        "exchange:all",
        "all:!db",
        "~.*",
        "all:&exchange",
        "!db",
        "!db:!cache",
        "all[0:]",
        "all[0]",
        "*[1:]",
        "**",
        "?*",
        "~.",
        "~",
        "exchange,~.+",
        "~[",
        "[",
        "[[",
        "exchange,~[a-zA-Z0-9]",
        r"~\w",
        "~^....",
        "[a-zA-Z0-9]*",
        "????*",
    ],
)
def test_every_host_is_no_target(pattern: str) -> None:
    with pytest.raises(guard_rails.TargetError, match="every host"):
        guard_rails.check_pattern(pattern, ["one"])


@pytest.mark.parametrize(
    "pattern",
    [
        "exchange",
        "exchange:!db",
        "small,wall",
        "host-*",
        "exchange:&paris",
        "allhosts",
        "web[0:3]",
        "&exchange:!db",
        "~web\\d+",
        "*[ab]",
        "~(",
    ],
)
def test_a_group_is(pattern: str) -> None:
    guard_rails.check_pattern(pattern, ["one"])


def test_nobody_is_no_target() -> None:
    with pytest.raises(guard_rails.TargetError, match="no such host"):
        guard_rails.check_pattern("exchange", [])


def test_a_forbidden_group_is_refused_unless_accepted() -> None:
    groups = {"one": ["exchange", "all"], "two": ["exchange", "prod", "all"]}
    guard_rails.check_groups({"one": groups["one"]}, ["production", "prod"], False)
    with pytest.raises(guard_rails.TargetError, match="Host two is in the forbidden group prod"):
        guard_rails.check_groups(groups, ["production", "prod"], False)
    guard_rails.check_groups(groups, ["production", "prod"], True)
    guard_rails.check_groups(groups, [], False)


@pytest.mark.parametrize(
    ("allowed", "time", "inside"),
    [
        ("", "03:00", True),
        ("09:00-17:00", "09:00", True),
        ("09:00-17:00", "16:59", True),
        ("09:00-17:00", "17:00", False),
        ("09:00-17:00", "08:59", False),
        ("22:00-06:00", "23:30", True),
        ("22:00-06:00", "05:59", True),
        ("22:00-06:00", "12:00", False),
    ],
)
def test_hours(allowed: str, time: str, inside: bool) -> None:
    now = datetime.fromisoformat(f"2026-11-23T{time}:30")
    if inside:
        guard_rails.check_hours(allowed, now)
    else:
        with pytest.raises(guard_rails.TargetError, match=f"It is {time}"):
            guard_rails.check_hours(allowed, now)


@pytest.mark.parametrize("allowed", ["9-17", "09:00", "25:00-26:00", "09:00-17:00 ", "always"])
def test_hours_that_cannot_be_read_allow_nothing(allowed: str) -> None:
    with pytest.raises(guard_rails.TargetError, match="must look like 09:00-17:00"):
        guard_rails.check_hours(allowed, datetime(2026, 11, 23, 12))


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (True, True),
        ("true", True),
        ("Yes", True),
        ("1", True),
        (False, False),
        ("false", False),
        ("", False),
        (None, False),
        ("no", False),
        ("maybe", False),
    ],
)
def test_consent_on_the_command_line(value: object, meant: bool) -> None:
    assert guard_rails.is_true(value) is meant


def test_the_version_is_galaxys() -> None:
    assert collection_version().count(".") == 2
    assert collection_version() != "0.0.0"


def test_a_host_without_a_record_says_why_and_claims_nothing() -> None:
    found = make_missing_host("host-1", "skipped", "No Docker engine answers.")
    assert (found["host"], found["outcome"], found["notes"]) == (
        "host-1",
        "skipped",
        ["No Docker engine answers."],
    )
    assert set(found["verdicts"].values()) == {"unknown"}


def test_a_guard_rail_that_the_controller_does_not_see_is_no_guard_rail() -> None:
    hours = {"chaos_allowed_hours": "09:00-17:00"}
    guard_rails.check_rails(hours, {"one": hours}, set())
    guard_rails.check_rails(hours, {"one": {}}, set())
    guard_rails.check_rails({}, {"one": hours}, {"chaos_allowed_hours"})
    for controller in ({}, {"chaos_allowed_hours": ""}):
        with pytest.raises(
            guard_rails.TargetError, match="chaos_allowed_hours is set in the inventory for host one,"
        ):
            guard_rails.check_rails(controller, {"two": {}, "one": hours}, set())
