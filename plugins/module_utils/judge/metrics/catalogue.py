# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every metric a finding can rest on: one pure function each, by concern, called by name.

To add one: write the function in the file of its concern (or a new one, imported here) and decorate it with
``per_fault`` or ``per_run``. ``docs/metrics.md`` lists them all.
"""

from __future__ import annotations

from .exchange import (
    away,
    cache,
    connections,
    detection,
    ledger,
    logs,
    multi,
    orders,
    proxy,
    recovery,
    serving,
)
from .kernel import connects, cpu, disk, histograms, memory, network
from .registry import Measured, Metric, get, measure, names

__all__ = [
    "Measured",
    "Metric",
    "away",
    "cache",
    "connections",
    "connects",
    "cpu",
    "detection",
    "disk",
    "get",
    "histograms",
    "ledger",
    "logs",
    "measure",
    "memory",
    "multi",
    "names",
    "network",
    "orders",
    "proxy",
    "recovery",
    "serving",
]
