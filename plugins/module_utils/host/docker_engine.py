# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine of this host, behind one file: what of it the experiments need, in their words.

Services are found by compose's labels, never by a container's name. Sources: the Engine API, the Compose
specification (labels ``com.docker.compose.*``).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

from ..common import bounds
from ..common.errors import ChaosError, Unsupported
from ..common.shapes import is_number, is_whole
from . import docker_transport, libraries
from .docker_transport import EngineObject, require_object, require_objects

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
#: Seconds the engine of a usual host may take for an answer.
ANSWER_S = 20.0
_LOCAL = "unix://"
_SOCKET = f"{_LOCAL}/var/run/docker.sock"
#: Seconds between two health checks, and for one, where nobody says otherwise.
_CHECK_S = 30.0
#: Characters of what a health check printed that are looked at.
_SAID = 4096
#: What an id of the engine's looks like; it becomes part of paths.
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
#: The longest text of the engine's that is kept, characters, and the greatest number (2**53: exact floats).
_LONGEST, _GREATEST = 4096, 2**53
#: How the SDK, and we, end at an answer that is not what the Engine API says.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
_REASON = 300
#: How many answers' time the questions have that need several.
_TOGETHER = 3
#: Seconds to learn how a command ended whose own time is over.
_ENDING_S = 0.8


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


@dataclass(frozen=True)
class Event:
    """What the engine says happened to a container. at: its clock, epoch s; exit_code: None where it tells none."""

    at: float
    action: str
    container_id: str
    name: str
    service: str
    exit_code: int | None
    signal: str


def read_event(said: EngineObject) -> Event:
    """Turn one of the engine's events into an :class:`Event`. Raises ValueError for one that is none."""
    actor = _part(said, "Actor")
    attributes = _part(actor, "Attributes")
    nanoseconds = said.get("timeNano") or 0
    if not is_number(nanoseconds) or abs(nanoseconds) >= 2**63:
        raise ValueError("timeNano is no number")
    code = _text(attributes, "exitCode")
    return Event(
        at=nanoseconds / 1e9,
        action=_text(said, "Action"),
        container_id=_text(actor, "ID"),
        name=_text(attributes, "name"),
        service=_text(attributes, SERVICE_LABEL),
        exit_code=int(code) if re.fullmatch(r"-?[0-9]{1,9}", code) else None,
        signal=_text(attributes, "signal"),
    )


def _last_check(health: EngineObject) -> str:
    """Return the last line that a container's last health check printed, empty where it printed none."""
    checks = require_objects(health.get("Log") or [], "Health.Log") or [{}]
    said = checks[-1].get("Output") or ""
    if not isinstance(said, str):
        raise ValueError("Output is no text")
    lines = bounds.clean(said[:_SAID]).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _number(label: Any) -> int:
    """Return a replica's number; a label is anybody's text."""
    text = str(label or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _part(holder: EngineObject, key: str) -> dict[str, Any]:
    """Return an object in another, an empty one where there is none. Raises ValueError for what is none."""
    value = holder.get(key)
    return {} if value is None else require_object(value, key)


def _text(holder: EngineObject, key: str) -> str:
    value = holder.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return bounds.clean(value, _LONGEST)


def _whole(holder: EngineObject, key: str) -> int:
    value = holder.get(key) or 0
    if not is_whole(value) or abs(value) > _GREATEST:
        raise ValueError(f"{key} is no whole number")
    return value


def _identity(holder: EngineObject) -> str:
    """Return the id of what the engine lists. Raises ValueError for what is no part of a path."""
    found = holder.get("Id")
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise ValueError("Id is none of the engine's")
    return found


def _require_settings(config: EngineObject, host: EngineObject) -> None:
    """Raise ValueError when what is kept of a container's settings as they are is not what its readers take it for."""
    for key in ("Env", "Cmd", "Entrypoint"):
        listed = config.get(key)
        # a shell's line may stand for a list
        if not isinstance(listed, (list, str, type(None))) or any(
            not isinstance(one, str) for one in listed or ()
        ):
            raise ValueError(f"{key} is no list of texts")
    check = _part(config, "Healthcheck")
    if not isinstance(check.get("Test") or [], list):
        raise ValueError("Healthcheck.Test is no list")
    for key in ("Interval", "Timeout", "StartPeriod", "Retries"):
        _whole(check, key)
    for key in ("NanoCpus", "CpuQuota", "CpuPeriod"):
        _whole(host, key)
    for key in ("Image", "StopSignal"):
        _text(config, key)
    _text(host, "CgroupParent")


def _published(ports: EngineObject) -> dict[str, tuple[str, int]]:
    """Return of each container port the first (address, port) of the host that it is published at."""
    found = {}
    for port, listed in ports.items():
        bindings = require_objects(listed or [], "Ports")
        if bindings:
            number = _number(_text(bindings[0], "HostPort") or "0")
            if number > bounds.PORT_MAX:
                raise ValueError("HostPort is no port")
            found[bounds.clean(port)] = (_text(bindings[0], "HostIp"), number)
    return found


def read_container(attrs: EngineObject) -> Container:
    """Turn the engine's inspect answer into a :class:`Container`. Raises ValueError for one that is none."""
    state, config, host = (_part(attrs, key) for key in ("State", "Config", "HostConfig"))
    _require_settings(config, host)
    labels = _part(config, "Labels")
    network = _part(attrs, "NetworkSettings")
    networks = {
        bounds.clean(name): require_object(entry or {}, "Networks")
        for name, entry in _part(network, "Networks").items()
    }
    health = _part(state, "Health")
    return Container(
        id=_identity(attrs),
        name=_text(attrs, "Name").lstrip("/"),
        project=_text(labels, PROJECT_LABEL),
        service=_text(labels, SERVICE_LABEL),
        number=_number(labels.get(NUMBER_LABEL)),
        image=_text(attrs, "Image"),
        pid=_whole(state, "Pid"),
        running=bool(state.get("Running")) and not state.get("Restarting"),
        status=_text(state, "Status"),
        health=_text(health, "Status"),
        health_said=_last_check(health),
        started_at=_text(state, "StartedAt"),
        finished_at=_text(state, "FinishedAt"),
        exit_code=_whole(state, "ExitCode"),
        oom_killed=bool(state.get("OOMKilled")),
        restart_count=_whole(attrs, "RestartCount"),
        restart_policy=_text(_part(host, "RestartPolicy"), "Name") or "no",
        network_mode=_text(host, "NetworkMode"),
        pid_mode=_text(host, "PidMode"),
        addresses={name: _text(entry, "IPAddress") for name, entry in networks.items()},
        ports=_published(_part(network, "Ports")),
        host_config=host,
        config=config,
        addresses6={name: _text(entry, "GlobalIPv6Address") for name, entry in networks.items()},
        gateways=tuple(
            _text(entry, key)
            for entry in networks.values()
            for key in ("Gateway", "IPv6Gateway")
            if entry.get(key)
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

    def __init__(self, api: Any, asking: docker_transport.Asking | None = None) -> None:
        """``api``: the SDK's client; ``asking``: what bounds its answers (see :mod:`.docker_transport`)."""
        self._api = api
        self._asking = asking or docker_transport.Asking(ANSWER_S)

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
        asking = docker_transport.Asking(timeout)
        try:
            with asking.bound_question(timeout):
                api, version = docker_transport.open_client(docker, host or _SOCKET, asking)
            parts = [
                _text(part, "Name") for part in require_objects(version.get("Components") or [], "Components")
            ]
        except (docker.errors.DockerException, OSError, *_UNREADABLE) as error:
            raise Unsupported(
                f"No Docker engine answers on this host ({_reason(error)}); install and start it (Debian: docker.io), "
                "or let this user use its socket."
            ) from error
        if "podman" in " ".join(parts).lower():
            raise ChaosError(
                f"The socket {(host or _SOCKET).removeprefix(_LOCAL)} belongs to Podman, and experiments work with a "
                "Docker engine alone: run the exchange in one (Debian: docker.io; Red Hat: docker-ce), or point "
                "DOCKER_HOST at its socket."
            )
        return cls(api, asking)

    def version(self) -> str:
        """Return the engine's version."""
        with _Told("tell its version"):
            return _text(require_object(self._api.version(), "its version"), "Version")

    def data_folder(self) -> str:
        """Return the engine's data folder on the host."""
        with _Told("tell of itself"):
            return _text(require_object(self._api.info(), "it"), "DockerRootDir")

    def projects(self) -> list[str]:
        """Return the names of all compose projects this engine knows, sorted."""
        with _Told("list the containers"):
            found = require_objects(
                self._api.containers(all=True, filters={"label": PROJECT_LABEL}), "its list"
            )
            return sorted({_text(_part(entry, "Labels"), PROJECT_LABEL) for entry in found} - {""})

    def containers(self, project: str, service: str | None = None) -> list[Container]:
        """Return all containers of a project (and service), running or not, by service and number."""
        labels = [f"{PROJECT_LABEL}={project}"] + ([f"{SERVICE_LABEL}={service}"] if service else [])
        with self._ask(f"list the containers of project {project}", _TOGETHER * self._asking.seconds):
            found = require_objects(self._api.containers(all=True, filters={"label": labels}), "its list")
            targets = [container for entry in found for container in self._inspect(_identity(entry))]
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
        own = "com.docker.network.bridge.name"
        wanted = {"label": f"{PROJECT_LABEL}={project}", "driver": "bridge"}
        with _Told(f"list the networks of project {project}"):
            found = require_objects(self._api.networks(filters=wanted), "its list")
            return sorted(_text(_part(one, "Options"), own) or f"br-{_identity(one)[:12]}" for one in found)

    def published_by_others(self, project: str) -> set[tuple[str, int]]:
        """Return (address, port) of every port of the host that containers outside the project publish now."""
        with _Told("list the published ports"):
            return {
                (_text(port, "IP"), _whole(port, "PublicPort"))
                for entry in require_objects(self._api.containers(), "its list")
                if _part(entry, "Labels").get(PROJECT_LABEL) != project
                for port in require_objects(entry.get("Ports") or [], "Ports")
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
            self._api.kill(container_id)

    def start(self, container_id: str) -> None:
        """Start a container; one that runs is left as it is."""
        with _Told(f"start container {container_id[:12]}"):
            self._api.start(container_id)

    def stop(self, container_id: str, grace: float) -> None:
        """Stop a container as a deployment does: its stop signal, and SIGKILL after ``grace`` seconds.

        Returns once it has ended. The restart policy is off until the next start.
        """
        with _Told(f"stop container {container_id[:12]}"):
            self._api.stop(container_id, timeout=round(grace))

    def restart(self, container_id: str) -> None:
        """Stop and start a container, with the engine's patience of 10 s for the stop."""
        with _Told(f"restart container {container_id[:12]}"):
            self._api.restart(container_id)

    def update(self, container_id: str, settings: Mapping[str, int]) -> None:
        """Change limits of a container as the engine names them (NanoCpus, CpuQuota, …); it remembers them."""
        with _Told(f"update container {container_id[:12]}"):
            api = self._api  # its update_container() has no word for NanoCpus
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
        where = f"{argv[0]} in container {container_id[:12]}"
        with self._ask(f"run {where}", within) as deadline:
            wanted = {"user": user, "environment": dict(environment or {})}
            handle = _identity(
                require_object(self._api.exec_create(container_id, list(argv), **wanted), "it")
            )
            try:
                answer = self._start_exec(handle, within)
                output = docker_transport.Output(answer, deadline.seconds_left)
                with contextlib.closing(answer):
                    data = output.read(bounds.EXEC_OUTPUT)
            except BaseException:
                self._end_exec(handle, container_id)
                raise
        if output.over or output.too_much:
            self._end_exec(handle, container_id)
            did = f"took longer than {within:g} s" if output.over else output.too_much
            raise ChaosError(f"{where} {did}; it was ended.")
        with self._ask(f"tell how {where} ended", max(_ENDING_S, deadline.seconds_left)):
            code = _whole(require_object(self._api.exec_inspect(handle), "it"), "ExitCode")
        return code, bounds.clean(data)

    def _start_exec(self, handle: str, within: float) -> Any:
        """Start what was prepared and return the answer that its output comes through."""
        wanted = {"Tty": False, "Detach": False}
        url = self._api._url("/exec/{0}/start", handle)
        answer = self._api._post_json(url, data=wanted, stream=True, timeout=within)
        self._api._raise_for_status(answer)
        return answer

    def _end_exec(self, handle: str, container_id: str) -> None:
        """Kill what we started in a container and nobody waits for any more; as far as we may."""
        with contextlib.suppress(Exception), self._asking.bound_question(_ENDING_S):
            found = self._api.exec_inspect(handle)
            pid = int(found["Pid"])
            if found["Running"] and pid > 0:
                descriptor = os.pidfd_open(pid)
                try:
                    if container_id in Path(f"/proc/{pid}/cgroup").read_text(errors="replace"):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                finally:
                    os.close(descriptor)

    def logs(self, container_id: str, *, tail: int | str = 50, since: float | None = None) -> Log:
        """Return log lines of a container (both streams), each with the engine's RFC 3339 time in front.

        Of more than is any use the first part; each line is valid text without control characters.
        """
        api = self._api
        wanted = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": tail, "follow": 0}
        if since is not None:
            wanted["since"] = int(since)
        with self._ask(f"read the log of container {container_id[:12]}", api.timeout) as deadline:
            answer = api._get(api._url("/containers/{0}/logs", container_id), params=wanted, stream=True)
            api._raise_for_status(answer)
            output = docker_transport.Output(answer, deadline.seconds_left)
            with contextlib.closing(answer):
                data = output.read(bounds.LOG_OUTPUT)
        return Log(bounds.clean(data).splitlines(), whole=not (output.too_much or output.over))

    def events(self, project: str, since: float, actions: Sequence[str]) -> Iterator[Event]:
        """Yield the engine's events of a project's containers from ``since`` (epoch seconds) on, for ever.

        Of others than ``actions`` (``health_status`` stands for all that begin so) the engine tells nothing: each
        health check is three. Source: Engine API, GET /events, filters.
        Raises ChaosError when what comes is no event of an engine, is more than a run's, or stops half-way.
        """
        filters = {"type": ["container"], "label": [f"{PROJECT_LABEL}={project}"], "event": list(actions)}
        wanted = {"since": int(since), "filters": json.dumps(filters)}
        with _Told("follow its events"):
            answer = self._api._get(self._api._url("/events"), params=wanted, stream=True, timeout=None)
            self._api._raise_for_status(answer)
            with contextlib.closing(answer):
                for line in docker_transport.follow_lines(answer, self._asking.seconds):
                    said = bounds.parse_json(line, largest=bounds.ENGINE_EVENT)
                    yield read_event(require_object(said, "an event"))

    @contextlib.contextmanager
    def _ask(self, doing: str, seconds: float) -> Iterator[bounds.Deadline]:
        """Ask several things of the engine in so many seconds together."""
        with _Told(doing), self._asking.bound_question(seconds) as deadline:
            yield deadline

    def _inspect(self, container_id: str) -> list[Container]:
        try:
            return [read_container(self._api.inspect_container(container_id))]
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
        if isinstance(error, (OSError, HTTPException, load_sdk().errors.DockerException, *_UNREADABLE)):
            raise ChaosError(f"The Docker engine would not {self._doing}: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, _UNREADABLE) and not isinstance(error, (OSError, bounds.TooMuch)):
        return f"what it answers cannot be read ({bounds.fit_line(str(error), _REASON)})"
    text = str(getattr(error, "explanation", None) or error).strip()
    return bounds.fit_line(text.splitlines()[-1], _REASON).rstrip(".") if text else type(error).__name__
