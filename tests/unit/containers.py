# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as the engine describes them, without an engine. No tests."""

from __future__ import annotations

from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import (
    Container,
    read_container,
)


def attrs(service: str = "postgres", **changes: Any) -> dict[str, Any]:
    """Return the engine's inspect answer for a running container."""
    number = changes.pop("number", 1)
    labels = {
        "com.docker.compose.project": "lab",
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": str(number),
    }
    state = {
        "Status": "running",
        "Running": True,
        "Restarting": False,
        "Pid": 4711,
        "ExitCode": 0,
        "OOMKilled": False,
        "StartedAt": "2026-11-23T18:00:00.0Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        **changes.pop("state", {}),
    }
    host = {
        "NetworkMode": "lab_default",
        "PidMode": "",
        "RestartPolicy": {"Name": "always"},
        **changes.pop("host", {}),
    }
    network = {
        "Networks": {"lab_default": {"IPAddress": "172.18.0.3"}},
        "Ports": {},
        **changes.pop("network", {}),
    }
    return {
        "Id": f"{service}{number}".ljust(64, "0"),
        "Name": f"/lab-{service}-{number}",
        "Image": "sha256:1",
        "RestartCount": 0,
        "State": state,
        "Config": {"Labels": labels},
        "HostConfig": host,
        "NetworkSettings": network,
        **changes,
    }


def target(service: str = "postgres", **changes: Any) -> Container:
    """Return a running container of project ``lab``."""
    return read_container(attrs(service, **changes))


def down(service: str = "postgres", **changes: Any) -> Container:
    """Return a container that has exited."""
    state = {"Status": "exited", "Running": False, "Pid": 0, "ExitCode": 137}
    return target(service, state=state, **changes)
