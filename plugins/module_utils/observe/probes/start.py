# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the probes' process: alone, or together with the load in one round trip."""

from __future__ import annotations

from ...run import processes
from ...run.folder import RunDir


def start_probes(run: RunDir) -> bool:
    """Start the probes of the run's specification unless they run; returns whether they were started."""
    if processes.living_process(run, "probes"):
        return False
    processes.start_process(run, "probes")
    run.log("ok", f"Probing {', '.join(probe.name for probe in run.spec.probes)}", "steady")
    return True
