# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instant for all hosts of a wave, on this host's clock: armed in time, waited for, acted at.

The hosts agree on epoch seconds of the controller's clock. The run's own pair of clock readings and the offset that was
measured just before it turn them into boottime, once; a step of the host's clock during the run moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..host.priority import run_foremost
from .folder import RunDir

#: Journaled and prepared so many seconds before the instant; held back so long, the journal's lock with it.
AHEAD_S = 0.8
#: An instant farther from now than this is a mistake, in its unit or in a clock, s.
FARTHEST_S = 600.0
#: An abort is looked for so often while a fault is armed, and for the last time so shortly before the instant.
_LOOK_S, _LAST_S = 0.1, 0.03
#: Later than this is not the instant any more, ms.
TOLERANCE_MS = 10.0
#: Two clocks may part by so much of the time since they were compared (RFC 5905, PHI: 15 parts in a million).
DRIFT = 15e-6
#: Facts of a simultaneous fault's proof; whoever merges the records of a wave knows it by them.
STARTED = "start after the instant agreed for the wave, ms"
DOUBT = "uncertainty of this start on the controller's clock, ms"


def boottime_of(run: RunDir, at: float) -> float:
    """Return the boottime of ``at``, epoch seconds on the controller's clock; an unknown offset counts as none."""
    return run.anchor.boot(at + (_clock(run).get("offset_ms") or 0.0) / 1000)


def doubt_ms(run: RunDir, t: float) -> float | None:
    """Return how far, at boottime ``t``, the controller's clock may be from what we take for it; None if unknown."""
    known = _clock(run)
    if known.get("uncertainty_ms") is None or known.get("offset_ms") is None:
        return None
    wall = run.anchor.wall(t)
    age = max(0.0, wall - float(known.get("measured_at") or run.anchor.realtime))
    return float(known["uncertainty_ms"]) + 1000 * DRIFT * age


def describe_instant(run: RunDir, at: float) -> str:
    """Say for people which instant a fault is armed for, and how well this host knows it."""
    known, doubt = _clock(run), doubt_ms(run, clock.read())
    if doubt is None:
        why = f" ({known['reason']})" if known.get("reason") else ""
        return (
            f"armed for {clock.format_utc_exact(at)}; how far this host's clock is from the controller's is not "
            f"known{why}, so it fires by its own clock"
        )
    return (
        f"armed for {clock.format_utc_exact(at)} on the controller's clock; this host's is "
        f"{known['offset_ms']:+.3f} ms from it, ± {doubt:.3f} ms"
    )


class Instant:
    """A moment to act at: ``target`` in boottime, ``at`` as it was agreed."""

    def __init__(self, run: RunDir, fault: str, at: float) -> None:
        self._run = run
        self._fault = fault
        self.at = at
        self.target = boottime_of(run, at)

    @property
    def seconds_left(self) -> float:
        """Return the seconds until then, below 0 when it has passed."""
        return self.target - clock.read()

    def until(self, before: float) -> None:
        """Wait until ``before`` seconds before the instant. Raises ChaosError when the run is aborted meanwhile."""
        self._heed()
        while self.seconds_left > before:
            clock.sleep(min(self.seconds_left - before, _LOOK_S))
            self._heed()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Enter at the instant, before all others who want the processor then; leave when the change is made.

        One that has passed is entered at once, and the run says so: preparing may take longer than there was time for.
        Raises ChaosError when the run is aborted before.
        """
        # before the last wait, not after it: who sleeps at ordinary rank may be woken too late to ask for more
        with run_foremost():
            self.until(_LAST_S)
            clock.sleep(self.seconds_left)
            late_ms = -1000 * self.seconds_left
            yield
        if late_ms > TOLERANCE_MS:
            self._tell(late_ms)

    def _tell(self, late_ms: float) -> None:
        """Say that the host was late; a full disk must not make an error of a change that is made."""
        with suppress(ChaosError):
            self._run.log(
                "warn",
                f"Fault {self._fault}: injected {late_ms:.0f} ms after the instant agreed for the wave, since this "
                "host was not ready in time; raise chaos_arm_s, or work on fewer hosts at a time",
                "fault",
            )

    def _heed(self) -> None:
        """Look at the timeline, which needs no lock; a run that was ended has taken its timeline along."""
        known = self._run.read_timeline()
        if not known or known.aborted() or known.being_ended:
            raise ChaosError(
                f"The run was aborted while fault {self._fault} was armed; it was not injected, nothing was changed."
            )


def _clock(run: RunDir) -> Mapping[str, Any]:
    return run.spec.host_clock
