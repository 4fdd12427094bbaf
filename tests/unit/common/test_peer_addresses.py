# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a TCP port, and how one is written behind an address; all who check or write one ask here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.peer_addresses import (
    is_port,
    write_endpoint,
)

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"


@pytest.mark.parametrize("value", [1, 5432, 65535, "1", "5432", "65535", "08080"])
def test_a_port_is_a_number_or_its_digits(value: Any) -> None:
    assert is_port(value)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        65536,
        True,
        5432.0,
        5432.5,
        None,
        "",
        "0",
        "65536",
        "999999",
        "5432.0",
        " 5432",
        "5_432",
        "٣٤",
        "http",
        [1],
    ],
)
def test_what_is_none_is_none_and_what_is_one_can_be_taken_as_a_number(value: Any) -> None:
    assert not is_port(value)


def test_an_address_of_ipv6_stands_in_brackets_before_its_port() -> None:
    assert write_endpoint("10.0.0.5", 5432) == "10.0.0.5:5432"
    assert write_endpoint("fd00::5", 5432) == "[fd00::5]:5432"


def test_nobody_else_knows_the_highest_port() -> None:
    found = [path.name for path in sorted(PLUGINS.rglob("*.py")) if "65535" in path.read_text()]
    assert found == ["bounds.py"]
