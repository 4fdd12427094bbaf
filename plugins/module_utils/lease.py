# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the host waits for the controller's next word before it ends a run by itself."""

from __future__ import annotations

from .journal import Journal
from .rundir import RunDir


def renew(run: RunDir, seconds: float) -> None:
    """Let the run live ``seconds`` from now, unless it may live longer already.

    While a fault is in force never beyond its time to live: a controller's process that outlived the controller
    could renew the run for ever.
    """
    expiries = [entry.expires for entry in Journal(run).open_entries()]
    run.renew(seconds, latest=min(expiries, default=None))
