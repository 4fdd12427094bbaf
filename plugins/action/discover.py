# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind exchange.chaos.discover: has the module look at a host; the inventory is written here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.action.report import untag_value
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Arguments, Result, Variables
from ansible_collections.exchange.chaos.plugins.modules import discover as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.discovery import (
    connections_map,
    filling,
    inventory,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.discovery.inventory import FoundHost
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import unreachable
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import report_files
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import run_module
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.runtime import carry_if_possible
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import utc_now

_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)
#: How a host and its API are reached: taken over as the inventory that was given has it. No password is among them.
_CONNECTION = (
    "ansible_connection", "ansible_host", "ansible_port", "ansible_user", "ansible_ssh_private_key_file",
    "ansible_python_interpreter", "ansible_become_method", "chaos_become", "chaos_api_ca",
)  # fmt: skip
#: How the default of a variable begins that nobody set: roles/chaos/defaults/main.yml.
_UNSET = "{{ chaos_found."
_NOT_WRITTEN = (
    "chaos_api_headers was given, and is not written here: give it to each run as it was given to this one."
)
#: What discover goes by where it is set; the rest it looks for.
_GONE_BY = ("chaos_services", "chaos_api_url", "chaos_database", "chaos_user_id", "chaos_symbol")
_THIS_PYTHON = "{{ ansible_playbook_python }}"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Looks by the module, writes by itself; check mode looks and writes nothing."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = True

    @unreachable.fail_when_unreachable("nothing was changed there")
    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Do what ``state`` says; what cannot be done is one sentence."""
        result: Result = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        arguments = untag_value(given)
        if arguments["state"] == "found":
            remote = self._connection.transport != "local"
            asked = {"project": arguments["project"], "trial": arguments["trial"], "remote": remote}
            return self._look({**asked, **self._list_set(arguments, task_vars or {})}, task_vars)
        if arguments["state"] == "filled":
            return self._fill(arguments, task_vars or {})
        try:
            return {**result, **self._write(arguments, dict(task_vars or {}).get("hostvars") or {})}
        except FileExistsError as error:
            sentence = (
                f"{error.filename} is there already and may hold what you changed: name another file by "
                "discover_inventory, or add -e discover_replace=true."
            )
            return {**result, "failed": True, "msg": sentence}
        except FileError as error:
            return {**result, "failed": True, "msg": str(error)}

    def _list_set(self, arguments: Arguments, variables: Variables) -> Arguments:
        """Return what a user has set of an exchange that is looked at, its secrets apart."""
        given = {
            name: self._read_variable(name, variables)
            for name in _GONE_BY
            if name in variables and not str(variables[name]).startswith(_UNSET)
        }
        return _part_secrets(arguments, {name: value for name, value in given.items() if value})

    def _fill(self, arguments: Arguments, variables: Variables) -> Result:
        """Have the host look for what nobody set; what it cannot tell is the ``problem`` of the answer."""
        raw = {name: variables.get(name) for name in filling.FILLED}
        unset = [name for name, value in raw.items() if value is None or str(value).startswith(_UNSET)]
        found: Result = {"project": arguments["project"], "variables": {}, "how": {}}
        if not unset:
            return {"changed": False, "found": found, "problem": "", "chaos_lines": []}
        known = {name: self._read_variable(name, variables) for name in raw if name not in unset}
        defaults = {name: self._read_variable(filling.name_default(name), variables) for name in unset}
        asked = {
            "state": "filled",
            "project": arguments["project"],
            **_part_secrets(arguments, known),
            "external": arguments["external"] if "chaos_external" in known else {},
            "likely_user": str(defaults.get("chaos_user_id") or ""),
        }
        answer = self._look(asked, variables)
        if answer.get("failed") or answer.get("unreachable"):
            return answer
        filled = filling.fill_settings(
            inventory.read_settings(answer.get("settings")),
            unset=unset,
            known=known,
            defaults=defaults,
            services=[str(one) for one in answer.get("services") or []],
        )
        found.update(variables=filled.values, how=filled.how)
        said = [("ok", line) for line in filled.lines] + [("warn", line) for line in filled.warnings]
        lines = [{"at": utc_now(), "level": level, "text": text} for level, text in said]
        told = {"found": found, "problem": filled.problem, "chaos_lines": [*answer["chaos_lines"], *lines]}
        return {"changed": False, "chaos_bpf": [], **told}

    def _look(self, asked: Arguments, variables: Variables | None) -> Result:
        """Have the module look at the host."""
        return run_module(self, "discover", asked, variables, runtime=carry_if_possible(self))

    def _read_variable(self, name: str, variables: Variables) -> Any:
        """Return what a variable comes to, None where there is none."""
        return untag_value(self._templar.template(variables[name])) if name in variables else None

    def _write(self, arguments: Arguments, known: Mapping[str, Variables]) -> Result:
        """Write the inventory and the map; ``known``: the variables of every host. Raises FileError."""
        answers = {name: one for name, one in arguments["hosts"].items() if _is_found(one)}
        if not answers:
            raise FileError("No inventory was written: no host found an exchange.")
        hosts = [
            FoundHost(
                name,
                read_connection(known.get(name) or {}),
                inventory.read_settings(one["settings"]),
                inventory.read_secrets(one.get("secrets")),
            )
            for name, one in answers.items()
        ]
        project = name_project(hosts)
        path = os.path.abspath(arguments["path"] or f"inventory-{project}.yml")
        drawing = f"{os.path.splitext(path)[0]}.mmd"
        links = [link for one in answers.values() for link in connections_map.read_links(one.get("links"))]
        products = {
            name: what
            for one in answers.values()
            for name, what in connections_map.read_products(one.get("products")).items()
        }
        drawn = connections_map.draw_map(list(dict.fromkeys(links)), products)
        closed = any((known.get(name) or {}).get("chaos_api_headers") for name in answers)
        head = [*list_next_steps(path, drawing), *([_NOT_WRITTEN] if closed else [])]
        text = inventory.render_inventory(hosts, project=project, at=utc_now(), head=head)
        missing = len(list(inventory.list_fill_ins(text)))
        if not self._task.check_mode:
            for place, content in ((path, text), (drawing, connections_map.draw_mermaid(links, products))):
                if arguments["replace"] and os.path.isfile(place) and not os.path.islink(place):
                    os.unlink(place)
                report_files.create_file(place, content)
        return {
            "changed": True,
            "path": path,
            "missing": missing,
            "map": drawn,
            "chaos_lines": [{"at": utc_now(), **line} for line in tell_written(path, drawing, missing)],
        }


def _part_secrets(arguments: Arguments, known: Variables) -> Arguments:
    """Return the arguments of the module for what is set: a secret is an argument of its own, which is not shown."""
    database = dict(known.get("chaos_database") or {})
    password = database.pop("password", None)
    database.pop("admin", None)
    return {
        "known": {**known, **({"chaos_database": database} if database else {})},
        "password": password,
        "headers": arguments["headers"],
        "authority": arguments["authority"],
    }


def _is_found(answer: Any) -> bool:
    return isinstance(answer, dict) and bool(answer.get("settings")) and not answer.get("failed")


def name_project(hosts: list[FoundHost]) -> str:
    """Return the project's name as a file's name takes it."""
    names = [one.value for one in hosts[0].settings if one.variable == "chaos_project"]
    return re.sub(r"[^A-Za-z0-9_.-]", "-", str(names[0] if names else ""))[:80].lstrip(".-") or "exchange"


def read_connection(known: Variables) -> Variables:
    """Return how Ansible reaches a host, from its variables; no secret is among them."""
    found = {name: untag_value(known[name]) for name in _CONNECTION if known.get(name) not in (None, "")}
    if found.get("ansible_connection") == "local" and "ansible_python_interpreter" in found:
        found["ansible_python_interpreter"] = _THIS_PYTHON
    return found


def list_next_steps(path: str, drawing: str) -> list[str]:
    """Return what to do with an inventory, a line each."""
    return [
        f"Who connects to whom: {os.path.basename(drawing)}",
        f"Next: ansible-playbook -i {os.path.basename(path)} playbooks/00-preflight.yml, then 00-placebo.yml, then 01.",
        "How hosts are reached stands as the inventory had it that was given; passwords do not.",
    ]


def tell_written(path: str, drawing: str, missing: int) -> list[dict[str, str]]:
    """Return lines for people on what was written."""
    left = f"{missing} thing{'s' if missing != 1 else ''} to fill in (look for '{inventory.FILL_IN}')"
    return [
        {"level": "ok", "text": f"Inventory: {path}"},
        {"level": "ok", "text": f"Map (Mermaid): {drawing}"},
        {"level": "warn" if missing else "ok", "text": left if missing else "Nothing is left to fill in"},
    ]
