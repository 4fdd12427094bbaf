# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of OpenMetrics text with the newest run of each experiment, for the textfile collector of a node exporter.

A node exporter reads Prometheus' text format. Of what OpenMetrics has, only gauges without timestamps are written,
which both formats spell alike. Source: OpenMetrics 1.0; prometheus/node_exporter, README, Textfile Collector.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from ....module_utils.common.shapes import Recorded
from .metric_samples import MEANINGS, PREFIX, MetricSample, list_samples
from .problems import TelemetryProblem

PACKAGE = "prometheus_client"
#: A file of ours that grew beyond this was grown by somebody else.
_LARGEST = 64 * 1024 * 1024


def check_metrics_file(path: str) -> None:
    """Raise TelemetryProblem unless ``path`` is a name that a node exporter would read, in a folder that is there."""
    if not os.path.isabs(path) or not path.endswith(".prom"):
        raise TelemetryProblem(
            f"chaos_metrics_file is {path!r}: an absolute path that ends in .prom is needed, "
            "in the folder that the node exporter's --collector.textfile.directory names."
        )
    if not os.path.isdir(os.path.dirname(path)):
        raise TelemetryProblem(
            f"chaos_metrics_file is {path!r}: its folder does not exist on the controller."
        )


def write_metrics(record: Recorded, path: str) -> None:
    """Write the samples of a run to ``path``, beside those that other experiments have there.

    A reader sees the file before or after, never half of it. Raises TelemetryProblem, and leaves what is there, if it
    is no such file of this user.
    """
    check_metrics_file(path)
    try:
        from prometheus_client.openmetrics.exposition import generate_latest
    except ImportError as error:
        raise TelemetryProblem(
            f"The metrics of this run were not written: Python on the controller has no {error.name or PACKAGE}; "
            f"install {PACKAGE} (requirements-telemetry.txt)."
        ) from error
    fresh = list_samples(record)
    number = fresh[0].labels["number"]
    kept = [each for each in _read_samples(path) if each.labels.get("number") != number]
    _replace_file(path, generate_latest(_Exposed([*kept, *fresh])))  # type: ignore[no-untyped-call]  # the library is half typed


class _Exposed:
    """Samples as what prometheus_client asks for when it writes."""

    def __init__(self, samples: Iterable[MetricSample]) -> None:
        self._samples = list(samples)

    def collect(self) -> Iterator[Any]:
        """Yield the samples by name, in an order that does not change from run to run."""
        from prometheus_client.core import GaugeMetricFamily

        for name, meaning in MEANINGS.items():
            family = GaugeMetricFamily(PREFIX + name, meaning)
            for each in self._samples:
                if each.name == name:
                    family.add_sample(family.name, dict(each.labels), each.value)
            if family.samples:
                yield family


def _read_samples(path: str) -> Iterator[MetricSample]:
    """Yield the samples of a file that an earlier run wrote; names of no meaning any more are left out."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    text = _read_own_file(path)
    if not text:
        return
    try:
        families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # as above
    except Exception as error:  # a parser of text says what it does not understand in many types
        raise _not_ours(path) from error
    for family in families:
        if not family.name.startswith(PREFIX):
            raise _not_ours(path)
        name = family.name[len(PREFIX) :]
        if name in MEANINGS:
            yield from (MetricSample(name, each.labels, float(each.value)) for each in family.samples)


def _read_own_file(path: str) -> str:
    """Return what is in ``path``, "" if there is none. Raises TelemetryProblem if it is no file of this user."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _not_ours(path) from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > _LARGEST:
        os.close(fd)
        raise _not_ours(path)
    with os.fdopen(fd, "rb") as stream:
        return stream.read().decode("utf-8", "replace")


def _not_ours(path: str) -> TelemetryProblem:
    return TelemetryProblem(
        f"The metrics of this run were not written: {path} is there already and is no metrics file of exchange.chaos "
        "and this user; name another in chaos_metrics_file."
    )


def _replace_file(path: str, data: bytes) -> None:
    """Write ``path`` at once, readable for the node exporter, which is another user."""
    fresh = f"{path}.{os.getpid()}.new"  # does not end in .prom: no node exporter reads it
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)  # of an earlier process that died with our number
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(data)
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise TelemetryProblem(
            f"The metrics of this run were not written: {path}: {error.strerror or error}."
        ) from error
