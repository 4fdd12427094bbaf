# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gauges: read at the boundaries of phases and never in the moments that are measured; refused where unreadable."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.observe.gauges import (
    QUIET_S,
    Agenda,
    Asked,
    find_problems,
    read_gauge,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    FaultSpec,
    Gauge,
    Specification,
)

FAULTS = [{"id": "crash", "hold_s": 0}, {"id": "outage", "hold_s": 15}, {"id": "short", "hold_s": 2}]


def moments(*events: dict[str, Any]) -> list[tuple[float, str | None, str]]:
    agenda = Agenda([FaultSpec.from_data(one) for one in FAULTS])
    agenda.take_events(events)
    return agenda.pop_due(1000.0)


def test_a_held_fault_is_read_inside_its_window_and_after_its_undo() -> None:
    found = moments(
        {"event": "phase_end", "id": "baseline", "t": 5.0},
        {"event": "fault_injected", "fault": "outage", "t": 10.0},
        {"event": "fault_undone", "fault": "outage", "t": 25.2},
        {"event": "phase_end", "id": "outage_recovery", "t": 29.0},
        {"event": "steady", "fault": "outage", "t": 29.0},
    )
    assert found == [
        (5.0, None, "before"), (11.0, "outage", "begin"), (24.5, "outage", "end"),
        (26.2, "outage", "undone"), (29.0, "outage", "steady"),
    ]  # fmt: skip


def test_a_crash_has_no_end_to_read_before_and_its_undo_no_state_of_its_own() -> None:
    found = moments(
        {"event": "fault_injected", "fault": "crash", "t": 10.0},
        {"event": "steady", "fault": "crash", "t": 14.0},
        {"event": "fault_undone", "fault": "crash", "t": 14.5},
        {"event": "fault_injected", "fault": "short", "t": 20.0},
    )
    assert found == [(11.0, "crash", "begin"), (14.0, "crash", "steady"), (21.0, "short", "begin")]


def test_nothing_is_due_before_its_time_and_all_is_due_once() -> None:
    agenda = Agenda([FaultSpec.from_data(one) for one in FAULTS])
    agenda.take_events([{"event": "fault_injected", "fault": "outage", "t": 10.0}])
    assert agenda.pop_due(10.0 + QUIET_S - 0.01) == []
    assert [moment for _, _, moment in agenda.pop_due(11.0)] == ["begin"]
    assert [moment for _, _, moment in agenda.pop_due(99.0)] == ["end"]
    assert agenda.pop_due(99.0) == []


@contextmanager
def server(body: bytes) -> Iterator[str]:
    """An HTTP server that answers everything with the same body."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}/metrics"
        finally:
            made.shutdown()
            thread.join()


class Engine:
    """An engine in whose containers every command prints the same."""

    def __init__(self, output: str, code: int = 0) -> None:
        self.answer = code, output

    def container(self, project: str, service: str) -> Any:
        return type("Found", (), {"id": service, "name": service, "running": True, "pid": 0})

    def execute(self, container_id: str, argv: Any, **_: Any) -> tuple[int, str]:
        return self.answer


def values(gauge: dict[str, Any], engine: Any = None) -> dict[str, float | None]:
    asked = Asked(Specification.read({"project": "lab"}), {"service": "postgres", "name": "d", "user": "u"})
    found = read_gauge(Gauge.from_data(gauge), engine, asked)
    return {name: value for name, value, _t, _error in found}


def test_numbers_come_by_sql_by_command_and_over_http() -> None:
    sql = {"kind": "sql", "name": "transactions", "query": "SELECT 1"}
    keys = {"kind": "command", "name": "keys", "service": "redis", "command": ["redis-cli", "dbsize"]}
    assert values(sql, Engine("4711\n")) == {"transactions": 4711}
    assert values(keys, Engine("(integer) 12\n")) == {"keys": 12}
    assert values(keys, Engine("NOAUTH", 1)) == {"keys": None}
    assert values(sql, Engine("")) == {"transactions": None}
    with server(b'{"data": {"lost": 3, "sent": true}}') as url:
        gauge = {
            "kind": "http",
            "url": url,
            "values": {"lost": "data.lost", "sent": "data.sent", "x": "data.x"},
        }
        assert values(gauge) == {"lost": 3, "sent": None, "x": None}
    assert values(gauge) == {"lost": None, "sent": None, "x": None}, "nobody answers any more"


@pytest.mark.parametrize(
    ("gauge", "words"),
    [
        ({"kind": "snmp"}, "kind must be one of sql, command, http"),
        ({"kind": "sql", "name": "x"}, "needs a query"),
        ({"kind": "command", "name": "x", "command": ["a"]}, "needs a service"),
        ({"kind": "http", "values": {"a": "b"}}, "needs a url"),
        ({"kind": "http", "url": "http://a", "values": {"a": "b["}}, "gauge a is not a JMESPath expression"),
    ],
)
def test_what_could_never_be_read_is_refused_before_the_run(gauge: dict[str, Any], words: str) -> None:
    (sentence,) = find_problems([Gauge.from_data(gauge)])
    assert words in sentence
