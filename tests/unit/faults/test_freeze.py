# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a freeze on hosts of both cgroup versions, and the question whose answer must not come."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import freeze
from ansible_collections.exchange.chaos.plugins.module_utils.host import cgroups
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres.wire import hear_first_byte

from tests.unit.cgroup_trees import Tree, tree
from tests.unit.containers import down, target

SITE = Site([], True)
FILES = {1: ("freezer.state", "THAWED", "FROZEN"), 2: ("cgroup.freeze", "0", "1")}


@pytest.fixture(params=[1, 2])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A host of either version; the code under test sees nothing but its trees."""
    made = tree(tmp_path, request.param)
    monkeypatch.setattr(cgroups.find_cgroup, "__kwdefaults__", {"root": made.root, "proc": made.proc})
    return made


def test_the_plan_names_the_file_of_the_version_and_its_way_back(host: Tree) -> None:
    name, running, frozen = FILES[host.version]
    planned = freeze.from_spec({"port": 5432}, [target()], SITE)
    assert planned.lines() == [
        f"freeze lab-postgres-1 (postgres): {name} {running} → {frozen}; undo: write back {name} {running}"
    ]
    undo = planned.undo()
    assert (undo["port"], undo["held"]) == (5432, True)
    assert undo["containers"][0]["before"] == {name: running}


def test_what_is_frozen_already_or_down_is_refused(host: Tree) -> None:
    name, _running, frozen = FILES[host.version]
    host.file(name).write_text(f"{frozen}\n")
    with pytest.raises(ChaosError, match=r"frozen already; thaw it with: docker unpause lab-postgres-1"):
        freeze.from_spec({}, [target()], SITE)
    with pytest.raises(ChaosError, match="not running"):
        freeze.from_spec({}, [down()], SITE)
    with pytest.raises(ChaosError, match="at least one container"):
        freeze.from_spec({}, [], SITE)


def test_wrong_arguments_are_told_before_any_host_is_asked() -> None:
    assert freeze.check({"id": "f", "hold_s": 5, "port": 5432}) == []
    assert "without a hold_s" in freeze.check({"id": "f"})[0]
    for port in (0, 70000, "x"):
        assert "must be from 1 to 65535" in freeze.check({"id": "f", "hold_s": 5, "port": port})[0]


@pytest.mark.parametrize(("says", "answer"), [(b"N", "N"), (b"S", "S"), (b"", "closed"), (None, "")])
def test_who_answers_is_told_from_who_does_not(says: bytes | None, answer: str) -> None:
    """``None``: the connection is taken by the kernel, and nobody accepts it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        port = server.getsockname()[1]

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(8)
                connection.sendall(says or b"")

        if says is not None:
            threading.Thread(target=serve, daemon=True).start()
        heard = hear_first_byte("127.0.0.1", port, 0.3)
    assert (heard["connected"], heard["answer"]) == (True, answer)
    closed = hear_first_byte("127.0.0.1", port, 0.3)
    assert (closed["connected"], closed["answer"]) == (False, "Connection refused")
