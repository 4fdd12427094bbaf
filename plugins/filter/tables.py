# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters on what hosts, a suite or a preflight found: lines for people, and what the report wants to have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import waves
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import results
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import repetitions, tables


class FilterModule:
    """The collection's filters; each is documented in the YAML file of its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "suite": tables.render_suite,
            "not_passed": tables.not_passed,
            "repetitions": repetitions.sum_up_files,
            "readiness": tables.render_readiness,
            "gathered": waves.gather_records,
            "sentence": results.failure_sentence,
        }
