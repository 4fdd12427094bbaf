# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the host waits for the controller's next word before it ends a run by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..common import clock
from ..common.errors import ChaosError
from ..common.schema import Wrong, as_number
from .folder import RunDir
from .journal import Journal

#: A run that no module call renews for so long is ended on the host.
LEASE_S = 20.0


def renew_lease(run: RunDir, seconds: float, *, of: str = "") -> None:
    """Let the run live ``seconds`` and its patience from now, unless it may live longer already.

    On a slow host both are that many times as long: what its siblings do there takes longer, too.

    While a fault is in force never beyond its time to live: a controller's process that outlived the controller
    could renew the run for ever.
    """
    expiries = [entry.expires for entry in Journal(run).open_entries()]
    run.extend_deadline((seconds + read_patience(run)) * run.slow, latest=min(expiries, default=None), of=of)


def renew_on_contact(run: RunDir, of: str = "a module") -> None:
    """Renew the run, since the controller has come by; ``of`` names by which module.

    A full disk keeps the deadline as it is: an undo must go on, and whatever else must be written will say so.
    """
    with suppress(ChaosError):
        renew_lease(run, LEASE_S, of=of)


def expiry_reason(run: RunDir) -> str:
    """Return in words why a run is ended that nobody renewed: whose word was missing, and since when.

    Nothing is guessed: what the last module said when it failed is told as well, since that may be the cause.
    """
    contact = run.last_contact()
    if not contact:
        return (
            "the controller's next word was missing; since when is not known, as no module had left its name"
        )
    at = float(contact["at"])
    failures = run.read_timeline().module_failures(at)
    said = f", and it failed: {failures[-1].get('error')}" if failures else ""
    since, last = run.anchor.iso(at), contact.get("of") or "one"
    return f"no module came after {last}, which was here {clock.read() - at:.0f} s ago ({since}){said}"


def read_patience(run: RunDir) -> float:
    """Return the seconds by which the controller's next word may be late, since it has other hosts to talk to."""
    try:
        return max(0.0, as_number(run.known.get("patience_s") or 0, "patience_s"))
    except Wrong:
        return 0.0


@contextmanager
def extended_lease(run: RunDir, seconds: float) -> Iterator[None]:
    """Let the run live for a piece of work of at most ``seconds``, and no longer once that is done."""
    before = run.read_deadline()
    renew_lease(run, seconds)
    try:
        yield
    finally:
        run.shorten_deadline((LEASE_S + read_patience(run)) * run.slow, earliest=before)
