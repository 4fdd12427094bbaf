# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of our callbacks follow this ansible-playbook.

The callbacks live in the main process and set this when a playbook starts; action plugins run in workers that are
forked from it later and inherit what was set. So the report action knows whether anybody writes the log.
"""

from __future__ import annotations

REPORT = "report"
CONSOLE = "console"
_present: set[str] = set()


def note_presence(callback: str) -> None:
    """Note that a callback (REPORT or CONSOLE) follows this playbook."""
    _present.add(callback)


def is_present(callback: str) -> bool:
    """Return True if that callback follows this playbook."""
    return callback in _present
