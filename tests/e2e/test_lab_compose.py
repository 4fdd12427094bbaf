"""Docker's compose plugin and docker-compose 1.29 both set the embedded exchange up, and take over from each other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.debian_files import unpack_packages
from tests.e2e import live, support

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]

VERSION = "com.docker.compose.version"
PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """A folder of the docker command's settings that has the plugin of Debian 13; afterwards all is as by default."""
    if os.geteuid() != 0:
        pytest.skip("the embedded exchange is set up as root")
    there = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    if there:
        pytest.skip("this machine has the plugin, so that its docker-compose is asked for nothing")
    settings = tmp_path / "docker"
    (settings / "cli-plugins").mkdir(parents=True)
    (settings / "cli-plugins" / "docker-compose").symlink_to(
        unpack_packages("docker-compose", release="trixie") / PLUGIN
    )
    try:
        yield settings
    finally:
        support.lab()


def composed_by() -> set[str]:
    """The versions of Compose that made the exchange's containers, but for their last numbers."""
    label = f'{{{{index .Config.Labels "{VERSION}"}}}}'
    services = (*live.SERVICES, "order-flow-simulator")
    return {support.docker("inspect", "--format", label, support.container(name))[:4] for name in services}


def test_each_sets_it_up_and_an_experiment_runs_on_it(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    with monkeypatch.context() as changed:
        changed.setenv("DOCKER_CONFIG", str(plugin))
        done = support.ansible("playbooks/lab.yml", lab_healthcheck_interval="3s")
        assert done.returncode == 0, done.stdout[-4000:]
        assert composed_by() == {"2.26"}
        live.ready()
        live.passed(support.EXPERIMENT, reports, **support.SHORT)
    support.lab()
    assert composed_by() == {"1.29"}
