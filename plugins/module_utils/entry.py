# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry of the host runtime: ``python chaos.pyz <command> <run folder>``.

A command is the module of that name in this package; only what the command needs is imported, because
``capture`` runs under the system's Python, which may have bcc and nothing else.
"""

from __future__ import annotations

import importlib
import sys

COMMANDS = (
    "capture",
    "charge",
    "contend",
    "events",
    "finish",
    "impair",
    "load",
    "probes",
    "recover",
    "sessions",
    "watchdog",
)


def main(argv: list[str]) -> int:
    """Run one command in its run folder; returns the exit code."""
    if len(argv) != 3 or argv[1] not in COMMANDS:
        sys.stderr.write(f"usage: {argv[0]} {{{','.join(COMMANDS)}}} RUN_FOLDER\n")
        return 2
    package = __package__ or "exchange_chaos"
    rundir = importlib.import_module(f"{package}.rundir")
    command = importlib.import_module(f"{package}.{argv[1]}")
    return int(command.main(rundir.RunDir(argv[2])))
