# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the capture process: with the Python that has bcc, or going on without it and saying so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.errors import ChaosError
from ..common.json_files import write_json
from ..host.facts import bcc_python, is_root
from ..run import lease, processes
from ..run.abort import refuse_more_faults
from ..run.folder import NO_CAPTURE, RunDir

#: Compiling takes seconds on a slow machine.
_READY_S = 60.0


def start_capture(run: RunDir) -> bool:
    """Start the capture unless it runs; returns whether it was started. A capture that cannot be is a warning."""
    if processes.living_process(run, "capture"):
        return False
    python = bcc_python()
    if not run.spec.capture.programs:
        return _without(run, "absent", "this experiment asks for no BPF programs")
    if python is None:
        return _without(
            run, "absent", "bcc is missing on this host; playbooks/setup-hosts.yml brings it (not on RHEL 8)"
        )
    if not is_root():
        return _without(run, "absent", "loading BPF programs needs root")
    try:
        with lease.extended_lease(run, _READY_S):
            processes.start_process(run, "capture", python=python, timeout=_READY_S)
    except ChaosError as error:
        return _without(run, "failed", str(error))
    found = run.read_capture()
    if is_blind(found):
        refuse_more_faults(run, "the kernel capture is blind")
    return bool(found["status"] == "attached")


def read_storms(run: RunDir) -> None:
    """Make events of what came too fast for the capture, which has ended, to make them itself."""
    from ..bpf import spool  # the decoders of all programs, which who starts a capture has no use for

    spool.expand_spool(run)


def is_blind(found: Mapping[str, Any]) -> bool:
    """Return whether a capture runs and did not see what was done for it to see: then nothing may be injected."""
    return found["status"] == "attached" and found.get("positive_control") is False


def _without(run: RunDir, status: str, reason: str) -> bool:
    write_json(run.file("capture.json"), {**NO_CAPTURE, "status": status, "reason": reason})
    run.log("warn", f"The kernel is not watched: {reason}", "capture")
    return False
