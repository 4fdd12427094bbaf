# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a role's variables, in sentences."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet.role_variables import (
    Unfilled,
    find_problems,
)

OPTIONS: dict[str, Any] = {
    "many": {"type": "float"},
    "whole": {"type": "int"},
    "really": {"type": "bool"},
    "word": {"type": "str"},
    "words": {"type": "list", "elements": "str"},
    "rows": {"type": "list", "elements": "dict", "options": {"n": {"type": "int"}}},
    "parts": {
        "type": "dict",
        "options": {
            "limit": {"type": "float"},
            "inner": {"type": "dict", "options": {"port": {"type": "int"}}},
            "password": {"type": "str", "no_log": True},
        },
    },
    "any": {"type": "raw"},
    "chaos_ports": {"type": "dict", "options": {"api": {"type": "int"}}},
    "chaos_replicas": {"type": "str"},
    "chaos_repeat": {"type": "int"},
    "chaos_address": {"type": "raw"},
    "chaos_waves": {"type": "list", "elements": "str"},
    "chaos_services": {"type": "dict"},
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("many", "x", "many is 'x'; it must be a number, finite, and not beyond 2**53 either way."),
        ("many", True, "many is True; it must be a number, finite, and not beyond 2**53 either way."),
        ("many", 10**400, "; it must be a number, finite, and not beyond 2**53 either way."),
        ("many", None, "many is empty (null); it must be a number, or be left out."),
        ("whole", 1.5, "whole is 1.5; it must be a whole number."),
        ("whole", float("inf"), "whole is inf; it must be a whole number, finite"),
        ("really", "maybe", "really is 'maybe'; it must be true or false."),
        ("really", [], "really is []; it must be true or false."),
        ("word", False, "word is false; it must be text: where a word such as yes, no, on or off is meant"),
        ("word", ["a"], "word is ['a']; it must be text."),
        ("word", "nul\0", "word is 'nul\\x00'; a text must have no control characters"),
        ("words", {"a": 1}, "words is {'a': 1}; it must be a list."),
        ("words", 5, "words is 5; it must be a list."),
        ("words", [None], "words[0] is empty; leave it out, or give a value."),
        ("words", ["a", ["b"]], "words[1] is ['b']; it must be text."),
        ("rows", [5], "rows[0] is 5; it must be a dictionary."),
        ("rows", [{"n": "x"}], "rows[0].n is 'x'; it must be a whole number"),
        ("parts", 5, "parts is 5; it must be a dictionary."),
        ("parts", "x", "it must be a dictionary; with -e give it as JSON: -e '{\"parts\": …}'."),
        ("parts", {5: 1}, "parts has a key 5; a key must be text: put it in quotes."),
        ("parts", {"inner": 5}, "parts.inner is 5; it must be a dictionary."),
        ("parts", {"inner": {"port": "x"}}, "parts.inner.port is 'x'; it must be a whole number"),
        ("parts", {"password": ["geheim"]}, "parts.password is no text of printable characters; a password must"),
        ("any", float("nan"), "any is nan; it must be a finite number."),
        ("chaos_ports", {"api": 0}, "chaos_ports.api is 0; it must be a port, from 1 to 65535."),
        ("chaos_replicas", "half", "chaos_replicas is 'half'; it must be one, all, or a number of containers"),
        ("chaos_repeat", 0, "chaos_repeat is 0; it must be from 1 to 1000."),
        ("chaos_address", "a b", "chaos_address is 'a b'; it must be an address or a name, or a list of them."),
        ("chaos_services", {"api": "a"}, "chaos_services has no database, cache, proxy; give the compose service"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told(name: str, value: Any, said: str) -> None:
    (sentence,) = find_problems(OPTIONS, {name: value}.__getitem__)
    assert said in sentence
    assert "geheim" not in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("many", "5.5"), ("whole", "7"), ("whole", 7.0), ("really", "yes"), ("really", 0), ("word", 700), ("word", ""),
        ("words", "a,b"), ("words", []), ("parts", {}), ("parts", {"limit": None}), ("parts", {"unknown": [1]}),
        ("any", {"a": [1]}), ("chaos_replicas", 2), ("chaos_waves", 3), ("chaos_address", ["10.0.0.1", "h2"]),
        ("chaos_services", {"database": "d", "cache": "c", "api": "a", "proxy": "p", "ledger": "l"}),
    ],
)  # fmt: skip
def test_a_good_value_is_taken(name: str, value: Any) -> None:
    assert find_problems(OPTIONS, {name: value}.__getitem__) == []


def test_a_template_that_cannot_be_filled_in_is_told_with_its_variable() -> None:
    def read(name: str) -> Any:
        if name == "word":
            raise Unfilled("'x' is undefined")
        raise KeyError(name)

    assert find_problems(OPTIONS, read) == [
        "word is a template that cannot be filled in ('x' is undefined); define what it names, or give a value."
    ]
