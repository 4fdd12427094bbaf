# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL says of its own connections, asked as its administrator."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from ...common import clock
from ...common.errors import ChaosError, PasswordWanted
from ...common.secret import NO_SECRET, Secret
from ..docker_engine import Container, DockerEngine
from ..http_client import shorten
from . import in_container
from .wire import Login

#: What our sessions are called in pg_stat_activity while they ask.
_NAME = "exchange.chaos administrator"
_USAGE = (
    "SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections')::int "
    "+ coalesce(current_setting('reserved_connections', true), '0')::int, "
    "count(*) FILTER (WHERE application_name = '{name}'), "
    "count(*) FILTER (WHERE application_name <> '{name}' AND backend_type = 'client backend' "
    "AND pid <> pg_backend_pid()) FROM pg_stat_activity"
)
_FILE_SETTING = (
    "SELECT setting FROM pg_file_settings WHERE name = 'max_connections' "
    "AND sourcefile LIKE '%postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1"
)
_DATABASE_CAP = "SELECT datconnlimit FROM pg_database WHERE datname = current_database()"
#: A server that a crowd connects to opens a session late, s.
_PATIENCE_S = 15.0
_UP_S = 60.0
_NO_ROLE = re.compile(r'role "[^"]*" does not exist')
_WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Usage:
    """Connections as the server counts them: the limit, slots kept for superusers, ours, everybody else's."""

    limit: int
    reserved: int
    ours: int
    others: int

    def fields(self) -> dict[str, Any]:
        """Return it as the fields of a timeline event."""
        return asdict(self)

    def __str__(self) -> str:
        limit = f"max_connections {self.limit}, {self.reserved} reserved"
        return f"{self.ours} of ours and {self.others} of others; {limit}"


class Server:
    """One database server, asked as a role that may still come in when all slots but the reserved ones are taken."""

    def __init__(
        self,
        engine: DockerEngine,
        container_id: str,
        *,
        user: str,
        database: str,
        password: Secret = NO_SECRET,
        port: int = 5432,
        clear_password: bool = False,
    ) -> None:
        self._engine, self._id = engine, container_id
        self._user, self._database, self._password, self._port = user, database, password, port
        self._clear_password = clear_password

    def count_connections(self, name: str) -> Usage:
        """Count connections; ``name`` is the application_name that ours carry. Raises ChaosError."""
        return Usage(*self._ask_numbers(_USAGE.format(name=quote_text(name)), 4))

    def is_superuser(self, role: str) -> bool:
        """Return whether a role is a superuser, whom the server keeps slots for. Raises ChaosError if there is none."""
        rows = self._ask(f"SELECT rolsuper FROM pg_roles WHERE rolname = '{quote_text(role)}'")
        if not rows:
            raise ChaosError(f"PostgreSQL has no role {role}; name the application's in chaos_database.user.")
        return rows[0] == ["t"]

    def read_caps(self, role: str) -> dict[str, int]:
        """Return the most sessions that a role, and this database, may have by limits of their own: by statement."""
        found = {
            f"ALTER ROLE {quote_name(role)}": f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{quote_text(role)}'",
            f"ALTER DATABASE {quote_name(self._database)}": _DATABASE_CAP,
        }
        caps = {statement: self._ask_numbers(sql)[0] for statement, sql in found.items()}
        return {statement: most for statement, most in caps.items() if most >= 0}

    def end_sessions(self, name: str) -> None:
        """Have the server end the sessions with that application_name."""
        self._ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{quote_text(name)}'"
        )

    def read_limit(self) -> int:
        """Return max_connections as it is in force."""
        return self._ask_numbers("SHOW max_connections")[0]

    def file_setting(self) -> str | None:
        """Return max_connections as ALTER SYSTEM has written it, None where it has not."""
        rows = self._ask(_FILE_SETTING)
        return rows[0][0] if rows else None

    def smallest_limit(self) -> int:
        """Return the smallest max_connections with which this server surely starts and serves a client."""
        (found,) = self._ask_numbers(
            "SELECT current_setting('superuser_reserved_connections')::int "
            "+ coalesce(current_setting('reserved_connections', true), '0')::int "
            "+ current_setting('max_wal_senders')::int * (current_setting('server_version_num')::int < 120000)::int + 1"
        )
        return found

    def write_setting(self, value: str | None) -> None:
        """Write max_connections with ALTER SYSTEM, or take it out again; it counts from the server's next start."""
        what = "RESET max_connections" if value is None else f"SET max_connections = '{quote_text(value)}'"
        self._ask(f"ALTER SYSTEM {what}")

    def started_at(self) -> str:
        """Return when the server was started, in its own words."""
        rows = self._ask("SELECT pg_postmaster_start_time()")
        return rows[0][0] if rows else ""

    def restart(self) -> None:
        """Restart the container and wait until the server answers. Raises ChaosError when it does not."""
        self._engine.restart(self._id)
        self.wait_until_up()

    def wait_until_up(self, within: float = _UP_S) -> None:
        """Wait until the server answers. Raises ChaosError when it does not in ``within`` seconds."""
        until = clock.read() + within
        while True:
            try:
                self._ask("SELECT 1")
                return
            except ChaosError:
                if clock.read() >= until:
                    raise
            clock.sleep(0.1)

    def try_login(self, user: str, password: Secret = NO_SECRET) -> in_container.Attempt:
        """Log in as a role where the administrator does, and leave again."""
        return in_container.try_login(self._engine, self._find(), self._login(user, password))

    def _ask_numbers(self, sql: str, count: int = 1) -> list[int]:
        """Return the whole numbers in the one row of an answer. Raises ChaosError when it is another."""
        rows = self._ask(sql)
        if len(rows) != 1 or len(rows[0]) != count or not all(_WHOLE.fullmatch(word) for word in rows[0]):
            said = shorten("; ".join(" ".join(row) for row in rows)) or "nothing"
            numbers = "a number" if count == 1 else f"{count} numbers"
            raise ChaosError(f"PostgreSQL, asked for {numbers} as role {self._user}, answered {said}.")
        return [int(word) for word in rows[0]]

    def _ask(self, sql: str) -> list[list[str]]:
        failed = f"PostgreSQL could not be asked as role {self._user}"
        login = self._login(self._user, self._password)
        try:
            return in_container.ask_container(self._engine, self._find(), login, sql, read_only=False)
        except PasswordWanted as error:
            raise PasswordWanted(
                f"{failed}: it asks for a password; set chaos_database.admin (user and password)."
            ) from error
        except ChaosError as error:
            why = str(error).rstrip(".")
            if _NO_ROLE.search(why):
                why += "; name a superuser, or a member of pg_monitor, by chaos_database.admin"
            raise ChaosError(f"{failed}: {why}.") from error

    def _find(self) -> Container:
        """Return the container as it is now: its process is another after each start."""
        container = self._engine.inspect(self._id)
        if container is None or not container.running:
            raise ChaosError(f"PostgreSQL could not be asked: container {self._id[:12]} does not run.")
        return container

    def _login(self, user: str, password: Secret) -> Login:
        return Login(
            host="the socket in its container",
            port=self._port,
            user=user,
            database=self._database,
            name=_NAME,
            password=password.reveal(),
            timeout=_PATIENCE_S,
            clear_password=self._clear_password,
        )


def find_administrator(container: Container, named: str = "") -> str:
    """Return the role that may read everything: the one named, else the image's POSTGRES_USER, else postgres."""
    pairs = (str(pair).partition("=") for pair in container.config.get("Env") or [])
    return named or next((value for key, _sign, value in pairs if key == "POSTGRES_USER"), "") or "postgres"


def quote_name(name: str) -> str:
    """Return a name for use as an identifier in SQL."""
    return '"{}"'.format(name.replace('"', '""'))


def quote_text(text: str) -> str:
    """Return a text for use between single quotes in SQL."""
    return text.replace("'", "''")
