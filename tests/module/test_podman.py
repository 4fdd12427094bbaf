"""A real Podman behind the socket, as `podman system service` answers: everything that asks an engine refuses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine

from tests.bench.debian_files import unpack_packages
from tests.e2e.bourse_stack import load_of_role

pytestmark = [pytest.mark.full, pytest.mark.timeout(120)]

PACKAGES = ("podman", "conmon", "libgpgme11", "libsubid4")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Podman's socket: its service runs from a folder, keeps all that is its own in another, and is ended."""
    if os.geteuid() != 0:
        pytest.skip("Podman's service for the whole machine runs as root")
    root, folder = unpack_packages(*PACKAGES), tmp_path_factory.mktemp("podman")
    path = folder / "podman.sock"
    environment = {
        **os.environ,
        "HOME": str(folder),
        "LD_LIBRARY_PATH": str(root / LIBRARIES),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
    }
    conmon, runtime = root / "usr" / "bin" / "conmon", shutil.which("runc") or "/usr/sbin/runc"
    (folder / "containers.conf").write_text(
        f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nconmon_path = ["{conmon}"]\n'
        f'runtime = "{runtime}"\n'
    )
    places = ("--root", folder / "store", "--runroot", folder / "run", "--tmpdir", folder / "tmp")
    locks = Path("/dev/shm/libpod_lock")
    had_locks = locks.exists()
    with (folder / "podman.log").open("wb") as log:
        process = subprocess.Popen(
            [root / "usr/bin/podman", *places, "--storage-driver", "vfs", "system", "service", "--time", "0",
             f"unix://{path}"],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until = time.monotonic() + 20
        while not path.exists():
            assert process.poll() is None, (folder / "podman.log").read_text()
            assert time.monotonic() < until, "Podman's socket does not appear"
            time.sleep(0.1)
        yield path
    finally:
        process.terminate()
        process.wait(10)
        if not had_locks:
            locks.unlink(missing_ok=True)


def test_the_engine_s_first_question_refuses_podman(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    with pytest.raises(ChaosError) as refused:
        DockerEngine.connect()
    assert str(refused.value) == (
        f"The socket {socket} belongs to Podman, and experiments work with a Docker engine alone: run the exchange in "
        "one (Debian: docker.io; Red Hat: docker-ce), or point DOCKER_HOST at its socket."
    )


def test_the_embedded_exchange_is_not_set_up_on_podman(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = load_of_role()
    monkeypatch.setattr(lab, "SOCKET", f"unix://{socket}")
    with pytest.raises(
        lab.LabError, match=f"^{socket} on this host belongs to Podman, but the embedded exchange"
    ):
        lab.missing([])


def test_the_command_docker_may_be_podman_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the package podman-docker has it: a script that runs podman, which says so."""
    shim = tmp_path / "docker"
    shim.write_text(f'#!/bin/sh\nexec env LD_LIBRARY_PATH={unpack_packages(*PACKAGES)}/{LIBRARIES} '
                    f'{unpack_packages(*PACKAGES)}/usr/bin/podman "$@"\n')  # fmt: skip
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lab = load_of_role()
    with pytest.raises(lab.LabError, match=f"^{shim} on this host is Podman's"):
        lab.missing([])
