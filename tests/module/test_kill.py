# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill fault on real containers: what it does, what it leaves alone, how it is undone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults import inject
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import kill
from ansible_collections.exchange.chaos.plugins.module_utils.faults.undo import undo
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container, DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry, Journal

from tests.module import core_support
from tests.module.core_support import LISTEN, PORT, Host, sentence, wait_for

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
SIGKILLED = 137


def by_source(result: dict[str, Any], source: str) -> list[dict[str, Any]]:
    return [proof for proof in result["proof"] if proof["source"] == source]


def test_process_kill_is_a_sigkill_that_the_restart_policy_mends(host: Host) -> None:
    store = host.project.up("store", LISTEN)
    neighbour = host.project.up("api")
    pid = host.project.pid(store.id)
    host.inert()
    done = host.kill(mode="process", port=PORT)
    again = wait_for(lambda: host.project.running(store.id))
    assert done["changed"] is True
    assert not Path(f"/proc/{pid}").exists()
    assert again.attrs["State"]["Pid"] != pid
    assert host.project.restarts(store.id) == 1, "the engine's own restart, not a start of ours"
    assert host.project.restarts(neighbour.id) == 0
    assert [(proof["fact"], proof["value"], proof["holds"]) for proof in by_source(done, "kernel")] == [
        (f"exit of main process {pid}", True, True)
    ]
    (engine,) = by_source(done, "engine")
    assert engine["holds"] is True
    # the engine is asked at once: it has seen the exit (137), or has started the container again already
    assert engine["value"] == SIGKILLED or engine["value"] > store.attrs["State"]["StartedAt"]
    died = [event for event in _events(host, store.id) if event["Action"] == "die"]
    assert [event["Actor"]["Attributes"]["exitCode"] for event in died] == [str(SIGKILLED)]


def test_the_port_of_a_held_container_is_seen_refusing(host: Host) -> None:
    store = host.project.up("store", LISTEN)
    host.inert()
    done = host.kill(fault="outage", mode="engine", hold=True, port=PORT)
    (tcp,) = by_source(done, "tcp")
    assert tcp["holds"] is True
    assert "connect to" in tcp["fact"]
    (engine,) = by_source(done, "engine")
    assert (engine["value"], engine["holds"]) == (SIGKILLED, True)
    # longer than the restart policy needs (about 0.5 s): whoever merely kills finds it running here
    time.sleep(2)
    assert host.project.running(store.id) is None
    back = host.kill(fault="outage", state="absent")
    assert back["changed"] is True
    assert host.project.running(store.id) is not None
    (entry,) = Journal(host.state.run_dir("exp-01-core")).entries()
    assert entry.how == f"{store.name} started through the engine"
    assert entry.undone_by == "module"
    proofs = [
        event
        for event in host.state.run_dir("exp-01-core").read_timeline()
        if event["event"] == "proof" and event.get("end_of_window")
    ]
    assert [proof["holds"] for proof in proofs] == [True]


def test_an_outage_that_somebody_ended_early_is_seen_at_the_end_of_its_window(host: Host) -> None:
    store = host.project.up("store")
    run = host.inert()
    host.kill(fault="outage", mode="engine", hold=True)
    host.project.client.containers.get(store.id).start()
    host.kill(fault="outage", state="absent")
    (proof,) = [
        event for event in run.read_timeline() if event["event"] == "proof" and event.get("end_of_window")
    ]
    assert proof["holds"] is False


def test_the_same_fault_twice_kills_once_and_absent_twice_changes_nothing(host: Host) -> None:
    store = host.project.up("store")
    run = host.inert()
    assert host.kill()["changed"] is True
    again = wait_for(lambda: host.project.running(store.id)).attrs["State"]["Pid"]
    assert host.kill()["changed"] is False
    assert host.project.pid(store.id) == again
    assert host.kill(state="absent")["changed"] is True
    assert host.kill(state="absent")["changed"] is False
    assert [line["entry"] for line in host.journal(run)] == ["planned", "applied", "undone"]
    assert host.kill(state="absent", fault="never_injected")["changed"] is False


@pytest.mark.full
def test_an_engine_kill_without_hold_starts_it_again(host: Host) -> None:
    store = host.project.up("store", restart="no")
    pid = host.project.pid(store.id)
    host.inert()
    done = host.kill(mode="engine")
    assert "start it again ourselves" in done["plan"][0]
    assert host.project.running(store.id) is not None
    assert host.project.pid(store.id) != pid


@pytest.mark.full
def test_a_crash_without_a_restart_policy_is_mended_by_the_undo(host: Host) -> None:
    store = host.project.up("store", restart="no")
    run = host.inert()
    host.kill(mode="process")
    assert host.project.running(store.id) is None
    assert host.kill(state="absent")["changed"] is True
    assert host.project.running(store.id) is not None
    assert host.journal(run)[-1]["how"] == f"{store.name} started through the engine"


TRIO = ("store", "cache", "api")


@pytest.mark.full
@pytest.mark.alone
def test_several_services_die_in_one_instant_and_the_restart_policies_mend_each(host: Host) -> None:
    made = {service: host.project.up(service, LISTEN) for service in TRIO}
    bystander = host.project.up("proxy")
    run = host.inert()
    since = time.time()
    done = host.kill(mode="process", services=list(TRIO))
    for service, container in made.items():
        wait_for(lambda service=service, container=container: host.project.running(container.id))
        assert host.project.restarts(container.id) == 1, service
    assert host.project.restarts(bystander.id) == 0
    assert [line.split("(")[1].split(")")[0] for line in done["plan"]] == list(TRIO)
    # the engine's own word on when each ended, the test's own measure of the spread
    died = {service: _died(host, container.id, since) for service, container in made.items()}
    assert max(died.values()) - min(died.values()) < 1
    (injected,) = [event for event in run.read_timeline() if event["event"] == "fault_injected"]
    assert (injected["target"], injected["targets"]) == ("store", list(TRIO))
    exits = [kill["exited"] for kill in injected["kills"]]
    assert [kill["service"] for kill in injected["kills"]] == list(TRIO)
    assert [kill["pid"] for kill in injected["kills"]] == [
        container.attrs["State"]["Pid"] for container in made.values()
    ]
    assert injected["t"] <= min(exits)
    assert max(exits) - min(exits) < 0.2
    anchor = run.anchor
    for service, one in zip(TRIO, injected["kills"]):
        assert 0 <= died[service] - anchor.wall(one["exited"]) < 1, "the engine hears of it after the kernel"
    kernel = by_source(done, "kernel")
    assert [(proof["value"], proof["holds"]) for proof in kernel] == [(True, True)] * 3
    assert len(by_source(done, "engine")) == 3


@pytest.mark.full
def test_nothing_is_killed_when_one_of_several_cannot_be(host: Host) -> None:
    store, cache = host.project.up("store"), host.project.up("cache")
    host.project.client.containers.get(cache.id).stop()
    pid = host.project.pid(store.id)
    run = host.inert()
    here: dict[str, Any] = {"run_id": "exp-01-core", "mode": "process"}
    assert "not running: nothing to kill" in sentence(
        host.module("kill", services=["store", "cache"], **here)
    )
    assert "no container of a service api" in sentence(host.module("kill", services=["store", "api"], **here))
    assert "the first must be its target" in sentence(
        host.module("kill", services=["cache", "store"], **here)
    )
    assert host.project.pid(store.id) == pid
    assert host.journal(run) == []


@pytest.mark.full
def test_several_are_started_in_the_order_in_which_they_need_each_other(host: Host) -> None:
    made = {service: host.project.up(service, restart="no") for service in TRIO}
    run = host.inert()
    since = time.time()
    host.kill(mode="engine", hold=True, services=list(TRIO))
    assert [host.project.running(container.id) for container in made.values()] == [None, None, None]
    assert host.kill(state="absent")["changed"] is True
    started = [_when(host, container.id, "start", since) for container in made.values()]
    assert started == sorted(started)
    assert host.journal(run)[-1]["how"].count("started through the engine") == 3


def test_a_replaced_container_is_undone_by_replacement(host: Host) -> None:
    old = host.project.up("store")
    run = host.inert()
    host.kill(fault="outage", mode="engine", hold=True)
    host.project.client.containers.get(old.id).remove(force=True)
    new = host.project.up("store")
    started = new.attrs["State"]["StartedAt"]
    host.kill(fault="outage", state="absent")
    assert host.journal(run)[-1]["how"] == f"undone by replacement: {new.name} runs in its stead"
    assert host.project.client.containers.get(new.id).attrs["State"]["StartedAt"] == started


@pytest.mark.full
def test_a_container_that_is_gone_for_good_stays_in_the_journal_with_the_way_back(host: Host) -> None:
    old = host.project.up("store")
    run = host.inert()
    host.kill(fault="outage", mode="engine", hold=True)
    host.project.client.containers.get(old.id).remove(force=True)
    text = sentence(host.module("kill", fault="outage", state="absent", run_id="exp-01-core"))
    assert f"bring service store of project {host.project.name} up again" in text
    assert [entry.fault for entry in Journal(run).open_entries()] == ["outage"]


def test_containers_of_that_name_outside_the_project_are_never_touched(host: Host) -> None:
    host.project.up("store", number=1)
    # named like a service of ours, labelled with the service but another project, or not labelled at all
    decoys = [
        host.project.up("store", number=2, project=f"{host.project.name}-other"),
        host.project.up("store", number=3, project=""),
    ]
    before = [host.project.pid(decoy.id) for decoy in decoys]
    host.inert()
    done = host.kill(mode="process", replicas="all")
    assert len(done["plan"]) == 1
    assert [host.project.pid(decoy.id) for decoy in decoys] == before


@pytest.mark.full
def test_replicas_one_all_and_a_number(host: Host) -> None:
    for number in (1, 2, 3):
        host.project.up("store", number=number, restart="no")
    host.inert()
    name = f"{host.project.name}-store"
    for replicas, wanted in (("one", 1), ("all", 3), ("2", 2)):
        plan = host.kill(check=True, mode="process", replicas=replicas)["plan"]
        assert [line.split(" of ")[1].split(" ")[0] for line in plan] == [
            f"{name}-{n}" for n in range(1, wanted + 1)
        ]
    host.kill(mode="process", replicas="2")
    running = [host.project.running(f"{name}-{number}") is not None for number in (1, 2, 3)]
    assert running == [False, False, True]
    assert "replicas" in sentence(host.module("kill", run_id="exp-01-core", fault="more", replicas="some"))
    assert "replicas" in sentence(host.module("kill", run_id="exp-01-core", fault="more", replicas="-1"))


@pytest.mark.full
def test_check_mode_changes_nothing_and_plans_what_the_journal_will_hold(host: Host) -> None:
    store = host.project.up("store")
    run = host.inert()
    before, files = host.project.pid(store.id), sorted(os.listdir(run.path))
    for mode, hold in (("process", False), ("engine", True)):
        planned = host.kill(check=True, fault=mode, mode=mode, hold=hold)
        assert planned["changed"] is True
        assert host.project.pid(store.id) == before, "check mode killed"
        assert sorted(os.listdir(run.path)) == files, "check mode left files"
        done = host.kill(fault=mode, mode=mode, hold=hold)
        journaled = [
            line["plan"] for line in host.journal(run) if line["entry"] == "planned" and line["fault"] == mode
        ]
        assert journaled == [planned["plan"]]
        assert planned["diff"]["after"].splitlines() == planned["plan"]
        assert set(planned) == set(done), "the same keys in every mode"
        would = host.kill(check=True, fault=mode, state="absent")
        assert (would["changed"], would["plan"]) == (True, planned["plan"])
        assert host.kill(fault=mode, state="absent")["changed"] is True
        assert host.kill(check=True, fault=mode, state="absent")["changed"] is False
        wait_for(lambda: host.project.running(store.id))
        before, files = host.project.pid(store.id), sorted(os.listdir(run.path))


def test_a_pid_that_is_not_the_containers_any_more_is_not_killed(host: Host) -> None:
    host.project.up("store")
    bystander = host.project.up("api")
    target = DockerEngine.connect().container(host.project.name, "store")
    pid = host.project.pid(bystander.id)
    stale = Container(**{**vars(target), "pid": pid})
    with pytest.raises(ChaosError, match="does not belong to container"):
        kill.apply(
            kill.plan_kill([stale], mode="process", hold=False, root=True),
            None,
            Scene(None, DockerEngine.connect()),
        )  # type: ignore[arg-type]
    assert host.project.pid(bystander.id) == pid
    gone = Container(**{**vars(target), "pid": 2**22 - 2})
    with pytest.raises(ChaosError, match="ended before it was killed"):
        kill.apply(
            kill.plan_kill([gone], mode="process", hold=False, root=True),
            None,
            Scene(None, DockerEngine.connect()),
        )  # type: ignore[arg-type]


def test_the_plan_is_on_disk_before_the_kill_and_open_when_applying_fails(host: Host) -> None:
    store = host.project.up("store")
    run = host.inert()
    seen: list[list[str]] = []

    def act(entry: Entry) -> inject.Applied:
        seen.append([line["entry"] for line in host.journal(run)])
        host.project.client.containers.get(store.id).kill()
        raise ChaosError("It broke half-way.")

    wanted = {
        "op": "running",
        "project": host.project.name,
        "service": "store",
        "containers": [store.id],
        "held": True,
    }
    order = inject.Injection("crash", "kill", "store", ["kill it"], wanted, 60)
    with pytest.raises(ChaosError, match="half-way"):
        inject.inject_fault(run, order, act, lead=0)
    assert seen == [["planned"]]
    # whoever injected undoes what it can; what it could not would still be open for the watchdog
    undo(run, by="halt")
    assert host.project.running(store.id) is not None
    assert Journal(run).open_entries() == []


def test_an_aborted_run_injects_nothing_more(host: Host) -> None:
    store = host.project.up("store")
    run = host.inert()
    run.write_event("aborted", reason="the test says so", by="guard")
    pid = host.project.pid(store.id)
    assert "aborted before fault crash was injected" in sentence(host.module("kill", run_id="exp-01-core"))
    assert host.project.pid(store.id) == pid
    assert host.journal(run) == []


def test_no_room_for_the_journal_no_kill(host: Host, tmp_path: Path) -> None:
    store = host.project.up("store")
    pid = host.project.pid(store.id)
    with core_support.small_disk(tmp_path / "state", "4m") as folder:
        run = host.inert()
        core_support.fill(folder)
        text = sentence(host.module("kill", run_id="exp-01-core"))
        assert "No space left on device" in text
        assert host.project.pid(store.id) == pid
        assert [line for line in host.journal(run) if line["entry"] == "planned"] == []


def test_a_disk_that_fills_up_later_does_not_hinder_the_undo(host: Host, tmp_path: Path) -> None:
    store = host.project.up("store")
    with core_support.small_disk(tmp_path / "state", "4m") as folder:
        run = host.inert()
        host.kill(fault="outage", mode="engine", hold=True)
        ballast = core_support.fill(folder)
        assert host.project.running(store.id) is None
        said = host.module("kill", run_id="exp-01-core", fault="outage", state="absent")
        assert host.project.running(store.id) is not None, f"the full disk kept the fault in force: {said}"
        ballast.unlink()
        # what could not be written then is written now, though the line before may be torn
        host.kill(fault="outage", state="absent")
        assert Journal(run).open_entries() == []


@pytest.mark.full
def test_an_absurd_ttl_is_one_sentence_about_the_ttl(host: Host) -> None:
    store = host.project.up("store")
    run = host.inert()
    pid = host.project.pid(store.id)
    for ttl in (-1, 0, 1e9, float("nan")):
        text = sentence(host.module("kill", run_id="exp-01-core", ttl=ttl))
        assert text.startswith("The ttl of fault crash is ")
        assert text.count(". ") == 0
    assert host.project.pid(store.id) == pid
    assert host.journal(run) == []


@pytest.mark.full
def test_refusals_say_why_and_touch_nothing(host: Host) -> None:
    store = host.project.up("store")
    pid = host.project.pid(store.id)
    host.inert()
    here: dict[str, Any] = {"run_id": "exp-01-core"}
    assert "no container of a service nobody" in sentence(
        host.module("kill", fault="another", service="nobody", **here)
    )
    assert "no container of a service store" in sentence(
        host.module("kill", fault="another", project="no-such-project", **here)
    )
    assert "held by the engine" in sentence(host.module("kill", mode="process", hold=True, **here))
    assert "No run exp-01-nope is under way" in sentence(host.module("kill", run_id="exp-01-nope"))
    assert "is no run id" in sentence(host.module("kill", run_id="../../etc"))
    host.project.client.containers.get(store.id).stop()
    assert "not running: nothing to kill" in sentence(host.module("kill", **here))
    assert not Path(f"/proc/{pid}").exists()


def test_process_mode_without_root_is_refused(host: Host, tmp_path: Path) -> None:
    store = host.project.up("store")
    pid = host.project.pid(store.id)
    target = DockerEngine.connect().containers(host.project.name, "store")
    with pytest.raises(ChaosError, match="needs root"):
        kill.plan_kill(target, mode="process", hold=False, root=False)
    assert kill.from_spec({"mode": "auto"}, target, Site([], False)).mode == "engine"
    assert kill.from_spec({"mode": "auto"}, target, Site([], True)).mode == "process"
    assert kill.from_spec({"mode": "auto", "hold_s": 3}, target, Site([], True)).mode == "engine"
    assert host.project.pid(store.id) == pid
    assert clock.read() > 0


def _events(host: Host, container_id: str) -> list[dict[str, Any]]:
    found = host.project.client.api.events(
        since=int(time.time()) - 60,
        until=int(time.time()) + 1,
        decode=True,
        filters={"container": container_id},
    )
    return list(found)


def _when(host: Host, container_id: str, action: str, since: float) -> float:
    """When the engine reported an action of a container after ``since``, epoch seconds."""
    found = [event["timeNano"] / 1e9 for event in _events(host, container_id) if event["Action"] == action]
    return next(float(at) for at in found if at > since)


def _died(host: Host, container_id: str, since: float) -> float:
    return _when(host, container_id, "die", since)
