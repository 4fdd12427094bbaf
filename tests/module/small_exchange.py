"""A small compose project from the lab's image with a trait that the embedded exchange does not have. No tests.

PostgreSQL, Redis and the trading API (more by name), found by compose's labels as any project's. What it is or does is
asked of the engine's own command and of PostgreSQL's own client, never of the code under test.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.module.lab_stack import CHAOS_USER, COMMANDS, LABEL, Answer, call, docker, lab_image

SERVICES = ("postgres", "redis", "trading-api")
_COMPOSE = "com.docker.compose"


@dataclass(frozen=True)
class SmallExchange:
    """Such a project; ``more`` are words of ``docker run`` by service."""

    image: str
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    project: str = field(default_factory=lambda: f"exchange-chaos-shape-{uuid.uuid4().hex[:8]}")
    database: str = "trading_db"
    #: by which PostgreSQL's own client finds it, as words of the environment
    client: Mapping[str, str] = field(default_factory=dict)

    def container(self, service: str) -> str:
        """The container of a service."""
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of a container."""
        described: dict[str, Any] = json.loads(docker("inspect", self.container(service)))[0]
        return described

    def address(self, service: str, network: str = "") -> str:
        """The container's address in a network, the project's own unless named."""
        networks = self.inspect(service)["NetworkSettings"]["Networks"]
        return str(networks[network or self.project]["IPAddress"])

    def published(self, service: str, port: int) -> int:
        """The host's port behind which a container's port is now."""
        bindings = self.inspect(service)["NetworkSettings"]["Ports"][f"{port}/tcp"]
        return int(bindings[0]["HostPort"])

    def run(self, service: str) -> None:
        """Start a container of a service."""
        user, command = COMMANDS[service]
        labels = (f"{_COMPOSE}.project={self.project}", f"{_COMPOSE}.service={service}", LABEL)
        docker(
            *("run", "--detach", "--name", self.container(service), "--network", self.project),
            *(word for label in (*labels, f"{_COMPOSE}.container-number=1") for word in ("--label", label)),
            *("--network-alias", service, "--hostname", service, "--user", user),
            *("--restart", "unless-stopped", "--dns", "127.0.0.1"),
            *("--dns-opt", "timeout:1", "--dns-opt", "attempts:1", "--dns-opt", "ndots:0"),
            *self.more.get(service, ()),
            *(self.image, "sh", "-c", f"exec {command}"),
        )

    def api(self, method: str, path: str, body: Any = None, *, timeout: float = 5) -> Answer:
        """Ask the API at its container's address."""
        return call(self.address("trading-api"), method, path, body, timeout=timeout)

    def query(self, statement: str, user: str = "postgres") -> list[str]:
        """Lines of what PostgreSQL answers to a statement."""
        words = ("psql", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", self.database, "-Atqc", statement)
        secret = {"PGPASSWORD": self.passwords[user]} if user in self.passwords else {}
        return self.execute("postgres", *words, **secret).splitlines()

    def execute(self, service: str, *words: str, **environment: str) -> str:
        """What a command in a service's container prints."""
        told = [f"--env={name}={value}" for name, value in {**self.client, **environment}.items()]
        return docker("exec", *told, self.container(service), *words)

    def wait_ready(self, seconds: float = 30) -> None:
        """Wait until the API says that it is ready."""
        until = time.monotonic() + seconds
        while self.api("GET", "/ready", timeout=1).status != 200:
            assert time.monotonic() < until, f"not ready within {seconds} s"
            time.sleep(0.05)

    def join(self, service: str, network: str) -> None:
        """Put a container in a further network of the project, which is made for it."""
        docker(
            "network", "create", "--label", LABEL, "--label", f"{_COMPOSE}.project={self.project}", network
        )
        docker("network", "connect", network, self.container(service))

    def key_by_id(self) -> None:
        """Make the exchange's schema anew with ``id`` as the key of its orders, where the lab's has ``order_id``."""
        self.rename_columns(order="id")

    def rename_columns(self, order: str, user: str = "user_id") -> None:
        """Make the exchange's schema anew with other names, as SQL takes them, for the ids of orders and users."""
        change = (
            f"sed -e 's/^    order_id  /    {order}  /' -e 's/\\.order_id/.{order}/g' -e 's/o (order_id,/o ({order},/' "
            f"-e 's/\\buser_id\\b/{user}/g' "
            "/opt/exchange/postgres/schema.sql | psql --quiet --username=postgres --dbname=trading_db "
            "--set=ON_ERROR_STOP=1 --single-transaction --command='DROP SCHEMA trading CASCADE' --file=-"
        )
        self.execute("postgres", "sh", "-ec", change)

    def add_second_table(self) -> None:
        """Make a table that looks like the one of orders, in another schema."""
        self.query(
            "CREATE SCHEMA desk; CREATE TABLE desk.orders (LIKE trading.orders); "
            "GRANT USAGE ON SCHEMA desk TO PUBLIC; GRANT SELECT ON desk.orders TO PUBLIC"
        )

    def rest(self, side: str, price: str, quantity: int = 100) -> str:
        """Put an order of another user in the book, by SQL alone, and return its id."""
        batch = json.dumps(
            [{"id": str(uuid.uuid4()), "user": self.other_user(), "side": side, "type": "LIMIT",
              "quantity": quantity, "price": float(price), "deadline": "2999-01-01"}]
        )  # fmt: skip
        (line,) = self.query(f"SET search_path = trading; SELECT * FROM place_orders('CHAOS', '{batch}')")
        return line.split("|")[0]

    def other_user(self) -> str:
        """A user who is not ours."""
        return self.query(f"SELECT user_id FROM trading.users WHERE user_id <> '{CHAOS_USER}' LIMIT 1")[0]

    def require_passwords(self, **passwords: str) -> None:
        """Give roles a password, and have PostgreSQL ask everybody for theirs, on its own socket, too."""
        for role, password in passwords.items():
            self.query(f"ALTER ROLE {role} PASSWORD '{password}'")
        rules = "local all all scram-sha-256\nhost all all all scram-sha-256\n"
        path = "/opt/exchange/postgres/pg_hba.conf"
        docker(
            "exec", "--user", "root", self.container("postgres"), "sh", "-ec", f"printf '{rules}' > {path}"
        )
        self.query("SELECT pg_reload_conf()")
        self.passwords.update(passwords)


@contextlib.contextmanager
def small_exchange(
    *, more: Mapping[str, Sequence[str]] | None = None, services: Sequence[str] = SERVICES
) -> Iterator[SmallExchange]:
    """Give such an exchange, ready and empty; nothing of it is left afterwards."""
    image = lab_image()
    if image is None:
        pytest.skip("the embedded exchange's image is not here; make lab makes it")
    made = SmallExchange(image, more or {})
    try:
        docker(
            "network",
            "create",
            "--label",
            LABEL,
            "--label",
            f"{_COMPOSE}.project={made.project}",
            made.project,
        )
        for service in services:
            made.run(service)
        made.wait_ready()
        docker("exec", made.container("postgres"), "/opt/exchange/postgres/empty")
        yield made
    finally:
        for service in services:
            words = ("docker", "rm", "--force", "--volumes", made.container(service))
            subprocess.run(words, capture_output=True, check=False)
        words = ("network", "ls", "--quiet", "--filter", f"label={_COMPOSE}.project={made.project}")
        for network in docker(*words).split():
            subprocess.run(["docker", "network", "rm", network], capture_output=True, check=False)
