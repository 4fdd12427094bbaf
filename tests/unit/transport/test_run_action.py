# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action behind exchange.chaos.run gives the module, and what it does not: the password is in no argument."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from ansible_collections.exchange.chaos.plugins.action.run import ActionModule

SPEC = {"project": "lab", "database": {"name": "d", "user": "u", "password": "s3cret"}}


class Carrying(ActionModule):  # type: ignore[misc]  # ansible-core is untyped
    """The action with a connection that only notes what is carried where."""

    def __init__(self) -> None:
        shell = SimpleNamespace(tmpdir="/tmp/there", join_path=lambda *parts: "/".join(parts))
        self._connection = SimpleNamespace(_shell=shell)
        self.carried: dict[str, str] = {}

    def _transfer_data(self, remote_path: Any, data: Any) -> Any:
        self.carried[remote_path] = data

    def _fixup_perms2(self, remote_paths: Any, remote_user: Any = None, execute: bool = True) -> Any:
        assert set(self.carried) <= set(remote_paths)


def test_the_password_travels_in_a_file_and_in_no_argument() -> None:
    action = Carrying()
    spec, path = action._set_apart(SPEC)
    assert "s3cret" not in json.dumps(spec)
    assert spec["database"] == {"name": "d", "user": "u"}
    assert path == "/tmp/there/secrets.json"
    assert json.loads(action.carried[path]) == {"password": "s3cret"}
    assert SPEC["database"]["password"] == "s3cret", "the caller's own is left alone"


def test_the_administrators_password_goes_the_same_way() -> None:
    action = Carrying()
    database = {"name": "d", "admin": {"user": "postgres", "password": "b0ss"}}
    spec, path = action._set_apart({"database": database})
    assert spec["database"] == {"name": "d", "admin": {"user": "postgres"}}
    assert json.loads(action.carried[path]) == {"admin_password": "b0ss"}
    assert database["admin"] == {"user": "postgres", "password": "b0ss"}, "the caller's own is left alone"


def test_without_a_password_nothing_is_carried() -> None:
    action = Carrying()
    for database in ({"name": "d"}, {"name": "d", "password": ""}, {}):
        assert action._set_apart({"database": database}) == ({"database": database}, "")
    assert action.carried == {}
