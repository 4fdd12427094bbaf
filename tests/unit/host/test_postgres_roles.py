# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role that PostgreSQL does not let in, or does not have, is named with the variable that names another."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, PasswordWanted
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import in_container
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres.server import Server


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            ChaosError('FATAL: role "postgres" does not exist.'),
            "name a superuser, or a member of pg_monitor, by chaos_database.admin.",
        ),
        (PasswordWanted("it asks"), "set chaos_database.admin (user and password)."),
        (
            ChaosError("the database system is starting up."),
            "as role postgres: the database system is starting up.",
        ),
    ],
)
def test_what_keeps_a_role_out_is_one_sentence_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, error: ChaosError, remedy: str
) -> None:
    def refuse(*_words: Any, **_more: Any) -> None:
        raise error

    monkeypatch.setattr(in_container, "ask_container", refuse)
    monkeypatch.setattr(Server, "_find", lambda _self: None)
    server = Server(None, "c1", user="postgres", database="bourse")  # type: ignore[arg-type]
    with pytest.raises(ChaosError) as raised:
        server.read_limit()
    assert str(raised.value).endswith(remedy)
    assert "as role postgres" in str(raised.value)
