# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few words the capture needs from the Docker engine, over its socket with the standard library alone.

The capture runs under the system's Python, which need not have the Docker SDK.
Source: Docker Engine API, GET /containers/json.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

SOCKET = "/var/run/docker.sock"
_TIMEOUT_S = 1.0
_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"


@dataclass(frozen=True)
class ListedContainer:
    """A container of the exchange. id: 64 hexadecimal digits; service: its compose service."""

    id: str
    name: str
    service: str


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


def list_containers(project: str, path: str = SOCKET) -> list[ListedContainer] | None:
    """Return the containers of a compose project, running or not; None when the engine does not answer in time."""
    query = urlencode({"all": "true", "filters": json.dumps({"label": [f"{_PROJECT}={project}"]})})
    connection = _UnixConnection(path)
    try:
        connection.request("GET", f"/containers/json?{query}")
        answer = connection.getresponse()
        items = json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return None if items is None else [_container(item) for item in items]


def _container(item: Mapping[str, Any]) -> ListedContainer:
    labels = item.get("Labels") or {}
    names = item.get("Names") or [""]
    return ListedContainer(str(item["Id"]), str(names[0]).lstrip("/"), str(labels.get(_SERVICE, "")))
