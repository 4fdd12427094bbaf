# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spans of a run: what a collector receives is what the record says, whoever named things in it."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.clocks import align_clocks
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry import otlp
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry.hand_over import (
    check_destinations,
    hand_over,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry.problems import TelemetryProblem
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import parse_time

from tests.unit import fleets

pytestmark = pytest.mark.slow

service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
common = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")


class Collector:
    """A collector that keeps what it is sent; ``status`` and ``pause_s`` say how it answers."""

    def __init__(self, status: int = 200, pause_s: float = 0) -> None:
        self.received: list[tuple[str, Any]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.received.append((self.path, service.ExportTraceServiceRequest.FromString(body)))
                until = time.monotonic() + pause_s
                self.send_response(status)
                self.send_header("Content-Length", "100")
                self.end_headers()
                while time.monotonic() < until:  # an answer that trickles, so that no single read times out
                    try:
                        self.wfile.write(b" ")
                        self.wfile.flush()
                    except OSError:
                        return
                    time.sleep(0.05)
                self.wfile.write(b" " * 100)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Any]:
        """Return the spans of the one request that came."""
        ((path, request),) = self.received
        assert path == "/v1/traces"
        (resource,) = request.resource_spans
        (scope,) = resource.scope_spans
        return list(scope.spans)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def of_fault(phase: str, fault: str | None) -> str:
    return f" of {fault}" if fault and fault not in phase else ""


def nanoseconds(at: str) -> int:
    return round(parse_time(at).timestamp() * 1_000_000) * 1000


@pytest.mark.parametrize(
    "record",
    [fleets.sample("passed"), fleets.sample("failed"), fleets.three()],
    ids=["passed", "failed", "fleet"],
)
def test_names_parents_and_times_are_those_of_the_record(
    collector: Collector, record: dict[str, Any]
) -> None:
    assert hand_over(record, collector.url, "") == []
    spans = collector.spans()
    shown = align_clocks(record)
    (run,) = [span for span in spans if not span.parent_span_id]
    assert run.name == f"chaos 01 {record['experiment']['title']}"
    assert (run.start_time_unix_nano, run.end_time_unix_nano) == (
        nanoseconds(record["started_at"]),
        nanoseconds(record["ended_at"]),
    )
    assert {span.trace_id for span in spans} == {run.trace_id}
    assert len({span.span_id for span in spans}) == len(spans)
    hosts = [span for span in spans if span.parent_span_id == run.span_id]
    assert [span.name for span in hosts] == [f"host {host['host']}" for host in record["hosts"]]
    for span, host in zip(hosts, shown["hosts"]):
        below = [each for each in spans if each.parent_span_id == span.span_id]
        phases = {
            f"phase {one['id']}{of_fault(one['id'], one['fault'])}": (
                nanoseconds(one["started_at"]),
                nanoseconds(one["ended_at"]),
            )
            for one in host["phases"]
        }
        faults = {
            f"fault {one['id']}": (nanoseconds(one["injected_at"]), nanoseconds(one["undone_at"]))
            for one in host["faults"]
        }
        assert phases
        assert faults
        assert {one.name: (one.start_time_unix_nano, one.end_time_unix_nano) for one in below} == {
            **phases,
            **faults,
        }
        assert span.start_time_unix_nano == min(each for each, _end in {**phases, **faults}.values())
        failed = host["outcome"] == "failed"
        assert span.status.code == (
            common.Status.STATUS_CODE_ERROR if failed else common.Status.STATUS_CODE_OK
        )
        assert attributes(span)["chaos.verdict.hypothesis"] == host["verdicts"]["hypothesis"]
    assert attributes(run)["chaos.run.id"] == record["run_id"]


def test_the_same_run_is_the_same_trace_and_another_is_another(collector: Collector) -> None:
    first = fleets.sample("passed")
    again, other = copy.deepcopy(first), copy.deepcopy(first)
    other["run_id"] += "-2"
    for record in (first, again, other):
        assert hand_over(record, collector.url, "") == []
    ids = [
        request.resource_spans[0].scope_spans[0].spans[0].trace_id for _path, request in collector.received
    ]
    assert ids[0] == ids[1] != ids[2]


def test_a_fault_that_was_never_undone_says_so(collector: Collector) -> None:
    record = fleets.sample("passed")
    fault = record["hosts"][0]["faults"][0]
    fault.update(undone_at=None, undone_by=None)
    assert hand_over(record, collector.url, "") == []
    (span,) = [each for each in collector.spans() if each.name == f"fault {fault['id']}"]
    assert attributes(span)["chaos.fault.undone"] is False
    assert span.status.code == common.Status.STATUS_CODE_ERROR
    assert span.end_time_unix_nano == nanoseconds(record["ended_at"])


def test_hostile_names_stay_text(collector: Collector) -> None:
    record = fleets.sample("passed")
    host = record["hosts"][0]
    host["host"] = "a\nb\x1b[31m\u202e\ud800" + "x" * 100_000
    host["faults"][0]["target"] = "\x00"
    assert hand_over(record, collector.url, "") == []
    names = [span.name for span in collector.spans()]
    assert all(name.isprintable() and len(name) < 3000 for name in names)
    assert names[1].startswith("host a b\\x1b[31m\\u202e\\ud800x")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Collector(status=400), "400"),
        (lambda: Collector(status=503), "Unavailable"),
        (lambda: Collector(pause_s=30), "no answer"),
        (None, "refused"),
    ],
    ids=["refuses", "is busy", "trickles", "is not there"],
)
def test_a_collector_that_takes_nothing_is_one_sentence_in_time(
    make: Any, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made = make() if make else None
    began = time.monotonic()
    with pytest.raises(TelemetryProblem) as problem:
        otlp.send_spans(fleets.sample("passed"), made.url if made else "http://127.0.0.1:1", patience_s=4.0)
    assert time.monotonic() - began < 6
    assert why in str(problem.value)
    assert str(problem.value).count("not taken") == 1
    assert capfd.readouterr() == ("", "")
    if made:
        made.server.shutdown()


@pytest.mark.parametrize(
    "endpoint", ["localhost:4318", "ftp://x", "http://", "http://x:99999", "http://x/?a=1", "http://a b"]
)
def test_what_is_no_address_is_refused_beforehand(endpoint: str) -> None:
    with pytest.raises(TelemetryProblem, match="chaos_otel_endpoint is"):
        check_destinations(endpoint, "")


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://x:4318", "http://x:4318/v1/traces"),
        ("https://x/otlp/", "https://x/otlp/v1/traces"),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
    ],
)
def test_the_usual_path_is_added(endpoint: str, url: str) -> None:
    assert otlp.check_endpoint(endpoint) == url
