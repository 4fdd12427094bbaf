# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that takes its time: begun at once, finished seconds later, so that one is nearly always under way.

What becomes of it when its server is asked to end shows whether that one finishes what it has begun (drains).
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...common import clock
from ...common.errors import ChaosError
from ...host.http_client import kind_of, say_why, shorten
from .kinds import TIMEOUT_S, ProbeAnswer

#: Bytes of an answer that are looked at: its status line.
_HEAD = 4096
_HTTP_PORT = 80


class SlowProbe:
    """A GET whose last line is sent ``slow_s`` seconds after its first; good if any answer comes back whole."""

    def __init__(self, probe: Mapping[str, Any]) -> None:
        """Prepare from one of ``probes`` of a run's specification. Raises ChaosError on a URL that is not http."""
        parts = urlsplit(str(probe["url"]))
        if parts.scheme != "http" or not parts.hostname:
            raise ChaosError(
                f"probe {probe['name']}: a slow request needs a plain http address, not {probe['url']!r}."
            )
        self._address = parts.hostname, parts.port or _HTTP_PORT
        self._slow_s = float(probe["slow_s"])
        self._timeout = float(probe.get("timeout_s") or TIMEOUT_S)
        self._begin = (
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.hostname}\r\nConnection: close\r\n".encode()
        )

    def sample(self) -> ProbeAnswer:
        """Ask once, slowly."""
        at = clock.read()
        try:
            with socket.create_connection(self._address, self._timeout) as server:
                server.sendall(self._begin)
                if not select.select([server], [], [], self._slow_s)[0]:
                    server.sendall(b"\r\n")
                status = _read_status(server)
        except OSError as error:
            return self._failed(at, kind_of(error), error)
        if not status:
            return self._failed(at, "reset")
        return ProbeAnswer(at, clock.read(), True, status, "ok", None)

    def _failed(self, at: float, kind: str, error: OSError | None = None) -> ProbeAnswer:
        where = f"{self._address[0]}:{self._address[1]}"
        said = say_why(kind, where, self._timeout) or f"{where}: {error}"
        return ProbeAnswer(at, clock.read(), False, 0, kind, shorten(said))


def _read_status(server: socket.socket) -> int:
    """Return the status of an answer, 0 where the connection ended before one."""
    words = server.recv(_HEAD).split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
