# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.targets: see the module of the same name for its documentation."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.modules import targets as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import guard_rails, waves
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.version import collection_version
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import utc_now

_ACCEPT = "chaos_i_accept_production"
_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)
#: Values of a seed nobody gave.
_SEEDS = 1_000_000


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Looks into the inventory and the command line; asks no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Return the chosen hosts and their waves, or fail with the sentence that says what may not be."""
        super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        found = {
            "changed": False,
            "at": utc_now(),
            "collection_version": collection_version(),
            "chaos_lines": [],
            **waves.Radius([], [], "").facts(),
        }
        try:
            radius = self._radius(given)
        except guard_rails.TargetError as error:
            return {**found, "failed": True, "msg": str(error)}
        plan = waves.describe_plan(
            radius, pattern=str(given["pattern"]), simultaneous=bool(given["simultaneous"])
        )
        # host: the plan is the controller's word, even if the controller is one of the targets
        lines = [{"at": utc_now(), "level": "info", "text": line, "host": ""} for line in plan]
        return {**found, **radius.facts(), "chaos_lines": lines}

    def _radius(self, given: Mapping[str, Any]) -> waves.Radius:
        variables = self._task.get_variable_manager()
        inventory = variables._inventory
        known = _known(variables, inventory)
        guard_rails.check_command_line(known, variables.extra_vars)
        pattern = str(given["pattern"])
        # this play runs on the controller: the hosts it is restricted to are not those meant (--limit counts)
        try:
            chosen = inventory.get_hosts(pattern, ignore_restrictions=True)
        except AnsibleError as error:
            raise guard_rails.TargetError(
                f"chaos_targets is {pattern!r}, which Ansible cannot follow ({error}); name the group that may be "
                "broken, such as exchange."
            ) from error
        groups = {host.name: [group.name for group in host.get_groups()] for host in chosen}
        # only the command line counts: an inventory that accepts for everybody would accept for nobody in particular
        accepted = guard_rails.is_true(variables.extra_vars.get(_ACCEPT, False))
        guard_rails.check_pattern(pattern, list(groups))
        controller = _own(variables, inventory.get_host("localhost"))
        guard_rails.check_rails(controller, {host: known[host] for host in groups}, variables.extra_vars)
        guard_rails.check_groups(groups, [str(name) for name in given["forbidden_groups"]], accepted)
        guard_rails.check_hours(str(given["allowed_hours"]), datetime.now())
        wanted = str(given["sample"])
        seed = str(given["sample_seed"]) or str(secrets.randbelow(_SEEDS)) if wanted else ""
        drawn = waves.draw_sample(list(groups), wanted, seed)
        radius = waves.Radius(
            list(groups), waves.split_waves(drawn, [str(one) for one in given["waves"]]), seed
        )
        waves.check_engine(
            radius.waves,
            int(context.CLIARGS["forks"]),
            str(constants.DEFAULT_STRATEGY),
            simultaneous=bool(given["simultaneous"]),
        )
        return radius


def _known(variables: Any, inventory: Any) -> dict[str, Result]:
    """Return the variables that the inventory gives each of its hosts."""
    hosts = inventory.get_hosts("all", ignore_limits=True, ignore_restrictions=True)
    return {host.name: _own(variables, host) for host in hosts}


def _own(variables: Any, host: Any) -> Result:
    """Return a host's variables but for those of the command line."""
    found = variables.get_vars(host=host, include_hostvars=False)
    return {name: value for name, value in found.items() if name not in variables.extra_vars}
