# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application logged: the engine's time stamps, and the first line that names the dependency."""

from __future__ import annotations

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.clock import Anchor
from ansible_collections.exchange.chaos.plugins.module_utils.observe import application_log

#: 2026-11-23T18:00:00Z is boottime 1000.
ANCHOR = Anchor(boottime=1000.0, realtime=1795456800.0, boot_id="b")


def test_the_engines_stamp_becomes_boottime_and_leaves_the_text() -> None:
    lines = [
        "2026-11-23T18:00:02.500000001Z second: key=value  two spaces",
        "2026-11-23T18:00:01Z first",
        "no stamp at all",
        "",
    ]
    found = application_log.split_stamps(lines, ANCHOR)
    assert [text for _, text in found] == ["first", "second: key=value  two spaces"]
    assert [at for at, _ in found] == [pytest.approx(1001.0), pytest.approx(1002.5)]


def test_the_first_line_from_the_fault_on_that_names_it() -> None:
    lines = [
        (1.0, "postgres is fine"),
        (5.0, "hello"),
        (6.0, "cannot reach POSTGRES"),
        (7.0, "postgres again"),
    ]
    assert application_log.find_first(lines, "postgres", 2.0) == (6.0, "cannot reach POSTGRES")
    assert application_log.find_first(lines, "postgres", 0.0) == (1.0, "postgres is fine")
    assert application_log.find_first(lines, "redis", 0.0) is None
    assert application_log.find_first([], "redis", 0.0) is None
