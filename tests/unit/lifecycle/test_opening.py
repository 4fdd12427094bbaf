# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a run is said to be of."""

from __future__ import annotations

import os
import pwd

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import opening

NAMES = ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME")


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run with any number for a user."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)

    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert opening._owner() == f"user {os.geteuid()}"


def test_a_name_from_the_environment_is_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "me\n\x1b[2J" + "x" * 5000)
    said = opening._owner()
    assert said.startswith("me")
    assert said.isprintable()
    assert len(said) <= 64
