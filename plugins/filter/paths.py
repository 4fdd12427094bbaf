# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that says where a fault's path leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import fault_path


def find_path(hostvars: Mapping[str, Mapping[str, Any]], **given: Any) -> dict[str, Any]:
    """Return the path's parts, or fail with the sentence that says why there is none."""
    try:
        return fault_path.find_path(hostvars, **given)
    except fault_path.PathError as error:
        raise AnsibleFilterError(str(error)) from error


def find_stores(hostvars: Mapping[str, Mapping[str, Any]], **given: Any) -> dict[str, Any]:
    """Return where the stores answer, or fail with the sentence that says what is wrong."""
    try:
        return fault_path.find_stores(given["external"], hostvars, given["ports"])
    except fault_path.PathError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The collection's filters on paths; each is documented in the YAML file of its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"path": find_path, "stores": find_stores}
