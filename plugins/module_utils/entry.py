# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry of the host runtime: ``python chaos.pyz <command> <run folder>``.

Only what the command needs is imported, because ``capture`` runs under the system's Python, which may have bcc and
nothing else.
"""

from __future__ import annotations

import importlib
import sys

#: The module behind each command, in this package; a kind of fault brings those of its own processes. The names are
#: contract: units on prepared hosts call them.
COMMANDS = {
    "capture": "bpf.capture",
    "events": "observe.docker_events",
    "finish": "lifecycle.finish",
    "interference": "observe.interference",
    "load": "observe.load.main",
    "probes": "observe.probes.main",
    "recover": "lifecycle.recover",
    "watchdog": "lifecycle.watchdog",
}


def main(argv: list[str]) -> int:
    """Run one command in its run folder; returns the exit code."""
    package = __package__ or "exchange_chaos"
    module = None
    if len(argv) == 3:
        module = COMMANDS.get(argv[1])
        if module is None:
            module = importlib.import_module(f"{package}.faults.registry").process_module(argv[1])
    if module is None:
        sys.stderr.write(f"usage: {argv[0]} {{{','.join(COMMANDS)},a fault's process}} RUN_FOLDER\n")
        return 2
    folder = importlib.import_module(f"{package}.run.folder")
    command = importlib.import_module(f"{package}.{module}")
    return int(command.main(folder.RunDir(argv[2])))
