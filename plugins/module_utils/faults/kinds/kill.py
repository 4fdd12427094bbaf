# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killing a service's containers, or those of several at once: by SIGKILL to the main process, or through the engine.

A SIGKILL from the host leaves the restart policy in charge; a kill through the engine switches it off until
the next start (Engine API, ``POST /containers/{id}/kill``), which is what holds an outage.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common import clock
from ...common.errors import AS_ROOT, ChaosError, Unsupported
from ...common.schema import show_value
from ...exchange import fault_entry
from ...host.docker_engine import Container
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Required
from ..mechanisms import container_end

MODES = ("process", "engine")
#: As root from the host, without root or to hold an outage through the engine.
AUTO = "auto"
_CONNECT_S = 0.2


def _as_entry(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "hold_s": int(parameters["hold"]),
        "targets": parameters["services"] or [parameters["service"]],
    }


def _as_arguments(fault: Mapping[str, Any]) -> dict[str, Any]:
    return {"hold": _hold(fault), "services": fault_entry.services_of(fault)}


KIND = Kind(
    arguments={
        "services": {"type": "list", "elements": "str"},
        "mode": {"type": "str", "choices": [AUTO, *MODES], "default": AUTO},
        "hold": {"type": "bool", "default": False},
        "port": {"type": "int"},
    },
    as_entry=_as_entry,
    as_arguments=_as_arguments,
    required=(
        Required("exit", "exit of the main process, by its pidfd"),
        Required("ended", "end of the container", "engine"),
        Required("down", "still down at the end of the window", "engine", at_end=True),
    ),
    ends_target=True,
    in_one_blow=True,
    waits_for_disk=True,
)


@dataclass(frozen=True)
class KillPlan:
    """What a kill will do. ``hold``: the containers stay down until the undo. ``port``: tried after it as a proof.

    ``targets`` stand in dependency order, what others need first: in this order the undo starts what does not run.
    """

    service: str
    project: str
    mode: str
    hold: bool
    targets: Sequence[Container]
    port: int | None = None

    @property
    def starts_itself(self) -> bool:
        """True when nobody but us will start the containers again: the engine's kill without an outage."""
        return self.mode == "engine" and not self.hold

    def lines(self) -> list[str]:
        """Return the plan in words, one line a change; the journal keeps these very lines."""
        how = {"process": "SIGKILL to main process {pid} of", "engine": "kill through the engine"}[self.mode]
        after = (
            "hold it down until the undo" if self.hold else "the restart policy ({policy}) starts it again"
        )
        if self.starts_itself:
            after = "start it again ourselves"
        return [
            f"{how.format(pid=container.pid)} {container.name} ({container.service}); "
            f"{after.format(policy=container.restart_policy)}; undo: see that it runs, start it if not"
            for container in self.targets
        ]

    @property
    def services(self) -> list[str]:
        """Return the services whose containers are killed, each once, in the order of the targets."""
        return list(dict.fromkeys(container.service for container in self.targets))

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data; of several services it says which container is whose."""
        several = {"services": {container.id: container.service for container in self.targets}}
        return {
            "op": "running",
            "project": self.project,
            "service": self.service,
            "containers": [container.id for container in self.targets],
            "held": self.hold,
            **(several if len(self.services) > 1 else {}),
        }


def plan_kill(
    targets: Sequence[Container], *, mode: str, hold: bool, root: bool, port: int | None = None
) -> KillPlan:
    """Plan a kill of running containers of one service, or of several in dependency order.

    Raises ChaosError when a target does not run, when SIGKILL from the host needs root, when an outage is
    asked of a mode that cannot hold it, or when a crash by process would find no restart policy to act.
    """
    if mode not in MODES:
        raise ChaosError(f"A kill's mode is {show_value(mode)}; it must be one of {', '.join(MODES)}.")
    if not targets:
        raise ChaosError("A kill needs at least one container.")
    for container in targets:
        if not container.running or container.pid <= 0:
            raise ChaosError(
                f"Container {container.name} of service {container.service} is {container.status}, not running: "
                "nothing to kill."
            )
        if mode == "process" and hold:
            raise ChaosError(
                "An outage is held by the engine: use mode engine with hold, since the restart policy undoes a SIGKILL."
            )
    if mode == "process" and not root:
        raise ChaosError(
            f"SIGKILL to a container's main process needs root: {AS_ROOT}; mode engine works without."
        )
    first = targets[0]
    return KillPlan(first.service, first.project, mode, hold, list(targets), port)


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a kill's own arguments."""
    found = []
    mode = str(fault.get("mode", AUTO))
    if mode not in (AUTO, *MODES):
        found.append(
            f"The mode of fault {fault.get('id')} is {show_value(mode)}; it must be one of {AUTO}, {', '.join(MODES)}."
        )
    services = fault.get("targets")
    if services and (len(set(services)) != len(services) or services[0] != fault.get("target")):
        found.append(
            f"The targets of fault {fault.get('id')} are {', '.join(map(str, services))}; they must differ, "
            f"and the first must be its target {fault.get('target')}."
        )
    if services and len(services) > 1 and fault.get("port"):
        found.append(f"Fault {fault.get('id')} names a port; that goes with a single service only.")
    return found


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Send signal 0 to what would be killed; say what will be milder than asked."""
    found = []
    mode, asked = _mode(fault, root=True), str(fault.get("mode", AUTO))
    for container in chosen:
        refused = _may_signal(container.pid) if mode == "process" else ""
        if refused and asked == "process":
            raise Unsupported(
                f"Fault {fault['id']} sends SIGKILL from the host, which needs root: {AS_ROOT}."
            )
        if refused:
            found.append(f"without root ({refused}) it goes through the engine; self-healing can't be judged")
        if not _hold(fault) and not container.restarts_itself:
            found.append(
                f"{container.name} has restart policy {container.restart_policy}, so the run starts it again itself"
            )
    return "; ".join(["ok", *dict.fromkeys(found)])


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> KillPlan:
    """Plan a kill as a specification words it: ``mode`` (auto: from the host as root, else by engine), ``hold_s``."""
    port = int(fault["port"]) if fault.get("port") else None
    return plan_kill(chosen, mode=_mode(fault, root=site.root), hold=_hold(fault), root=site.root, port=port)


def _mode(fault: Mapping[str, Any], *, root: bool) -> str:
    mode = str(fault.get("mode", AUTO))
    if mode != AUTO:
        return mode
    return "process" if root and not _hold(fault) else "engine"


def _hold(fault: Mapping[str, Any]) -> bool:
    return float(fault.get("hold_s") or 0) > 0


def _may_signal(pid: int) -> str:
    """Return why the process may not be signalled; empty when it may."""
    try:
        os.kill(pid, signal.SIG_DFL)
    except OSError as error:
        return str(error.strerror)
    return ""


def apply(change: KillPlan, entry: Entry, scene: Scene) -> Applied:
    """Carry the kill out and see the main processes end.

    Whatever can fail is done before the first signal, so that the kills lie as close together as system calls do.
    ``at`` is the boottime of the first kill. Its proof: the kernel closes the pidfd of the exited process; the engine
    reports the exit code.
    """
    engine = scene.engine
    with contextlib.ExitStack() as opened:
        watched = [(container, _open(container, opened)) for container in change.targets]
        with scene.instant():
            at = clock.read()
            for container, pidfd in watched:
                if change.mode == "process" and pidfd is not None:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                else:
                    engine.kill(container.id)
            within = clock.read() - at
        gone = _exits({pidfd: container.pid for container, pidfd in watched if pidfd is not None})
    proofs = [
        Proof(
            "kernel",
            f"exit of main process {pid}",
            when is not None,
            when or clock.read(),
            when is not None,
            name="exit",
        )
        for pid, when in gone.items()
    ]
    for container in change.targets:
        proofs.append(replace(container_end.prove_ended(container, engine, _cause), name="ended"))
        if change.starts_itself:
            engine.start(container.id)
    if change.port:
        proofs += [prove_refused(container.address, change.port) for container in change.targets]
    return Applied(at, proofs, _facts(change, gone), within)


def _facts(change: KillPlan, gone: Mapping[int, float | None]) -> dict[str, Any]:
    """What journal and timeline keep of a kill; ``exited``: boottime at which the kernel had ended the process."""
    facts: dict[str, Any] = {"pids": [container.pid for container in change.targets], "engine": change.mode}
    if len(change.services) > 1:
        facts["targets"] = change.services
        facts["kills"] = [
            {"service": container.service, "pid": container.pid, "exited": gone.get(container.pid)}
            for container in change.targets
        ]
    return facts


def undo(entry: Entry, scene: Scene) -> str:
    """See that as many containers of each service run as were killed; start what does not, in dependency order."""
    return container_end.start_again(entry.undo, scene.engine)


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read whether the killed containers are still down; a crash is not meant to hold and proves nothing here."""
    proofs: list[Proof] = []
    if not entry.undo["held"]:
        return proofs
    for container_id in entry.undo["containers"]:
        container = scene.engine.inspect(container_id)
        down = container is None or not container.running
        fact = "still down at the end of the window"
        proofs.append(Proof("engine", fact, down, clock.read(), down, name="down"))
    return proofs


def prove_refused(address: str, port: int, within: float = 1.0) -> Proof:
    """Connect to the killed service's port until a connect is turned away, for ``within`` seconds.

    A container that is gone takes its address along, so that nobody is left to refuse: no answer proves as much.
    """
    what, until = f"connect to {address}:{port}", clock.read() + within
    seen, holds = "no connect was tried", False
    while clock.read() < until:
        started = clock.read()
        try:
            socket.create_connection((address, port), timeout=_CONNECT_S).close()
            seen, holds = "connected", False
        except (TimeoutError, socket.timeout):
            seen, holds = "no answer", True
        except OSError as error:
            return Proof("tcp", what, os.strerror(error.errno) if error.errno else str(error), started, True)
        clock.sleep(0.01)
    return Proof("tcp", what, seen, clock.read(), holds)


def _open(container: Container, opened: contextlib.ExitStack) -> int | None:
    """Open a pidfd on the main process, sure that it still is the container's; None without root."""
    if os.geteuid() != 0:
        return None
    try:
        pidfd = os.pidfd_open(container.pid)
    except ProcessLookupError as error:
        raise ChaosError(
            f"Main process {container.pid} of {container.name} ended before it was killed; nothing was changed."
        ) from error
    opened.callback(os.close, pidfd)
    if container.id not in Path(f"/proc/{container.pid}/cgroup").read_text(errors="replace"):
        raise ChaosError(
            f"Process {container.pid} does not belong to container {container.name} any more; nothing was changed."
        )
    return pidfd


def _exits(watched: Mapping[int, int]) -> dict[int, float | None]:
    """Wait for the processes behind pidfds (pidfd -> pid); return when each was gone (boottime), None if it was not."""
    gone: dict[int, float | None] = dict.fromkeys(watched.values())
    poll, left, until = select.poll(), len(watched), clock.read() + container_end.EXIT_S
    for pidfd in watched:
        poll.register(pidfd, select.POLLIN)
    while left and clock.read() < until:
        for pidfd, _event in poll.poll(max(0.0, until - clock.read()) * 1000):
            gone[watched[pidfd]] = clock.read()
            poll.unregister(pidfd)
            left -= 1
    return gone


def _cause(ended: Container) -> tuple[str, int | None, bool]:
    return f"exit code of {ended.name}", ended.exit_code, ended.exit_code == container_end.KILLED
