# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose projects of the embedded exchange's image, each with a small difference that is data. No tests.

A difference is what a compose file would say of it, laid over the embedded exchange's services: a mapping is merged,
any other value replaces, and None takes away. A service may be like another one (``like``) but for its own words.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.module.lab_stack import COMMANDS, LABEL, docker, lab_image
from tests.module.small_exchange import SmallExchange

#: The programs by which the embedded exchange's API becomes like others; each container finds them here.
IMAGE = Path(__file__).resolve().parent / "image"
PLAYED = {"database": "postgres", "cache": "redis", "api": "trading-api", "proxy": "nginx"}
STARTED = ("postgres", "redis", "trading-api", "market-simulator", "nginx")


def nothing(exchange: Shaped) -> None:
    """All that is different is in the compose file."""


@dataclass(frozen=True)
class Difference:
    """What is unlike the embedded exchange: words of its compose file, and what is done once it runs.

    services, top: laid over the file's services, and over the rest of it. prepare: makes files in ``{folder}``, which
    all containers have as /opt/shape; ``{project}`` is the project's name.
    """

    services: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda folder: None
    change: Callable[[Shaped], None] = nothing
    #: services that are made, and not started
    waiting: tuple[str, ...] = ()
    #: the database that the exchange uses
    database: str = "trading_db"
    #: words of the environment by which PostgreSQL's own client finds it, in there
    client: Mapping[str, str] = field(default_factory=dict)
    #: gives the engine it runs in, with the image
    engine: Callable[[str], AbstractContextManager[None]] = contextlib.nullcontext


@dataclass(frozen=True)
class Shaped(SmallExchange):
    """Such a project; its files lie in ``folder``."""

    folder: Path = Path()

    def compose(self, *words: str) -> None:
        """Have compose do something with the project, whichever compose there is."""
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        program = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
        done = subprocess.run(
            [*program, "--project-name", self.project, "--file", str(self.folder / "compose.json"), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "COMPOSE_IGNORE_ORPHANS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]


def lay_over(known: Any, other: Any) -> Any:
    """Return a value with another laid over it."""
    if not isinstance(known, Mapping) or not isinstance(other, Mapping):
        return copy.deepcopy(other)
    both = {key: lay_over(known.get(key), value) for key, value in other.items() if value is not None}
    return {**{key: value for key, value in known.items() if key not in other}, **both}


def describe_service(image: str, project: str, name: str, like: str) -> dict[str, Any]:
    """Return what the compose file says of a service of the embedded exchange, as ``name``."""
    user, command = COMMANDS[like]
    return {
        "image": image,
        "container_name": f"{project}-{name}-1",
        "hostname": name,
        "user": user,
        "command": ["sh", "-c", f"exec {command}"],
        "restart": "unless-stopped",
        "environment": {"PYTHONPATH": "/opt/shapes:/opt/exchange", "DATABASE_POOL": "3"},
        "dns": ["127.0.0.1"],
        "dns_opt": ["timeout:1", "attempts:1", "ndots:0"],
        "labels": {LABEL: "1"},
        "stop_grace_period": "1s",
        "volumes": [f"{IMAGE}:/opt/shapes:ro", "{folder}:/opt/shape:ro"],
    }


def write_compose(difference: Difference, image: str, project: str, folder: Path) -> dict[str, Any]:
    """Return the compose file of the embedded exchange with a difference."""
    services: dict[str, Any] = {**{name: {} for name in STARTED}, **difference.services}
    written = {}
    for name, words in services.items():
        if words is None:
            continue
        own = {key: value for key, value in words.items() if key != "like"}
        like = describe_service(image, project, name, str(words.get("like", name)))
        written[name] = lay_over(like, own)
    networks = {"default": {"name": project, "labels": {LABEL: "1"}}}
    described = lay_over({"version": "3.7", "services": written, "networks": networks}, difference.top)
    filled = json.dumps(described).replace("{folder}", str(folder)).replace("{project}", project)
    return dict(json.loads(filled))


@contextlib.contextmanager
def shaped(difference: Difference, folder: Path) -> Iterator[Shaped]:
    """Give the project, ready and empty; nothing of it is left afterwards."""
    image = lab_image()
    if image is None:
        pytest.skip("the embedded exchange's image is not here; make lab makes it")
    made = Shaped(image, folder=folder, client=difference.client, database=difference.database)
    folder.chmod(0o755)
    difference.prepare(folder)
    described = write_compose(difference, image, made.project, folder)
    (folder / "compose.json").write_text(json.dumps(described, indent=1))
    with difference.engine(image):
        try:
            start(made, difference, [*described["services"]])
            yield made
        finally:
            remove(made)
        assert not docker("ps", "--quiet", "--all", "--filter", f"name={made.project}")


def start(made: Shaped, difference: Difference, services: Sequence[str]) -> None:
    """Start it, wait until it is ready, and make what is different once it runs."""
    begun = [name for name in services if name not in difference.waiting]
    made.compose("up", "--detach", "--no-deps", *begun)
    if difference.waiting:
        made.compose("up", "--no-start", "--no-deps", *difference.waiting)
    try:
        made.wait_ready(60)
    except AssertionError as error:
        raise AssertionError(
            f"{error}: {docker('logs', '--tail', '5', made.container('trading-api'))}"
        ) from None
    made.execute("postgres", "/opt/exchange/postgres/empty")
    difference.change(made)


def remove(exchange: Shaped) -> None:
    """Take away all containers and networks of the project, whoever made them."""
    ours = ("--filter", f"label=com.docker.compose.project={exchange.project}")
    for words, away in (
        (("ps", "--all"), ("rm", "--force", "--volumes")),
        (("network", "ls"), ("network", "rm")),
        (("volume", "ls"), ("volume", "rm", "--force")),
    ):
        found = docker(*words, "--quiet", *ours).split()
        if found:
            subprocess.run(["docker", *away, *found], capture_output=True, check=False)
