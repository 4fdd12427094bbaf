# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine of this host, behind one file: what of it the experiments need, in their words.

Services are found by compose's labels, never by a container's name. Sources: the Engine API, the Compose
specification (labels ``com.docker.compose.*``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..common import libraries
from ..common.errors import ChaosError, Unsupported

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
#: Seconds the engine of a usual host may take for an answer.
ANSWER_S = 20.0
_LOCAL = "unix://"


@dataclass(frozen=True)
class Container:
    """One container as the engine describes it at one moment.

    ``pid`` is its main process on the host (0 when not running); ``addresses`` and ``addresses6`` map a network's
    name to the IP; ``gateways`` are the engine's own addresses in those networks;
    ``ports`` maps a container port such as ``8080/tcp`` to the published (address, port);
    ``started_at`` and ``finished_at`` are the engine's own strings.
    """

    id: str
    name: str
    project: str
    service: str
    number: int
    image: str
    pid: int
    running: bool
    status: str
    health: str
    started_at: str
    finished_at: str
    exit_code: int
    oom_killed: bool
    restart_count: int
    restart_policy: str
    network_mode: str
    pid_mode: str
    addresses: Mapping[str, str]
    ports: Mapping[str, tuple[str, int]]
    host_config: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    addresses6: Mapping[str, str] = field(default_factory=dict)
    gateways: Sequence[str] = ()

    @property
    def address(self) -> str:
        """Return one address of the container, empty when it has none."""
        return next((value for value in self.addresses.values() if value), "")

    @property
    def restarts_itself(self) -> bool:
        """True when the restart policy brings the container back after a crash."""
        return self.restart_policy in ("always", "unless-stopped", "on-failure")


def read_container(attrs: Mapping[str, Any]) -> Container:
    """Turn the engine's inspect answer into a :class:`Container`."""
    state, config, host = attrs["State"], attrs["Config"], attrs["HostConfig"]
    labels = config.get("Labels") or {}
    network = attrs.get("NetworkSettings") or {}
    networks = network.get("Networks") or {}
    published = {
        port: (bindings[0]["HostIp"], int(bindings[0]["HostPort"]))
        for port, bindings in (network.get("Ports") or {}).items()
        if bindings
    }
    return Container(
        id=attrs["Id"],
        name=attrs["Name"].lstrip("/"),
        project=labels.get(PROJECT_LABEL, ""),
        service=labels.get(SERVICE_LABEL, ""),
        number=int(labels.get(NUMBER_LABEL) or 1),
        image=attrs.get("Image", ""),
        pid=int(state.get("Pid") or 0),
        running=bool(state.get("Running")) and not state.get("Restarting"),
        status=str(state.get("Status", "")),
        health=str((state.get("Health") or {}).get("Status", "")),
        started_at=str(state.get("StartedAt", "")),
        finished_at=str(state.get("FinishedAt", "")),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        restart_count=int(attrs.get("RestartCount") or 0),
        restart_policy=str((host.get("RestartPolicy") or {}).get("Name") or "no"),
        network_mode=str(host.get("NetworkMode", "")),
        pid_mode=str(host.get("PidMode", "")),
        addresses={name: (entry or {}).get("IPAddress", "") for name, entry in networks.items()},
        ports=published,
        host_config=host,
        config=config,
        addresses6={name: (entry or {}).get("GlobalIPv6Address") or "" for name, entry in networks.items()},
        gateways=tuple(
            str(entry[key])
            for entry in networks.values()
            for key in ("Gateway", "IPv6Gateway")
            if (entry or {}).get(key)
        ),
    )


def load_sdk() -> Any:
    """Return the Docker SDK, loaded by the first call: it is most of a module's start, and many ask no engine.

    Raises Unsupported when this Python has none.
    """
    libraries.reach()
    try:
        import docker
        import docker.errors
    except ImportError as error:
        raise Unsupported(libraries.missing("The Docker SDK for Python (docker)")) from error
    return docker


class HasPace(Protocol):
    """A run, as far as its engine is concerned: by how much its host is slower than most."""

    @property
    def slow(self) -> float: ...


class Engine:
    """A connection to the engine of this host."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def connect_for(cls, run: HasPace, timeout: float = ANSWER_S) -> Engine:
        """Connect to it for a run, on whose host it has so many times as long for an answer as the host is slow."""
        return cls.connect(timeout=timeout * run.slow)

    @classmethod
    def connect(cls, timeout: float = ANSWER_S) -> Engine:
        """Connect to the local Docker engine, which has ``timeout`` seconds for each answer.

        Raises Unsupported when the SDK or the engine is missing, ChaosError when DOCKER_HOST points elsewhere
        or the socket belongs to another engine.
        """
        docker = load_sdk()
        host = os.environ.get("DOCKER_HOST", "")
        if host and not host.startswith(_LOCAL):
            raise ChaosError(
                f"DOCKER_HOST is {host}, another machine's engine; unset it: only the engine of this host is touched."
            )
        try:
            client = docker.DockerClient(
                base_url=host or "unix:///var/run/docker.sock", timeout=timeout, version="auto"
            )
            version = client.version()
        except (docker.errors.DockerException, OSError) as error:
            raise Unsupported(
                f"No Docker engine answers on this host ({_reason(error)}); install and start it (Debian: docker.io), "
                "or let this user use its socket."
            ) from error
        parts = " ".join(part.get("Name", "") for part in version.get("Components") or [])
        if "podman" in parts.lower():
            raise ChaosError(
                "The Docker socket of this host belongs to Podman; only a Docker engine is supported."
            )
        return cls(client)

    def version(self) -> str:
        """Return the engine's version."""
        return str(self._client.version()["Version"])

    def data_folder(self) -> str:
        """Return the engine's data folder on the host."""
        return str(self._client.info()["DockerRootDir"])

    def projects(self) -> list[str]:
        """Return the names of all compose projects this engine knows, sorted."""
        with _Told("list the containers"):
            found = self._client.api.containers(all=True, filters={"label": PROJECT_LABEL})
        return sorted({entry["Labels"][PROJECT_LABEL] for entry in found})

    def containers(self, project: str, service: str | None = None) -> list[Container]:
        """Return all containers of a project (and service), running or not, by service and number."""
        labels = [f"{PROJECT_LABEL}={project}"] + ([f"{SERVICE_LABEL}={service}"] if service else [])
        with _Told(f"list the containers of project {project}"):
            found = self._client.api.containers(all=True, filters={"label": labels})
            targets = [container for entry in found for container in self._inspect(entry["Id"])]
        services = [
            container
            for container in targets
            if (container.config.get("Labels") or {}).get("com.docker.compose.oneoff") != "True"
        ]
        return sorted(services, key=lambda container: (container.service, container.number))

    def container(self, project: str, service: str) -> Container:
        """Return the first container of a service. Raises ChaosError when the project has none."""
        found = self.containers(project, service)
        if not found:
            raise ChaosError(f"Project {project} has no container of a service {service} on this host.")
        return found[0]

    def bridges(self, project: str) -> list[str]:
        """Return the names of the host's bridge interfaces that belong to the project's networks."""
        with _Told(f"list the networks of project {project}"):
            found = self._client.api.networks(
                filters={"label": f"{PROJECT_LABEL}={project}", "driver": "bridge"}
            )
        own = "com.docker.network.bridge.name"
        return sorted((entry.get("Options") or {}).get(own) or f"br-{entry['Id'][:12]}" for entry in found)

    def published_by_others(self, project: str) -> set[tuple[str, int]]:
        """Return (address, port) of every port of the host that containers outside the project publish now."""
        with _Told("list the published ports"):
            found = self._client.api.containers()
        return {
            (str(port.get("IP", "")), int(port["PublicPort"]))
            for entry in found
            if (entry.get("Labels") or {}).get(PROJECT_LABEL) != project
            for port in entry.get("Ports") or []
            if port.get("PublicPort")
        }

    def inspect(self, container_id: str) -> Container | None:
        """Return a container by id, None when it is gone."""
        with _Told(f"inspect container {container_id[:12]}"):
            found = self._inspect(container_id)
        return found[0] if found else None

    def kill(self, container_id: str) -> None:
        """SIGKILL through the engine, which also switches the restart policy off until the next start."""
        with _Told(f"kill container {container_id[:12]}"):
            self._client.api.kill(container_id)

    def start(self, container_id: str) -> None:
        """Start a container; one that runs is left as it is."""
        with _Told(f"start container {container_id[:12]}"):
            self._client.api.start(container_id)

    def restart(self, container_id: str) -> None:
        """Stop and start a container, with the engine's patience of 10 s for the stop."""
        with _Told(f"restart container {container_id[:12]}"):
            self._client.api.restart(container_id)

    def update(self, container_id: str, settings: Mapping[str, int]) -> None:
        """Change limits of a container as the engine names them (NanoCpus, CpuQuota, …); it remembers them."""
        with _Told(f"update container {container_id[:12]}"):
            api = self._client.api  # its update_container() has no word for NanoCpus
            api._raise_for_status(
                api._post_json(api._url("/containers/{0}/update", container_id), dict(settings))
            )

    def execute(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        user: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Run a command inside a container and return its exit code and output (both streams)."""
        with _Told(f"run {argv[0]} in container {container_id[:12]}"):
            handle = self._client.api.exec_create(
                container_id, list(argv), user=user, environment=dict(environment or {})
            )
            output = self._client.api.exec_start(handle["Id"])
            code = self._client.api.exec_inspect(handle["Id"])["ExitCode"]
        return int(code or 0), output.decode(errors="replace")

    def logs(self, container_id: str, *, tail: int | str = 50, since: float | None = None) -> list[str]:
        """Return log lines of a container (both streams), each with the engine's RFC 3339 time in front."""
        with _Told(f"read the log of container {container_id[:12]}"):
            data = self._client.api.logs(
                container_id, tail=tail, since=None if since is None else int(since), timestamps=True
            )
        return [str(line) for line in data.decode(errors="replace").splitlines()]

    def events(self, project: str, since: float) -> Iterator[Mapping[str, Any]]:
        """Yield the engine's container events of a project from ``since`` (epoch seconds) on, for ever."""
        with _Told("follow the engine's events"):
            yield from self._client.api.events(
                since=int(since),
                decode=True,
                filters={"type": "container", "label": f"{PROJECT_LABEL}={project}"},
            )

    def _inspect(self, container_id: str) -> list[Container]:
        try:
            return [read_container(self._client.api.inspect_container(container_id))]
        except load_sdk().errors.NotFound:
            return []


class _Told:
    """Turn the SDK's exceptions into one sentence that says what could not be done."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, (ChaosError, GeneratorExit)):
            return
        if isinstance(error, (OSError, load_sdk().errors.DockerException)):
            raise ChaosError(f"The Docker engine would not {self._doing}: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    text = str(getattr(error, "explanation", None) or error).strip()
    return text.splitlines()[-1].rstrip(".") if text else type(error).__name__
