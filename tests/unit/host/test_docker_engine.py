# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker SDK and pyroute2 are most of a module's start: loaded by who asks, by the watchdog before any fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.host import docker_engine, docker_transport
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import ANSWER_S, DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import watchdog
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

MODULES = "ansible_collections.exchange.chaos.plugins.modules"


def loaded(script: str, root: Path) -> set[str]:
    """Return what a Python of its own has loaded after a script."""
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root / ".collections",
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["capture", "halt", "load", "probes", "record", "window"])
def test_no_module_loads_pyroute2_before_it_looks(module: str, root: Path) -> None:
    found = loaded(f"import {MODULES}.{module}", root)
    assert f"{MODULES}.{module}" in found
    assert "pyroute2" not in found


@pytest.mark.parametrize("module", ["capture", "load", "kill", "record"])
def test_no_module_loads_it_before_it_asks(module: str, root: Path) -> None:
    found = loaded(f"import {MODULES}.{module}", root)
    assert f"{MODULES}.{module}" in found
    assert not {"docker", "requests"} & found


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that lacks the SDK."""
    monkeypatch.setitem(sys.modules, "docker", None)


def test_without_it_a_sentence_says_what_brings_it(without: None) -> None:
    with pytest.raises(Unsupported, match=r"The Docker SDK for Python \(docker\) is missing on this host"):
        DockerEngine.connect()


def test_on_a_slow_host_the_engine_has_that_much_longer_to_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[float] = []

    def connect(_sdk: Any, _base: str, asking: docker_transport.Asking) -> tuple[Any, dict[str, Any]]:
        asked.append(asking.seconds)
        return None, {}

    monkeypatch.setattr(docker_transport, "open_client", connect)
    (tmp_path / "spec.json").write_text(json.dumps({"slow_host": 4}))
    DockerEngine.connect()
    DockerEngine.connect_for(RunDir(tmp_path))
    DockerEngine.connect_for(RunDir(tmp_path), timeout=5)
    assert asked == [ANSWER_S, 4 * ANSWER_S, 20]


def test_what_the_engine_refuses_is_one_sentence() -> None:
    class Refusing:
        @staticmethod
        def kill(container_id: str) -> None:
            raise docker_engine.load_sdk().errors.APIError("no such thing.")

    with pytest.raises(ChaosError, match="The Docker engine would not kill container abc: no such thing\\."):
        DockerEngine(Refusing()).kill("abc")


def test_the_watchdog_has_it_before_there_is_anything_to_undo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault may hold the very disk that the SDK lies on, and what the snapshot looks with."""
    asked = []
    (tmp_path / "spec.json").write_text('{"faults": []}')
    monkeypatch.setattr(watchdog, "load_netlink", lambda: asked.append("pyroute2"))
    monkeypatch.setattr(watchdog, "load_sdk", lambda: asked.append("sdk"))
    monkeypatch.setattr(RunDir, "register_process", lambda run, name: asked.append(name))
    monkeypatch.setattr(watchdog.Watchdog, "__init__", lambda *_: None)
    monkeypatch.setattr(watchdog.Watchdog, "keep_watch", lambda _self: 0)
    monkeypatch.setattr(watchdog, "Lifespan", lambda *_args, **_named: None)
    assert watchdog.main(RunDir(tmp_path)) == 0
    assert asked == ["sdk", "pyroute2", "watchdog"]


def test_a_watchdog_without_it_keeps_the_run_all_the_same(
    without: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spec.json").write_text('{"faults": []}')
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    monkeypatch.setattr(RunDir, "register_process", lambda *_: None)
    monkeypatch.setattr(watchdog.Watchdog, "__init__", lambda *_: None)
    monkeypatch.setattr(watchdog.Watchdog, "keep_watch", lambda _self: 0)
    monkeypatch.setattr(watchdog, "Lifespan", lambda *_args, **_named: None)
    assert watchdog.main(RunDir(tmp_path)) == 0
