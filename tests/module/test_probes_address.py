# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that comes back at another address: the TCP probe must find it there, and soon."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes

from tests.module.load_api import load_spec, make_run, wait_for

pytestmark = pytest.mark.alone

PROJECT = f"exchange-chaos-test-{os.getpid()}"


def docker(*argv: str) -> str:
    return subprocess.run(["docker", *argv], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def network() -> Iterator[str]:
    """A network of our own; whatever runs in it goes with it."""
    try:
        DockerEngine.connect()
    except ChaosError as error:
        pytest.skip(str(error))
    docker("network", "create", PROJECT)
    yield PROJECT
    left = docker("ps", "-aq", "--filter", f"network={PROJECT}").split()
    if left:
        docker("rm", "-f", *left)
    docker("network", "rm", PROJECT)


def redis(network: str, service: str) -> str:
    image = docker(
        "inspect",
        "-f",
        "{{.Image}}",
        docker("ps", "-q", "--filter", "label=com.docker.compose.service=redis").split()[0],
    )
    labels = [
        f"--label=com.docker.compose.{name}={value}"
        for name, value in (("project", PROJECT), ("service", service))
    ]
    command = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
    return docker("run", "-d", "--network", network, *labels, image, *command)


def address(container: str) -> str:
    return docker(
        "inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{PROJECT}").IPAddress}}}}', container
    )


def test_the_probe_follows_a_container_to_its_new_address(network: str, tmp_path: Path) -> None:
    if not docker("ps", "-q", "--filter", "label=com.docker.compose.service=redis"):
        pytest.skip(
            "no container of a service redis runs here to take the image from; make lab brings one up"
        )
    cache = redis(network, "cache")
    probe: dict[str, Any] = {
        "name": "cache",
        "kind": "tcp",
        "service": "cache",
        "port": 6379,
        "rate": 10,
        "fault_rate": 100,
    }
    run = make_run(tmp_path / "run", load_spec("http://127.0.0.1:1"), [probe], project=PROJECT)
    processes.start_process(run, "probes")
    try:
        wait_for(lambda: any(line["ok"] for line in jsonl.read_lines(run.file("probes.jsonl"))))
        run.write_event("fault_imminent", fault="crash", kind="kill")
        first = address(cache)
        time.sleep(0.3)
        docker("kill", cache)
        killed = clock.read()
        redis(network, "squatter")  # takes the address that just became free
        docker("start", cache)
        started = clock.read()
        assert address(cache) != first
        time.sleep(1)
    finally:
        processes.stop_process(run, "probes")
    lines = jsonl.read_lines(run.file("probes.jsonl"))
    down = [line for line in lines if not line["ok"]]
    assert down, "the outage was not seen"
    assert {line["kind"] for line in down} <= {"refused", "timeout", "other", "reset"}
    assert any(line["kind"] == "timeout" for line in down if line["at"] > killed) or started - killed < 0.5
    good = [line for line in lines if line["ok"] and line["at"] > down[-1]["at"]]
    assert len(good) > 50
