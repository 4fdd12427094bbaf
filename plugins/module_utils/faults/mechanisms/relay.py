# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process behind the TUN engine of an impaired path: takes packets from the detour, and sends them on as asked.

``impair.json`` says what and where. It ends when told to, with the run, or at the fault's time to live; packets that
still wait are sent on then at once. Should it be killed, the kernel takes the detour away (:mod:`.tunnel`).
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
from collections.abc import Sequence
from random import Random
from typing import Any

from ...common import clock, peer_addresses
from ...common.json_files import read_json, write_json
from ...host import netns, nftables
from ...host.priority import raise_priority
from ...run.folder import RunDir
from ...run.instant import Instant
from ...run.lifespan import Lifespan
from . import shaping, tun

COMMAND = "impair"
PARAMETERS, STATISTICS = "impair.json", "impair-statistics.json"
_TICK_S = 0.2
_TOLD_S = 1.0
_PACKET = 65536
_BATCH = 64


def main(run: RunDir) -> int:
    """Set the detours up, work until the end, take them down."""
    wanted = read_json(run.file(PARAMETERS))
    life = Lifespan(run)
    raise_priority()
    engine = Engine(shaping.read_impairment(wanted["impairment"]))
    made: list[int] = []
    at = wanted.get("at")
    try:
        with (
            contextlib.nullcontext() if at is None else Instant(run, str(wanted["fault"]), float(at)).moment()
        ):
            began = clock.read()
            for pid in map(int, wanted["pids"]):
                netns.enter_netns(pid)
                engine.add(tun.build(wanted["addresses"]), wanted["addresses"])
                made.append(pid)
            for pid in made:
                netns.enter_netns(pid)
                left = float(wanted["expires"]) - clock.read()
                nftables.install_table(
                    tun.make_rules(wanted["table"], wanted["addresses"], wanted["port"], left)
                )
        run.register_process(COMMAND, began=began)
        engine.work(run, life, float(wanted["expires"]))
    finally:
        for pid in made:
            with contextlib.suppress(OSError):
                netns.enter_netns(pid)
                nftables.remove_table(wanted["table"])
                tun.drop_rules()
        engine.close()
    return 0


class Engine:
    """Packets on their way: read from detours, kept until they are due, sent on."""

    def __init__(self, wanted: shaping.Impairment) -> None:
        self._wanted = wanted
        self._dice = Random()
        self._lines: dict[int, tuple[tun.Tunnel, shaping.Shaper, peer_addresses.Known]] = {}
        self._waiting: list[tuple[float, int, int, int, bytes, bytes]] = []
        self._count = 0
        self._told = 0.0
        self.statistics: dict[str, Any] = dict.fromkeys(
            ("read", "sent", "lost", "duplicated", "corrupted", "full"), 0
        )
        self.statistics["late_ms"] = 0.0

    def add(self, line: tun.Tunnel, addresses: Sequence[str]) -> None:
        """Work on one more detour, for packets to these addresses alone."""
        shaper = shaping.Shaper(self._wanted, self._dice)
        self._lines[line.device] = (line, shaper, peer_addresses.Known(addresses))

    def work(self, run: RunDir, life: Lifespan, expires: float) -> None:
        """Take and send until the end; also when every detour is gone with its container."""
        while self._lines and not life.stopping and clock.read() < expires:
            self.turn(min(_TICK_S, expires - clock.read()))
            self._tell(run)

    def turn(self, patience: float) -> None:
        """Wait for packets until the next is due, at most ``patience`` seconds; take what came, send what is due."""
        if self._waiting:
            patience = min(patience, self._waiting[0][0] - clock.read())
        for device in select.select(list(self._lines), [], [], max(0.0, patience))[0]:
            self._take(device)
        self._send(clock.read())

    def close(self) -> None:
        """Send on what waits, and let the detours go."""
        self._send(float("inf"))
        for line, _shaper, _known in self._lines.values():
            line.close()
        self._lines.clear()

    def _take(self, device: int) -> None:
        _line, shaper, known = self._lines[device]
        for _packet in range(_BATCH):
            try:
                packet = os.read(device, _PACKET)
            except BlockingIOError:
                return
            except OSError:
                # the namespace went, and the device with it
                self._lines.pop(device)[0].close()
                return
            version, address = shaping.read_destination(packet)
            if address not in known:
                continue
            self.statistics["read"] += 1
            copies = shaper.copies(clock.read(), len(packet))
            self.statistics["lost"] += not copies
            self.statistics["duplicated"] += len(copies) > 1
            for copy in copies:
                self._keep(copy, device, version, packet, address)

    def _keep(self, copy: shaping.Copy, device: int, version: int, packet: bytes, address: bytes) -> None:
        if len(self._waiting) >= shaping.LIMIT:
            self.statistics["full"] += 1
            return
        self._count += 1
        self.statistics["corrupted"] += copy.corrupt
        sent = shaping.flip_bit(packet, self._dice) if copy.corrupt else packet
        heapq.heappush(self._waiting, (copy.due, self._count, device, version, sent, address))

    def _send(self, until: float) -> None:
        while self._waiting and self._waiting[0][0] <= until:
            due, _count, device, version, packet, address = heapq.heappop(self._waiting)
            if device in self._lines:
                self._lines[device][0].send(version, packet, address)
                self.statistics["sent"] += 1
                late = 1000 * (clock.read() - due)
                self.statistics["late_ms"] = max(self.statistics["late_ms"], round(late, 3))

    def _tell(self, run: RunDir) -> None:
        """Write, once a second, what was done: also the sign of life that shows for how long the fault was in force."""
        now = clock.read()
        if now >= self._told + _TOLD_S:
            self._told = now
            with contextlib.suppress(OSError):
                write_json(run.file(STATISTICS), {"t": now, **self.statistics})
