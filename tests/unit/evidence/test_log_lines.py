# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line of a log is worth: complaints count, requests that were counted do not, whatever words they hold."""

from __future__ import annotations

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence import log_lines


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ('{"level":"info","msg":"db"}', 0),
        ('{"time":"…","level":"WARN","msg":"pool exhausted"}', 1),
        ("level=error msg=refused", 2),
        ("2026-11-30 05:00:00,123 ERROR app.store cannot reach postgres", 2),
        ("INFO:     10.0.0.1:5432 - connected", 0),
        ("[warning] upstream is gone", 1),
        ("severity: FATAL text", 3),
        ("2026-11-30 LOG:  checkpoint complete", 0),
        ("an error is only a word here", None),
        ("GET /ERROR/INFO", None),
        ("", None),
    ],
)
def test_the_level_a_line_tells(line: str, level: int | None) -> None:
    assert log_lines.level_of(line) == level


@pytest.mark.parametrize(
    "line",
    [
        'INFO:     172.18.0.1:53218 - "POST /api/orders HTTP/1.1" 500 Internal Server Error',
        '10.0.0.7 - - [30/Nov/2026:05:00:00 +0000] "GET /api/orders?id=5432 HTTP/1.1" 502 157',
        '{"method":"POST","path":"/api/postgres","status":503,"ms":3}',
        '{"status":503,"duration":1,"method":"GET","url":"/x"}',
        "[GIN] 2026/11/30 - 05:00:00 | 500 |   1.2ms |  10.0.0.7 | POST     /api/orders",
        'level=error method=GET path=/db status=500 msg="request"',
    ],
)
def test_a_request_that_was_counted_is_no_complaint_whatever_it_names(line: str) -> None:
    assert log_lines.is_access_line(line)
    assert not log_lines.is_complaint(line)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("database postgres:5432 unavailable", True),
        ("WARNING retrying postgres", True),
        ("INFO connected to postgres", False),
        ('{"level":"debug","msg":"postgres ping"}', False),
        ("panic: dial tcp 10.0.0.3:5432: connect: connection refused", True),
    ],
)
def test_below_a_warning_nothing_is_a_complaint_where_a_level_is_told(line: str, complaint: bool) -> None:
    assert log_lines.is_complaint(line) is complaint


def test_shown_are_complaints_and_the_last_word_and_each_once() -> None:
    lines = [
        *(f'10.0.0.1 - - "GET /ready HTTP/1.1" 503 {n}' for n in range(500)),
        "ERROR pool is empty (1)",
        "ERROR pool is empty (2)",
        "INFO still here",
        "FATAL giving up",
        'x "GET /health HTTP/1.1" 200',
    ]
    assert log_lines.worth_showing(lines, 10) == [
        "ERROR pool is empty (2)",
        "FATAL giving up",
        'x "GET /health HTTP/1.1" 200',
    ]
    assert log_lines.worth_showing([f"WARN number {word}" for word in "abcdefghijklmno"], 10) == [
        f"WARN number {word}" for word in "fghijklmno"
    ]
    assert log_lines.worth_showing([], 10) == []
    quiet = ["one", "two", '"GET / HTTP/1.1" 200']
    assert log_lines.worth_showing(quiet, 10) == quiet
