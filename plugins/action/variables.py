# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.variables: see the module of the same name for its documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase
from ansible.utils.collection_loader._collection_finder import _get_collection_role_path
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.modules import variables as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import role_variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet.role_variables import Option
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 trusts every file of a role

    def trust_as_template(value: str) -> str:
        return value


_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)
#: Types of which Ansible's own check says too little, or stumbles over.
_PARTED = ("dict", "list", "float", "int", "bool")
#: So many sentences are said at most.
_SAID = 4


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Looks at the variables of the task's host; asks no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Fail with the sentences that say what is wrong."""
        result: Result = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        variables = task_vars or {}
        problems = []
        for name in given["roles"]:
            role = self._find_role(str(name))
            if role is None:
                problems.append(
                    f"There is no role {str(name)!r} where this playbook looks; install its collection, or have "
                    "roles_path name its folder."
                )
            else:
                options = _read_options(role)
                if not str(name).startswith("exchange.chaos."):  # texts of any kind are its author's affair
                    options = {
                        one: each for one, each in options.items() if each.get("type", "str") in _PARTED
                    }
                problems += role_variables.find_problems(options, self._reader(variables, role))
        problems = list(dict.fromkeys(problems))  # roles may share a variable
        if problems:
            more = len(problems) - _SAID
            said = [*problems[:_SAID], *([f"And {more} more."] if more > 0 else [])]
            result.update(failed=True, msg=" ".join(said))
        return {**result, "changed": False, "problems": problems}

    def _find_role(self, name: str) -> Path | None:
        """Return the folder of a role, by the places where Ansible looks; None where there is none.

        Ansible finds out when the role is included: that ends the play at once, with an exit code of 0 inside a block
        that has a rescue.
        """
        found = _get_collection_role_path(name)
        if found:
            return Path(found[1])
        here = Path(self._loader.get_basedir())
        roots = [here / "roles", *(Path(str(root)) for root in constants.DEFAULT_ROLES_PATH or ()), here]
        return next((root / name for root in roots if (root / name).is_dir()), None)

    def _reader(self, variables: Variables, role: Path) -> Callable[[str], Any]:
        """Return what fills in a variable; one that rests on its role's own is filled in with those."""

        def read(name: str) -> Any:
            try:
                return _plain(self._templar.template(variables[name]))
            except KeyError:
                if name not in variables:
                    raise
            except Exception:
                known = {**dict(self._read_own(role)), **variables}
            # a template raises whatever its filters do: it is tried once more, with what its role knows
            templar = self._templar.copy_with_new_env(available_variables=known)
            try:
                return _plain(templar.template(variables[name]))
            except Exception as error:
                raise role_variables.Unfilled(_reason(error)) from error

        return read

    def _read_own(self, role: Path) -> Iterator[tuple[str, Any]]:
        """Yield a role's defaults and its own variables."""
        for path in (role / "defaults" / "main.yml", role / "vars" / "main.yml"):
            if path.is_file():
                data = self._loader.load(trust_as_template(path.read_text("utf-8")), str(path))
                yield from (data or {}).items()


def _read_options(role: Path) -> dict[str, Option]:
    """Return the options of a role's main entry point, those of no specification where there is none."""
    path = role / "meta" / "argument_specs.yml"
    if not path.is_file():
        return {}
    data = yaml_load(path.read_text("utf-8"))  # by libyaml where it is there, five times as fast
    return dict(data["argument_specs"].get("main", {}).get("options") or {})


def _plain(value: Any) -> Any:
    """Return a filled-in value in plain types, all that is in it filled in as well."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str) else value


def _reason(error: BaseException) -> str:
    """Return why a template cannot be filled in, in Ansible's words without where it stands."""
    cause = error.__cause__ or error
    words = str(getattr(error, "message", "") or cause).splitlines()
    parts = dict.fromkeys((words[0] if words else type(error).__name__).rstrip(".").split(". "))
    return ". ".join(parts)  # ansible-core before 2.19 says it twice
