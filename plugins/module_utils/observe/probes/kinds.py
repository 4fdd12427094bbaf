# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to ask a service whether it is well: one HTTP request, or one TCP connect. Each sample stands alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...common import bounds, clock
from ...exchange.endpoints import Moved
from ...host.http_client import OPEN, Access, Expectation, Reply, kind_of, shorten
from ..load.connections import Connections

TIMEOUT_S = 1.0
#: The kernel of this very host answers a connect to one of its containers, at once, even if the service sleeps. Once
#: a connect went unanswered there is no container, and waiting longer would make the samples thin where they count.
GONE_TIMEOUT_S = 0.05


@dataclass(frozen=True)
class ProbeAnswer:
    """One answer, or the lack of one. at, end: boottime seconds; kind: see http_client.KINDS; status: 0 if none."""

    at: float
    end: float
    ok: bool
    status: int
    kind: str
    detail: str | None


class Probe(Protocol):
    """Anything that takes one sample, bounded in time and without raising."""

    def sample(self) -> ProbeAnswer:
        """Ask once."""


class HttpProbe:
    """A request whose status and body must be as expected; the connection is kept while it works."""

    def __init__(self, probe: Mapping[str, Any], access: Access = OPEN) -> None:
        """Prepare from one of ``probes`` of a run's specification. Raises ChaosError on a bad URL or expression."""
        name = probe["name"]
        scheme, _colon, rest = str(probe["url"]).partition("://")
        host, slash, path = rest.partition("/")
        timeout = float(probe.get("timeout_s") or TIMEOUT_S)
        self._connections: Connections[None] = Connections(
            f"{scheme}://{host}", timeout=timeout, most=1, largest=bounds.HTTP_BODY, access=access
        )
        self._path = slash + path or "/"
        self._expect = Expectation.parse(probe.get("expect") or {}, f"probe {name}: expect")

    def sample(self) -> ProbeAnswer:
        """Ask once."""
        reply = self._ask()
        body = reply.json() if self._expect.reads_body else None
        kind = self._expect.judge(reply, body)
        good = kind == "ok"
        return ProbeAnswer(
            at=reply.sent,
            end=reply.end,
            ok=good,
            status=reply.status,
            kind=kind,
            detail=None if good else reply.detail or reply.text() or f"status {reply.status}",
        )

    def _ask(self) -> Reply:
        """Send one request and wait until it ends, which its deadline sees to."""
        self._connections.poll(0)  # a kept connection that was closed meanwhile
        self._connections.request("GET", self._path, None, None)
        ended: list[tuple[None, Reply]] = []
        while not ended:
            ended = self._connections.poll(TIMEOUT_S)
        return ended[0][1]


class MovingProbe:
    """A probe of a URL that was found: it is asked where the service is now, and made anew when that has changed."""

    def __init__(
        self, make: Callable[[Mapping[str, Any]], Probe], probe: Mapping[str, Any], moved: Moved
    ) -> None:
        """make: the kind of probe; moved: where services are now. Raises ChaosError as the kind does."""
        self._make, self._probe, self._moved = make, dict(probe), moved
        self._asks = make(probe)

    def sample(self) -> ProbeAnswer:
        """Ask once."""
        if self._moved.has_changed():
            url = self._moved.url_of(self._probe)
            if url != self._probe["url"]:
                self._probe["url"] = url
                self._asks = self._make(self._probe)
        return self._asks.sample()


class TcpProbe:
    """A connect to the service's own address, closed again at once: the port is open, whatever the service says."""

    def __init__(
        self, probe: Mapping[str, Any], address: Callable[[], str | None], lost: Callable[[], None]
    ) -> None:
        """address: where the service is now, None if nowhere; lost: called when it was not reached there."""
        self._port = int(probe["port"])
        self._timeout = float(probe.get("timeout_s") or TIMEOUT_S)
        self._gone_timeout = self._timeout if probe.get("address") else min(self._timeout, GONE_TIMEOUT_S)
        self._there = True
        self._address = address
        self._lost = lost

    def sample(self) -> ProbeAnswer:
        """Connect once."""
        address = self._address()
        at = clock.read()
        if not address:
            self._lost()
            return ProbeAnswer(
                at, clock.read(), False, 0, "other", "the service has no address: its container is down"
            )
        try:
            timeout = self._timeout if self._there else self._gone_timeout
            socket.create_connection((address, self._port), timeout).close()
        except OSError as error:
            end = clock.read()
            self._there = False
            self._lost()
            words = os.strerror(error.errno) if error.errno else str(error)
            return ProbeAnswer(at, end, False, 0, kind_of(error), shorten(f"{address}:{self._port}: {words}"))
        self._there = True
        return ProbeAnswer(at, clock.read(), True, 0, "ok", None)
