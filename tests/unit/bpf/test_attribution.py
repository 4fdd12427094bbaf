"""Which container a record belongs to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.bpf import attribution
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.attribution import (
    UNRESOLVED,
    ContainerScope,
    container_id,
)
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_socket import ListedContainer
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification

A, B, C = "a" * 64, "b" * 64, "c" * 64
API, STORE = ListedContainer(A, "lab-api", "api"), ListedContainer(B, "lab-store", "store")


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (f"9:pids:/docker/{A}\n8:blkio:/docker/{A}\n1:name=systemd:/docker/{A}\n", A),
        (f"0::/system.slice/docker-{A}.scope\n", A),
        (f"0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{A}.scope/init\n", A),
        (f"4:memory:/docker/{C}/docker/{A}\n", A),
        (f"docker-{A}.scope", A),
        ("0::/init.scope\n", ""),
        (f"0::/docker/{A}0\n", ""),
        ("", ""),
    ],
)
def test_the_innermost_container_of_a_cgroup(text: str, identity: str) -> None:
    assert container_id(text) == identity


class Engine:
    """Stands in for the Docker engine: answers are given in turn, the last one again and again."""

    def __init__(self, *answers: list[ListedContainer] | None) -> None:
        self.answers = list(answers) or [[]]
        self.asked = 0

    def __call__(self) -> list[ListedContainer] | None:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(clock, "read", lambda: now[0])
    return now


def process(proc: Path, pid: int, identity: str) -> None:
    folder = proc / str(pid)
    (folder / "ns").mkdir(parents=True)
    (folder / "cgroup").write_text(f"0::/docker/{identity}\n" if identity else "0::/init.scope\n")
    (folder / "ns" / "net").write_text("")


def scope(proc: Path, engine: Engine, names: dict[int, str] | None = None) -> ContainerScope:
    return ContainerScope([API, STORE], ["api", "store"], engine, (names or {}).get, proc)


def test_a_victim_is_its_own_containers_and_the_others_only_where_it_is_gone(
    tmp_path: Path, time: list[float]
) -> None:
    process(tmp_path, 20, B)
    process(tmp_path, 21, "")
    found = scope(tmp_path, Engine(), {7: A})
    assert found.victim(20, 7) == STORE
    assert found.victim(21, 7) is None, "nobody's of the exchange, whoever asked for the memory"
    assert found.victim(22, 7) == API
    assert found.victim(0, 7) == API
    assert found.victim(22, 0) is None


def test_by_cgroup_though_the_process_is_long_gone(tmp_path: Path, time: list[float]) -> None:
    engine = Engine()
    found = scope(tmp_path, engine, {7: A, 8: f"docker-{C}.scope", 9: ""})
    assert found.owner(1, 0, 7) == API
    assert found.owner(1, 0, 8) is None
    assert found.owner(1, 0, 9) is None
    assert engine.asked == 1, "who is foreign once is foreign for good"
    assert found.owner(1, 0, 8) is None
    assert engine.asked == 1


def test_a_container_made_since_is_asked_for_until_the_engine_answers(
    tmp_path: Path, time: list[float]
) -> None:
    fresh = ListedContainer(C, "lab-api-2", "api")
    found = scope(tmp_path, Engine(None, [API, fresh]), {8: C})
    assert found.owner(1, 0, 8) is UNRESOLVED
    assert found.owner(1, 0, 8) is UNRESOLVED, "not asked again at once"
    time[0] += 0.3
    assert found.owner(1, 0, 8) == fresh


def test_a_service_out_of_scope_is_nobody(tmp_path: Path, time: list[float]) -> None:
    found = ContainerScope([API, STORE], ["store"], Engine(), {7: A, 8: B}.get, tmp_path)
    assert found.owner(1, 0, 7) is None
    assert found.owner(1, 0, 8) == STORE


def test_by_pid_where_the_kernel_tells_no_cgroup(tmp_path: Path, time: list[float]) -> None:
    process(tmp_path, 10, A)
    process(tmp_path, 11, "")
    found = scope(tmp_path, Engine())
    found.scan()
    assert found.owner(10, 0, 0) == API
    assert found.owner(11, 0, 0) is None
    assert found.owner(12, 0, 0) is None
    process(tmp_path, 12, B)
    assert found.owner(12, 0, 0) == STORE, "a new process is read at once"
    assert found.living_pids("api") == [10]


def test_the_dead_are_known_for_a_while(tmp_path: Path, time: list[float]) -> None:
    process(tmp_path, 10, A)
    found = scope(tmp_path, Engine())
    found.scan()
    (tmp_path / "10").rename(tmp_path / "gone")
    found.scan()
    assert found.owner(10, 0, 0) == API
    assert found.living_pids("api") == []
    time[0] += 10
    found.scan()
    assert found.owner(10, 0, 0) is None


def test_by_network_namespace_where_no_process_is_known(tmp_path: Path, time: list[float]) -> None:
    process(tmp_path, 10, A)
    netns = os.stat(tmp_path / "10" / "ns" / "net").st_ino
    found = scope(tmp_path, Engine(), {7: B})
    assert found.owner(0, netns, 0) is None
    found.scan()
    assert found.owner(0, netns, 0) == API
    assert found.owner(0, netns + 1, 0) is None
    assert found.owner(5, netns + 1, 7) == STORE
    assert found.owner(0, netns + 1, 0) == STORE, "learned from a record that told both"
    (tmp_path / "10").rename(tmp_path / "gone")
    time[0] += 10
    found.scan()
    assert found.owner(0, netns, 0) is None, "the number may belong to another namespace by now"


def test_services_are_those_of_the_capture_else_all(time: list[float]) -> None:
    spec: dict[str, Any] = {"containers": {"api": [], "store": []}, "capture": {}}
    everything = attribution.make_scope(Specification.read(spec), [API, STORE], Engine(), {7: A}.get)
    assert everything.owner(1, 0, 7) == API
    one = attribution.make_scope(
        Specification.read({**spec, "capture": {"services": ["store"]}}), [API, STORE], Engine(), {7: A}.get
    )
    assert one.owner(1, 0, 7) is None
