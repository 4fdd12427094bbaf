# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is advised when steady state does not return rests on who saw it, and else on the containers' own state."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container, Log
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import advice
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.unit.containers import down, target

SPEC = {"project": "lab", "services": {"api": "api", "database": "postgres"}, "rescue": "restart",
        "faults": [{"id": "outage", "kind": "kill", "target": "postgres"}]}  # fmt: skip


class Engine:
    def __init__(self, *containers: Container) -> None:
        self._containers = containers
        self.restarted: list[str] = []

    def containers(self, _project: str, service: str) -> list[Container]:
        return [one for one in self._containers if one.service == service]

    def logs(self, _id: str, tail: int) -> Log:
        return Log([])

    def restart(self, container_id: str) -> None:
        self.restarted += [one.service for one in self._containers if one.id == container_id]


def advise(folder: Path, engine: Engine, patch: pytest.MonkeyPatch, *alive: str) -> str:
    """Advise after a fault with these observers alive, and return what the run's log has of it."""
    write_json(folder / "spec.json", SPEC)
    patch.setattr(advice.DockerEngine, "connect_for", lambda _run: engine)
    patch.setattr(advice, "living_process", lambda _run, name: {"pid": 1} if name in alive else None)
    run = RunDir(folder)
    advice.advise_recovery(run, "outage")
    return "\n".join(str(event.get("text")) for event in run.read_timeline())


def test_what_the_observers_saw_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(target("api"), target("postgres"))
    said = advise(tmp_path, engine, monkeypatch, "load", "probes")
    assert "docker restart lab-api-1" in said
    assert "docker restart lab-postgres-1" in said
    assert engine.restarted == ["postgres", "api"]


def test_a_healthy_exchange_that_nobody_watched_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(target("api"), target("postgres"))
    said = advise(tmp_path, engine, monkeypatch)
    assert "no restart is advised" in said
    assert "docker restart" not in said
    assert engine.restarted == []


@pytest.mark.parametrize(("alive", "gone"), [("load", "Probes have ended"), ("probes", "Load has ended")])
def test_one_observer_alone_sees_no_steady_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: str, gone: str
) -> None:
    engine = Engine(target("api"), target("postgres"))
    said = advise(tmp_path, engine, monkeypatch, alive)
    assert gone in said
    assert "no restart is advised" in said
    assert engine.restarted == []


@pytest.mark.parametrize(
    "ill", [down("postgres"), target("postgres", state={"Health": {"Status": "unhealthy"}})]
)
def test_a_service_that_is_down_is_named_whoever_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ill: Container
) -> None:
    engine = Engine(target("api"), ill)
    said = advise(tmp_path, engine, monkeypatch)
    assert "docker restart lab-postgres-1" in said
    assert "lab-api-1" not in said
    assert engine.restarted == ["postgres"]
