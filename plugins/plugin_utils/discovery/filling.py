# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody set, taken from what a host found: the values, how each was found, and what has to be set. Pure.

A value that was not found keeps its default, that of the embedded exchange, and a warning says so. Of a service, a
database, a user or a symbol there is no such default: these name what is somebody's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.common import bounds
from .inventory import ASKED_FOR, VARIABLES, ToldSetting

#: The variables that are found where they are not set.
FILLED = tuple(name for name in VARIABLES if name not in ("chaos_project", *ASKED_FOR))
#: Of these nothing is taken but what was found.
_NAMED = ("chaos_database", "chaos_user_id", "chaos_symbol")
_USER, _SYMBOL = "{{ chaos_user_id }}", "{{ chaos_symbol }}"
_SHOWN, _TOLD = 110, 240


def name_default(variable: str) -> str:
    """Return what holds a variable's value of the embedded exchange: roles/chaos/vars/main.yml."""
    return variable.replace("chaos_", "__chaos_embedded_", 1)


@dataclass
class Filled:
    """The values by variable, and how each was found; ``warnings``: what keeps a default; ``problems``: what cannot."""

    values: dict[str, Any] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """Return what has to be set, in one sentence, "" where that is nothing."""
        if not self.problems:
            return ""
        return (
            f"Not set, and not found on this host: {'; '.join(self.problems)}. Set what is missing, or have "
            "playbooks/discover.yml write an inventory to complete."
        )

    @property
    def lines(self) -> list[str]:
        """Return what was filled in and how, a line each."""
        return [
            f"{name}: {bounds.fit_line(_show_value(value), _SHOWN)} ({bounds.fit_line(self.how[name], _TOLD)})"
            for name, value in self.values.items()
        ]


def fill_settings(
    told: Sequence[ToldSetting],
    *,
    unset: Collection[str],
    known: Mapping[str, Any],
    defaults: Mapping[str, Any],
    services: Iterable[str],
) -> Filled:
    """Return what the unset variables come to; ``known``: those that are set; ``services``: those of the project."""
    filled, by_name = Filled(), {one.variable: one for one in told}
    away = known.get("chaos_external") or getattr(by_name.get("chaos_external"), "value", None)
    there = {*services, *(away if isinstance(away, dict) else {})}
    for name in FILLED:
        setting = by_name.get(name)
        if name in unset and setting and not setting.after:
            _fill(filled, setting, defaults.get(name), there)
    for name in ASKED_FOR:
        if name in by_name and "" in by_name[name].missing:
            named = "chaos_order" in unset and bool(getattr(by_name.get("chaos_order"), "after", ""))
            _miss(filled, name, by_name[name].missing[""], named=named, kept=None)
    _name_trader(filled, known)
    return filled


def _fill(filled: Filled, setting: ToldSetting, default: Any, services: Collection[str]) -> None:
    """Take a setting as a host told it; ``services``: those of the project, and the parts that live elsewhere."""
    name, whole = setting.variable, setting.missing.get("")
    if whole is None and not isinstance(setting.value, type(default)):
        whole = "what the host told is of another type"
    if whole is None and setting.guessed:
        whole = f"there is {_show_value(setting.value)}, {setting.how}, but nobody said that it may be used"
    if whole is not None:
        _miss(filled, name, whole, named=name in _NAMED)
        return
    value = setting.value
    for key, tried in setting.missing.items():
        there = default.get(key) if isinstance(default, dict) else None
        named = key == "password" or (name == "chaos_services" and not {there, key} & set(services))
        _miss(filled, f"{name}.{key}", tried, named=named, kept=there)
        if there is not None:
            value = {**value, key: there}
    filled.values[name] = value
    filled.how[name] = _tell_how(setting)


def _miss(filled: Filled, name: str, tried: str, *, named: bool, kept: Any = "") -> None:
    """Say that a value was not found: as what has to be set, or as what keeps its default (None: there is none)."""
    if named:
        filled.problems.append(f"{name} (tried: {tried})")
        return
    then = "nothing is in its place" if kept is None else "taken as the embedded exchange has it"
    filled.warnings.append(f"{name} is not set and was not found (tried: {tried}); {then}")


def _tell_how(setting: ToldSetting) -> str:
    """Return how a variable was found, with its keys if each was found in a way of its own."""
    parts = [f"{key}: {how}" for key, how in setting.parts.items() if how]
    return "; ".join([*([setting.how] if setting.how else []), *parts])


def _show_value(value: Any) -> str:
    if isinstance(value, dict) and not any(isinstance(one, (dict, list)) for one in value.values()):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _name_trader(filled: Filled, known: Mapping[str, Any]) -> None:
    """Put user and symbol themselves into an order that refers to them: what a host told is never a template."""
    order = filled.values.get("chaos_order") or {}
    if not isinstance(order.get("body"), dict):
        return
    trader = {
        _USER: filled.values.get("chaos_user_id", known.get("chaos_user_id")),
        _SYMBOL: filled.values.get("chaos_symbol", known.get("chaos_symbol")),
    }
    body = {
        key: trader.get(value, value) if isinstance(value, str) else value
        for key, value in order["body"].items()
    }
    filled.values["chaos_order"] = {**order, "body": body}
