# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody set is taken from what a host found; what is set stays, and what is somebody's is never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.discovery import known as known_variables
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.api import ApiAnswers
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.known import hold_known, read_known
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.order_form import read_document
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.parts import find_parts
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.settings import (
    Setting,
    Stored,
    build_settings,
)
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.order_queries import read_trader
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders_table import (
    Table,
    ask_one,
    ask_symbol,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.discovery import filling, inventory
from ansible_collections.exchange.chaos.plugins.plugin_utils.discovery.filling import Filled, fill_settings

from tests.unit.discovery import stacks
from tests.unit.discovery.test_order_form import openapi
from tests.unit.discovery.test_settings import stored

ROOT = Path(__file__).resolve().parents[3]
EMBEDDED = yaml.safe_load((ROOT / "roles/chaos/vars/main.yml").read_text())
DEFAULTS = {name: EMBEDDED[filling.name_default(name)] for name in filling.FILLED}


def told(known: Stored | None = None, **changed: Setting) -> list[inventory.ToldSetting]:
    """What the FastAPI stack's host tells, as the controller takes it."""
    project = stacks.fastapi()
    asked = ApiAnswers("http://127.0.0.1:8000", read_document(openapi()), answers=True)
    asked.readiness = asked.health = {"path": "/health", "expect": {"status": 200}}
    found = {
        one.variable: one for one in build_settings(project, find_parts(project), known or ours(), asked, {})
    }
    return inventory.read_settings([one.to_data() for one in {**found, **changed}.values()])


def ours() -> Stored:
    """What a database told in which a user and a symbol are for tests."""
    found = stored()
    found.guessed.clear()
    return found


def fill(settings: list[inventory.ToldSetting], known: Mapping[str, Any] | None = None) -> Filled:
    unset = [name for name in filling.FILLED if name not in (known or {})]
    services = stacks.fastapi().services
    return fill_settings(settings, unset=unset, known=known or {}, defaults=DEFAULTS, services=services)


def test_one_variable_is_enough() -> None:
    filled = fill(told())
    assert filled.problem == ""
    assert filled.values["chaos_services"] == {"database": "db", "cache": "kv", "api": "web", "proxy": "edge"}
    assert filled.values["chaos_ports"] == {"database": 5432, "cache": 6379, "api": 8000, "proxy": 80}
    assert filled.how["chaos_services"].startswith("database: PostgreSQL: process postgres listens")
    assert "chaos_services: database db, cache kv, api web, proxy edge (database: Post" in filled.lines[0]
    assert set(filled.how) == set(filled.values)


def test_a_token_that_is_lacking_is_the_one_thing_that_has_to_be_set() -> None:
    """Nothing that it keeps closed is asked for beside it, or taken as the embedded exchange has it."""
    left_out = {
        name: Setting(name, after="chaos_api_headers")
        for name in (*(one for one in filling.FILLED if one.startswith("chaos_order")), "chaos_readiness")
    }
    wanted = Setting("chaos_api_headers", missing={"": "everything was answered with 401"})
    filled = fill(told(chaos_api_headers=wanted, **left_out))
    assert filled.problems == ["chaos_api_headers (tried: everything was answered with 401)"]
    assert not [one for one in filled.warnings if "chaos_order" in one]
    assert not set(left_out) & set(filled.values)


def test_a_token_that_some_paths_want_is_a_warning_where_orders_are_described() -> None:
    wanted = Setting("chaos_api_headers", missing={"": "GET /orders was answered with 401"})
    filled = fill(told(chaos_api_headers=wanted))
    assert filled.problem == ""
    assert any(one.startswith("chaos_api_headers is not set") for one in filled.warnings)


def test_what_is_set_is_not_filled_in_and_is_gone_by() -> None:
    known = {"chaos_symbol": "MINE", "chaos_services": {"api": "web"}}
    filled = fill(told(), known)
    assert not set(known) & set(filled.values)
    assert filled.values["chaos_order"]["body"]["instrument"] == "MINE"


def test_an_order_has_its_user_and_symbol_in_it_and_no_template() -> None:
    filled = fill(told())
    assert filled.values["chaos_order"]["body"]["instrument"] == "ABC"
    assert "{{" not in str(filled.values)


@pytest.mark.parametrize("variable", ["chaos_user_id", "chaos_symbol"])
def test_nobody_trades_as_somebody_whom_nobody_named(variable: str) -> None:
    known = ours()
    known.guessed.add(variable)
    filled = fill(told(known))
    assert variable not in filled.values
    assert f"Not set, and not found on this host: {variable} (tried: there is " in filled.problem
    assert "nobody said that it may be used" in filled.problem


def test_what_is_not_found_is_one_sentence_with_what_was_tried() -> None:
    filled = fill(told(chaos_database=Setting("chaos_database", missing={"": "no user of it was found"})))
    assert filled.problem == (
        "Not set, and not found on this host: chaos_database (tried: no user of it was found). Set what is missing, "
        "or have playbooks/discover.yml write an inventory to complete."
    )


def test_a_service_that_was_not_found_has_to_be_set_unless_one_has_the_usual_name() -> None:
    lacking = Setting("chaos_services", {"database": "db"}, missing={"cache": "nothing listens"})
    filled = fill(told(chaos_services=lacking))
    assert "chaos_services.cache (tried: nothing listens)" in filled.problem
    beside = fill_settings(
        told(chaos_services=lacking),
        unset=filling.FILLED,
        known={},
        defaults=DEFAULTS,
        services=["db", "redis"],
    )
    assert beside.problem == ""
    assert beside.values["chaos_services"] == {"database": "db", "cache": "redis"}
    assert "chaos_services.cache is not set and was not found" in beside.warnings[0]


def test_a_form_that_was_not_found_keeps_the_default_and_says_so() -> None:
    filled = fill(told(chaos_order_accept=Setting("chaos_order_accept", missing={"": "GET /orders: 404"})))
    assert filled.problem == ""
    assert "chaos_order_accept" not in filled.values
    assert (
        "chaos_order_accept is not set and was not found (tried: GET /orders: 404); taken as the embedded exchange "
        "has it" in filled.warnings
    )


def test_a_host_that_lies_fills_in_no_template_and_no_variable_of_its_own() -> None:
    lie = inventory.read_settings(
        [
            {"variable": "chaos_symbol", "value": "{{ lookup('pipe', 'id') }}", "how": "{{ 1 }}"},
            {"variable": "ansible_become_password", "value": "x"},
            {"variable": "chaos_state_dir", "value": "/"},
        ]
    )
    filled = fill(lie)
    assert set(filled.values) == {"chaos_symbol"}


def test_services_that_are_set_take_the_place_of_those_that_were_found() -> None:
    project = stacks.fastapi()
    parts = find_parts(project)
    known = read_known(
        {"chaos_services": {"api": "exporter", "order_flow": ""}, "chaos_ports": {"proxy": 8404}},
        external={"cache": {"address": "10.0.0.9", "port": 6380}},
        password="",
        likely_user="",
    )
    hold_known(parts, project, known)
    assert (parts.found["api"].service, parts.found["api"].port) == ("exporter", 9187)
    assert [one.service for one in parts.candidates] == ["exporter"]
    assert parts.found["proxy"].port == 8404
    assert (parts.found["cache"].service, parts.found["cache"].port) == ("cache", 6380)
    assert "order_flow" not in parts.found
    assert parts.found["api"].how == known_variables.SET


def test_the_database_is_asked_as_it_was_set() -> None:
    known = read_known(
        {"chaos_database": {"name": "m", "user": "u", "clear_password": True}},
        external={"database": {"address": "10.0.0.9", "port": 5433}},
        password="secret",
        likely_user="",
    )
    assert known.login is not None
    assert (known.login.name, known.login.user) == ("m", "u")
    assert known.store == {
        "clear_password": True, "password": "secret", "address": "10.0.0.9", "port": 5433
    }  # fmt: skip


def test_user_and_symbol_are_known_by_whatever_name_their_fields_go() -> None:
    body = {"accountId": 3, "instrument": "TESTCO", "amount": 1}
    assert read_trader(body) == {"user_id": "3", "symbol": "TESTCO"}
    assert read_trader({"user_id": "u", "symbol": "S", "account": "x"}) == {"user_id": "u", "symbol": "S"}
    assert read_trader({}) == {"user_id": "", "symbol": ""}


def test_a_symbol_for_tests_is_asked_for_in_the_table_that_lists_them() -> None:
    question = ask_symbol(Table("trades", "Instruments", {"code": "text"}), "code")
    assert 'FROM trades."Instruments" WHERE code::text ~* \'(chaos|test|' in question
    assert ask_one(Table("t", "u", {"id": "text"}), "id", "user", "o'x").endswith(
        "WHERE id::text = 'o''x' LIMIT 1"
    )


@pytest.mark.parametrize("value", ["text", ["list"], 5, None, {"deeper": {"than": ["that"]}}])
@pytest.mark.parametrize("variable", filling.FILLED)
def test_an_answer_of_another_shape_breaks_nothing(variable: str, value: Any) -> None:
    lie = inventory.read_settings([{"variable": variable, "value": value, "missing": {"key": "x"}}])
    filled = fill(lie)
    assert isinstance(filled.values.get(variable, DEFAULTS[variable]), type(DEFAULTS[variable]))
    assert all(isinstance(line, str) for line in (*filled.lines, *filled.warnings, filled.problem))


def test_a_store_that_was_found_elsewhere_needs_no_service() -> None:
    lacking = Setting("chaos_services", {"database": "db"}, missing={"cache": "nothing listens"})
    away = Setting("chaos_external", {"cache": {"address": "10.0.0.9", "port": 6379}})
    filled = fill(told(chaos_services=lacking, chaos_external=away))
    assert filled.problem == ""
    assert filled.values["chaos_services"]["cache"] == "redis"
