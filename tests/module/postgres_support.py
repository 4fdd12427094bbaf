# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away PostgreSQL from the lab's image, asked by its own client and never by the code under test. No tests."""

from __future__ import annotations

from typing import Any

from tests.module.core_support import Project, wait_for

START = "exec postgres -D /var/lib/exchange/postgres -c config_file=/opt/exchange/postgres/postgresql.conf"


def postgres(project: Project, image: str, command: str, service: str = "store") -> Any:
    """Start a throw-away PostgreSQL and wait until it answers."""
    made = project.up(
        service, ("sh", "-c", command), image=image, user="postgres", stop_signal="SIGINT", restart="no"
    )
    wait_for(lambda: psql(made, "SELECT 1") == (0, "1"), 30)
    return made


def psql(container: Any, sql: str, user: str = "postgres") -> tuple[int, str]:
    """Ask PostgreSQL through its own client."""
    words = ["psql", "-XAtq", "-U", user, "-d", "trading_db", "-c", sql]
    done = container.exec_run(words, user="postgres")
    return done.exit_code, done.output.decode().strip()
