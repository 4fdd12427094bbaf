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
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ..common import bounds, cut_off

SOCKET = "/var/run/docker.sock"
_UNIX = "unix://"
_TIMEOUT_S = 1.0
_NAME = 256
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


def find_socket() -> str:
    """Return the socket of this host's engine: the one that DOCKER_HOST names, as for all of a run, else the usual."""
    told = os.environ.get("DOCKER_HOST", "")
    return told[len(_UNIX) :] if told.startswith(_UNIX) else SOCKET


def list_containers(project: str, path: str = "") -> list[ListedContainer] | None:
    """Return the containers of a compose project, running or not; None when the engine does not answer in time.

    path: the engine's socket, if it is another than :func:`find_socket`'s.
    """
    query = urlencode({"all": "true", "filters": json.dumps({"label": [f"{_PROJECT}={project}"]})})
    connection = _UnixConnection(path or find_socket())
    try:
        with cut_off.limit_time(_TIMEOUT_S) as cut:
            connection.connect()
            cut.watch(connection.sock)
            connection.request("GET", f"/containers/json?{query}")
            answer = connection.getresponse()
            data = answer.read(bounds.ENGINE_ANSWER + 1) if answer.status == 200 else b""
        if cut.over or bounds.weigh_json(data) > bounds.ENGINE_WEIGHT:
            return None
        return [_container(item) for item in bounds.parse_json(data, largest=bounds.ENGINE_ANSWER)]
    except (OSError, http.client.HTTPException, ValueError, TypeError, LookupError, AttributeError):
        return None  # nobody answers, or nothing that an engine would
    finally:
        connection.close()


def _container(item: Mapping[str, Any]) -> ListedContainer:
    labels = item.get("Labels") or {}
    names = item.get("Names") or [""]
    name, service = bounds.clean(str(names[0]), _NAME), bounds.clean(str(labels.get(_SERVICE, "")), _NAME)
    return ListedContainer(bounds.clean(str(item["Id"]), _NAME), name.lstrip("/"), service)
