# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sending side of the load: numbers each order, hands it to a connection, keeps what came of it as a line."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ...common import clock
from ...common.shapes import Line
from ...common.stats import find_percentile
from ...exchange.orders import Judge, OrderTemplate, Verdict
from ...exchange.rush import STREAM, Rush
from ...host.http_client import OPEN, Access, Reply
from ...run import timeline
from ...run.timeline import Event
from .clients import Clients, RushClient
from .connections import Connections
from .schedule import most_outstanding

#: Never more requests under way than this: an exchange that answers nothing is not to be buried in connections.
MOST_OUTSTANDING = 2000
#: Descriptors that the process needs besides its connections.
_OTHER_FILES = 64


@dataclass(frozen=True)
class Task:
    """One order under way: its number, its side (0 or 1), when it was meant to go out, its stream, and whose it is."""

    number: int | None
    side: int
    at: float
    stream: str
    client: RushClient | None = None


class Sender:
    """Sends orders and turns their answers into lines of load.jsonl."""

    def __init__(self, load: Mapping[str, Any], access: Access = OPEN) -> None:
        self._template = OrderTemplate(load)
        self._numbering = self._template.numbering
        self._judge = Judge(load)
        most = min(most_outstanding(load), MOST_OUTSTANDING, allow_files() - _OTHER_FILES)
        self._connections: Connections[Task] = Connections(
            str(load["url"]), timeout=float(load["timeout_s"]), most=most, access=access
        )
        self._access = access
        self._url, self._timeout = str(load["url"]), float(load["timeout_s"])
        self._clients: Clients[Task] | None = None
        self._lines: list[dict[str, Any]] = []
        self._late_ms: list[float] = []
        self.scheduled = self.finished = self.dropped = 0
        self.acknowledged = False

    def take_events(self, events: Iterable[Event]) -> None:
        """Take in new lines of the timeline: a fault may bring clients of its own, and its undo lets them leave."""
        for event in events:
            if event.get("event") == timeline.FAULT_INJECTED and event.get("orders"):
                self._clients = Clients(
                    Rush.from_data(event["orders"]), self._url, timeout=self._timeout, access=self._access
                )
            elif event.get("event") == timeline.FAULT_UNDONE and self._clients is not None:
                self._clients.leaving = True

    def move(self, url: str) -> None:
        """Go on at another address of the API: its container was started, and may be elsewhere."""
        self._url = url
        self._connections.move(url)
        if self._clients is not None:
            self._clients.move(url)

    def send(self, at: float, stream: str) -> None:
        """Send the next order, meant for instant ``at``; a pool or a range that is exhausted is written down."""
        client, connections = None, self._connections
        if stream == STREAM and self._clients is not None:
            client, connections = self._clients.take_turn()
        if self.scheduled < self._numbering.orders:
            number, side = self._numbering.nth(self.scheduled)
            task = Task(number, side, at, stream, client)
            body = self._template.body(number, side)
            sent = connections.request(self._template.method, self._template.path, body, task)
            reason = "all connections of the load were waiting for answers"
        else:
            task, sent = Task(None, self.scheduled % 2, at, stream, client), False
            reason = f"the run's {self._numbering.orders} order numbers are used up"
        self.scheduled += 1
        now = clock.read()
        self._late_ms.append((now - at) * 1000)
        if not sent:
            reply = Reply(now, now, 0, b"", "dropped", reason)
            self._finish(task, reply, Verdict(False, "dropped", None, reason))

    def wait(self, seconds: float) -> None:
        """Read answers for at most so many seconds, or until the first came."""
        clients = self._clients
        ended = (
            self._connections.poll(seconds) if clients is None else clients.poll(self._connections, seconds)
        )
        for task, reply in ended:
            self._finish(task, reply, self._judge(reply))
        if clients is not None and clients.leaving and not clients.under_way:
            clients.close()
            self._clients = None

    def _finish(self, task: Task, reply: Reply, verdict: Verdict) -> None:
        if verdict.kind == "dropped":
            self.dropped += 1
        else:
            self.finished += 1
        self.acknowledged = self.acknowledged or verdict.ok
        whose = {} if task.client is None else {"client": task.client.number, "way": task.client.way}
        self._lines.append(
            {
                "n": task.number,
                "stream": task.stream,
                **whose,
                "side": self._template.sides[task.side],
                "at": round(task.at, 6),
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
        theirs = 0 if self._clients is None else self._clients.under_way
        return self._connections.under_way + theirs

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
