# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host found becomes an inventory that Ansible loads, whatever the host has told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from ansible_collections.exchange.chaos.plugins.module_utils.discovery import settings as found_settings
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.parts import find_parts
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.settings import Stored, build_settings
from ansible_collections.exchange.chaos.plugins.plugin_utils.discovery import connections_map, inventory
from ansible_collections.exchange.chaos.plugins.plugin_utils.discovery.inventory import FoundHost

from tests.unit.discovery import stacks
from tests.unit.discovery.test_settings import ApiAnswers, openapi, read_document, stored

HOSTILE = (
    "a: b\n  ansible_connection: local",
    "x' # \"",
    "*alias",
    "!!python/object:os.system",
    "yes",
    "1e3",
    "null",
    "{{ lookup('pipe', 'id') }}",
    "{% for a in b %}",
    "- a\u2028- b\u0085c\x1b[2J",
    "\ud800 \U0001f600",
    "",
)


def loaded(path: Path) -> dict[str, Any]:
    """Return the variables of the only host, as Ansible has them when it templates."""
    loader = DataLoader()
    inventory_of = InventoryManager(loader=loader, sources=[str(path)])
    manager = VariableManager(loader=loader, inventory=inventory_of)
    (host,) = inventory_of.get_hosts("exchange")
    known = manager.get_vars(host=host)
    templar = Templar(loader=loader, variables=known)
    return {name: templar.template(known[name]) for name in inventory.VARIABLES if name in known}


def written(tmp_path: Path, answer: list[dict[str, Any]], **more: Any) -> tuple[Path, str]:
    """Write an answer of one host as an inventory."""
    host = FoundHost("h1", {"ansible_connection": "local"}, inventory.read_settings(answer), **more)
    text = inventory.render_inventory([host], project="p", at="2026-11-30T10:00:00Z")
    path = tmp_path / "found.yml"
    path.write_text(text)
    return path, text


def answer() -> list[dict[str, Any]]:
    """Return what a host with FastAPI and a password in its environment says."""
    project = stacks.fastapi()
    asked = ApiAnswers("http://127.0.0.1:8000", read_document(openapi()), answers=True)
    return [one.to_data() for one in build_settings(project, find_parts(project), stored(), asked, {})]


def test_ansible_loads_what_was_found(tmp_path: Path) -> None:
    path, text = written(tmp_path, answer())
    known = loaded(path)
    assert known["chaos_services"] == {"database": "db", "cache": "kv", "api": "web", "proxy": "edge"}
    assert known["chaos_order"]["body"]["instrument"] == "ABC"
    assert known["chaos_symbol"] == "ABC"
    assert "# Valkey: process valkey-server listens on port 6379" in text
    assert max(map(len, text.splitlines())) < 400


def test_what_is_missing_is_one_line_each(tmp_path: Path) -> None:
    _path, text = written(tmp_path, answer())
    assert len(list(inventory.list_fill_ins(text))) == inventory.count_missing(
        inventory.read_settings(answer())
    )
    assert "# fill in: body.clientTag: (tried: " in text
    assert "# fill in: chaos_readiness: (tried: " in text


def test_a_password_of_an_environment_is_in_nothing_that_leaves(tmp_path: Path) -> None:
    project = stacks.fastapi()
    secrets = {one.service: list(one.environment.secrets) for one in project.containers}
    _path, text = written(tmp_path, answer(), secrets=inventory.read_secrets(secrets))
    assert "hunter2" not in text + repr(answer()) + repr(project)
    assert "# - web: DATABASE_URL" in text
    assert "# - db: POSTGRES_PASSWORD" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_a_text(tmp_path: Path, text: str) -> None:
    hostile = [
        {"variable": "chaos_project", "value": text, "how": text},
        {"variable": "chaos_services", "value": {"api": text, "database": [text]}, "parts": {"api": text}},
        {"variable": "chaos_symbol", "value": None, "missing": {"": text}},
        {"variable": "chaos_ports", "value": {}, "missing": {f"k{text}": text}},
    ]
    path, _written = written(tmp_path, hostile, secrets=inventory.read_secrets({text: [text]}))
    known = loaded(path)
    expected = inventory.bounds.fit_line(text, 2000)
    assert known["chaos_project"] == expected
    assert known["chaos_services"] == {"api": expected, "database": [expected]}
    assert set(known) == {"chaos_project", "chaos_services", "chaos_ports"}


def test_a_host_sets_no_other_variable(tmp_path: Path) -> None:
    told = [
        {"variable": "ansible_connection", "value": "evil"},
        {"variable": "chaos_i_accept_production", "value": True},
        {"variable": "chaos_order", "value": {"path": "/o", "{{ 1 }}": 1, "a b": 2}},
        "nonsense",
    ]
    path, text = written(tmp_path, told)
    assert "evil" not in text
    assert "production" not in text
    assert loaded(path)["chaos_order"] == {"path": "/o"}


def test_what_two_hosts_share_stands_once() -> None:
    first, second = (
        inventory.read_settings(
            [
                {"variable": "chaos_project", "value": "p", "how": "x"},
                {"variable": "chaos_user_id", "value": user, "how": "y"},
            ]
        )
        for user in ("1", "2")
    )
    text = inventory.render_inventory(
        [FoundHost("h1", {"ansible_host": "10.0.0.1"}, first), FoundHost("h2", {}, second)],
        project="p",
        at="now",
    )
    known = yaml.safe_load(text)["exchange"]
    assert known["vars"] == {"chaos_project": "p"}
    assert known["hosts"] == {
        "h1": {"ansible_host": "10.0.0.1", "chaos_user_id": "1"},
        "h2": {"chaos_user_id": "2"},
    }


def test_both_sides_know_the_same_variables() -> None:
    project = stacks.elsewhere()
    every = build_settings(project, find_parts(project), Stored(), None, {})
    every += build_settings(
        stacks.fastapi(), find_parts(stacks.fastapi()), stored(), ApiAnswers("", read_document(openapi())), {}
    )
    closed = ApiAnswers("", closed=True, wants=dict.fromkeys(inventory.ASKED_FOR, "why"))
    every += build_settings(project, find_parts(project), Stored(), closed, {})
    assert {one.variable for one in every} == set(inventory.VARIABLES)
    assert {found_settings.USER, found_settings.SYMBOL} == set(inventory._REFERENCES)


def test_what_a_secret_keeps_closed_is_left_out_and_the_secret_alone_is_asked_for() -> None:
    """Whoever reads it is told of one thing; a host that answers with a value for a secret is not heard."""
    project = stacks.fastapi()
    closed = ApiAnswers("http://10.0.0.1:8000", answers=True, closed=True, wants={"chaos_api_headers": "401"})
    settings = [one.to_data() for one in build_settings(project, find_parts(project), stored(), closed, {})]
    settings = [one for one in settings if one["variable"] != "chaos_api_ca"]
    settings.append({"variable": "chaos_api_ca", "value": "/etc/shadow", "how": "told by a host"})
    host = FoundHost("h", {}, inventory.read_settings(settings))
    text = inventory.render_inventory([host], project="p", at="now")
    (asked,) = inventory.list_fill_ins(text)
    assert asked.startswith("# fill in: chaos_api_headers: (tried: 401; a header with the token or key")
    assert "# chaos_order: left out; each run finds it by itself, once chaos_api_headers is set" in text
    known = yaml.safe_load(text)["exchange"]["vars"]
    assert not [name for name in known if name.startswith(("chaos_order", "chaos_api_ca", "chaos_health"))]
    assert known["chaos_database"]["lookup"].startswith("SELECT price FROM market.orders")


def test_the_map_fits_a_screen_and_its_mermaid_holds_labels_alone() -> None:
    name = 'x"]; click n0 "javascript:1" %%{init}%% ' * 9
    links = connections_map.read_links(
        [
            {"client": name, "server": "db", "port": 5432, "seen": 3, "address": ""},
            {"client": "web", "server": name, "port": 1, "seen": True},
            {"client": "web", "server": "elsewhere", "port": 443, "seen": 1, "address": "10.0.0.9"},
            None,
        ]
    )
    assert [(link.server, link.port) for link in links] == [("db", 5432), ("elsewhere 10.0.0.9", 443)]
    lines = connections_map.draw_map(links, {"db": "database, PostgreSQL"})
    assert max(map(len, lines)) <= 80
    assert any("db:5432" in line and "3 connections" in line for line in lines)
    mermaid = connections_map.draw_mermaid(links, {"db": "database, PostgreSQL"})
    assert '  n1["db<br/>database, PostgreSQL"]' in mermaid
    assert '  n0 -->|"5432"| n1' in mermaid
    assert all(line.count('"') in (0, 2) for line in mermaid.splitlines())
    assert "%" not in mermaid
