# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When steady state does not return: the exact commands that bring the exchange back, and what its parts said last."""

from __future__ import annotations

from collections.abc import Sequence

from ..evidence.log_lines import worth_showing
from ..host.docker_engine import Container, DockerEngine
from ..run import timeline
from ..run.folder import RunDir
from ..run.processes import living_process

#: Whose eyes steady state is seen with.
OBSERVERS = ("load", "probes")
#: Of so many last lines so many are shown: what complains, not what counts requests.
_LAST, _SHOWN = 2000, 10


def _is_well(containers: Sequence[Container]) -> bool:
    """Return whether a service has containers, and each runs, healthy where it says so."""
    return bool(containers) and all(one.running and one.health in ("", "healthy") for one in containers)


def advise_recovery(run: RunDir, fault: str) -> None:
    """Log the recovery commands and what the fault's target said last; restart where the owner allows it.

    ``rescue: restart`` in the run's specification lets us run the commands; that is a manual intervention. Steady state
    rests on what load and probes see: where one of them has ended, the exchange may be well, and it is advised for
    services alone whose containers are not.
    """
    spec = run.spec
    known = spec.fault(fault)
    targets = known.services if known else []
    run.write_event(timeline.NOT_STEADY, fault=fault)
    engine = DockerEngine.connect_for(run)
    services = list(dict.fromkeys((*targets, spec.services["api"])))
    gone = [observer for observer in OBSERVERS if not living_process(run, observer)]
    if gone:
        services = [one for one in services if not _is_well(engine.containers(spec.project, one))]
        said = "" if services else "; every container is up and healthy, so no restart is advised"
        have = "has" if gone == ["load"] else "have"
        told = (
            f"{' and '.join(gone).capitalize()} {have} ended, so nobody saw whether it is steady again{said}"
        )
        run.log("warn", told, "observe")
    for service in services:
        # by their names, which need no compose file, and no compose of either kind
        names = " ".join(container.name for container in engine.containers(spec.project, service))
        how = (
            f"docker restart {names}"
            if names
            else f"bring service {service} of project {spec.project} up again"
        )
        run.log("warn", f"To recover by hand: {how}", "observe")
    for target in targets:
        for container in engine.containers(spec.project, target):
            for line in worth_showing(engine.logs(container.id, tail=_LAST).lines, _SHOWN):
                run.log("info", f"{container.name}: {line}", "observe")
    if spec.rescue == "restart":
        for service in services:
            for container in engine.containers(spec.project, service):
                engine.restart(container.id)
                run.write_event(timeline.RESCUE, fault=fault, service=service)
                run.log("warn", f"Rescue: {container.name} was restarted", "observe")
