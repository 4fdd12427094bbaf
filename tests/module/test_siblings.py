# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Five hosts of one wave in their windows: when one is aborted, the others stop within the bound the plan prints."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import waves

from tests.module import core_support
from tests.module.core_support import ROOT, Host, wait_for

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(180),
]
PLAYBOOK = ROOT / "tests/unit/data/playbooks/fleet/window.yml"
NAMES = [f"h{number}" for number in range(1, waves.PASS_HOSTS + 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [f"{name} ansible_connection=local" for name in NAMES]
    (tmp_path / "hosts").write_text(
        "\n".join(
            ["[exchange]", *lines, "[exchange:vars]", f"ansible_python_interpreter={sys.executable}", ""]
        )
    )
    return tmp_path


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    """The second host is a real one: watchdogs, and a container that a fault holds down."""
    with core_support.project() as project:
        real = Host(project, folder / NAMES[1])
        project.up("store")
        yield real
        real.clear()


def events(run: RunDir, name: str) -> list[dict[str, Any]]:
    return [event for event in RunDir(run.path).read_timeline() if event["event"] == name]


def test_an_abort_reaches_the_siblings_within_the_bound(host: Host, folder: Path) -> None:
    runs = {
        name: host.open() if name == NAMES[1] else Host(host.project, folder / name).inert() for name in NAMES
    }
    host.kill(fault="outage", mode="engine", hold=True, ttl=120)
    store = f"{host.project.name}-store-1"
    assert host.project.running(store) is None
    play = subprocess.Popen(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "hosts"), str(PLAYBOOK),
         "-e", f"folder={folder}"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "default"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        # the second slice of each host has begun: each is amid its window
        wait_for(lambda: all(len(events(run, "waited")) >= 1 for run in runs.values()), 40)
        first = runs[NAMES[0]].write_event("aborted", reason="error_ratio is 0.9", by="guard")["t"]
        wait_for(lambda: all(events(run, "aborted") for run in runs.values()), 20)
        back = wait_for(lambda: host.project.running(store), 10) and time.clock_gettime(time.CLOCK_BOOTTIME)
        said = play.communicate(timeout=60)[0]
    finally:
        play.kill()
    assert play.returncode == 0, said
    late = {name: events(run, "aborted")[0]["t"] - first for name, run in runs.items()}
    print(f"siblings aborted after {late}, the container ran again after {back - first:.2f} s")
    bound = waves.SLICE_S + waves.PASS_S
    assert max(late.values()) <= bound, late
    assert back - first <= bound + 1, (
        "undone by the host's watchdog at once (the container's own start on top)"
    )
    for name in NAMES[1:]:
        (event,) = events(runs[name], "aborted")
        assert event["by"] == "sibling"
        assert event["reason"] == "h1, of the same wave, was aborted: error_ratio is 0.9"
    assert 'h1 hears: "' in said, "its own abort is none to stop for"
    assert all(f"{name} hears: h1, of the same wave, was aborted" in said for name in NAMES[1:])
    undone = wait_for(lambda: [line for line in host.journal(runs[NAMES[1]]) if line["entry"] == "undone"])
    assert [line["by"] for line in undone] == ["sibling"]
