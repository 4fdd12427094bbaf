# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of a module that its action does all the work of: read from its documentation, their one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

#: What an option of the documentation and an entry of an argument specification have in common.
_KEYS = ("type", "elements", "choices", "required", "default")


def read_arguments(documentation: str) -> dict[str, dict[str, Any]]:
    """Return the argument specification of the options in a module's DOCUMENTATION (those of fragments left out)."""
    return _specified(yaml.safe_load(documentation)["options"])


def _specified(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, option in options.items():
        found[name] = {key: option[key] for key in _KEYS if key in option}
        if "suboptions" in option:
            found[name]["options"] = _specified(option["suboptions"])
    return found
