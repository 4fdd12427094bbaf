# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole playbooks in this one process: Ansible's own plays, tasks, templates, checks and callbacks, and our modules.

What a start of ansible-playbook costs is paid once, and a task costs no fork and no Python of its own: a run takes a
fraction of a second instead of two. That it says what the real one says is shown by test_generated_variables on some
of the same, drawn anew in each full run.
"""

from __future__ import annotations

import copy
import importlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar

import jinja2
import pytest
import yaml
from ansible import context
from ansible._internal import _task
from ansible.cli.playbook import PlaybookCLI
from ansible.errors import AnsibleError
from ansible.executor.playbook_executor import PlaybookExecutor
from ansible.executor.task_executor import TaskExecutor
from ansible.executor.task_result import _RawTaskResult
from ansible.inventory.manager import InventoryManager
from ansible.module_utils import basic
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.parsing.dataloader import DataLoader
from ansible.plugins import loader as plugins
from ansible.plugins import strategy
from ansible.plugins.action import ActionBase
from ansible.utils.context_objects import CLIArgs
from ansible.utils.vars import load_extra_vars, load_options_vars
from ansible.vars.manager import VariableManager

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Played:
    """What came of a playbook."""

    code: int
    screen: str


class InProcess:
    """Ansible's worker without a process: it does the task where it is started."""

    def __init__(self, **given: Any) -> None:
        self._given = given

    def is_alive(self) -> bool:
        """It was done when it was started."""
        return False

    def close(self) -> None:
        """There is no process to close."""

    def start(self) -> None:
        """Do the task. A fork would work on copies of host and task; so does this."""
        given = self._given
        host, task = copy.copy(given["host"]), given["task"].copy()
        with _task.TaskContext(task):
            found = TaskExecutor(
                host,
                task,
                given["task_vars"],
                given["play_context"],
                given["loader"],
                given["shared_loader_obj"],
                given["final_q"],
                given["variable_manager"],
            ).run()
        given["final_q"].send_task_result(
            _RawTaskResult(host=host, task=task, return_data=found, task_fields=task.dump_attrs())
        )


def execute_module(
    action: Any,
    module_name: str | None = None,
    module_args: Any = None,
    task_vars: Any = None,
    **_how: Any,
) -> dict[str, Any]:
    """Do what ActionBase._execute_module does, by a call of the module's main instead of another Python."""
    name = module_name or action._task.action
    arguments = action._task.args if module_args is None else module_args
    action._update_module_args(name, arguments, task_vars or {})
    encoder = get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)
    handed = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder)
    said, complained = io.StringIO(), io.StringIO()
    module = importlib.import_module(
        f"ansible_collections.exchange.chaos.plugins.modules.{name.rpartition('.')[2]}"
    )
    code = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.setattr(basic, "_ANSIBLE_ARGS", handed.encode())
        patch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        try:
            module.main()
        except SystemExit as end:
            code = int(end.code or 0)
    answer = {"stdout": said.getvalue(), "stderr": complained.getvalue(), "rc": code}
    return dict(action._parse_returned_data(answer, "legacy"))


class Loader(DataLoader):  # type: ignore[misc]  # ansible-core is untyped
    """Reads each of our own files once; nothing changes what was read."""

    _ours: ClassVar[dict[str, Any]] = {}

    def load_from_file(self, file_name: str, *given: Any, **how: Any) -> Any:
        """Return what the file holds, hardly copied where it is ours."""
        path = self.path_dwim(file_name)
        if not path.startswith(str(ROOT)):
            return super().load_from_file(file_name, *given, **how)
        if path not in self._ours:
            self._ours[path] = super().load_from_file(
                file_name, *given, **{**how, "cache": "none", "unsafe": True}
            )
        return copy.copy(self._ours[path])  # a role puts the check of its arguments before its tasks


@contextmanager
def in_one_process() -> Iterator[None]:
    """Have Ansible start no process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strategy, "WorkerProcess", InProcess)
        patch.setattr(ActionBase, "_execute_module", execute_module)
        patch.setattr(jinja2.Environment, "_compile", lru_cache(4096)(compile_source))
        yield


def compile_source(_environment: jinja2.Environment, source: str, filename: str) -> CodeType:
    """Compile what Jinja made of a template."""
    return compile(source, filename, "exec")


def play(
    playbook: str,
    inventory: Path,
    variables: Mapping[str, Any],
    *,
    options: tuple[str, ...] = (),
) -> Played:
    """Play one of our playbooks on an inventory, with these variables as -e."""
    words = ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / playbook)]
    cli = PlaybookCLI([*words, *options, "-e", json.dumps(variables)])
    cli.init_parser()
    given = CLIArgs.from_options(cli.post_process_args(cli.parser.parse_args(cli.args[1:])))
    said = io.StringIO()
    with as_started_with(given), redirect_stdout(said), redirect_stderr(said):
        try:
            code = _play(given)
        except AnsibleError as error:
            said.write(f"ERROR: {error}\n")
            code = 1
    return Played(code, said.getvalue())


@contextmanager
def as_started_with(given: CLIArgs) -> Iterator[None]:
    """Let what Ansible knows of its command line be this, and afterwards what it was before.

    What it read of a command line once it keeps for good, whoever made it read: the first play of this process, or a
    test that asked for a host's variables without any command line.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "CLIARGS", given)
        patch.setattr(load_extra_vars, "extra_vars", None, raising=False)
        patch.setattr(load_options_vars, "options_vars", None, raising=False)
        yield


def _play(given: CLIArgs) -> int:
    loader = Loader()
    loader.set_basedir(str(ROOT / "playbooks"))
    inventory = InventoryManager(loader=loader, sources=given["inventory"])
    manager = VariableManager(loader=loader, inventory=inventory)
    executor = PlaybookExecutor(
        playbooks=given["args"],
        inventory=inventory,
        variable_manager=manager,
        loader=loader,
        passwords={},
    )
    try:
        return int(executor.run())
    finally:
        with suppress(AttributeError):
            executor._tqm.cleanup()


plugins.init_plugin_loader([str(ROOT / ".collections")])
#: Whoever imported the collection before did so without Ansible's own importer, which reads this along.
OURS = importlib.import_module("ansible_collections.exchange.chaos")
if not hasattr(OURS, "_collection_meta"):
    vars(OURS)["_collection_meta"] = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
