# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock in a real PostgreSQL: who waits for it, and every way in which it is let go.

What the server has is asked of it by the SDK's own exec, as its superuser, never by the code under test.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes

from tests.module import core_support
from tests.module.core_support import Host, Project, sentence, wait_for
from tests.module.lab_stack import lab_image
from tests.module.postgres_support import START, postgres, psql

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
RUN = "exp-13-core"
FAULT: dict[str, Any] = {"fault": "lock", "user": "trading_user", "database": "trading_db"}
USER = "c4a05000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    image = lab_image()
    if image is None:
        pytest.skip("the embedded exchange is not up; make lab brings it up")
    with core_support.project() as made:
        postgres(made, image, f"{START} -c hba_file=/opt/exchange/postgres/pg_hba.conf")
        yield made


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
        wait_for(lambda: not locked(store), 15)


def locked(container: Any, table: str = "trading.orders") -> bool:
    """Whether somebody holds the table as nobody does who only reads or writes."""
    code, text = psql(
        container,
        f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND granted "
        "AND mode IN ('AccessExclusiveLock', 'RowShareLock')",
    )
    assert code == 0, text
    return int(text) > 0


def hold(host: Host, **more: Any) -> dict[str, Any]:
    """Call the module; it must succeed."""
    given = {"project": host.project.name, "service": "store", "ttl": 60, "lead": 0, "linger": 0}
    found = host.module("lock", run_id=RUN, **{**given, **FAULT, **more})
    assert not found.get("failed"), found["msg"]
    return found


def how(host: Host) -> str:
    return str(host.journal(host.state.run_dir(RUN))[-1]["how"])


def at_end(host: Host) -> dict[str, tuple[Any, Any]]:
    """Value and outcome of each proof read just before the undo."""
    events = host.state.run_dir(RUN).read_timeline()
    proofs = [event for event in events if event["event"] == "proof" and event.get("end_of_window")]
    return {str(event["fact"]): (event["value"], event["holds"]) for event in proofs}


def test_who_needs_the_table_waits_until_the_undo(host: Host, store: Any) -> None:
    host.inert(RUN)
    done = hold(host)
    assert [(proof["source"], proof["holds"]) for proof in done["proof"]] == [("engine", True)]
    assert locked(store)
    answers: list[tuple[int, str]] = []
    waits = threading.Thread(
        target=lambda: answers.append(psql(store, "SELECT count(*) >= 0 FROM trading.orders")), daemon=True
    )
    waits.start()
    time.sleep(1.5)
    assert answers == []
    hold(host, state="absent")
    waits.join(10)
    assert answers == [(0, "t")]
    assert not locked(store)
    ended = at_end(host)
    assert ended["locks of ours on trading.orders at the end of the window"][1] is True
    assert ended["sessions that waited for it"] == ("1 at the end, 1 at most", True)
    assert how(host).startswith("the holder was ended, which freed its lock; PostgreSQL counts 0")
    assert hold(host, state="absent")["changed"] is False


@pytest.mark.full
def test_a_lock_on_a_row_keeps_nobody_from_reading_it(host: Host, store: Any) -> None:
    host.inert(RUN)
    row = {"table": "trading.users", "where": f"user_id = '{USER}'"}
    hold(host, **row)
    assert psql(store, f"SELECT count(*) FROM trading.users WHERE user_id = '{USER}'") == (0, "1")
    code, text = psql(store, f"SELECT 1 FROM trading.users WHERE user_id = '{USER}' FOR KEY SHARE NOWAIT")
    assert code != 0
    assert "could not obtain lock" in text
    hold(host, **row, state="absent")
    assert psql(store, f"SELECT 1 FROM trading.users WHERE user_id = '{USER}' FOR KEY SHARE NOWAIT") == (
        0,
        "1",
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "stands still"])
def test_a_holder_that_dies_or_stands_still_holds_nothing(number: int, host: Host, store: Any) -> None:
    """The kernel closes the socket of the one; PostgreSQL itself ends the session of the other."""
    run = host.inert(RUN)
    hold(host)
    entry = processes.living_process(run, "lock_holder")
    assert entry is not None
    os.kill(int(entry["pid"]), number)
    try:
        wait_for(lambda: not locked(store), 15)
        hold(host, state="absent")
        assert at_end(host)["locks of ours on trading.orders at the end of the window"] == ("none", False)
    finally:
        if processes.living_process(run, "lock_holder"):
            os.kill(int(entry["pid"]), signal.SIGKILL)


def test_it_ends_with_its_time_to_live_though_nobody_is_left(host: Host, store: Any) -> None:
    host.inert(RUN)
    hold(host, ttl=8)
    assert locked(store)
    wait_for(lambda: not locked(store), 16)


@pytest.mark.full
def test_what_is_not_there_cannot_be_locked(host: Host, store: Any) -> None:
    host.inert(RUN)
    given = {
        "project": host.project.name,
        "service": "store",
        "ttl": 60,
        "lead": 0,
        "linger": 0,
        "run_id": RUN,
    }
    nowhere = host.module("lock", **given, **{**FAULT, "table": "trading.nothing"})
    assert 'relation "trading.nothing" does not exist' in sentence(nowhere)
    nobody = host.module("lock", **given, **{**FAULT, "table": "trading.users", "where": "false"})
    assert "No row is there to lock" in sentence(nobody)
    assert not locked(store, "trading.users")
