# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in real containers, asked by busybox's own resolver: refused, unanswered, late, one alone; and given back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Applied, Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import resolve
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms.resolver import (
    process,
    sampling,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry

from tests.module import core_support
from tests.module.core_support import Host, wait_for

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]


class Stage:
    """A service ``api`` that asks for ``store`` and ``cache``, and a fault on its resolver."""

    def __init__(self, host: Host, **arguments: Any) -> None:
        for service in ("api", "store", "cache"):
            # the engine's resolver knows a container by its aliases; compose gives it the service's name
            made = host.project.up(service)
            host.project.network().disconnect(made)
            host.project.network().connect(made, aliases=[service])
        self.run: RunDir = host.inert()
        self.engine = DockerEngine.connect()
        self.fault = {"id": "names", "kind": "resolve", "target": "api", "window_s": 20, **arguments}
        self.scene = Scene(self.run, self.engine)
        self.api = self.engine.container(host.project.name, "api")
        planned = resolve.from_spec(self.fault, [self.api], Site([self.api], True, self.engine))
        now = clock.read()
        self.entry = Entry(1, "names", "resolve", "api", planned.lines(), planned.undo(), now + 20, now)
        self.planned = planned

    def apply(self) -> Applied:
        done = resolve.apply(self.planned, self.entry, self.scene)
        vars(self.entry)["facts"] = done.facts
        vars(self.entry)["applied_at"] = done.at
        return done

    def ask(self, name: str) -> tuple[bool, float]:
        """Whether busybox resolves a name inside the container, and the seconds it took."""
        began = time.monotonic()
        code, _said = self.engine.execute(self.api.id, ["/bin/busybox", "nslookup", name, "127.0.0.11"])
        return code == 0, time.monotonic() - began


@contextmanager
def stage(host: Host, **arguments: Any) -> Iterator[Stage]:
    made = Stage(host, **arguments)
    try:
        yield made
    finally:
        resolve.undo(made.entry, made.scene)


def test_no_name_resolves_and_then_all_do(host: Host) -> None:
    with stage(host) as made:
        assert resolve.trial(made.fault, [made.api], Site([made.api], True, made.engine)) == "ok"
        assert made.ask("store")[0]
        done = made.apply()
        required = {proof.name: proof.holds for proof in done.proofs}
        assert required == {"answer": True, "kept": True}
        found, took = made.ask("store")
        assert not found
        assert took < 4, "refused at once"
        ended = resolve.in_force(made.entry, made.scene)
        assert [(proof.name, proof.holds) for proof in ended] == [
            ("answer_at_end", True),
            ("keeping", True),
            ("", True),
        ]
        assert (ended[-1].share or 0) > 0.95
        how = resolve.undo(made.entry, made.scene)
        assert "the process that answered was ended" in how
        assert made.ask("store")[0]
        assert "nothing was left of it" in resolve.undo(made.entry, made.scene)


@pytest.mark.full
def test_one_name_is_unanswered_and_the_others_resolve(host: Host) -> None:
    with stage(host, answer="nothing", name="store") as made:
        done = made.apply()
        assert all(proof.holds for proof in done.proofs)
        assert not made.ask("store")[0]
        assert made.ask("cache")[0]


@pytest.mark.full
def test_late_is_late_and_true(host: Host) -> None:
    with stage(host, answer="late", delay_ms=600) as made:
        done = made.apply()
        assert all(proof.holds for proof in done.proofs), done.proofs
        found, took = made.ask("store")
        assert found
        assert took >= 0.6


def test_when_the_process_is_killed_the_undo_still_gives_names_back(host: Host) -> None:
    with stage(host) as made:
        made.apply()
        entry = processes.living_process(made.run, process.COMMAND)
        assert entry is not None
        os.kill(int(entry["pid"]), signal.SIGKILL)
        wait_for(lambda: processes.living_process(made.run, process.COMMAND) is None)
        assert not made.ask("store")[0], "the table drops, and nobody answers"
        assert resolve.in_force(made.entry, made.scene)[0].holds is False
        assert "deleted" in resolve.undo(made.entry, made.scene)
        assert made.ask("store")[0]


@pytest.mark.full
def test_a_container_that_was_started_anew_has_its_resolver(host: Host) -> None:
    with stage(host) as made:
        made.apply()
        made.engine.restart(made.api.id)
        assert "undone by replacement" in resolve.undo(made.entry, made.scene)
        assert made.ask("store")[0]


@pytest.mark.full
def test_what_is_asked_is_counted_with_its_answers(host: Host) -> None:
    with stage(host) as made:
        sampling.start_sampling(made.run, ["api"])
        time.sleep(1.5)
        made.ask("store")
        time.sleep(1.5)
        made.apply()
        made.ask("store")
        time.sleep(1.5)
        seconds = made.run.read_timeline().measured("names")
        answers = [code for one in seconds for code in one["answers"]]
        assert sum(one["value"] for one in seconds) >= 2
        assert "SERVFAIL" in answers
        assert any("store" in one["asked"] for one in seconds)
        assert not any("api" in one["asked"] for one in seconds), "our own questions are not the service's"
