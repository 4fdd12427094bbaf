# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When steady state does not return: the exact commands that bring the exchange back, and what its parts said last."""

from __future__ import annotations

from ..evidence.log_lines import worth_showing
from ..host.docker_engine import DockerEngine
from ..run import timeline
from ..run.folder import RunDir

#: Of so many last lines so many are shown: what complains, not what counts requests.
_LAST, _SHOWN = 2000, 10


def advise_recovery(run: RunDir, fault: str) -> None:
    """Log the recovery commands and what the fault's target said last; restart where the owner allows it.

    ``rescue: restart`` in the run's specification lets us run the commands; that is a manual intervention.
    """
    spec = run.spec
    known = spec.fault(fault)
    targets = known.services if known else []
    run.write_event(timeline.NOT_STEADY, fault=fault)
    services = list(dict.fromkeys((*targets, spec.services["api"])))
    for service in services:
        run.log("warn", f"To recover by hand: docker compose -p {spec.project} restart {service}", "observe")
    engine = DockerEngine.connect_for(run)
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
