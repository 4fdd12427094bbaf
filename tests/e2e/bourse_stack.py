"""An exchange that the collection was not written against, as a compose project of its own. No tests.

FastAPI, PostgreSQL, HAProxy, and Redis under the name of a service `valkey`, all from Debian's packages: the base image
is made as the embedded exchange's is, and both are kept until `make lab-down`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.module.lab_stack import call, docker

FOLDER = Path(__file__).resolve().parent / "bourse"
ROOT = FOLDER.parents[2]
LAB = ROOT / "roles" / "lab"
PACKAGES = (
    "haproxy",
    "postgresql",
    "python3-asyncpg",
    "python3-fastapi",
    "python3-redis",
    "redis-server",
    "uvicorn",
)
SECRET = "a-clerks-secret"


@dataclass(frozen=True)
class Bourse:
    """Such an exchange, by its compose project's name."""

    project: str

    def container(self, service: str) -> str:
        """The name of a service's container."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        words = [word for label in labels for word in ("--filter", f"label={label}")]
        return docker("ps", "--all", "--format", "{{.Names}}", *words)

    def query(self, statement: str) -> list[str]:
        """Lines of what its database answers to a statement."""
        words = ("psql", "-p", "5544", "-U", "clerk", "-d", "bourse", "-Atqc", statement)
        return docker("exec", self.container("ledger"), *words).splitlines()

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until orders are taken behind the proxy."""
        until = time.monotonic() + seconds
        while True:
            address, _, port = docker("port", self.container("edge"), "8090/tcp").partition(":")
            if call(address, "GET", "/readyz", port=int(port), timeout=2).status == 200:
                return
            assert time.monotonic() < until, f"not ready within {seconds} s"
            time.sleep(0.2)


def load_of_role(name: str = "lab") -> Any:
    """A file of the role's own code on a host, such as that which makes images."""
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_role", LAB / "files" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def short_hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def make_image() -> str:
    """The exchange's image, made where it is not there yet: half a minute, once."""
    lab = load_of_role()
    known = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    maker = (LAB / "files" / "base_image.py").read_text()
    base = f"exchange-chaos-test-bourse-base:{short_hash(*PACKAGES, maker)}"
    sources = {path.name: path.read_text() for path in sorted(FOLDER.iterdir()) if path.is_file()}
    tag = f"exchange-chaos-test-bourse:{short_hash(base, *sources.values())}"
    if tag in known:
        return tag
    with tempfile.TemporaryDirectory() as folder:
        root, texts = Path(folder) / "root.tar", Path(folder) / "sources.json"
        if base not in known:
            load_of_role("base_image").make_root(root, list(PACKAGES))
        texts.write_text(json.dumps(sources))
        lab.image(str(texts), base, tag, root=str(root))
    return tag


def compose(project: str, image: str, *words: str) -> None:
    """Have compose do something with the project, whichever compose there is."""
    plugin = (
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    )
    program = ["docker", "compose"] if plugin else ["docker-compose"]
    done = subprocess.run(
        [*program, "--project-name", project, "--file", str(FOLDER / "compose.yml"), *words],
        env={**os.environ, "BOURSE_IMAGE": image}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@contextlib.contextmanager
def bourse() -> Iterator[Bourse]:
    """Give such an exchange, ready; nothing of it is left afterwards but its images."""
    if not shutil.which("apt-get"):
        pytest.skip("its image is made of Debian's packages, and this is no Debian")
    image, project = make_image(), f"bourse-{uuid.uuid4().hex[:6]}"
    try:
        compose(project, image, "up", "--detach")
        made = Bourse(project)
        made.wait_ready()
        yield made
    finally:
        compose(project, image, "down", "--volumes", "--timeout", "2")
