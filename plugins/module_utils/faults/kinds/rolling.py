# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services restarted one after another, as a deployment does it: each is asked to end, given a grace, started again.

The engine sends the container's stop signal (SIGTERM, unless its image says otherwise) and SIGKILL to who is still
there after the grace (Engine API, ``POST /containers/{id}/stop``). Between the stop and the start no restart policy
acts, so that what a restart leaves half done is ours to finish: the undo starts whatever is down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...common.json_files import write_json
from ...common.schema import show_value
from ...common.shapes import Arguments, FaultEntry, Line
from ...exchange import fault_entry
from ...host.docker_engine import Container
from ...run import lease, processes
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import container_end, rolling

#: Seconds that a service has to end (the engine's own default), that pass between two, and to become healthy again.
GRACE_S, PAUSE_S, READY_S = 10, 5.0, 20.0
_GRACE_MAX_S = 120.0
_START_S = 15.0
_TICK_S = 0.05


def _as_entry(parameters: FaultEntry) -> Arguments:
    return {"hold_s": 1, "targets": parameters["services"] or [parameters["service"]]}


def _as_arguments(fault: FaultEntry) -> Arguments:
    return {"services": fault_entry.services_of(fault)}


KIND = Kind(
    arguments={
        "services": {"type": "list", "elements": "str"},
        "grace": {"type": "int", "default": GRACE_S},
        "pause": {"type": "float", "default": PAUSE_S},
        "ready_within": {"type": "float", "default": READY_S},
    },
    as_entry=_as_entry,
    as_arguments=_as_arguments,
    required=(
        Required("ended", "the first container ended, as the engine tells", "engine"),
        Required("restarted", "containers that ended and run again", "engine", at_end=True),
    ),
    ends_target=True,
    process=Process(rolling.COMMAND, "mechanisms.rolling"),
)


@dataclass(frozen=True)
class RollingPlan:
    """Which containers are restarted, in this order; all times in seconds."""

    fault: str
    targets: Sequence[Container]
    grace: float
    pause: float
    ready_within: float

    @property
    def service(self) -> str:
        """Return the service that is restarted first."""
        return self.targets[0].service

    def lines(self) -> list[str]:
        """Return the plan in words, one line a container."""
        return [
            f"{self._when(number)} {container.name} ({container.service}): {container.stop_signal}, SIGKILL after "
            f"{self.grace:g} s, then start; undo: see that it runs, start it if not"
            for number, container in enumerate(self.targets)
        ]

    def _when(self, number: int) -> str:
        return f"{self.pause:g} s later restart" if number else "restart"

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "running",
            "project": self.targets[0].project,
            "service": self.service,
            "containers": [container.id for container in self.targets],
            "services": {container.id: container.service for container in self.targets},
            "started_at": {container.id: container.started_at for container in self.targets},
            "grace": self.grace,
            "held": True,
        }


def check(fault: FaultEntry) -> list[str]:
    """Return what is wrong with the fault's own arguments."""
    identity, found = fault.get("id"), []
    for key, default, least, most in (
        ("grace", GRACE_S, 1.0, _GRACE_MAX_S),
        ("pause", PAUSE_S, 0.0, 600.0),
        ("ready_within", READY_S, 0.0, 600.0),
    ):
        value = _seconds(fault.get(key), default)
        if value is None or not least <= value <= most:
            found.append(
                f"The {key} of fault {identity} is {show_value(fault.get(key))}; "
                f"it must be {least:g} to {most:g} seconds."
            )
    services = fault_entry.services_of(fault)
    if len(set(services)) != len(services):
        found.append(
            f"The services of fault {identity} are {', '.join(services)}; each can be restarted only once."
        )
    pauses = (len(services) - 1) * (_seconds(fault.get("pause"), PAUSE_S) or 0.0)
    window = _seconds(fault.get("window_s"), float("inf"))
    if window is not None and window <= pauses:
        found.append(
            f"The window of fault {identity} is {window:g} s, and the pauses between {len(services)} services take "
            f"{pauses:g} s alone; make it longer, or the pause shorter."
        )
    return found


def _seconds(value: Any, default: float) -> float | None:
    """Return a number of seconds, the default where none is given, None for what is no number."""
    if isinstance(value, bool):
        return None
    try:
        return default if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def trial(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> str:
    """Read which main processes have no handler for the signal that asks them to end; nothing is sent."""
    planned = from_spec(fault, chosen, site)
    deaf = [
        f"{container.name} does not listen to {container.stop_signal}, so that it will be killed after "
        f"{planned.grace:g} s"
        for container in planned.targets
        if listens_to(container.pid, container.stop_signal) is False
    ]
    return "; ".join(["ok", *deaf])


#: Part of the name of where the kernel has a process that waits for signals; compilers add to it.
_WAITS_FOR_SIGNALS = "sigtimedwait"


def listens_to(pid: int, name: str) -> bool | None:
    """Return whether a main process handles a signal, or waits for it: else the kernel keeps it from the first process.

    An init that passes signals on (``init: true``) blocks them and takes them one by one: by a signalfd(2), or by
    sigtimedwait(2), during which the kernel shows none as blocked. None where that cannot be read. Source: proc(5),
    SigCgt, SigBlk and wchan; pid_namespaces(7).
    """
    try:
        number = (
            int(name) if name.isdecimal() else int(Signals[name if name.startswith("SIG") else f"SIG{name}"])
        )
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        known = dict(line.split(":", 1) for line in lines if line.startswith(("SigCgt:", "SigBlk:")))
        heard = int(known["SigCgt"], 16) | int(known["SigBlk"], 16)
    except (OSError, KeyError, ValueError):
        return None
    return bool(heard >> (number - 1) & 1) or _waits_for_signals(pid)


def _waits_for_signals(pid: int) -> bool:
    """Return whether a process is in sigtimedwait(2) now, as far as we may see."""
    try:
        return _WAITS_FOR_SIGNALS in Path(f"/proc/{pid}/wchan").read_text(errors="replace")
    except OSError:
        return False


def from_spec(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> RollingPlan:
    """Plan the restart of all that was chosen, in the order of the services.

    Raises ChaosError when one of them does not run: a deployment of what is down shows nothing.
    """
    if not chosen:
        raise ChaosError("A rolling restart needs at least one container.")
    for container in chosen:
        if not container.running:
            raise ChaosError(
                f"Container {container.name} of service {container.service} is {container.status}, not running: "
                "nothing to restart."
            )
    return RollingPlan(
        str(fault["id"]),
        list(chosen),
        *(
            _seconds(fault.get(key), default) or 0.0
            for key, default in (("grace", GRACE_S), ("pause", PAUSE_S), ("ready_within", READY_S))
        ),
    )


def apply(change: RollingPlan, entry: Entry, scene: Scene) -> Applied:
    """Start the process that restarts them, and see the first one end."""
    run = scene.run
    if processes.living_process(run, rolling.COMMAND):
        raise ChaosError("Another fault of this run restarts services already.")
    run.file(rolling.STEPS).unlink(missing_ok=True)
    write_json(
        run.file(rolling.PARAMETERS),
        {
            "fault": change.fault,
            "at": None if scene.agreed is None else scene.agreed.at,
            "expires": entry.expires,
            "containers": [container.id for container in change.targets],
            "grace": change.grace,
            "pause": change.pause,
            "ready_within": change.ready_within,
        },
    )
    waits = change.grace + 2 * _START_S
    lease.renew_lease(run, waits)
    processes.start_process(run, rolling.COMMAND, timeout=_START_S)
    ended = _first_end(
        scene, clock.read() + waits + (0.0 if scene.agreed is None else max(0.0, scene.agreed.seconds_left))
    )
    asked = rolling.read_steps(run, rolling.ASKED)
    facts = {"pids": [container.pid for container in change.targets], "engine": "engine"}
    at = float(asked[0]["t"]) if asked else clock.read()
    return Applied(at, [_end_proof(change, ended), *_exit_proof(ended)], facts)


def _first_end(scene: Scene, until: float) -> Line | None:
    """Wait for the first container's end and return it as noted, None if it did not come."""
    while clock.read() < until:
        ended = rolling.read_steps(scene.run, rolling.ENDED)
        if ended:
            return ended[0]
        if not processes.living_process(scene.run, rolling.COMMAND):
            break
        clock.sleep(_TICK_S)
    return None


def _end_proof(change: RollingPlan, ended: Line | None) -> Proof:
    if ended is None:
        fact = f"{change.targets[0].name} ended after it was asked to"
        return Proof("engine", fact, "not seen", clock.read(), False, name="ended")
    code = int(ended["exit_code"])
    killed = f" (killed after {change.grace:g} s)" if code == container_end.KILLED else ""
    return Proof(
        "engine",
        f"exit code of {ended['container']}",
        f"{code}{killed}",
        float(ended["t"]),
        True,
        name="ended",
    )


def _exit_proof(ended: Line | None) -> list[Proof]:
    if ended is None or ended.get("exited") is None:
        return []
    return [
        Proof(
            "kernel",
            f"exit of main process {ended['pid']}",
            ended["exited"],
            float(ended["t"]),
            ended["exited"],
        )
    ]


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Count the containers that ended and run again: by the steps taken, and by the engine's own start times."""
    wanted = entry.undo["started_at"]
    steps = rolling.read_steps(scene.run)
    by_steps = set(rolling.list_restarted(steps))
    now = {identity: scene.engine.inspect(identity) for identity in wanted}
    restarted = [
        identity
        for identity, container in now.items()
        if identity in by_steps and container is not None and container.started_at != wanted[identity]
    ]
    exits = [step for step in steps if step["step"] == rolling.ENDED]
    codes = ", ".join(f"{step['service']} {step['exit_code']}" for step in exits)
    share = len(restarted) / len(wanted)
    found = [
        Proof(
            "engine",
            f"containers that ended and run again, of {len(wanted)} (exit codes: {codes or 'none'})",
            len(restarted),
            clock.read(),
            len(restarted) == len(wanted),
            share,
            "restarted",
        )
    ]
    seen = [step for step in exits if step.get("exited") is not None]
    if seen:
        gone = sum(bool(step["exited"]) for step in seen)
        fact = f"exits of main processes by their pidfds, of {len(seen)}"
        found.insert(0, Proof("kernel", fact, gone, clock.read(), gone == len(seen)))
    return found


def undo(entry: Entry, scene: Scene) -> str:
    """End the process, wait for a stop that is under way, and start whatever is down."""
    ended = processes.stop_process(scene.run, rolling.COMMAND)
    rolling.wait_for_stop(scene.run, scene.engine, float(entry.undo["grace"]))
    how = container_end.start_again(entry.undo, scene.engine)
    return f"restarting was ended; {how}" if ended else how
