# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL whose image has no client, and whose roles are their own users': asked all the same, and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import database
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres.server import Server

from tests.module import core_support
from tests.module.core_support import Project
from tests.module.lab_stack import lab_image
from tests.module.postgres_support import START, postgres, psql

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
WHERE: dict[str, Any] = {"service": "store", "name": "trading_db", "user": "postgres"}


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[Project, Any]]:
    image = lab_image()
    if image is None:
        pytest.skip("the embedded exchange is not up; make lab brings it up")
    with core_support.project() as made:
        container = postgres(made, image, START)
        rules = "echo 'local all all peer' > /var/lib/exchange/postgres/pg_hba.conf"
        assert container.exec_run(["sh", "-c", rules], user="postgres").exit_code == 0
        assert psql(container, "SELECT pg_reload_conf()") == (0, "t")
        gone = "for path in /usr/bin/psql /usr/local/bin/psql /usr/lib/postgresql/*/bin/psql; do rm -f $path; done"
        assert container.exec_run(["sh", "-c", gone], user="root").exit_code == 0
        assert psql(container, "SELECT 1")[0] != 0, "there is no psql any more"
        yield made, container


def test_orders_are_looked_up_without_a_client_in_there(store: tuple[Project, Any]) -> None:
    project, _container = store
    engine = DockerEngine.connect()
    rows = database.query_rows(engine, project.name, WHERE, "SELECT 'a|b', E'two\\nlines', NULL, true")
    assert rows == [["a|b", "two\nlines", "", "t"]]
    with pytest.raises(ChaosError, match="read-only transaction"):
        database.query_rows(engine, project.name, WHERE, "CREATE TABLE mine (a int)")
    with pytest.raises(ChaosError, match='Peer authentication failed for user "trading_user"'):
        database.query_rows(engine, project.name, {**WHERE, "user": "trading_user"}, "SELECT 1")


def test_the_administrator_reads_and_writes_a_setting(store: tuple[Project, Any]) -> None:
    _project, container = store
    server = Server(DockerEngine.connect(), container.id, user="postgres", database="trading_db")
    limit = server.read_limit()
    try:
        server.write_setting(str(limit + 1))
        assert server.file_setting() == str(limit + 1)
    finally:
        server.write_setting(None)
    assert server.file_setting() is None
    assert server.count_connections("nobody").ours == 0
    attempt = server.try_login("trading_user")
    assert (attempt.came_in, attempt.refused) == (False, True)
    assert "Peer authentication failed" in attempt.words
