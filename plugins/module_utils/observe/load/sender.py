# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sending side of the load: numbers each order, hands it to a connection, keeps what came of it as a line."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ...common import clock
from ...common.shapes import Line
from ...common.stats import find_percentile
from ...exchange.orders import Judge, OrderTemplate, Verdict
from ...host.http_client import Reply
from .connections import Connections
from .schedule import most_outstanding

#: Never more requests under way than this: an exchange that answers nothing is not to be buried in connections.
MOST_OUTSTANDING = 2000
#: Descriptors that the process needs besides its connections.
_OTHER_FILES = 64

#: One order under way: its number, its side (0 or 1), when it was meant to go out, and its stream.
Task = tuple[int, int, float, str]


class Sender:
    """Sends orders and turns their answers into lines of load.jsonl."""

    def __init__(self, load: Mapping[str, Any]) -> None:
        self._template = OrderTemplate(load)
        self._numbering = self._template.numbering
        self._judge = Judge(load)
        most = min(most_outstanding(load), MOST_OUTSTANDING, allow_files() - _OTHER_FILES)
        self._connections: Connections[Task] = Connections(
            load["url"], timeout=float(load["timeout_s"]), most=most
        )
        self._lines: list[dict[str, Any]] = []
        self._late_ms: list[float] = []
        self.scheduled = self.finished = self.dropped = 0
        self.acknowledged = False

    def send(self, at: float, stream: str) -> None:
        """Send the next order, meant for instant ``at``; a pool or a range that is exhausted is written down."""
        number: int | None
        if self.scheduled < self._numbering.orders:
            number, side = self._numbering.nth(self.scheduled)
            body = self._template.body(number, side)
            sent = self._connections.request(
                self._template.method, self._template.path, body, (number, side, at, stream)
            )
            reason = "all connections of the load were waiting for answers"
        else:
            number, side, sent = None, self.scheduled % 2, False
            reason = f"the run's {self._numbering.orders} order numbers are used up"
        self.scheduled += 1
        now = clock.read()
        self._late_ms.append((now - at) * 1000)
        if not sent:
            reply = Reply(now, now, 0, b"", "dropped", reason)
            self._finish(number, side, at, stream, reply, Verdict(False, "dropped", None, reason))

    def wait(self, seconds: float) -> None:
        """Read answers for at most so many seconds, or until the first came."""
        for (number, side, at, stream), reply in self._connections.poll(seconds):
            self._finish(number, side, at, stream, reply, self._judge(reply))

    def _finish(
        self, number: int | None, side: int, at: float, stream: str, reply: Reply, verdict: Verdict
    ) -> None:
        if verdict.kind == "dropped":
            self.dropped += 1
        else:
            self.finished += 1
        self.acknowledged = self.acknowledged or verdict.ok
        self._lines.append(
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

    def take(self) -> list[Line]:
        """Return the lines of the orders that finished since the last call."""
        lines, self._lines = self._lines, []
        return lines

    @property
    def in_flight(self) -> int:
        """Orders that were sent and have not ended."""
        return self._connections.under_way

    @property
    def waiting_since(self) -> float | None:
        """When the oldest order under way was sent, None while none is."""
        return self._connections.waiting_since

    def summary(self) -> Line:
        """Return the account of all orders, how late they went out, and this process's own CPU seconds."""
        late = self._late_ms
        return {
            "scheduled": self.scheduled,
            "finished": self.finished,
            "dropped": self.dropped,
            "in_flight": self.in_flight,
            "cpu_s": round(time.process_time(), 3),
            "late_ms": {
                name: None if value is None else round(value, 3)
                for name, value in (
                    ("p50", find_percentile(late, 50)),
                    ("p99", find_percentile(late, 99)),
                    ("max", max(late, default=None)),
                )
            },
        }


def allow_files() -> int:
    """Let this process open as many files as it may, within reason; returns how many that is (setrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OUTSTANDING + _OTHER_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if now == resource.RLIM_INFINITY else now
