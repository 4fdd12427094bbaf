# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How containers may be made otherwise: restarts, file systems, first processes, logs, names, neighbours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.module.lab_stack import COMMANDS, LABEL, docker
from tests.shapes.project import PLAYED, Difference, Shaped
from tests.shapes.trait import Trait, require_right

pytestmark = pytest.mark.timeout(240)
QUICK = ("restart always", "init")
OTHERS = 40
#: A user by number alone, whom the image has no name for.
NOBODY = "4711:4711"
#: A service whose name compose takes, and every command takes for an option of its own; and one no compose has.
OPTION, UNICODE = "--privileged", "Börse–кэш"


def policy(service: str, name: str, most: int = 0) -> Callable[[Shaped], bool]:
    """Whether a service is started again by the engine, as the engine has it."""
    wanted = {"Name": name, "MaximumRetryCount": most}
    return lambda exchange: exchange.inspect(service)["HostConfig"]["RestartPolicy"] == wanted


def run_beside(
    exchange: Shaped, name: str, service: str, command: str, *more: str, project: str = ""
) -> None:
    """Run, or create, a container by hand, with compose's labels of a service."""
    labels = {"project": project or exchange.project, "service": service, "container-number": "2"}
    words = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
    docker(*more, "--name", name, "--label", LABEL, *words, exchange.image, "sh", "-c", command)


def start_others(exchange: Shaped) -> None:
    """Start many containers of another project, whose services are called as this one's are."""
    for number in range(OTHERS):
        service, other = list(COMMANDS)[number % 3], f"{exchange.project}-other"
        run_beside(
            exchange, f"{other}-{number}", service, "sleep 600", "run", "-d", "--network=none", project=other
        )


def remove_others(exchange: Shaped) -> None:
    """Take them away again."""
    other = f"label=com.docker.compose.project={exchange.project}-other"
    docker("rm", "--force", *docker("ps", "--all", "--quiet", "--filter", other).split())


def add_odd_ones(exchange: Shaped) -> None:
    """A cache whose service is called as no compose file would have it, and a second one that nobody started."""
    run = ("run", "-d", f"--network={exchange.project}", "--network-alias=other-cache", "--user=redis")
    run_beside(exchange, f"{exchange.project}-odd", UNICODE, f"exec {COMMANDS['redis'][1]}", *run)
    run_beside(exchange, f"{exchange.project}-second", "redis", "exit 0", "create")


def told(word: str, container: str) -> Callable[[Shaped], object]:
    """What somebody did to a container by hand."""
    return lambda made: docker(word, f"{made.project}-{container}")


def is_status(container: str, status: str) -> Callable[[Shaped], bool]:
    """Whether the engine says so of a container."""
    return lambda made: docker("inspect", "-f", "{{.State.Status}}", f"{made.project}-{container}") == status


EXCHANGES = {
    "made otherwise": Difference(
        {
            "postgres": {"restart": "always", "init": True},
            "redis": {"restart": "no"},
            "trading-api": {
                "restart": "on-failure:3",
                "read_only": True,
                "logging": {"driver": "none"},
                "init": True,
            },
            "api-many": {"like": "trading-api", "container_name": None, "hostname": None, "scale": 3},
        },
        {"version": "2.4"},
    ),
    "named otherwise": Difference(
        {
            "postgres": {"networks": {"default": {"aliases": ["db.internal"]}}},
            "redis": {"user": NOBODY},
            "trading-api": {"environment": {"DATABASE_HOST": "db.internal"}, "user": NOBODY},
            "trading_api": {"like": "trading-api", "container_name": "{project}.API_2", "hostname": None},
        }
    ),
    "with odd ones": Difference(
        {OPTION: {"like": "redis", "container_name": "{project}-option"}}, change=add_odd_ones
    ),
}
MANY = "com.docker.compose.service=api-many"

TRAITS = {
    "restart always": Trait("made otherwise", policy("postgres", "always"), possible=(1, 10)),
    "restart on-failure": Trait("made otherwise", policy("trading-api", "on-failure", 3), possible=(3, 10)),
    "restart no": Trait(
        "made otherwise", policy("redis", "no"), possible=(7, 10),
        says=r"07 Redis cache failure ⚠ degraded Fault crash: \S+-redis-1 has restart policy no, so the run starts it",
    ),
    "init": Trait(
        "made otherwise", lambda made: made.inspect("trading-api")["HostConfig"]["Init"], possible=(1, 3, 12, 16),
        says=r"(?s)^(?!.*trading-api-1 does not listen to SIGTERM)",
    ),
    "a read-only root": Trait(
        "made otherwise", lambda made: made.inspect("trading-api")["HostConfig"]["ReadonlyRootfs"], possible=(2, 3, 4)
    ),
    "another name for the database": Trait(
        "named otherwise", lambda made: "db.internal" in made.execute("trading-api", "printenv", "DATABASE_HOST"),
        possible=(2, 9, 14),
    ),
    "a user that is a number": Trait(
        "named otherwise", lambda made: made.execute("redis", "id", "-u") == NOBODY.partition(":")[0],
        possible=(1, 3, 7),
    ),
    "names with capitals, dots and underscores": Trait(
        "named otherwise",
        lambda made: docker("inspect", "-f", "{{.State.Running}}", f"{made.project}.API_2") == "true",
        given={"chaos_services": {**PLAYED, "api": "trading_api"}}, possible=(1, 2, 3, 16),
    ),
    "no logs": Trait(
        "made otherwise", lambda made: made.inspect("trading-api")["HostConfig"]["LogConfig"]["Type"] == "none",
        possible=(1, 3),
    ),
    "no health check": Trait(
        "made otherwise", lambda made: "Health" not in made.inspect("postgres")["State"], possible=(1, 10)
    ),
    "three replicas": Trait(
        "made otherwise",
        lambda made: len(docker("ps", "-q", "--filter", f"label=com.docker.compose.project={made.project}",
                                "--filter", f"label={MANY}").split()) == 3,
        given={"chaos_services": {**PLAYED, "api": "api-many"}, "chaos_replicas": "all"}, possible=(2, 3, 9, 16),
    ),
    "a paused service": Trait(
        "with odd ones", is_status("redis-1", "paused"), possible=(7,),
        make=told("pause", "redis-1"), refused="is paused; wake it first", command=r"docker unpause \S+",
    ),
    "a second container that never started": Trait(
        "with odd ones", is_status("second", "created"), possible=(7,),
        warned="was never started and is left out", command=r"docker rm \S+",
    ),
    "a service that is down": Trait(
        "with odd ones", is_status("nginx-1", "exited"), possible=(8,), make=told("stop", "nginx-1"),
        refused="is exited, but must run before the experiment", command=r"docker start \S+",
    ),
    "a service called as an option is": Trait(
        "with odd ones", is_status("option", "exited"), possible=(7,), make=told("stop", "option"),
        given={"chaos_services": {**PLAYED, "cache": OPTION}},
        refused="is exited, but must run before the experiment", command=r"docker start \S+",
    ),
    "a service whose name no compose file has": Trait(
        "with odd ones", is_status("odd", "running"), possible=(7,),
        given={"chaos_services": {**PLAYED, "cache": UNICODE}},
    ),
    "forty other containers": Trait(
        "with odd ones", lambda made: len(docker("ps", "-q").split()) > OTHERS, given={"chaos_discover": True},
        make=start_others, unmake=remove_others,
    ),
    "processes that are not ours to see": Trait(
        "with odd ones", is_status("postgres-1", "running"), possible=(1, 2),
        through=("unshare", "--pid", "--fork", "--mount-proc"), refused="Run on the engine's own host",
    ),
}  # fmt: skip


def test_a_trait_works_or_is_refused_with_what_helps(trait: Trait, exchange: Shaped, tmp_path: Path) -> None:
    require_right(trait, exchange, tmp_path)
