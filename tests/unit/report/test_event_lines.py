"""Kernel events and their statistics in the words a person reads."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.event_lines import format_event
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.event_statistics import render_statistics

AT = "2026-11-23T14:30:45.678Z"


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "t": 1.0,
        "event": name,
        "pid": 1234,
        "comm": "python3",
        "service": "trading-api",
        "raddr": "172.18.0.3",
        "rport": 5432,
        "control": False,
        **fields,
    }


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            event("CONN_FAILED", errno=111),
            "CONN_FAILED        trading-api (PID: 1234, errno: 111 ECONNREFUSED)",
        ),
        (event("CONN_FAILED"), "CONN_FAILED        trading-api (PID: 1234, errno: not known)"),
        (event("CONN_ATTEMPT"), "CONN_ATTEMPT       trading-api (PID: 1234, to: 172.18.0.3:5432)"),
        (
            event("CONN_GAVE_UP", duration_ms=3001.5, raddr="2001:db8::1"),
            "CONN_GAVE_UP       trading-api (PID: 1234, to: [2001:db8::1]:5432, unanswered after: 3 s)",
        ),
        (
            event("CONN_RESET", direction="received", pid=0),
            "CONN_RESET         trading-api (PID: 0, from: 172.18.0.3:5432)",
        ),
        (
            event(
                "PROC_EXIT", raddr=None, exit_signal=9, by_pid=7, by_comm="bash", main=True, comm="postgres"
            ),
            "PROC_EXIT          trading-api "
            "(PID: 1234, postgres, signal: 9 SIGKILL, sent by: bash 7, main process)",
        ),
        (
            event(
                "OOM_KILL", raddr=None, anon_kb=51200, file_kb=1024, shmem_kb=0, by_pid=7, by_comm="postgres"
            ),
            "OOM_KILL           trading-api (PID: 1234, python3, resident: 51.0 MiB, anonymous: 50.0 MiB, "
            "memory asked for by: postgres 7)",
        ),
        (
            event("OOM_KILL", raddr=None, anon_kb=None, by_itself=True, by_pid=1234),
            "OOM_KILL           trading-api (PID: 1234, python3, asked for memory itself)",
        ),
        (
            event("CONN_OK", duration_ms=0.2, control=True),
            "CONN_OK            trading-api (PID: 1234, to: 172.18.0.3:5432, after: 0.2 ms) our own control",
        ),
    ],
)
def test_a_line(given: dict[str, Any], line: str) -> None:
    assert format_event(given, AT) == f"[14:30:45] {line}"


def test_several_hosts_are_named() -> None:
    assert format_event(event("CONN_ATTEMPT"), AT, "db-1").startswith("[14:30:45] db-1 CONN_ATTEMPT ")


def test_epoch_seconds_do_as_well() -> None:
    assert format_event(event("CONN_ATTEMPT"), 1795444245.6).startswith("[14:30:45] ")


def test_no_name_can_start_a_line_of_its_own() -> None:
    line = format_event(event("PROC_EXIT", comm="a\n[00:00:00] \x1b[2Jb", service="x\ry"), AT)
    assert line.isprintable()


CAPTURE = {
    "status": "attached",
    "programs": ["tcp", "exit"],
    "events": 3,
    "lost": 2,
    "positive_control": True,
    "cpu_s": 0.4,
}


def test_nothing_seen_is_two_lines_and_what_the_capture_is_worth() -> None:
    assert render_statistics([]) == ["Statistics", "  events:       0: none"]
    assert render_statistics([], {**CAPTURE, "events": 0, "positive_control": False})[-1] == (
        "  capture:      attached (tcp, exit), 2 lost, our own connect NOT seen, CPU 0.40 s"
    )


def test_controls_are_left_out_and_what_was_not_written_is_told() -> None:
    lines = render_statistics([event("CONN_OK", control=True), event("CONN_FAILED", errno=111)], CAPTURE)
    assert lines[1] == "  events:       1 of 3 seen: CONN_FAILED 1"
    assert "  failed with:  111 ECONNREFUSED 1" in lines


def test_the_block_is_never_longer_than_ten_lines() -> None:
    everything = [
        *(event("CONN_ATTEMPT", raddr=f"172.18.0.{n}") for n in range(9)),
        *(event("CONN_FAILED", errno=n) for n in range(1, 9)),
        event("CONN_FAILED"),
        event("CONN_OK", duration_ms=1.0),
        event("CONN_OK", duration_ms=3.0),
        event("CONN_RESET", direction="sent"),
        event("CONN_RESET", direction="received"),
        event("CONN_GAVE_UP"),
        event("TCP_RETRANSMIT"),
        event("PROC_EXIT", exit_signal=9, service="postgres"),
        event("PROC_EXIT", exit_status=1),
    ]
    lines = render_statistics(everything, CAPTURE)
    assert len(lines) <= 10
    text = "\n".join(lines)
    assert "1 resets received, 1 sent, 1 retransmits, 1 given up unanswered" in text
    assert "postgres by signal 9 SIGKILL 1, trading-api with status 1 1" in text
    assert "3 ms median" in text
    assert "others 5" in text


def kept(series: str, unit: str, *buckets: list[float]) -> dict[str, Any]:
    return {"series": series, "unit": unit, "service": "postgres", "buckets": list(buckets)}


def test_histograms_are_one_line_of_at_most_ten() -> None:
    everything = [
        event("CONN_ATTEMPT"),
        event("CONN_FAILED", errno=111),
        event("CONN_OK", duration_ms=1.0),
        event("CONN_RESET"),
        event("PROC_EXIT", exit_signal=9),
        event("OOM_KILL"),
    ]
    lines = [
        kept("fsync latency", "us", [512, 1024, 98]),
        kept("fsync latency", "us", [4096, 8192, 2]),
        kept("queue depth", "requests", [1, 2, 5]),
        kept("bytes", "bytes"),
    ]
    shown = render_statistics(everything, {"status": "attached", "events": 6}, lines)
    assert len(shown) == 10
    assert "  histograms:   p99 up to: fsync latency 8.19 ms, queue depth 2 requests" in shown
    assert not any(
        "histograms" in line for line in render_statistics(everything, None, [kept("bytes", "bytes")])
    )


@pytest.mark.parametrize("pid", ["12\n[00:00:00] FAKE", True, -1, 1.5, None, 1 << 70, [1], {"a": 1}])
def test_a_name_or_a_process_that_is_none_makes_no_line_of_its_own(pid: object) -> None:
    forged = {
        "event": "CONN_OK\n\x1b[2J[00:00:00] FAKE" + "x" * 500,
        "pid": pid,
        "comm": "a\nb",
        "by_pid": pid,
    }
    line = format_event(forged, 0.0)
    assert line.isprintable()
    assert "PID: 0" in line
    attempt = format_event({"event": "CONN_ATTEMPT", "raddr": "10.0.0.5\x1b[2J", "rport": pid}, 0.0)
    assert attempt.isprintable()
    assert attempt.rpartition(" ")[2].endswith(":0)")
    assert len(line) < 200
