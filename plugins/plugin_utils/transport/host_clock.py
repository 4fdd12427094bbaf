# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of the host that an action acts on, by the connection that Ansible has to it.

One process of ours answers on one connection where that can be opened beside Ansible's own (``ssh`` without a password,
``local``). Any other connection plugin is asked a command at a time, which is less certain, and says so by its figure.
"""

from __future__ import annotations

import shlex
import sys
import time
from typing import Any

from ...module_utils.common.shapes import Variables
from .clock_offset import ECHO, ClockReading, Offset, Unmeasured, choose_best, read_clock, unknown_offset

#: Questions where each is a connection or a process of its own.
_COMMANDS = 5
#: Without an interpreter that Ansible knows already: any Python reads the same clock.
_ANY = "command -v python3 || echo /usr/libexec/platform-python"


def measure_offset(action: Any, variables: Variables) -> Offset:
    """Return the offset of the host's clock; ``action`` is an Ansible action plugin. Never raises for a bad host."""
    try:
        argv = _argv(action, variables)
        return choose_best(read_clock(argv) if argv else _by_commands(action))
    except Unmeasured as error:
        try:
            return choose_best(_by_commands(action))
        except Exception:
            return unknown_offset(str(error))
    # a connection plugin may raise whatever it likes, and a run does not fail for want of a clock
    except Exception as error:
        return unknown_offset(f"{type(error).__name__}: {error}")


def find_interpreter(action: Any, variables: Variables) -> str:
    """Return the Python that Ansible uses on the host; empty when it has not looked for one yet."""
    named = action._templar.template(variables.get("ansible_python_interpreter") or "")
    found = variables.get("discovered_interpreter_python") or (variables.get("ansible_facts") or {}).get(
        "discovered_interpreter_python"
    )
    return str(named) if named and not str(named).startswith("auto") else str(found or "")


def _argv(action: Any, variables: Variables) -> list[str | bytes]:
    """Return the command that opens a connection of its own to the echo on the host; none where there is no way."""
    connection, python = action._connection, find_interpreter(action, variables)
    if connection.transport == "local":
        return [*shlex.split(python or sys.executable), "-u", "-c", ECHO]
    if connection.transport != "ssh":
        return []
    if connection.get_option("password") or action._play_context.password:
        return []
    echo = f"-u -c {shlex.quote(ECHO)}"
    command = f"exec {python} {echo}" if python else f"exec $({_ANY}) {echo}"
    program = connection.get_option("ssh_executable")
    # the plugin's own builder knows port, user, key, jump host and the connection that is open already
    built = connection._build_command(program, "ssh", connection.host, f"/bin/sh -c {shlex.quote(command)}")
    return [built[0], b"-o", b"BatchMode=yes", *built[1:]]


def _by_commands(action: Any) -> list[ClockReading]:
    """Ask for the time by the connection's ordinary commands."""
    found = []
    for _attempt in range(_COMMANDS):
        sent, began = time.time(), time.perf_counter()
        answer = action._low_level_execute_command("date +%s.%N", sudoable=False)
        took = time.perf_counter() - began
        try:
            found.append(ClockReading(sent, took, float(str(answer.get("stdout", "")).split()[-1])))
        except (IndexError, ValueError):
            continue
    return found
