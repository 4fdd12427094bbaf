# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module of ours on a host: out of the runtime that lies there, or whole where there is none that fits.

What Ansible packs for a module is all that it imports, as sources, anew for each kind of module; the host then compiles
them at each call. A run has the same files on the host already, compiled: what is packed is `from_runtime` alone.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ...module_utils.common.shapes import Arguments, Result, Variables
from .runtime import find_archive

_COLLECTION = "exchange.chaos"


def run_module(
    action: Any, name: str, arguments: Arguments, variables: Variables | None, *, runtime: str = ""
) -> Result:
    """Run a module for an action and return its result.

    name: without the collection's; runtime: path of the archive that was carried to the host, "" for that of the run
    which the arguments name.
    """
    asked = {
        "module": name,
        "arguments": arguments,
        "sha256": find_archive().sha256,
        **({"runtime": runtime} if runtime else {}),
    }
    found = dict(
        action._execute_module(
            module_name=f"{_COLLECTION}.from_runtime", module_args=asked, task_vars=variables
        )
    )
    if "unusable" not in found:
        return found
    return dict(
        action._execute_module(
            module_name=f"{_COLLECTION}.{name}", module_args=arguments, task_vars=variables
        )
    )


class ModuleOfARun(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """The action of a module that works in a run and has nothing to do on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Run the module of the same name."""
        super().run(tmp, task_vars)
        name = str(self._task.action).rpartition(".")[2]
        return run_module(self, name, dict(self._task.args), task_vars)
