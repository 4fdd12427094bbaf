# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process id from the engine is somebody's number until the kernel says whose."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host import consent, netns

from tests.unit.containers import target

ID = "c" * 64


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(consent, "PROC", tmp_path)
    for pid, of in ((7, ID), (8, "d" * 64), (9, "user.slice")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text(f"0::/system.slice/docker-{of}.scope\n")
    return tmp_path


def test_the_containers_own_process_is_believed(proc: Path) -> None:
    consent.require_own_process(
        replace(target(), id=ID, pid=7, running=True), lambda _id: pytest.fail("asked again")
    )
    consent.require_own_process(replace(target(), id=ID, pid=0, running=False), lambda _id: None)


@pytest.mark.parametrize("pid", [8, 9, 4_000_000])
def test_somebody_elses_number_is_refused_in_one_sentence(proc: Path, pid: int) -> None:
    container = replace(target(), id=ID, pid=pid, running=True)
    with pytest.raises(
        ChaosError, match=rf"process {pid}, but on this host .* Run on the engine's own host, or in its PID"
    ):
        consent.require_own_process(container, lambda _id: container)


def test_a_container_that_was_started_anew_meanwhile_is_looked_at_again(proc: Path) -> None:
    container = replace(target(), id=ID, pid=9, running=True)
    consent.require_own_process(container, lambda _id: replace(container, pid=7))
    consent.require_own_process(container, lambda _id: None)


def test_the_hosts_own_network_namespace_is_never_entered() -> None:
    """Such as by a number that the kernel gave to a process of the host meanwhile."""
    with pytest.raises(ChaosError, match="lives in this host's own network namespace"):
        netns.call_inside(os.getppid(), netns.read_netns_number, os.getpid())
