# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names a service asks for, and what it is answered, through the whole run: seen on its own loopback device.

A thread of the events observer, where a fault of name resolution is planned: what is asked during the fault is held
against what was asked before. A count a second goes into the timeline.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence

from ....common import clock
from ....common.errors import ChaosError
from ....host import netns
from ....host.docker_engine import DockerEngine
from ....run import timeline
from ....run.folder import RunDir
from . import wire

PERIOD_S = 1.0
_PACKET = 4096
_ALL_IPV4, _HOST = 0x0800, 0
#: Who asks more than this in a second is counted on, but its names are not read any more.
_MOST = 2000


def start_sampling(run: RunDir, services: Sequence[str]) -> None:
    """Start looking at each of the services; without root nothing is seen, and nothing is said."""
    for service in services:
        threading.Thread(target=_sample, args=(run, service), name=f"names of {service}", daemon=True).start()


def _sample(run: RunDir, service: str) -> None:
    engine = DockerEngine.connect_for(run, timeout=5)
    while True:
        try:
            running = [one for one in engine.containers(run.spec.project, service) if one.running and one.pid]
            if running:
                _look(run, service, running[0].pid)
        except (ChaosError, OSError):
            pass  # it ended, or was started anew: looked up again
        clock.sleep(PERIOD_S)


def _look(run: RunDir, service: str, pid: int) -> None:
    """Count until its namespace is gone. The thread alone enters it (setns(2)), the process stays where it is."""
    netns.enter_netns(pid)
    number = netns.read_netns_number(pid)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_IPV4)) as seeing:
        seeing.bind(("lo", _ALL_IPV4))
        seeing.settimeout(PERIOD_S / 4)
        while netns.read_netns_number(pid) == number:
            run.write_event(
                timeline.MEASURED, fault=None, name="names", service=service, **count_second(seeing)
            )


def count_second(seeing: socket.socket) -> dict[str, object]:
    """Return what was asked and answered in a second: {value, answers (by code), names (the most asked)}."""
    until = clock.read() + PERIOD_S
    asked, answers, names = 0, Counter[str](), Counter[str]()
    while clock.read() < until:
        try:
            packet, where = seeing.recvfrom(_PACKET)
        except socket.timeout:
            continue
        datagram = wire.parse_packet(packet) if where[2] == _HOST else None
        if datagram is None or wire.RESOLVER not in (datagram.source, datagram.destination):
            continue
        message = wire.parse_message(datagram.data)
        if message is None or message.ours:
            continue
        if message.response:
            answers[message.code_name] += 1
        else:
            asked += 1
            if asked <= _MOST:
                names[message.name] += 1
    return {"value": asked, "answers": dict(answers), "asked": dict(names.most_common(5))}
