# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send a run's spans to an OpenTelemetry collector, by OTLP over HTTP.

Source: OpenTelemetry protocol specification 1.x, OTLP/HTTP. Headers and certificates are taken from the usual
variables of the environment (``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_EXPORTER_OTLP_CERTIFICATE``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ....module_utils.common.shapes import Recorded
from .problems import TelemetryProblem
from .span_outlines import SpanOutline, outline_run, span_id, trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

#: Seconds that all of it may take: a collector that accepts and then says nothing must not hold a run's end up.
PATIENCE_S = 10.0
PACKAGES = "opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"
_PATH = "/v1/traces"


def check_endpoint(endpoint: str) -> str:
    """Return the URL that a collector takes spans at. Raises TelemetryProblem if ``endpoint`` is no address of one."""
    try:
        parts = urlsplit(endpoint)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or any(char.isspace() for char in endpoint):
        raise TelemetryProblem(
            f"chaos_otel_endpoint is {endpoint!r}: an address like http://collector.example.com:4318 is needed."
        )
    base = endpoint.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH


def send_spans(record: Recorded, endpoint: str, patience_s: float = PATIENCE_S) -> None:
    """Send the spans of a finished run. Raises TelemetryProblem, after ``patience_s`` seconds at the latest."""
    url = check_endpoint(endpoint)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as error:
        raise TelemetryProblem(
            f"The spans of this run were not sent: Python on the controller has no {error.name or 'opentelemetry'}; "
            f"install {PACKAGES} (requirements-telemetry.txt)."
        ) from error
    spans = list(make_spans(record, outline_run(record)))
    heard, sent = _Listener(), []

    def export() -> None:
        with heard:
            exporter = OTLPSpanExporter(endpoint=url, timeout=patience_s * 0.8)
            sent.append(exporter.export(spans))

    # The library's own time-out counts each read anew: one that trickles would keep us for as long as it likes.
    worker = threading.Thread(target=export, name="otlp", daemon=True)
    worker.start()
    worker.join(patience_s)
    if sent != [SpanExportResult.SUCCESS]:
        why = heard.last or ("it gave no answer" if worker.is_alive() else "no reason was given")
        raise TelemetryProblem(
            f"The spans of this run were not taken by {url} ({why}); the run is not changed by it."
        )


def make_spans(record: Recorded, outlines: Iterable[SpanOutline]) -> Iterable[ReadableSpan]:
    """Yield OpenTelemetry's spans of outlines, with identities that follow from the run's. Needs the SDK."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    run_id, version = str(record["run_id"]), str(record["collection_version"])
    resource = Resource({"service.name": "exchange.chaos", "service.version": version})
    scope = InstrumentationScope("exchange.chaos", version)

    def name_span(key: str) -> SpanContext:
        return SpanContext(trace_id(run_id), span_id(run_id, key), False, TraceFlags(TraceFlags.SAMPLED))

    for one in outlines:
        yield ReadableSpan(
            name=one.name,
            context=name_span(one.key),
            parent=name_span(one.parent) if one.parent else None,
            resource=resource,
            attributes=dict(one.attributes),
            kind=SpanKind.INTERNAL,
            instrumentation_scope=scope,
            status=Status(StatusCode.ERROR, one.error) if one.error else Status(StatusCode.OK),
            start_time=one.start_ns,
            end_time=one.end_ns,
        )


class _Listener(logging.Handler):
    """What the library logs while it sends: the reason for our one sentence, and nothing for the screen."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._logger = logging.getLogger("opentelemetry")

    def emit(self, record: logging.LogRecord) -> None:
        # the last line of several says only that there were several
        if not self.last or "max retries" not in record.getMessage():
            self.last = record.getMessage().strip()

    def __enter__(self) -> _Listener:
        self._logger.addHandler(self)
        self._logger.propagate = False
        return self

    def __exit__(self, *_error: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = True
