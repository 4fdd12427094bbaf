# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real containers frozen: nothing of them runs, their ports stay open, and every way in which they go on.

The freezer's file and the processor's counter are found and read here by the container's id alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine

from tests.module import core_support
from tests.module.core_support import Host, sentence, wait_for
from tests.module.lab_stack import lab_image
from tests.module.postgres_support import START, postgres, psql

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
RUN = "exp-12-core"
BURN = ("sh", "-c", "while :; do :; done")


def of(container: Any, *names: str) -> Path:
    """The first of these files in the container's own cgroup."""
    for name in names:
        for path in Path("/sys/fs/cgroup").rglob(name):
            if container.id in path.parent.name:
                return path
    raise AssertionError(f"no {names} of {container.id}")


def frozen(container: Any) -> bool:
    """Whether its freezer is closed, by the file itself."""
    return of(container, "freezer.state", "cgroup.freeze").read_text().strip() in ("FROZEN", "FREEZING", "1")


def used_s(container: Any) -> float:
    path = of(container, "cpuacct.usage", "cpu.stat")
    if path.name == "cpuacct.usage":
        return int(path.read_text()) / 1e9
    return int(path.read_text().split()[1]) / 1e6


def call(host: Host, **more: Any) -> dict[str, Any]:
    """Call the module; it must succeed."""
    given = {"project": host.project.name, "service": "store", "run_id": RUN, "fault": "freeze", "ttl": 60}
    found = host.module("freeze", **{**given, "lead": 0, "linger": 0, **more})
    assert not found.get("failed"), found["msg"]
    return found


def how(host: Host) -> str:
    return str(host.journal(host.state.run_dir(RUN))[-1]["how"])


def held(host: Host) -> list[tuple[bool, float | None]]:
    """What was read at the end of the window: whether it held, and for how much of it."""
    events = host.state.run_dir(RUN).read_timeline()
    proofs = [event for event in events if event["event"] == "proof" and event.get("end_of_window")]
    return [(event["holds"], event.get("share")) for event in proofs if event.get("share") is not None]


def test_nothing_of_it_runs_and_it_goes_on_where_it_stood(host: Host) -> None:
    store, neighbour = host.project.up("store", BURN), host.project.up("api", BURN)
    pid = host.project.pid(store.id)
    host.inert(RUN)
    planned = host.module("freeze", check=True, run_id=RUN, project=host.project.name, service="store",
                          fault="freeze", ttl=60)  # fmt: skip
    assert not frozen(store), "check mode froze"
    done = call(host)
    assert done["plan"] == planned["plan"]
    assert [(proof["source"], proof["value"]) for proof in done["proof"] if proof["holds"]] == [
        ("kernel", "FROZEN")
    ]
    assert frozen(store)
    assert not frozen(neighbour)
    before, beside = used_s(store), used_s(neighbour)
    time.sleep(1)
    assert used_s(store) - before < 0.02
    assert used_s(neighbour) > beside
    assert call(host, state="absent")["changed"] is True
    assert not frozen(store)
    assert host.project.pid(store.id) == pid
    wait_for(lambda: used_s(store) - before > 0.2)
    assert held(host) == [(True, 1.0)]
    assert call(host, state="absent")["changed"] is False
    assert not frozen(store)


@pytest.mark.full
def test_one_that_somebody_thawed_was_not_frozen_for_its_window(host: Host) -> None:
    store = host.project.up("store", BURN)
    host.inert(RUN)
    call(host)
    path = of(store, "freezer.state", "cgroup.freeze")
    path.write_text("THAWED" if path.name == "freezer.state" else "0")
    time.sleep(0.5)
    call(host, state="absent")
    assert held(host) == [(False, 0.0)]


def test_one_that_is_frozen_already_is_left_alone(host: Host) -> None:
    store = host.project.up("store", BURN)
    host.inert(RUN)
    store.pause()
    try:
        given = {
            "project": host.project.name,
            "service": "store",
            "run_id": RUN,
            "fault": "freeze",
            "ttl": 60,
        }
        assert "is frozen already" in sentence(host.module("freeze", **given))
        assert frozen(store)
    finally:
        store.unpause()


@pytest.mark.full
@pytest.mark.parametrize("act", ["restart", "remove"])
def test_a_restart_or_a_removal_in_the_middle_is_undone(act: str, host: Host) -> None:
    """Version 1 holds a frozen process back from dying: the engine's order waits for the thaw."""
    store = host.project.up("store", BURN)
    pid = host.project.pid(store.id)
    host.inert(RUN)
    call(host)

    def order() -> None:
        container = host.project.client.containers.get(store.id)
        with contextlib.suppress(docker.errors.APIError):
            if act == "restart":
                container.restart(timeout=0)
            else:
                container.remove(force=True)

    ordered = threading.Thread(target=order, daemon=True)
    ordered.start()
    time.sleep(1)
    call(host, state="absent")
    ordered.join(30)
    assert not ordered.is_alive(), "the engine's order still waits for a frozen process"
    if act == "remove":
        with pytest.raises(docker.errors.NotFound):
            host.project.client.containers.get(store.id)
        return
    wait_for(lambda: host.project.running(store.id) and host.project.pid(store.id) != pid, 20)
    assert not frozen(store)
    before = used_s(store)
    wait_for(lambda: used_s(store) > before)


def test_the_watchdog_thaws_it_in_time_though_everybody_else_is_gone(host: Host) -> None:
    store = host.project.up("store", BURN)
    run = host.open(RUN)
    call(host, ttl=4)
    assert frozen(store)
    for pid, words in host.processes().items():
        if not {"watchdog", "standby"} & set(words):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not frozen(store), 8)
    wait_for(lambda: host.journal(run)[-1]["entry"] == "undone")
    assert host.journal(run)[-1]["by"] == "watchdog"


@pytest.mark.full
def test_a_database_takes_connections_and_answers_nobody(host: Host) -> None:
    image = lab_image()
    if image is None:
        pytest.skip("the embedded exchange is not up; make lab brings it up")
    hba = "-c hba_file=/opt/exchange/postgres/pg_hba.conf"
    store = postgres(host.project, image, f"{START} {hba}")
    host.inert(RUN)
    done = call(host, port=5432)
    told = {proof["fact"].split(" of ")[0]: (proof["value"], proof["holds"]) for proof in done["proof"]}
    assert told["port 5432"] == ("connected, no byte in 1 s", True)
    store.reload()
    (network,) = store.attrs["NetworkSettings"]["Networks"].values()
    # and from outside, by another's hand
    with socket.create_connection((network["IPAddress"], 5432), 2) as connection:
        connection.settimeout(0.5)
        connection.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        call(host, port=5432, state="absent")
        assert connection.recv(1) in (b"N", b"S"), "what was asked in the freeze is answered after it"
    assert psql(store, "SELECT 1") == (0, "1")


def test_a_port_where_nobody_answers_is_refused_before_anything_is_frozen(host: Host) -> None:
    store = host.project.up("store", BURN)
    engine = DockerEngine.connect()
    fault = {"id": "freeze", "kind": "freeze", "target": "store", "hold_s": 5, "window_s": 5, "port": 5432}
    site = Site(engine.containers(host.project.name), True, engine)
    with pytest.raises(ChaosError, match="No PostgreSQL answers at port 5432 inside"):
        planning.try_fault(fault, site)
    assert not frozen(store)
