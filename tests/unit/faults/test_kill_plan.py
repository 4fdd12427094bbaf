# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a kill: what it says is what it will do, and its undo is data."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import kill
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import container_end
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry

from tests.unit.containers import down, target


class Engine:
    """An engine that answers from a list of containers and remembers what it was told."""

    def __init__(self, *targets: Container) -> None:
        self.known = {one.id: one for one in targets}
        self.told: list[tuple[str, str]] = []

    def inspect(self, container_id: str) -> Container | None:
        return self.known.get(container_id)

    def containers(self, project: str, service: str | None = None) -> list[Container]:
        return [one for one in self.known.values() if (one.project, one.service) == (project, service)]

    def start(self, container_id: str) -> None:
        self.told.append(("start", container_id))
        self.known[container_id] = target(self.known[container_id].service)

    def kill(self, container_id: str) -> None:
        self.told.append(("kill", container_id))
        self.known[container_id] = down(self.known[container_id].service)


def scene(engine: Engine) -> Scene:
    return Scene(None, engine)  # type: ignore[arg-type]


def entry(*ids: str, held: bool = True) -> Entry:
    undo = {"op": "running", "project": "lab", "service": "postgres", "containers": list(ids), "held": held}
    return Entry(1, "outage", "kill", "postgres", ["kill"], undo, 0.0, 0.0)


def undone(engine: Engine, *ids: str) -> str:
    return kill.undo(entry(*ids), scene(engine))


@pytest.mark.parametrize(
    ("mode", "hold", "words"),
    [
        (
            "process",
            False,
            "SIGKILL to main process 4711 of lab-postgres-1 (postgres); the restart policy (always)",
        ),
        ("engine", True, "kill through the engine lab-postgres-1 (postgres); hold it down until the undo"),
        ("engine", False, "kill through the engine lab-postgres-1 (postgres); start it again ourselves"),
    ],
)
def test_the_plan_says_what_will_happen_line_by_line(mode: str, hold: bool, words: str) -> None:
    targets = [target(), target(number=2)]
    planned = kill.plan_kill(targets, mode=mode, hold=hold, root=True)
    assert planned.lines()[0].startswith(words)
    assert [line.count("lab-postgres-2") for line in planned.lines()] == [0, 1]
    assert planned.undo() == {
        "op": "running",
        "project": "lab",
        "service": "postgres",
        "containers": [one.id for one in targets],
        "held": hold,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": []}, "at least one container"),
        ({"targets": [down()]}, "exited, not running: nothing to kill"),
        ({"targets": [target(), down(number=2)]}, "lab-postgres-2"),
        ({"mode": "nuke"}, "must be one of process, engine"),
        ({"hold": True}, "held by the engine"),
        ({"root": False}, "needs root"),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], words: str) -> None:
    arguments = {"targets": [target()], "mode": "process", "hold": False, "root": True, **changes}
    with pytest.raises(ChaosError, match=words):
        kill.plan_kill(arguments.pop("targets"), **arguments)


def test_auto_takes_the_process_as_root_unless_an_outage_is_asked() -> None:
    for fault, root, mode in (
        ({}, True, "process"),
        ({}, False, "engine"),
        ({"hold_s": 15}, True, "engine"),
        ({"hold_s": "0"}, True, "process"),
        ({"mode": "engine"}, True, "engine"),
    ):
        assert kill.from_spec(fault, [target()], Site([], root)).mode == mode, fault


def test_undo_starts_what_is_down_and_leaves_what_runs() -> None:
    first, second = down(), target(number=2)
    engine = Engine(first, second)
    assert undone(engine, first.id, second.id) == (
        "lab-postgres-1 started through the engine; lab-postgres-2 was running again"
    )
    assert engine.told == [("start", first.id)]
    assert undone(engine, first.id, second.id).count("was running again") == 2
    assert engine.told == [("start", first.id)]


def test_undo_of_a_replaced_container_looks_for_one_of_the_same_service_and_project() -> None:
    assert "undone by replacement: lab-postgres-2" in undone(Engine(target(number=2)), "gone")
    for others, advice in (
        ([], "bring service postgres of project lab up again"),
        ([down()], "start it with: docker start lab-postgres-1$"),
        ([target("redis")], "bring service postgres of project lab up again"),
    ):
        with pytest.raises(ChaosError, match=advice):
            undone(Engine(*others), "gone")


def test_a_hold_is_in_force_while_the_container_is_down_and_a_crash_proves_nothing() -> None:
    one = down()
    read = kill.in_force(entry(one.id), scene(Engine(one)))
    assert [proof.holds for proof in read] == [True]
    read = kill.in_force(entry(one.id), scene(Engine(target())))  # type: ignore[arg-type]
    assert [proof.holds for proof in read] == [False]
    assert kill.in_force(entry(one.id, held=False), scene(Engine(one))) == []


def test_without_root_the_kernel_is_not_asked_and_the_engine_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    one = target()
    engine = Engine(one)
    proofs = kill.apply(
        kill.plan_kill([one], mode="engine", hold=True, root=False), entry(one.id), scene(engine)
    ).proofs
    assert engine.told == [("kill", one.id)]
    assert [(proof.source, proof.value, proof.holds) for proof in proofs] == [("engine", 137, True)]


def test_an_exit_that_is_no_kill_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    one = target()
    engine = Engine(one)
    monkeypatch.setattr(engine, "kill", lambda container_id: engine.known.update({one.id: _ended(0)}))
    proofs = kill.apply(
        kill.plan_kill([one], mode="engine", hold=True, root=False), entry(one.id), scene(engine)
    ).proofs
    assert [(proof.value, proof.holds) for proof in proofs] == [(0, False)]


def test_a_kill_that_did_nothing_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(container_end, "EXIT_S", 0.1)
    one = target()
    engine = Engine(one)
    monkeypatch.setattr(engine, "kill", lambda container_id: None)
    proofs = kill.apply(
        kill.plan_kill([one], mode="engine", hold=True, root=False), entry(one.id), scene(engine)
    ).proofs
    assert [proof.holds for proof in proofs] == [False]


def test_a_port_that_still_answers_is_not_refused() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        proof = kill.prove_refused("127.0.0.1", port, within=0.2)
        assert (proof.value, proof.holds) == ("connected", False)
    proof = kill.prove_refused("127.0.0.1", port, within=0.5)
    assert (proof.value, proof.holds) == ("Connection refused", True)


def _ended(code: int) -> Container:
    return target(state={"Status": "exited", "Running": False, "Pid": 0, "ExitCode": code})


TRIO = ("postgres", "redis", "trading-api")


def test_several_services_are_one_plan_whose_undo_knows_whose_container_is_whose() -> None:
    planned = kill.plan_kill([target(one) for one in TRIO], mode="process", hold=False, root=True)
    assert [line.split(" of ")[1].split(";")[0] for line in planned.lines()] == [
        f"lab-{one}-1 ({one})" for one in TRIO
    ]
    assert planned.undo()["services"] == {target(one).id: one for one in TRIO}
    assert planned.service == "postgres"


def test_the_undo_of_several_starts_in_dependency_order_and_looks_for_each_ones_own_replacement() -> None:
    gone = {one: down(one) for one in TRIO}
    planned = kill.plan_kill([target(one) for one in TRIO], mode="engine", hold=True, root=True)
    engine = Engine(*gone.values())
    journaled = Entry(1, "outage", "kill", "postgres", ["kill"], planned.undo(), 0.0, 0.0)
    assert kill.undo(journaled, scene(engine)).count("started through the engine") == 3
    assert engine.told == [("start", target(one).id) for one in TRIO]
    replaced = Engine(target("postgres"), target("trading-api"), target("redis", number=2))
    assert "undone by replacement: lab-redis-2" in kill.undo(journaled, scene(replaced))
    with pytest.raises(ChaosError, match="bring service redis of project lab up again"):
        kill.undo(journaled, scene(Engine(target("postgres"), target("trading-api"))))


def test_several_targets_are_checked() -> None:
    good = {"id": "crash", "target": "postgres", "targets": list(TRIO)}
    assert kill.check(good) == []
    for change, words in (
        ({"target": "redis"}, "the first must be its target redis"),
        ({"targets": ["postgres", "postgres"]}, "must differ"),
        ({"port": 5432}, "a single service only"),
    ):
        (sentence,) = kill.check({**good, **change})
        assert words in sentence


def test_what_several_kills_left_is_noted_by_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    targets = [target(one) for one in TRIO]
    done = kill.apply(
        kill.plan_kill(targets, mode="engine", hold=True, root=False),
        entry(targets[0].id),
        scene(Engine(*targets)),
    )
    assert done.facts["targets"] == list(TRIO)
    assert [(one["service"], one["exited"]) for one in done.facts["kills"]] == [(one, None) for one in TRIO]
