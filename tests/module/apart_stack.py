"""An exchange whose database is no service of its compose project: a container apart, known by its address alone.

To the API's container it is what a database on another host is. Two engines would show no more of it, and the bench
has them for the rest.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.module.lab_stack import COMMANDS, LABEL, call, docker, lab_image

SERVICES = ("redis", "trading-api", "market-simulator", "nginx")
_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"


@dataclass(frozen=True)
class Apart:
    """Such an exchange by its compose project's name, and its database by a container's."""

    project: str
    image: str

    @property
    def database(self) -> str:
        """The database's container."""
        return f"{self.project}-elsewhere"

    def container(self, service: str) -> str:
        """The container of a service."""
        return f"{self.project}-{service}-1"

    def address(self, container: str) -> str:
        """A container's address in the project's network."""
        found: dict[str, Any] = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"]
        return str(found[self.project]["IPAddress"])

    def pid(self, service: str) -> int:
        """The main process of a service's container, on this machine."""
        return int(docker("inspect", "--format", "{{.State.Pid}}", self.container(service)))

    def run(self, container: str, kind: str, *words: str) -> None:
        """Start a container of the exchange's image."""
        user, command = COMMANDS[kind]
        docker(
            *("run", "--detach", "--name", container, "--label", LABEL, "--network", self.project),
            *("--user", user, "--restart", "unless-stopped", "--dns", "127.0.0.1", *words),
            *("--dns-opt", "timeout:1", "--dns-opt", "attempts:1", "--dns-opt", "ndots:0"),
            *(self.image, "sh", "-c", f"exec {command}"),
        )

    def query(self, statement: str, user: str = "trading_user") -> list[str]:
        """Ask the database by its own client, which shares no code with ours."""
        words = ("psql", "-U", user, "-d", "trading_db", "-Atc", statement)
        return docker("exec", self.database, *words).splitlines()

    def wait_ready(self, seconds: float = 30) -> None:
        """Wait until the API says that it is ready."""
        until = time.monotonic() + seconds
        while call(self.address(self.container("trading-api")), "GET", "/ready", timeout=1).status != 200:
            assert time.monotonic() < until, f"not ready within {seconds} s"
            time.sleep(0.05)


@contextlib.contextmanager
def apart() -> Iterator[Apart]:
    """Give such an exchange, ready; nothing of it is left afterwards."""
    image = lab_image()
    if image is None:
        pytest.skip("the embedded exchange's image is not here; make lab makes it")
    made = Apart(f"between-{uuid.uuid4().hex[:8]}", image)
    try:
        docker("network", "create", "--label", LABEL, made.project)
        made.run(made.database, "postgres")
        for service in SERVICES:
            labels = (f"{_PROJECT}={made.project}", f"{_SERVICE}={service}", f"{_NUMBER}=1")
            made.run(
                made.container(service),
                service,
                *(word for label in labels for word in ("--label", label)),
                *("--network-alias", service, "--hostname", service),
                *("--env", f"DATABASE_HOST={made.address(made.database)}"),
            )
        made.wait_ready()
        docker("exec", made.database, "/opt/exchange/postgres/empty")
        yield made
    finally:
        for container in (*map(made.container, SERVICES), made.database):
            words = ("docker", "rm", "--force", "--volumes", container)
            subprocess.run(words, capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", made.project], capture_output=True, check=False)
