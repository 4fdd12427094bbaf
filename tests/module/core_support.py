# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away compose project, runs on it, and the real modules to call. No tests.

What a container is or does is asked of the engine's SDK and of /proc, never of the code under test.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import opening
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

from tests.module import capture_support

ROOT = Path(__file__).resolve().parents[2]
PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
#: The port that every container with ``listen`` answers on.
PORT = 5432
SLEEP = ("sleep", "100000")
LISTEN = ("httpd", "-f", "-p", str(PORT))


def missing() -> str:
    """Return why these tests cannot run here, "" if they can."""
    if os.geteuid() != 0:
        return "needs root"
    try:
        docker.from_env().ping()
    except (docker.errors.DockerException, OSError):
        return "needs a Docker engine"
    return ""


@dataclass
class Project:
    """A compose project of its own with a network; everything of it carries its name."""

    name: str = field(default_factory=lambda: f"exchange-chaos-test-{uuid.uuid4().hex[:8]}")
    client: Any = field(default_factory=docker.from_env)

    def up(
        self,
        service: str,
        command: Sequence[str] = SLEEP,
        *,
        number: int = 1,
        restart: str = "always",
        project: str | None = None,
        image: str | None = None,
        **more: Any,
    ) -> Any:
        """Start a container of a service and return it, as the SDK has it; ``project`` "" gives it no labels."""
        labels = {PROJECT: project or self.name, SERVICE: service, NUMBER: str(number)}
        settings: dict[str, Any] = {
            "name": f"{self.name}-{service}-{number}",
            "labels": {} if project == "" else labels,
            "network": self.network().name,
            "stop_signal": "SIGKILL",
            **more,
        }
        if restart != "no":
            settings["restart_policy"] = {"Name": restart}
        if "network_mode" in more:
            del settings["network"]
        entry = [] if image else ["/bin/busybox"]
        made = self.client.containers.run(
            image or capture_support.image(), [*entry, *command], detach=True, **settings
        )
        return wait_for(lambda: self.running(made.id))

    def network(self) -> Any:
        """Return the project's network, made the first time."""
        found = self.client.networks.list(names=[f"{self.name}-net"])
        return (
            found[0]
            if found
            else self.client.networks.create(f"{self.name}-net", labels={PROJECT: self.name})
        )

    def running(self, container_id: str) -> Any:
        """Return the container if it runs, else None."""
        container = self.client.containers.get(container_id)
        state = container.attrs["State"]
        return container if state["Running"] and not state["Restarting"] and state["Pid"] else None

    def pid(self, container_id: str) -> int:
        """Return the main process of a container, 0 when it has none."""
        return int(self.client.containers.get(container_id).attrs["State"]["Pid"])

    def restarts(self, container_id: str) -> int:
        """Return how often the engine restarted a container."""
        return int(self.client.containers.get(container_id).attrs["RestartCount"])

    def empty(self) -> None:
        """Take every container of this project away, by name, whatever its labels say."""
        for container in self.client.containers.list(all=True, filters={"name": self.name}):
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)

    def remove(self) -> None:
        """Take everything of this project away."""
        self.empty()
        for network in self.client.networks.list(names=[self.name]):
            with contextlib.suppress(docker.errors.APIError):
                network.remove()


@dataclass
class Host:
    """A state folder on this host, a project to break, and the runs opened on it."""

    project: Project
    state_dir: Path

    @property
    def state(self) -> StateDir:
        """The state folder as the code under test sees it."""
        return StateDir(self.state_dir)

    def spec(self, **changes: Any) -> dict[str, Any]:
        """Return a resolved specification of a run: service ``store`` is the database, ``api`` the application."""
        return {
            "schema_version": 1,
            "experiment": {"number": 1, "name": "core_test", "title": "Core test"},
            "collection_version": "0.0.0",
            "host": "localhost",
            "wave": 1,
            "project": self.project.name,
            "services": {"database": "store", "api": "api"},
            "needs": ["database"],
            "containers": {},
            "windows": {"baseline_s": 1, "steady_s": 1, "recovery_timeout_s": 5},
            "thresholds": {"error_ratio": 0.01, "p99_ms": 500, "loss_visible_ms": 10},
            "abort_when": {},
            "load": {
                "url": "http://127.0.0.1:9",
                "rate": 10,
                "floor": 5,
                "timeout_s": 1,
                "order": {"path": "/api/orders", "body": {"user_id": "u", "symbol": "S"}},
                "accept": {"status": 201},
                "order_id": "id",
                "price": {"field": "price", "base": "100", "decimals": 8},
                "side": {"field": "side", "values": ["SELL", "BUY"]},
            },
            "probes": [
                {
                    "name": "database",
                    "kind": "tcp",
                    "service": "store",
                    "port": PORT,
                    "role": "store",
                    "rate": 10,
                }
            ],
            "capture": {"programs": []},
            # nobody there: what `listen` starts is no PostgreSQL, and would have it waited for
            "database": {"service": "store", "name": "trading_db", "user": "trading_user", "port": 5431},
            "faults": [
                {
                    "id": "crash",
                    "kind": "kill",
                    "mode": "process",
                    "target": "store",
                    "hold_s": 0,
                    "window_s": 5,
                },
                {
                    "id": "outage",
                    "kind": "kill",
                    "mode": "engine",
                    "target": "store",
                    "hold_s": 5,
                    "window_s": 5,
                },
            ],
            "findings": [
                {
                    "id": "intervention",
                    "title": "Interventions",
                    "metric": "manual_intervention",
                    "max": 0,
                }
            ],
            "facts": {},
            "python": sys.executable,
            **changes,
        }

    def open(self, run_id: str = "exp-01-core", **changes: Any) -> RunDir:
        """Open a run as the module does, watchdogs and all."""
        return opening.create_run(
            self.state, run_id, Specification.read(self.spec(**changes)), runtime.build_archive(), Lines()
        )

    def inert(self, run_id: str = "exp-01-core", **changes: Any) -> RunDir:
        """Make a run's folder by hand, with a lock and nobody who looks after it."""
        self.state.lock_project(self.project.name, run_id, "somebody")
        run = self.state.create_run_dir(run_id)
        run.file("chaos.pyz").write_bytes(runtime.build_archive().read_bytes())
        spec = {**self.spec(**changes), "run_id": run_id, "anchor": vars(clock.take_anchor())}
        write_json(run.file("spec.json"), spec)
        run.extend_deadline(600)
        return run

    def kill(self, run_id: str = "exp-01-core", *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Call the kill module on service ``store`` and return its result; it must succeed."""
        found = self.module("kill", check=check, run_id=run_id, **arguments)
        assert not found.get("failed"), found["msg"]
        return found

    def module(
        self,
        name: str,
        *,
        check: bool = False,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        **arguments: Any,
    ) -> dict[str, Any]:
        """Call a module as Ansible does, in a process of its own; with ``prefix`` under another user.

        A halt is one of this project's runs, unless told otherwise: beside it other tests run theirs.
        """
        given: dict[str, Any] = {"state_dir": str(self.state_dir), **arguments}
        if name == "halt":
            given = {"project": self.project.name, **given}
        if name == "kill":
            defaults: dict[str, Any] = {
                "project": self.project.name,
                "service": "store",
                "fault": "crash",
                "ttl": 60,
                "lead": 0,
                "linger": 0,
            }
            given = {**defaults, **given}
            try:
                self._specify(given)
            except OSError:  # a full disk: then what the specification has must do
                given.pop("ttl")
        return module(name, given, check=check, environment=environment, prefix=prefix)

    def _specify(self, given: Mapping[str, Any]) -> None:
        """Have the run's specification ask for what a call of the kill module is about to ask for: it is the source."""
        path = self.state_dir / "runs" / str(given.get("run_id")) / "spec.json"
        if given.get("state") == "absent" or not path.exists():
            return
        spec = json.loads(path.read_text())
        for fault in spec["faults"]:
            if fault["id"] == given["fault"]:
                asked = {key: given[key] for key in ("mode", "port", "replicas") if key in given}
                fault.update(asked, ttl_s=given["ttl"])
                if "hold" in given:
                    fault["hold_s"] = 5 if given["hold"] else 0
                if "services" in given:
                    fault["targets"] = given["services"]
        write_json(path, spec)

    def journal(self, run: RunDir) -> list[dict[str, Any]]:
        """Return the journal's lines."""
        return jsonl.read_lines(run.file("journal.jsonl"))

    def processes(self) -> dict[int, list[str]]:
        """Return every process whose command line names this state folder, from /proc alone."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z" and any(str(self.state_dir) in word for word in argv):
                        found[int(entry.name)] = argv
        return found

    def clear(self) -> None:
        """End what is left of the runs: first by taking their folders away, then by pid."""
        shutil.rmtree(self.state_dir, ignore_errors=True)
        until = time.monotonic() + 3
        while self.processes() and time.monotonic() < until:
            time.sleep(0.05)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def module(
    name: str,
    arguments: Mapping[str, Any],
    *,
    check: bool = False,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> dict[str, Any]:
    """Run a module in a process of its own; what it prints must be one JSON object, and nothing else."""
    given = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}}
    done = subprocess.run(
        [*prefix, sys.executable, "-m", f"ansible_collections.exchange.chaos.plugins.modules.{name}"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=ROOT / ".collections",
        env={**os.environ, **(environment or {})},
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    assert isinstance(found["changed"], bool)
    return found


def sentence(result: Mapping[str, Any]) -> str:
    """Return the message of a failed result, having seen that it is one clear sentence for people."""
    assert result.get("failed"), result
    assert result["changed"] is False
    text = str(result["msg"])
    assert "\n" not in text, text
    assert "Traceback" not in text
    assert len(text) < 400, text
    return text


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return the condition's first true value; fails when there is none in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"nothing came of {condition} within {seconds:g} s")


@contextlib.contextmanager
def project() -> Iterator[Project]:
    """Give a fresh project; nothing of it is left afterwards."""
    made = Project()
    try:
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def host(folder: Path, project: Project) -> Iterator[Host]:
    """Give an empty state folder and a project without containers; nothing of either is left but its network."""
    made = Host(project, folder / "state")
    try:
        yield made
    finally:
        made.clear()
        project.empty()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a file system of its own of that size (tmpfs)."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the file system of a folder to its last byte and return the file that does.

    tmpfs counts per processor what is left, and near the end of it refuses one what it still grants another.
    """
    path, processors = folder / "ballast", os.sched_getaffinity(0)
    try:
        with path.open("wb") as stream:
            for processor in 2 * sorted(processors):
                os.sched_setaffinity(0, {processor})
                with contextlib.suppress(OSError):
                    while True:
                        os.write(stream.fileno(), b"x" * 512)
    finally:
        os.sched_setaffinity(0, processors)
    return path
