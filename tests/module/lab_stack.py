"""A small exchange of a test's own: PostgreSQL, Redis and the trading API from the lab's image, in a network of theirs.

What a test kills here is missed by nobody, and each test can have its own weaknesses switched on.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LABEL = "exchange-chaos.test-stack"
# How each service is started: user, command.
COMMANDS = {
    "postgres": ("postgres", "/opt/exchange/postgres/start"),
    "redis": ("redis", "redis-server --bind 0.0.0.0 --protected-mode no --save ''"),
    "trading-api": ("nobody", "python3 -m exchange_lab.trading_api"),
    "market-simulator": ("nobody", "python3 -m exchange_lab.market_simulator"),
    "order-flow-simulator": ("nobody", "python3 -m exchange_lab.order_flow_simulator"),
    "nginx": ("root", "/etc/nginx/start"),
}
CHAOS_USER = "c4a05000-0000-4000-8000-000000000001"


def docker(*words: str) -> str:
    """Output of a docker command; CalledProcessError if it fails."""
    done = subprocess.run(
        ["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def lab_image() -> str | None:
    """The image of the exchange that is up here, if one is; None without an engine, too."""
    words = (
        "ps",
        "--filter",
        "label=com.docker.compose.project=exchange-chaos-lab",
        "--format",
        "{{.Image}}",
    )
    try:
        names = docker(*words).split()
    except (OSError, subprocess.CalledProcessError):
        return None
    return names[0] if names else None


@dataclass(frozen=True)
class Answer:
    """What came back: status 0 when nothing did, with the reason as the body."""

    status: int
    body: Any
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def call(
    host: str, method: str, path: str, body: Any = None, *, port: int = 8080, timeout: float = 5
) -> Answer:
    """One HTTP request on a connection of its own; never raises."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(
            method, path, body=body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
        )
        response = connection.getresponse()
        text = response.read().decode()
        status = response.status
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, repr(error), began, time.monotonic())
    finally:
        connection.close()
    with contextlib.suppress(ValueError):
        return Answer(status, json.loads(text), began, time.monotonic())
    return Answer(status, text, began, time.monotonic())


def order(number: int = 0, *, side: str = "SELL", **fields: Any) -> dict[str, Any]:
    """A valid limit order whose price carries a number in its decimals."""
    body = {"user_id": CHAOS_USER, "symbol": "CHAOS", "side": side, "type": "LIMIT", "quantity": 1}
    return {**body, "price": f"100.{number:08d}", **fields}


@dataclass(frozen=True)
class Stack:
    """One such exchange, by the common part of its containers' names."""

    name: str

    def container(self, service: str) -> str:
        return f"{self.name}-{service}"

    def inspect(self, service: str) -> dict[str, Any]:
        described: dict[str, Any] = json.loads(docker("inspect", self.container(service)))[0]
        return described

    def address(self, service: str) -> str:
        networks = self.inspect(service)["NetworkSettings"]["Networks"]
        return str(networks[self.name]["IPAddress"])

    def api(self, method: str, path: str, body: Any = None, *, timeout: float = 5) -> Answer:
        return call(self.address("trading-api"), method, path, body, timeout=timeout)

    def crash(self, service: str) -> float:
        """SIGKILL to the main process from the host, so that the restart policy acts; returns when (monotonic)."""
        pid = int(self.inspect(service)["State"]["Pid"])
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        return at

    def stop(self, service: str) -> None:
        """Down until `start`: an engine's kill switches the restart policy off."""
        docker("kill", self.container(service))

    def start(self, service: str) -> None:
        docker("start", self.container(service))

    def wait_ready(self, seconds: float = 20) -> None:
        """Wait until the API says that it is ready."""
        end = time.monotonic() + seconds
        while (last := self.api("GET", "/ready", timeout=1)).status != 200:
            assert time.monotonic() < end, f"not ready within {seconds} s: {last}"
            time.sleep(0.02)

    def wait_database(self, seconds: float = 20) -> None:
        """Wait until PostgreSQL itself says that it accepts connections."""
        words = ("docker", "exec", self.container("postgres"), "pg_isready", "-q", "-h", "127.0.0.1")
        end = time.monotonic() + seconds
        while subprocess.run(words, capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < end, f"PostgreSQL is not back within {seconds} s"
            time.sleep(0.1)

    def query(self, statement: str) -> list[str]:
        """Lines of what PostgreSQL answers to a statement."""
        words = ("psql", "-U", "trading_user", "-d", "trading_db", "-Atc", statement)
        return docker("exec", self.container("postgres"), *words).splitlines()

    def prices(self) -> list[str]:
        """Prices of all stored orders, as text."""
        return self.query("SELECT price FROM trading.orders")

    def logs(self, service: str) -> str:
        done = subprocess.run(
            ["docker", "logs", self.container(service)], capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr


@contextlib.contextmanager
def stack(image: str, *switches: str, more: tuple[str, ...] = ()) -> Iterator[Stack]:
    """An exchange with some weaknesses switched on, ready, with `more` services if asked for; gone afterwards."""
    made = Stack(f"lab-test-{uuid.uuid4().hex[:8]}")
    services = ("postgres", "redis", "trading-api", *more)
    try:
        docker("network", "create", "--label", LABEL, made.name)
        for service in services:
            user, command = COMMANDS[service]
            docker(
                *("run", "--detach", "--name", made.container(service), "--label", LABEL),
                *("--network", made.name, "--network-alias", service, "--hostname", service),
                *("--dns", "127.0.0.1"),
                *("--dns-opt", "timeout:1", "--dns-opt", "attempts:1", "--dns-opt", "ndots:0"),
                *("--user", user, "--restart", "unless-stopped"),
                *("--env", f"EXCHANGE_FRAGILE={','.join(switches)}"),
                *(image, "sh", "-c", f"exec {command}"),
            )
        made.wait_ready()
        docker("exec", made.container("postgres"), "/opt/exchange/postgres/empty")
        yield made
    finally:
        for service in services:
            words = ("docker", "rm", "--force", "--volumes", made.container(service))
            subprocess.run(words, capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", made.name], capture_output=True, check=False)
