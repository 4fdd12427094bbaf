# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every metric a finding can rest on: one pure function each, by concern, called by name.

To add one: write it in the file of its concern below ``exchange/``, ``kernel/`` or ``platform/`` (what the exchange
runs on), or in a new one there, and decorate it with ``per_fault`` or ``per_run``. The folders are the registry.
``docs/metrics.md`` lists them all.
"""

from __future__ import annotations

import importlib
from functools import lru_cache

from ...common import archive
from ...evidence.evidence import Evidence
from . import exchange, kernel, platform, registry
from .registry import Measured, Metric

__all__ = ["Measured", "Metric", "find_metric", "list_names", "measure"]


def find_metric(name: str) -> Metric:
    """Return a metric. Raises ChaosError naming the known ones."""
    _load()
    return registry.find_metric(name)


def list_names() -> list[str]:
    """Return the names of all metrics, sorted."""
    _load()
    return registry.list_names()


def measure(evidence: Evidence, name: str, fault: str | None = None) -> dict[str, Measured]:
    """Measure a metric as :func:`.registry.measure` does."""
    _load()
    return registry.measure(evidence, name, fault)


@lru_cache(maxsize=1)
def _load() -> None:
    """Load every file of metrics, once."""
    for room in (exchange, kernel, platform):
        for name in archive.modules_in(room):
            importlib.import_module(f".{name}", room.__name__)
