# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The further key: ends abandoned runs at boot and by timer, where setup has installed the units that call this.

``python chaos.pyz recover <state folder>``. A run of another boot, or whose watchdogs are both dead, is undone from
its journal by its own runtime; one that is looked after is left alone.
"""

from __future__ import annotations

import sys

from ..run.folder import RunDir
from ..run.state_dir import StateDir
from . import abandoned


def main(folder: RunDir) -> int:
    """End every abandoned run under the state folder; 1 when one of them resists, so that the unit shows it."""
    try:
        abandoned.end_abandoned(StateDir(folder.path), _say, by="boot")
    except Exception as error:
        _say("fail", str(error) or type(error).__name__)
        return 1
    return 0


def _say(level: str, text: str) -> None:
    """Write a line to standard output, which the service manager keeps."""
    sys.stdout.write(f"{level}: {text}\n")
