# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a PostgreSQL in a container of this host.

With root over the server's own socket, or TCP inside its network where it has none, by our own client: nothing of the
image is needed. Where that is out of reach, without root, by the ``psql`` that the image has, run through the engine.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from ...common.errors import ChaosError, PasswordWanted
from ...common.peer_addresses import write_endpoint
from ..docker_engine import Container, DockerEngine
from ..http_client import shorten
from . import own_socket
from .query import run_query
from .wire import Login, NotPostgres, Session, SessionRefused

_T = TypeVar("_T")
#: No start-up file, rows only, columns parted by |, and an exit code that tells an error.
_PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
#: Whatever an owner writes into a look-up, it changes nothing and ends.
_READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=15000"
#: A server that a crowd connects to answers late; seconds, less than the engine's own patience.
_CONNECT_S = 15.0
#: What psql says where it is asked for a password, and has none.
_WANTS = "no password supplied"
#: SQLSTATE invalid_authorization_specification: what a server says to a user that is not the role's own.
_NOT_THAT_USER = "28000"
_CAME_IN = "came in"


class Attempt(NamedTuple):
    """What came of a login; neither ``came_in`` nor ``refused`` where the server said nothing at all."""

    came_in: bool
    refused: bool
    words: str


def ask_container(
    engine: DockerEngine, container: Container, login: Login, sql: str, *, read_only: bool
) -> list[list[str]]:
    """Ask as a role and return rows of text, an empty one for a null; ``login``'s host is not looked at.

    Raises PasswordWanted where the server asks for one that was not given, ChaosError when it cannot be asked.
    """
    path = own_socket.find_socket(container.pid, login.port)
    if path:
        return _over(container, path, login, sql, read_only=read_only)
    addresses = own_socket.list_addresses(container.pid, login.port)
    if addresses:
        # a proxy's port, or a stand-in's: its own client knows where it is
        with contextlib.suppress(NotPostgres):
            return _over_tcp(container, addresses, login, sql, read_only=read_only)
    code, output = _run_psql(engine, container.id, login, sql, _READ_ONLY if read_only else "")
    if code:
        words = shorten(output).rstrip(".") or f"psql ended with {code}"
        raise (PasswordWanted if _WANTS in output else ChaosError)(words)
    return [line.split("|") for line in output.splitlines() if line.strip()]


def try_login(engine: DockerEngine, container: Container, login: Login) -> Attempt:
    """Log in as a role and leave again."""
    path = own_socket.find_socket(container.pid, login.port)
    addresses = [] if path else own_socket.list_addresses(container.pid, login.port)
    if not path and not addresses:
        code, output = _run_psql(engine, container.id, login, "SELECT 1", "")
        return Attempt(came_in=code == 0, refused=code != 0, words=shorten(output) if code else _CAME_IN)
    try:
        if path:
            Session.open(login, own_socket.connect_inside(container.id, container.pid, path)).close()
        else:
            _by_either(container, addresses, login, lambda how, over: Session.open(how, over).close())
    except SessionRefused as refused:
        return Attempt(came_in=False, refused=True, words=refused.message)
    except (OSError, ChaosError) as error:
        return Attempt(came_in=False, refused=False, words=getattr(error, "strerror", None) or str(error))
    return Attempt(came_in=True, refused=False, words=_CAME_IN)


def _over(container: Container, path: str, login: Login, sql: str, *, read_only: bool) -> list[list[str]]:
    """Ask over a socket: as root and, where the role is to be its own user's (``peer``), as who runs the server."""
    connection = _connect(container, path)
    owner = own_socket.read_owner(connection)
    try:
        return run_query(login, sql, over=connection, read_only=read_only)
    except SessionRefused as refused:
        if refused.sqlstate != _NOT_THAT_USER or not owner:
            raise
    return run_query(login, sql, over=_connect(container, path, owner), read_only=read_only)


def _connect(container: Container, path: str, uid: int = 0) -> socket.socket:
    try:
        return own_socket.connect_inside(container.id, container.pid, path, uid=uid)
    except OSError as error:
        raise ChaosError(f"nobody answers at {path} in {container.name} ({error.strerror})") from error


def _over_tcp(
    container: Container, addresses: Sequence[str], login: Login, sql: str, *, read_only: bool
) -> list[list[str]]:
    return _by_either(
        container, addresses, login, lambda how, over: run_query(how, sql, over=over, read_only=read_only)
    )


def _by_either(
    container: Container,
    addresses: Sequence[str],
    login: Login,
    use: Callable[[Login, socket.socket], _T],
) -> _T:
    """Use a connection inside the container's network: encrypted where the server offers it, else as it is."""

    def connect() -> socket.socket:
        try:
            return own_socket.connect_over_tcp(container.id, container.pid, addresses, login.port)
        except OSError as error:
            raise ChaosError(
                f"nobody answers at {write_endpoint(addresses[0], login.port)} in {container.name} ({error.strerror})"
            ) from error

    try:
        return use(replace(login, encrypt=True), connect())
    except SessionRefused as refused:
        if refused.sqlstate != _NOT_THAT_USER:
            raise
    return use(login, connect())


def _run_psql(
    engine: DockerEngine, container_id: str, login: Login, sql: str, options: str
) -> tuple[int, str]:
    """Run psql in the container; its socket there is named by the port, too."""
    argv = [*_PSQL, "-U", login.user, "-d", login.database, "-c", sql]
    environment = {"PGCONNECT_TIMEOUT": str(int(_CONNECT_S)), "PGPORT": str(login.port)}
    known = {"PGPASSWORD": login.password, "PGOPTIONS": options}
    environment.update({name: value for name, value in known.items() if value})
    return engine.execute(container_id, argv, environment=environment)
