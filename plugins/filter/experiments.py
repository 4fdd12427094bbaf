# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters on the data of an experiment: what several of them state alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import experiment_parts


def complete_findings(
    given: Sequence[Mapping[str, Any]], shared: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the findings whole, or fail with the sentence that says what is not shared."""
    try:
        return experiment_parts.complete_findings(given, shared)
    except experiment_parts.PartError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The collection's filters on experiments; each is documented in the YAML file of its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"crash_and_outage": experiment_parts.build_blows, "findings": complete_findings}
