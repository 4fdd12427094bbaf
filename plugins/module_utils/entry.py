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

#: The module behind each command, in this package. The names are contract: units on prepared hosts call them.
COMMANDS = {
    "capture": "bpf.capture",
    "charge": "faults.mechanisms.memory_hog",
    "contend": "faults.mechanisms.disk_hog",
    "events": "observe.docker_events",
    "finish": "lifecycle.finish",
    "impair": "faults.mechanisms.relay",
    "interference": "observe.interference",
    "load": "observe.load.main",
    "probes": "observe.probes.main",
    "recover": "lifecycle.recover",
    "sessions": "faults.mechanisms.session_holder",
    "watchdog": "lifecycle.watchdog",
}


def main(argv: list[str]) -> int:
    """Run one command in its run folder; returns the exit code."""
    if len(argv) != 3 or argv[1] not in COMMANDS:
        sys.stderr.write(f"usage: {argv[0]} {{{','.join(COMMANDS)}}} RUN_FOLDER\n")
        return 2
    package = __package__ or "exchange_chaos"
    folder = importlib.import_module(f"{package}.run.folder")
    command = importlib.import_module(f"{package}.{COMMANDS[argv[1]]}")
    return int(command.main(folder.RunDir(argv[2])))
