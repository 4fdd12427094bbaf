# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play in this process knows its own command line, and leaves nothing of it to whoever comes next."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible import context
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.utils.context_objects import CLIArgs
from ansible.vars.manager import VariableManager

from tests.unit.behaviour import playbook


def known_variables(tmp_path: Path) -> dict[str, object]:
    """Ask Ansible for a host's variables, as whoever reads an inventory does."""
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("h1 mine=yes\n")
    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(inventory)])
    known = VariableManager(loader=loader, inventory=manager).get_vars(host=manager.get_host("h1"))
    return dict(known)


@pytest.mark.parametrize("first", ["a play", "an inventory"])
def test_what_was_read_of_one_command_line_is_not_that_of_the_next(tmp_path: Path, first: str) -> None:
    before = context.CLIARGS
    if first == "an inventory":
        assert "ansible_check_mode" not in known_variables(tmp_path)
    for check in (True, False):
        given = CLIArgs({"check": check, "extra_vars": (f'{{"mine": "{check}"}}',)})
        with playbook.as_started_with(given):
            found = known_variables(tmp_path)
        assert (found["ansible_check_mode"], found["mine"]) == (check, str(check))
    assert known_variables(tmp_path)["mine"] == "yes"
    assert context.CLIARGS is before
