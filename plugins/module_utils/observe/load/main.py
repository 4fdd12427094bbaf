# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load observer: orders at a set rate through the real API, whatever becomes of the exchange.

Runs as ``chaos.pyz load <run folder>`` and writes ``load.jsonl``. Latency counts from the instant an order was
meant to go out (``at``), so a stalled service cannot hide how long its clients waited. No order is sent twice.
Cost on two shared cores of a small machine: see tests/bench/load_cost.py, which measures it.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from ...common import clock
from ...common.jsonl import Writer
from ...exchange.orders import ORDERS, Judge, OrderTemplate, Verdict
from ...host.http_client import Client, Reply
from ...host.priority import punctual
from ...run import slow_host
from ...run.folder import RunDir
from ...run.lifespan import Lifespan
from .schedule import Schedule, most_outstanding
from .workers import Workers

#: The main loop looks at the timeline and writes what has finished this often, in seconds.
TICK_S = 0.03
#: Somebody waits for ``ready``: without an acknowledged order this long, say it all the same.
READY_S = 3.0
#: Threads are cheap, descriptors are not: never more requests under way than this.
MOST_OUTSTANDING = 900


class Load:
    """The sending side: takes due instants, hands orders to threads, keeps what came of them."""

    def __init__(self, load: Mapping[str, Any]) -> None:
        self._template = OrderTemplate(load)
        self._numbering = self._template.numbering
        self._judge = Judge(load)
        most = min(most_outstanding(load), MOST_OUTSTANDING)
        self._client = Client(load["url"], timeout=float(load["timeout_s"]), connections=most)
        self._workers: Workers[tuple[int, int, float, str]] = Workers(self._send, most)
        self._finished: deque[dict[str, Any]] = deque()
        self.scheduled = self.finished = self.dropped = 0
        self.acknowledged = False

    def send(self, at: float, stream: str) -> None:
        """Send the next order, meant for instant ``at``; a pool or a range that is exhausted is written down."""
        number: int | None
        if self.scheduled < ORDERS:
            number, side = self._numbering.nth(self.scheduled)
            sent = self._workers.submit((number, side, at, stream))
            reason = "all connections of the load were waiting for answers"
        else:
            number, side, sent = None, self.scheduled % 2, False
            reason = f"the run's {ORDERS} order numbers are used up"
        self.scheduled += 1
        if not sent:
            now = clock.now()
            reply = Reply(now, now, 0, b"", "dropped", reason)
            self._finish(number, side, at, stream, reply, Verdict(False, "dropped", None, reason))

    def _send(self, task: tuple[int, int, float, str]) -> None:
        number, side, at, stream = task
        reply = self._client.request(
            self._template.method, self._template.path, self._template.body(number, side)
        )
        self._finish(number, side, at, stream, reply, self._judge(reply))

    def _finish(
        self, number: int | None, side: int, at: float, stream: str, reply: Reply, verdict: Verdict
    ) -> None:
        self._finished.append(
            {
                "n": number,
                "stream": stream,
                "side": self._template.sides[side],
                "at": round(at, 6),
                "sent": round(reply.sent, 6),
                "end": round(reply.end, 6),
                "status": reply.status,
                "ok": verdict.ok,
                "kind": verdict.kind,
                "id": verdict.order_id,
                "error": verdict.error,
            }
        )

    def take(self) -> list[dict[str, Any]]:
        """Return the lines of the orders that finished since the last call."""
        lines = []
        with contextlib.suppress(IndexError):
            while True:
                lines.append(self._finished.popleft())
        self.dropped += sum(line["kind"] == "dropped" for line in lines)
        self.finished += sum(line["kind"] != "dropped" for line in lines)
        self.acknowledged = self.acknowledged or any(line["ok"] for line in lines)
        return lines

    @property
    def in_flight(self) -> int:
        """Orders of which no line was taken yet."""
        return self.scheduled - self.finished - self.dropped

    def summary(self) -> dict[str, Any]:
        """Return the account of all orders, and this process's own CPU seconds (user and system)."""
        return {
            "scheduled": self.scheduled,
            "finished": self.finished,
            "dropped": self.dropped,
            "in_flight": self.in_flight,
            "cpu_s": round(time.process_time(), 3),
        }


def main(run: RunDir) -> int:
    """Send until told to stop; then wait for what is under way, at most one time-out, and write the summary."""
    punctual()
    life = Lifespan(run)
    load = Load(run.spec["load"])
    writer = Writer(run.file("load.jsonl"))
    started = tick = clock.now()
    schedule = Schedule(run.spec["load"], started)
    every = slow_host.tick(run.spec, TICK_S)
    ready = False
    while not life.stopping:
        now = clock.now()
        if now >= tick:
            tick = now + every
            schedule.marks(life.marks())
            writer.write(*load.take())
            if not ready and (load.acknowledged or now - started >= READY_S):
                run.ready("load")
                ready = True
        for at, stream in schedule.due(now):
            load.send(at, stream)
        time.sleep(max(0.0, min(schedule.next, tick) - clock.now()))
    until = clock.now() + float(run.spec["load"]["timeout_s"]) + 0.5
    while load.in_flight and clock.now() < until:
        time.sleep(0.01)
        writer.write(*load.take())
    writer.write(*load.take(), {"summary": load.summary()})
    return 0
