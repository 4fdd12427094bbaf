# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way a database in a container is asked, where its server has no socket."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import in_container
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres.wire import Login, NotPostgres


@pytest.mark.parametrize(("error", "asked"), [(NotPostgres("another"), True), (ChaosError("silent"), False)])
def test_who_speaks_another_protocol_there_is_left_to_the_container_s_own_client(
    monkeypatch: pytest.MonkeyPatch, error: ChaosError, asked: bool
) -> None:
    """A proxy's port, or a stand-in's; a server that is silent is not asked twice."""

    def refuse(*_words: Any, **_more: Any) -> Any:
        raise error

    monkeypatch.setattr(in_container.own_socket, "find_socket", lambda pid, port: "")
    monkeypatch.setattr(in_container.own_socket, "list_addresses", lambda pid, port: ["10.0.0.2"])
    monkeypatch.setattr(in_container, "_over_tcp", refuse)
    monkeypatch.setattr(in_container, "_run_psql", lambda *words: (0, "1|two\n"))
    container = SimpleNamespace(pid=1, id="c" * 64, name="db")
    login = Login("db", 5432, "app", "app", "app")
    ask = partial(in_container.ask_container, None, container, login, "SELECT 1")
    if asked:
        assert ask(read_only=True) == [["1", "two"]]
    else:
        with pytest.raises(ChaosError, match="silent"):
            ask(read_only=True)
