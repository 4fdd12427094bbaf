# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.gate: see the module of the same name for its documentation."""

from __future__ import annotations

from itertools import zip_longest

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.modules import gate as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import waves
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import utc_now

_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Asks no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Return whether the next wave begins, and say so."""
        super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        told = zip_longest(given["waves"][given["wave"] - 1], given["outcomes"], given["problems"])
        outcomes = {str(host): str(outcome or problem or "") for host, outcome, problem in told}
        go, text = waves.decide_gate(given["wave"], given["waves"], outcomes, may_skip=given["may_skip"])
        line = {"at": utc_now(), "level": "ok" if go else "fail", "text": text, "host": ""}
        return {"changed": False, "go": go, "chaos_lines": [line] if text else []}
