"""A registry of a test's own on loopback, with stand-ins for the public images the embedded exchange can be made of.

The stand-ins (public_images/) have Debian's programs, laid out as the public images are: entry points, environment,
users, volumes. The registry is Debian's docker-registry, a process of the test's. No tests.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import wheels

from tests.bench.debian_files import unpack_packages
from tests.e2e.support import ROOT, docker

FOLDER = Path(__file__).resolve().parent / "public_images"
LAB = ROOT / "roles" / "lab"
_CONFIG: dict[str, Any] = {
    "version": 0.1,
    "log": {"level": "error"},
    "storage": {"delete": {"enabled": False}},
}


@dataclass(frozen=True)
class Registry:
    """Such a registry: where it is, and what is in it by the role's names, as the role's variables name images."""

    address: str
    images: dict[str, dict[str, str]]


def public_images() -> dict[str, dict[str, str]]:
    """What the role asks a registry for."""
    return dict(yaml.safe_load((LAB / "vars" / "main" / "images.yml").read_text())["__lab_public_images"])


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """Give a registry with the stand-ins in it, each with its digest; neither it nor they are left afterwards."""
    with serving(folder) as address:
        images = {}
        for name, image in public_images().items():
            tag = f"{address}/{image['name']}:{image['tag']}"
            build(name, tag)
            docker("push", "--quiet", tag)
            digest = docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", tag).partition("@")[2]
            docker("rmi", tag)
            images[name] = {**image, "digest": digest}
        yield Registry(address, images)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run the registry on a free port of loopback, its images in ``folder``; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program = unpack_packages("docker-registry") / "usr" / "bin" / "docker-registry"
    config = folder / "registry.yml"
    storage = {**_CONFIG["storage"], "filesystem": {"rootdirectory": str(folder / "images")}}
    config.write_text(yaml.safe_dump({**_CONFIG, "storage": storage, "http": {"addr": address}}))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
    try:
        wait_until_it_answers(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def wait_until_it_answers(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the registry's first answer."""
    until = time.monotonic() + 20
    while True:
        assert process.poll() is None, "the registry ended"
        with (
            contextlib.suppress(urllib.error.URLError),
            urllib.request.urlopen(f"http://{address}/v2/", timeout=2),
        ):
            return
        assert time.monotonic() < until, "the registry does not answer"
        time.sleep(0.1)


def build(name: str, tag: str) -> None:
    """Build a stand-in on the base image that the embedded exchange was made on here."""
    base = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "exchange-chaos-lab-base").split()[0]
    done = subprocess.run(
        ["docker", "build", "--quiet", "--network", "none", "--tag", tag, "--build-arg", f"BASE={base}", "-"],
        input=context(FOLDER / name), capture_output=True, check=False, timeout=120,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def context(folder: Path) -> bytes:
    """A stand-in's files as a tar, with the wheel of pip that the one of Python has."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
        if folder.name == "python":
            (pip,) = (wheel for wheel in wheels.find_wheels(None) if wheel.name.startswith("pip-"))
            tar.add(pip, "pip.whl")
    return archive.getvalue()
