# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine of this host, behind one file: what of it the experiments need, in their words.

Services are found by compose's labels, never by a container's name. Sources: the Engine API, the Compose
specification (labels ``com.docker.compose.*``).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..common import bounds, cut_off, libraries
from ..common.errors import ChaosError, Unsupported

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
#: Seconds the engine of a usual host may take for an answer.
ANSWER_S = 20.0
_LOCAL = "unix://"
_PART = 64 * 1024
#: Seconds between two health checks, and for one, where nobody says otherwise.
_CHECK_S = 30.0
#: Bytes of what a health check printed that are looked at.
_SAID = 4096
#: Bytes of a frame's head in the engine's streams.
_FRAME = 8


@dataclass(frozen=True)
class Container:
    """One container as the engine describes it at one moment.

    ``pid`` is its main process on the host (0 when not running); ``addresses`` and ``addresses6`` map a network's
    name to the IP; ``gateways`` are the engine's own addresses in those networks;
    ``ports`` maps a container port such as ``8080/tcp`` to the published (address, port);
    ``health_said`` is what its last health check printed;
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
    health_said: str
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
    def check_needs_s(self) -> float:
        """Return how long its health check may take to call a started container healthy, in seconds; 0: it has none.

        That is the start period, and as many checks as may fail in a row. Source: Docker's HEALTHCHECK, its defaults.
        """
        check = self.config.get("Healthcheck") or {}
        if not check.get("Test") or check["Test"][0] == "NONE":
            return 0.0
        interval, timeout = (
            float(check.get(name) or _CHECK_S * 1e9) / 1e9 for name in ("Interval", "Timeout")
        )
        return float(check.get("StartPeriod") or 0) / 1e9 + (interval + timeout) * int(
            check.get("Retries") or 3
        )

    @property
    def stop_signal(self) -> str:
        """Return the signal that asks its main process to end, as the engine sends it on a stop."""
        return str(self.config.get("StopSignal") or "SIGTERM")

    @property
    def restarts_itself(self) -> bool:
        """True when the restart policy brings the container back after a crash."""
        return self.restart_policy in ("always", "unless-stopped", "on-failure")


@dataclass(frozen=True)
class Log:
    """Lines of a container's log, oldest first; not ``whole``: there was more of it, which was not read."""

    lines: Sequence[str]
    whole: bool = True


def _last_check(health: Mapping[str, Any]) -> str:
    """Return the last line that a container's last health check printed, empty where it printed none."""
    checks = health.get("Log") or [{}]
    lines = bounds.clean(str(checks[-1].get("Output") or "").encode()[:_SAID]).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _number(label: Any) -> int:
    """Return a replica's number; a label is anybody's text."""
    text = str(label or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1


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
        number=_number(labels.get(NUMBER_LABEL)),
        image=attrs.get("Image", ""),
        pid=int(state.get("Pid") or 0),
        running=bool(state.get("Running")) and not state.get("Restarting"),
        status=str(state.get("Status", "")),
        health=str((state.get("Health") or {}).get("Status", "")),
        health_said=_last_check(state.get("Health") or {}),
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
    libraries.make_importable()
    try:
        import docker
        import docker.errors
    except ImportError as error:
        raise Unsupported(libraries.explain_missing("The Docker SDK for Python (docker)")) from error
    return docker


class HasPace(Protocol):
    """A run, as far as its engine is concerned: by how much its host is slower than most."""

    @property
    def slow(self) -> float: ...


class DockerEngine:
    """A connection to the engine of this host."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def connect_for(cls, run: HasPace, timeout: float = ANSWER_S) -> DockerEngine:
        """Connect to it for a run, on whose host it has so many times as long for an answer as the host is slow."""
        return cls.connect(timeout=timeout * run.slow)

    @classmethod
    def connect(cls, timeout: float = ANSWER_S) -> DockerEngine:
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
        client.api.send = _bounded(client.api, timeout)
        return cls(client)

    def version(self) -> str:
        """Return the engine's version."""
        with _Told("tell its version"):
            return str(self._client.version()["Version"])

    def data_folder(self) -> str:
        """Return the engine's data folder on the host."""
        with _Told("tell of itself"):
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
        """Return a container of a service, one that runs if there is any. Raises ChaosError when there is none."""
        found = self.containers(project, service)
        if not found:
            raise ChaosError(f"Project {project} has no container of a service {service} on this host.")
        return min(found, key=lambda one: (not one.running, one.number))

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

    def stop(self, container_id: str, grace: float) -> None:
        """Stop a container as a deployment does: its stop signal, and SIGKILL after ``grace`` seconds.

        Returns once it has ended. The restart policy is off until the next start.
        """
        with _Told(f"stop container {container_id[:12]}"):
            self._client.api.stop(container_id, timeout=round(grace))

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
        within: float = bounds.EXEC_S,
    ) -> tuple[int, str]:
        """Run a command inside a container and return its exit code and output (both streams).

        Raises ChaosError when it takes longer than ``within`` seconds or prints more than is any use; it is ended then.
        """
        api = self._client.api
        where = f"{argv[0]} in container {container_id[:12]}"
        with _Told(f"run {where}"):
            handle = api.exec_create(
                container_id, list(argv), user=user, environment=dict(environment or {})
            )["Id"]
            wanted = {"Tty": False, "Detach": False}
            answer = api._post_json(api._url("/exec/{0}/start", handle), data=wanted, stream=True)
            api._raise_for_status(answer)
            output = _Output(answer, within)
            try:
                data = output.read(bounds.EXEC_OUTPUT)
            finally:
                answer.close()
            if output.over or output.too_much:
                self._end_exec(handle, container_id)
                did = f"took longer than {within:g} s" if output.over else output.too_much
                raise ChaosError(f"{where} {did}; it was ended.")
            code = api.exec_inspect(handle)["ExitCode"]
        return int(code or 0), bounds.clean(data)

    def _end_exec(self, handle: str, container_id: str) -> None:
        """Kill what we started in a container and nobody waits for any more; as far as we may."""
        with contextlib.suppress(Exception):
            found = self._client.api.exec_inspect(handle)
            pid = int(found["Pid"])
            if found["Running"] and pid > 0:
                descriptor = os.pidfd_open(pid)
                try:
                    if container_id in Path(f"/proc/{pid}/cgroup").read_text():
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                finally:
                    os.close(descriptor)

    def logs(self, container_id: str, *, tail: int | str = 50, since: float | None = None) -> Log:
        """Return log lines of a container (both streams), each with the engine's RFC 3339 time in front.

        Of more than is any use the first part; each line is valid text without control characters.
        """
        api = self._client.api
        wanted = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": tail, "follow": 0}
        if since is not None:
            wanted["since"] = int(since)
        with _Told(f"read the log of container {container_id[:12]}"):
            answer = api._get(api._url("/containers/{0}/logs", container_id), params=wanted, stream=True)
            api._raise_for_status(answer)
            output = _Output(answer, api.timeout)
            try:
                data = output.read(bounds.LOG_OUTPUT)
            finally:
                answer.close()
        return Log(bounds.clean(data).splitlines(), whole=not (output.too_much or output.over))

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


class _Output:
    """What a command or a log says: the engine's stream of frames, taken apart, within a time and a size.

    A frame is its stream (1 byte), three zeros, its length (4 bytes), its bytes; the output of a terminal has none.
    Source: Engine API, "Attach to a container", stream format.
    """

    def __init__(self, answer: Any, seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds
        self.over = False
        self.too_much = ""

    def read(self, largest: int) -> bytes:
        """Return the output, or its first part where it was over or too much."""
        from http.client import HTTPException  # loaded by the SDK, without which there is nothing to read

        kept, raw = bytearray(), bytearray()
        body = self._answer.raw._fp
        with cut_off.limit_time(self._seconds, _socket_of(self._answer)) as cut:
            try:
                for part in iter(lambda: body.read1(_PART), b""):
                    raw += part
                    kept += _frames(raw)
                    if len(kept) > largest:
                        self.too_much = f"printed more than {bounds.format_size(largest)}"
                        break
            except (OSError, ValueError, HTTPException):
                if not cut.over:
                    raise
        self.over = cut.over
        return bytes(kept[:largest])


def _frames(raw: bytearray) -> bytes:
    """Take whole and begun frames off the front of ``raw`` and return what they carry; text that is none as it is."""
    found = bytearray()
    while len(raw) >= _FRAME:
        if raw[0] > 2 or any(raw[1:4]):
            found += raw
            raw.clear()
            break
        length = int.from_bytes(raw[4:8], "big")
        if len(raw) < _FRAME + length:
            if len(raw) < _PART:
                break
            # a long frame is passed on in pieces: its head is written anew for what is still to come
            found += raw[_FRAME:]
            left = length - (len(raw) - _FRAME)
            raw[:] = raw[:4] + left.to_bytes(4, "big")
            break
        found += raw[_FRAME : _FRAME + length]
        del raw[: _FRAME + length]
    return bytes(found)


def _socket_of(answer: Any) -> Any:
    """Return the socket that an answer of the engine still comes through, None when it has come to its end."""
    raw = getattr(getattr(answer.raw, "_fp", None), "fp", None)
    return getattr(getattr(raw, "raw", None), "_sock", None)


def _bounded(api: Any, seconds: float) -> Any:
    """Return the SDK's way to send a request, with a bound on the bytes and the whole time of each plain answer."""
    plain = api.send

    def send(request: Any, **options: Any) -> Any:
        streamed = bool(options.get("stream"))
        answer = plain(request, **{**options, "stream": True})
        if not streamed:
            patience = options.get("timeout") or seconds
            with cut_off.limit_time(float(patience), _socket_of(answer)) as cut:
                parts, got = [], 0
                for part in iter(lambda: answer.raw.read(_PART, decode_content=True), b""):
                    got += len(part)
                    if got > bounds.ENGINE_ANSWER:
                        answer.close()
                        raise OSError(f"its answer is larger than {bounds.format_size(bounds.ENGINE_ANSWER)}")
                    parts.append(part)
            if cut.over:
                raise OSError(f"it did not answer within {float(patience):g} s")
            answer._content, answer._content_consumed = b"".join(parts), True
            answer.raw.release_conn()
        return answer

    return send


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
