"""Counts what goes to the hosts: every module, and every command or file that SSH carries, a JSON line each.

An ansible-playbook with this folder in ANSIBLE_CALLBACK_PLUGINS and round_trips in ANSIBLE_CALLBACKS_ENABLED appends
them to the file that ROUND_TRIPS names. Tasks run in forked workers, and an action may call several modules, so the
methods that every module and every transfer pass are wrapped before the first worker is forked.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase
from ansible.plugins.connection.ssh import Connection

DOCUMENTATION = r"""
name: round_trips
type: aggregate
short_description: Count what goes to the hosts
description: See the file's own docstring.
"""


_OUT_OF_THE_RUNTIME = "exchange.chaos.from_runtime"


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is untyped
    """Wraps the methods; it does nothing on events."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "round_trips"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        path = os.environ["ROUND_TRIPS"]
        _count(ActionBase, "_execute_module", path, _module)
        for name in ("exec_command", "put_file", "fetch_file"):
            _count(Connection, name, path, functools.partial(_transfer, name))


def _count(owner: type, name: str, path: str, describe: Callable[..., dict[str, Any]]) -> None:
    """Have a method of a class write a line at each call."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = time.time()
        try:
            return method(self, *args, **kwargs)
        finally:
            line = {**describe(self, *args, **kwargs), "at": begun, "seconds": time.time() - begun}
            # one write of one short line, so that workers cannot mix theirs
            with open(path, "ab", buffering=0) as stream:
                stream.write(json.dumps(line).encode() + b"\n")

    setattr(owner, name, counted)


def _module(action: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    variables = kwargs.get("task_vars") or (args[3] if len(args) > 3 else None) or {}
    given = kwargs.get("module_args") or (args[1] if len(args) > 1 else None) or action._task.args
    module = str(kwargs.get("module_name") or (args[0] if args else None) or action._task.action)
    if module == _OUT_OF_THE_RUNTIME:  # it becomes the one it is asked for
        module, given = f"exchange.chaos.{given['module']}", given["arguments"]
    return {
        "what": "module",
        "module": module,
        "host": str(variables.get("inventory_hostname", "")),
        "remote": str(action._connection.transport) != "local",
        "task": str(action._task.name),
        "state": str(given.get("state", "")),
        "fault": str(given.get("fault") or ""),
    }


def _transfer(kind: str, connection: Any, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
    return {"what": kind, "port": connection.port}
