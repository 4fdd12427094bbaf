# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exhausted connections of a real PostgreSQL: how many are held, who is refused, and every way in which they are freed.

What the server has is asked of it by the SDK's own exec, as its superuser, never by the code under test.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import connections, lock
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes

from tests.module import core_support
from tests.module.core_support import Host, Project, sentence, wait_for
from tests.module.lab_stack import lab_image

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
#: max_connections of the lab's PostgreSQL less the slots reserved for superusers.
SLOTS = 57
RUN = "exp-06-core"
FAULT: dict[str, Any] = {"fault": "exhausted", "user": "trading_user", "database": "trading_db"}
START = "exec postgres -D /var/lib/exchange/postgres -c config_file=/opt/exchange/postgres/postgresql.conf"
HBA = "printf 'local all all trust\\nhost all all all scram-sha-256\\n' >/tmp/hba"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    image = lab_image()
    if image is None:
        pytest.skip("the embedded exchange is not up; make lab brings it up")
    with core_support.project() as made:
        postgres(made, image, f"{START} -c hba_file=/opt/exchange/postgres/pg_hba.conf")
        yield made


def postgres(project: Project, image: str, command: str, service: str = "store") -> Any:
    """Start a throw-away PostgreSQL and wait until it answers."""
    made = project.up(
        service, ("sh", "-c", command), image=image, user="postgres", stop_signal="SIGINT", restart="no"
    )
    wait_for(lambda: psql(made, "SELECT 1") == (0, "1"), 30)
    return made


@pytest.fixture
def store(project: Project) -> Any:
    """The database's container."""
    return project.client.containers.get(f"{project.name}-store-1")


@pytest.fixture
def host(tmp_path: Path, project: Project, store: Any) -> Iterator[Host]:
    made = Host(project, tmp_path / "state")
    try:
        yield made
    finally:
        made.clear()
        wait_for(lambda: held(store) == 0)


def psql(container: Any, sql: str, user: str = "postgres") -> tuple[int, str]:
    """Ask PostgreSQL through its own client."""
    words = ["psql", "-XAtq", "-U", user, "-d", "trading_db", "-c", sql]
    done = container.exec_run(words, user="postgres")
    return done.exit_code, done.output.decode().strip()


def held(container: Any) -> int:
    """How many sessions of the application's role the server has."""
    code, text = psql(container, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'trading_user'")
    assert code == 0, text
    return int(text)


def exhaust(host: Host, **more: Any) -> dict[str, Any]:
    """Call the module; it must succeed."""
    given = {"project": host.project.name, "service": "store", "ttl": 60, "lead": 0, "linger": 0}
    found = host.module("connections", run_id=RUN, **{**given, **FAULT, **more})
    assert not found.get("failed"), found["msg"]
    return found


def how(host: Host) -> str:
    """What the undo said."""
    return str(host.journal(host.state.run_dir(RUN))[-1]["how"])


def end_of_window(host: Host) -> list[dict[str, Any]]:
    """The proofs read just before the undo."""
    events = host.state.run_dir(RUN).read_timeline()
    return [event for event in events if event["event"] == "proof" and event.get("end_of_window")]


def test_every_slot_is_taken_the_superuser_still_gets_in_and_the_undo_frees_all(
    host: Host, store: Any
) -> None:
    run = host.inert(RUN)
    assert psql(store, "SELECT 1", "trading_user") == (0, "1")
    done = exhaust(host)
    assert held(store) == SLOTS
    code, words = psql(store, "SELECT 1", "trading_user")
    assert (code, "connection slots are reserved" in words) == (2, True), words
    proofs = {proof["fact"]: (proof["source"], proof["value"], proof["holds"]) for proof in done["proof"]}
    refused = proofs["one more session of role trading_user refused"]
    assert refused[0] == "tcp"
    assert str(refused[1]).startswith("SQLSTATE 53300: ")
    assert proofs["our sessions in pg_stat_activity"] == (
        "engine", f"{SLOTS} of ours and 0 of others; max_connections 60, 3 reserved", True,
    )  # fmt: skip
    assert proofs["one more session of role trading_user over the server's own socket"][::2] == (
        "engine",
        True,
    )
    time.sleep(1)
    assert held(store) == SLOTS, "held, not just taken once"
    assert exhaust(host)["changed"] is False, "the same fault twice is one fault"
    assert exhaust(host, state="absent")["changed"] is True
    wait_for(lambda: held(store) == 0, 2)
    assert psql(store, "SELECT 1", "trading_user") == (0, "1")
    assert how(host) == "the holder was ended, which freed its sessions; PostgreSQL counts 0 of ours"
    assert exhaust(host, state="absent")["changed"] is False
    assert [proof["holds"] for proof in end_of_window(host)] == [True, True]
    assert end_of_window(host)[0]["share"] > 0.9
    counted = {event["when"]: event for event in run.read_timeline() if event["event"] == "measured"}
    assert [(counted[when]["limit"], counted[when]["ours"]) for when in ("before", "held", "after")] == [
        (60, 0), (60, SLOTS), (60, 0),
    ]  # fmt: skip
    assert host.processes() == {}


@pytest.mark.full
def test_a_slot_that_becomes_free_is_taken_as_well(host: Host, store: Any) -> None:
    host.inert(RUN)
    sleeping = ["psql", "-XAtq", "-U", "trading_user", "-d", "trading_db", "-c", "SELECT pg_sleep(4)"]
    store.exec_run(sleeping, user="postgres", detach=True)
    wait_for(lambda: held(store) == 1)
    run = host.state.run_dir(RUN)
    exhaust(host)
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'exchange.chaos exp-06-core'"
    assert psql(store, ours) == (0, str(SLOTS - 1)), "the session that was there is left alone"
    wait_for(lambda: psql(store, ours) == (0, str(SLOTS)), 10)
    assert processes.living_process(run, "sessions")


def test_the_holders_death_frees_all_and_is_seen(host: Host, store: Any) -> None:
    run = host.inert(RUN)
    exhaust(host)
    entry = processes.living_process(run, "sessions")
    assert entry is not None
    os.kill(entry["pid"], signal.SIGKILL)
    wait_for(lambda: held(store) == 0, 2)
    assert psql(store, "SELECT 1", "trading_user") == (0, "1")
    time.sleep(3)
    exhaust(host, state="absent")
    assert how(host).startswith("the holder had ended before; PostgreSQL counts 0 of ours")
    assert [proof["holds"] for proof in end_of_window(host)] == [False, False]
    assert end_of_window(host)[0]["share"] < 0.8


def test_at_its_expiry_it_ends_though_nobody_is_there(host: Host, store: Any) -> None:
    """An inert run has no watchdog; nobody but the holder itself looks at the time."""
    host.inert(RUN)
    begun = time.monotonic()
    exhaust(host, ttl=8)
    assert held(store) == SLOTS
    wait_for(lambda: held(store) == 0, 12)
    assert 5 < time.monotonic() - begun < 14
    wait_for(lambda: host.processes() == {}, 2)


@pytest.mark.full
def test_a_database_restarted_in_the_middle_is_not_exhausted_again(host: Host, store: Any) -> None:
    host.inert(RUN)
    exhaust(host)
    store.restart()
    wait_for(lambda: psql(store, "SELECT 1") == (0, "1"), 30)
    time.sleep(2)
    assert held(store) == 0
    exhaust(host, state="absent")
    assert how(host).endswith("counts 0 of ours; PostgreSQL was restarted meanwhile, which had ended them")
    assert [proof["holds"] for proof in end_of_window(host)] == [False, False]
    assert end_of_window(host)[0]["share"] < 0.8


def test_a_database_that_is_gone_is_no_hindrance_to_the_undo(host: Host, store: Any) -> None:
    host.inert(RUN)
    exhaust(host)
    store.kill()
    try:
        exhaust(host, state="absent")
        assert how(host).endswith("the database does not run, so it has none of our sessions")
    finally:
        store.start()
        wait_for(lambda: psql(store, "SELECT 1") == (0, "1"), 30)


@pytest.mark.full
def test_check_mode_takes_nothing_and_plans_what_the_journal_will_hold(host: Host, store: Any) -> None:
    run = host.inert(RUN)
    files = sorted(os.listdir(run.path))
    planned = exhaust(host, check=True)
    assert (held(store), sorted(os.listdir(run.path))) == (0, files)
    done = exhaust(host)
    assert [line["plan"] for line in host.journal(run) if line["entry"] == "planned"] == [planned["plan"]]
    assert set(planned) == set(done), "the same keys in every mode"


@pytest.mark.full
def test_a_trial_leaves_nothing_behind_and_says_what_is_wrong(host: Host, store: Any) -> None:
    engine = DockerEngine.connect()
    targets = engine.containers(host.project.name, "store")
    spec = {**FAULT, "id": "exhausted"}
    assert (
        connections.trial(spec, targets, Site(targets, True, engine))
        == "ok: 0 of 60 connections in use, 3 reserved"
    )
    assert held(store) == 0
    for changes, words in (
        ({"user": "nobody_here"}, "no role nobody_here"),
        ({"port": 5999}, "Nothing answers at 127.0.0.1:5999 inside the database's container"),
        ({"administrator": "trading_boss"}, "could not be asked as role trading_boss"),
    ):
        with pytest.raises(ChaosError, match=words):
            connections.trial({**spec, **changes}, targets, Site(targets, True, engine))
    host.inert(RUN)
    exhaust(host)
    with pytest.raises(ChaosError, match="no session left to take"):
        connections.trial(spec, targets, Site(targets, True, engine))


@pytest.mark.full
def test_a_role_whom_the_server_trusts_nowhere_needs_its_password(host: Host) -> None:
    image = lab_image()
    assert image is not None
    other = postgres(host.project, image, f"{HBA}; {START} -c hba_file=/tmp/hba", service="locked")
    try:
        host.inert(RUN)
        given: dict[str, Any] = {**FAULT, "project": host.project.name, "ttl": 60, "lead": 0, "linger": 0}
        given.update(service="locked", run_id=RUN)
        text = sentence(host.module("connections", **given))
        assert "asks for the password of role trading_user" in text
        assert "set chaos_database.password" in text
        assert held(other) == 0
        text = sentence(host.module("connections", **given, password="wrong"))
        assert "password authentication failed" in text
        done = host.module("connections", **given, password="trading")
        assert not done.get("failed"), done["msg"]
        assert held(other) == SLOTS
        assert not host.module("connections", **given, password="trading", state="absent").get("failed")
        assert held(other) == 0
    finally:
        other.remove(force=True, v=True)


@pytest.mark.parametrize("written", [None, pytest.param("50", marks=pytest.mark.full)])
def test_a_lower_limit_is_put_back_as_it_was(host: Host, store: Any, written: str | None) -> None:
    """Whether ALTER SYSTEM had set it or not; what PostgreSQL says before and after is the same, word for word."""
    settings = (
        "SELECT setting, pending_restart, (SELECT count(*) FROM pg_file_settings WHERE name = 'max_connections' "
        "AND sourcefile LIKE '%auto.conf') FROM pg_settings WHERE name = 'max_connections'"
    )
    try:
        if written:
            psql(store, f"ALTER SYSTEM SET max_connections = {written}")
            restart(store)
        before = psql(store, settings)
        host.inert(RUN)
        done = exhaust(host, mode="limit", limit=10)
        assert psql(store, "SHOW max_connections") == (0, "10")
        assert [(proof["source"], proof["value"], proof["holds"]) for proof in done["proof"]] == [
            ("engine", 10, True)
        ]
        exhaust(host, mode="limit", limit=10, state="absent")
        assert psql(store, settings) == before
        assert [(proof["holds"], proof["share"]) for proof in end_of_window(host)] == [(True, 1.0)]
        assert exhaust(host, mode="limit", limit=10, state="absent")["changed"] is False
    finally:
        psql(store, "ALTER SYSTEM RESET max_connections")
        restart(store)


def restart(container: Any) -> None:
    container.restart()
    wait_for(lambda: psql(container, "SELECT 1") == (0, "1"), 30)


@pytest.mark.parametrize(
    ("statement", "most"),
    [('ALTER ROLE "trading_user"', 12), ('ALTER DATABASE "trading_db"', 7)],
    ids=["role", "database"],
)
def test_a_limit_of_its_own_is_not_taken_for_the_servers(
    project: Project, store: Any, statement: str, most: int
) -> None:
    """Refused with the limit, and the remedy that the refusal names is carried out."""
    fault = {**FAULT, "id": "exhausted"}
    engine = DockerEngine.connect()
    targets = engine.containers(project.name, "store")
    site = Site(targets, True, engine)
    assert psql(store, f"{statement} CONNECTION LIMIT {most}")[0] == 0
    try:
        with pytest.raises(ChaosError) as refused:
            connections.trial(fault, targets, site)
        assert f"{most} is the most by {statement} CONNECTION LIMIT" in str(refused.value)
        remedy = str(refused.value).partition("Lift it for the run (")[2].partition(")")[0]
        assert psql(store, remedy)[0] == 0
        assert connections.trial(fault, targets, site).startswith("ok")
    finally:
        psql(store, f"{statement} CONNECTION LIMIT -1")


def test_a_server_on_another_port_is_asked_there(project: Project) -> None:
    """By both kinds: the trial, the plan of a lower limit and of a lock; psql inside knows the usual port alone."""
    image = lab_image()
    command = f"{START} -c hba_file=/opt/exchange/postgres/pg_hba.conf -c port=5444"
    made = project.up(
        "odd", ("sh", "-c", command), image=image, user="postgres", stop_signal="SIGINT", restart="no"
    )
    asks = ["psql", "-p", "5444", "-U", "postgres", "-d", "trading_db", "-c", "SELECT 1"]
    wait_for(lambda: made.exec_run(asks, user="postgres").exit_code == 0, 30)
    engine = DockerEngine.connect()
    targets = engine.containers(project.name, "odd")
    site = Site(targets, True, engine)
    asked = {**FAULT, "id": "exhausted", "port": 5444, "target": "odd"}
    assert connections.trial(asked, targets, site).startswith("ok")
    plan = connections.from_spec({**asked, "mode": "limit", "limit": 40}, targets, site)
    assert plan.undo()["port"] == 5444
    assert lock.trial({**asked, "table": "trading.orders"}, targets, site).startswith("ok")
    with pytest.raises(ChaosError, match="PostgreSQL could not be asked"):
        connections.trial({**asked, "port": 5432}, targets, site)


HOLD = """
import sys
from pathlib import Path
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import session_holder
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
session_holder._PATIENT_S = 0.5
session_holder.netns.enter_netns = lambda pid: None  # the listener is this host's
sys.exit(session_holder.main(RunDir(Path(sys.argv[1]))))
"""


def test_a_server_that_takes_connections_and_answers_nothing_is_told_of(tmp_path: Path) -> None:
    """Who waits for the holder hears how far it is, so that its last words say more than nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        login = {
            "host": "127.0.0.1",
            "port": silent.getsockname()[1],
            "user": "u",
            "database": "d",
            "name": "n",
        }
        wanted = {"pid": os.getpid(), "expires": clock.read() + 2.5, "login": {**login, "password": ""}}
        (tmp_path / "sessions.json").write_text(json.dumps(wanted))
        done = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False,
            cwd=core_support.ROOT / ".collections",
        )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("0 sessions taken, the server not full yet; its last answer: "), done.stderr
    assert "timed out" in last
