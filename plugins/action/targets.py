# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.targets: see the module of the same name for its documentation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.plugin_utils import targets
from ansible_collections.exchange.chaos.plugins.plugin_utils.version import collection_version
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import utc_now

_ACCEPT = "chaos_i_accept_production"
_ARGUMENTS = {
    "pattern": {"type": "str", "required": True},
    "forbidden_groups": {"type": "list", "elements": "str", "default": []},
    "allowed_hours": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Looks into the inventory and the command line; asks no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the chosen hosts, or fail with the sentence that says who may not be touched."""
        super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        variables = self._task.get_variable_manager()
        inventory = variables._inventory
        pattern = str(given["pattern"])
        # this play runs on the controller: the hosts it is restricted to are not those meant (--limit counts)
        chosen = inventory.get_hosts(pattern, ignore_restrictions=True)
        groups = {host.name: [group.name for group in host.get_groups()] for host in chosen}
        # only the command line counts: an inventory that accepts for everybody would accept for nobody in particular
        accepted = targets.is_true(variables.extra_vars.get(_ACCEPT, False))
        found = {
            "changed": False,
            "at": utc_now(),
            "hosts": sorted(groups),
            "collection_version": collection_version(),
        }
        try:
            targets.check_pattern(pattern, list(groups))
            targets.check_groups(groups, [str(name) for name in given["forbidden_groups"]], accepted)
            targets.check_hours(str(given["allowed_hours"]), datetime.now())
        except targets.TargetError as error:
            return {**found, "failed": True, "hosts": [], "msg": str(error)}
        return found
