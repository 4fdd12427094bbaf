# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service that runs out of memory uses, sampled through the whole run: a leak shows long before its end.

A thread of the events observer, where such a fault is planned. What is counted is the processes' own memory
(``rss`` of memory.stat in version 1, ``anon`` in version 2), not the files they have read.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...host import cgroups
from ...host.cgroups import Cgroup
from ...host.docker_engine import DockerEngine
from ...run import timeline
from ...run.folder import RunDir
from . import memory_hog

PERIOD_S = 0.5


def start_sampling(run: RunDir, services: Sequence[str]) -> None:
    """Start sampling each of the services."""
    for service in services:
        threading.Thread(target=_sample, args=(run, service), name=f"usage of {service}", daemon=True).start()


def _sample(run: RunDir, service: str) -> None:
    engine = DockerEngine.connect_for(run, timeout=5)
    known: tuple[int, Cgroup] | None = None
    while True:
        try:
            known = known or _find(engine, run.spec.project, service)
            if known is not None:
                run.write_event(
                    timeline.MEASURED, fault=None, name="memory_used", service=service, **read_usage(*known)
                )
        except ChaosError:
            known = None  # it ended, or was started anew: looked up again
        clock.sleep(PERIOD_S)


def _find(engine: DockerEngine, project: str, service: str) -> tuple[int, Cgroup] | None:
    running = [one for one in engine.containers(project, service) if one.running and one.pid]
    if not running:
        return None
    return running[0].pid, cgroups.find_cgroup("memory", running[0].pid, running[0].id)


def read_usage(pid: int, cgroup: Cgroup) -> dict[str, Any]:
    """Return {pid, value: bytes of its own memory, charged: all bytes}. Raises ChaosError when it is gone."""
    stat = cgroup.read_table("memory.stat")
    own = stat.get("rss", 0) if cgroup.version == 1 else stat.get("anon", 0)
    return {"pid": pid, "value": own, "charged": memory_hog.read_usage(cgroup)}
