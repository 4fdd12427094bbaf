# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that takes its time: begun at once, finished seconds later, so that one is nearly always under way.

What becomes of it when its server is asked to end shows whether that one finishes what it has begun (drains).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...common import clock
from ...common.errors import ChaosError
from ...host.http_client import OPEN, Access, kind_of, say_why, shorten
from .kinds import TIMEOUT_S, ProbeAnswer

#: Bytes of an answer that are looked at: its status line.
_HEAD = 4096
_PORTS = {"http": 80, "https": 443}


class SlowProbe:
    """A GET whose last line is sent ``slow_s`` seconds after its first; good if any answer comes back whole."""

    def __init__(self, probe: Mapping[str, Any], access: Access = OPEN) -> None:
        """Prepare from one of ``probes`` of a run's specification. Raises ChaosError on a URL of something else."""
        parts = urlsplit(str(probe["url"]))
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ChaosError(
                f"probe {probe['name']}: a slow request needs an http address, not {probe['url']!r}."
            )
        self._address = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._tls = access.trust() if parts.scheme == "https" else None
        self._slow_s = float(probe["slow_s"])
        self._timeout = float(probe.get("timeout_s") or TIMEOUT_S)
        head = {"Host": parts.hostname, "Connection": "close", **access.write_headers()}
        lines = [
            f"GET {parts.path or '/'} HTTP/1.1",
            *(f"{name}: {value}" for name, value in head.items()),
            "",
        ]
        self._begin = "\r\n".join(lines).encode()

    def sample(self) -> ProbeAnswer:
        """Ask once, slowly."""
        at = clock.read()
        try:
            with self._connect() as server:
                server.sendall(self._begin)
                early = self._read_early(server)
                if early is None:
                    server.sendall(b"\r\n")
                status = _read_status(server.recv(_HEAD) if early is None else early)
        except OSError as error:
            return self._failed(at, kind_of(error), error)
        if not status:
            return self._failed(at, "reset")
        return ProbeAnswer(at, clock.read(), True, status, "ok", None)

    def _connect(self) -> socket.socket:
        server = socket.create_connection(self._address, self._timeout)
        return (
            server if self._tls is None else self._tls.wrap_socket(server, server_hostname=self._address[0])
        )

    def _read_early(self, server: socket.socket) -> bytes | None:
        """Return what came before the request was finished, None while nothing did: the rule.

        TLS has words of its own, after which a socket is readable and there is no answer.
        """
        until = clock.read() + self._slow_s
        while select.select([server], [], [], max(0.0, until - clock.read()))[0]:
            server.setblocking(False)
            try:
                return server.recv(_HEAD)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            finally:
                server.settimeout(self._timeout)
        return None

    def _failed(self, at: float, kind: str, error: OSError | None = None) -> ProbeAnswer:
        where = f"{self._address[0]}:{self._address[1]}"
        said = say_why(kind, where, self._timeout) or f"{where}: {error}"
        return ProbeAnswer(at, clock.read(), False, 0, kind, shorten(said))


def _read_status(head: bytes) -> int:
    """Return the status of an answer, 0 where the connection ended before one."""
    words = head.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
