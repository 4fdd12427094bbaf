# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell a finished run to monitoring: what goes wrong on the way is one sentence each, and never the run's affair."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ....module_utils.common.shapes import Recorded
from ...words import escape_line
from .metrics_file import check_metrics_file, write_metrics
from .otlp import check_endpoint, send_spans
from .problems import TelemetryProblem


def check_destinations(otel_endpoint: str, metrics_file: str) -> None:
    """Raise TelemetryProblem if a destination is none, before anything was done; empty ones are not used."""
    if otel_endpoint:
        check_endpoint(otel_endpoint)
    if metrics_file:
        check_metrics_file(metrics_file)


def hand_over(record: Recorded, otel_endpoint: str, metrics_file: str) -> list[str]:
    """Send spans and write metrics where that was asked for; return a sentence for each that could not be."""
    return list(_problems(record, otel_endpoint, metrics_file))


def _problems(record: Recorded, otel_endpoint: str, metrics_file: str) -> Iterator[str]:
    steps: tuple[tuple[Callable[[Recorded, str], None], str], ...] = (
        (send_spans, otel_endpoint),
        (write_metrics, metrics_file),
    )
    for act, destination in steps:
        if not destination:
            continue
        try:
            act(record, destination)
        except TelemetryProblem as problem:
            yield escape_line(problem)
        except Exception as error:  # of a library, or of a record that nobody foresaw: told, and no more
            yield escape_line(
                f"Monitoring at {destination} was not told of this run: {type(error).__name__}: {error}."
            )
