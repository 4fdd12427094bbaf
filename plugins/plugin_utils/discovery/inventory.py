# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host found of an exchange, as an inventory that a person reads and Ansible runs. Pure.

A host's answer is nobody's to trust: only known variables are written, every text on one line and quoted, and none of
it is ever a template. Each ``# fill in:`` is one thing that was not found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds

#: The variables that may come from a host, in the order in which they are written.
VARIABLES = (
    "chaos_project", "chaos_services", "chaos_ports", "chaos_external", "chaos_api_url", "chaos_api_headers",
    "chaos_api_ca", "chaos_database",
    "chaos_user_id", "chaos_symbol", "chaos_order", "chaos_order_side", "chaos_order_price", "chaos_order_accept",
    "chaos_order_id", "chaos_order_error", "chaos_order_cancel", "chaos_order_book", "chaos_readiness", "chaos_health",
)  # fmt: skip
#: Of these no value is ever taken from a host: it is only told that they must be set.
ASKED_FOR = ("chaos_api_headers", "chaos_api_ca")
#: The only templates that a value of a host may be.
_REFERENCES = ("{{ chaos_user_id }}", "{{ chaos_symbol }}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")
_TEXT, _COMMENT, _WIDTH = 2000, 1200, 108
_DEEPEST, _MOST = 6, 100
FILL_IN = "# fill in:"


@dataclass(frozen=True)
class ToldSetting:
    """One variable as a host told it, cleaned. ``guessed``: a person has to say that it may be used.

    after: the variable that has to be set before this one can be found.
    """

    variable: str
    value: Any
    how: str
    parts: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    guessed: bool = False
    after: str = ""


@dataclass(frozen=True)
class FoundHost:
    """A host: how Ansible reaches it, what was found there, and where secrets were met (service → variables)."""

    name: str
    connection: Mapping[str, Any]
    settings: Sequence[ToldSetting]
    secrets: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_settings(answer: Any) -> list[ToldSetting]:
    """Return the settings in a host's answer that are what they should be, each variable once."""
    found: dict[str, ToldSetting] = {}
    for one in answer if isinstance(answer, list) else []:
        if isinstance(one, dict) and one.get("variable") in VARIABLES:
            found[str(one["variable"])] = ToldSetting(
                str(one["variable"]),
                _clean_value(one.get("value")),
                _clean_comment(one.get("how")),
                _clean_comments(one.get("parts")),
                _clean_comments(one.get("missing")),
                one.get("guessed") is True,
                _clean_comment(one.get("after")),
            )
    return [found[name] for name in VARIABLES if name in found]


def read_secrets(answer: Any) -> dict[str, list[str]]:
    """Return which variables of which services hold secrets, as far as a host's answer says."""
    found = answer.items() if isinstance(answer, dict) else []
    return {
        _clean_comment(service): [_clean_comment(name) for name in names[:_MOST]]
        for service, names in list(found)[:_MOST]
        if isinstance(names, list)
    }


def render_inventory(hosts: Sequence[FoundHost], *, project: str, at: str, head: Sequence[str] = ()) -> str:
    """Return the text of an inventory; what all hosts share stands once. ``head``: lines of comment at its top."""
    shared, own = _split(hosts)
    lines = [
        *_comment(f"The exchange {project}, as playbooks/discover.yml found it at {at}.", ""),
        *_comment(
            "Above each value stands how it was found. Look it through, fill in what is missing, change the rest.",
            "",
        ),
        *(line for text in head for line in _comment(text, "")),
        "exchange:",
        "  hosts:",
    ]
    for host in hosts:
        lines.append(f"    {_write_scalar(host.name)}:")
        inner = [
            f"      {name}: {_write_scalar(value, ours=True)}" for name, value in host.connection.items()
        ]
        for setting in own[host.name]:
            inner += _write_setting(setting, "      ")
        lines += inner
    lines.append("  vars:" if shared else "  vars: {}")
    for at_first, setting in enumerate(shared):
        lines += [""] * bool(at_first) + _write_setting(setting, "    ")
    lines += _write_secrets(hosts)
    return "\n".join(lines) + "\n"


def count_missing(settings: Sequence[ToldSetting]) -> int:
    """Return how many things are still to be filled in."""
    return sum(len(one.missing) for one in settings)


def _split(hosts: Sequence[FoundHost]) -> tuple[list[ToldSetting], dict[str, list[ToldSetting]]]:
    """Return the settings that all hosts have alike, and those of each host that differ."""
    first = hosts[0].settings if hosts else []
    values = [{one.variable: (one.value, dict(one.missing)) for one in host.settings} for host in hosts]
    alike = {
        one.variable
        for one in first
        if all(each.get(one.variable) == (one.value, dict(one.missing)) for each in values)
    }
    shared = [one for one in first if one.variable in alike]
    return shared, {host.name: [one for one in host.settings if one.variable not in alike] for host in hosts}


def _write_setting(setting: ToldSetting, indent: str) -> list[str]:
    """Return the lines of one variable: comments, value, and what is to be filled in."""
    lines = _comment(setting.how, indent)
    whole = setting.missing.get("")
    if setting.after:
        left = f"{setting.variable}: left out; each run finds it by itself, once {setting.after} is set"
        return _comment(left, indent)
    if setting.variable in ASKED_FOR and whole is None:
        return []
    if whole is not None:
        return [*lines, *_comment(f"fill in: {setting.variable}: (tried: {whole})", indent)]
    if not isinstance(setting.value, dict):
        return [*lines, f"{indent}{setting.variable}: {_write_scalar(setting.value)}"]
    inner = indent + "  "
    lines.append(f"{indent}{setting.variable}:" + ("" if setting.value else " {}"))
    for key, value in setting.value.items():
        lines += _comment(setting.parts.get(key, ""), inner)
        lines += _write_entry(key, value, inner)
    for key, tried in setting.missing.items():
        lines += _comment(f"fill in: {key}: (tried: {tried})", inner)
    return lines


def _write_entry(key: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, dict) and value:
        lines = [f"{indent}{_write_scalar(key)}:"]
        for name, inner in value.items():
            lines += _write_entry(name, inner, indent + "  ")
        return lines
    return [f"{indent}{_write_scalar(key)}: {_write_scalar(value)}"]


def _write_scalar(value: Any, *, ours: bool = False) -> str:
    """Return a value as YAML on one line; a text that could be read as anything else is quoted.

    A text that Ansible would take for a template is marked as none, unless it is ``ours``.
    """
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_write_scalar(key)}: {_write_scalar(one)}" for key, one in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_write_scalar(one) for one in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    template = _TEMPLATE.search(value) and not ours and value not in _REFERENCES
    return f"!unsafe {quoted}" if template else quoted


def _comment(text: str, indent: str) -> list[str]:
    """Return a comment, wrapped; further lines are set in."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{indent}#{'   ' if lines else ' '}{word}")
    return lines


def _write_secrets(hosts: Sequence[FoundHost]) -> list[str]:
    met = dict.fromkeys(
        f"{service}: {', '.join(names)}" for host in hosts for service, names in host.secrets.items() if names
    )
    if not met:
        return []
    return ["", *_comment("Secrets were met in the environment of these services, and none of them was kept:", ""),
            *(line for one in met for line in _comment(f"- {one}", ""))]  # fmt: skip


def _clean_value(value: Any, depth: int = 0) -> Any:
    """Return a value of JSON with every text on one clean line; what is deeper or stranger than ours is left out."""
    if isinstance(value, str):
        return bounds.fit_line(value, _TEXT)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= _DEEPEST:
        return None
    if isinstance(value, list):
        return [_clean_value(one, depth + 1) for one in value[:_MOST]]
    if isinstance(value, dict):
        known = [(key, one) for key, one in list(value.items())[:_MOST] if _KEY.fullmatch(str(key))]
        return {str(key): _clean_value(one, depth + 1) for key, one in known}
    return None


def _clean_comments(value: Any) -> dict[str, str]:
    found = list(value.items())[:_MOST] if isinstance(value, dict) else []
    return {bounds.fit_line(str(key), 100): _clean_comment(text) for key, text in found}


def _clean_comment(text: Any) -> str:
    return bounds.fit_line(str(text or ""), _COMMENT)


def list_fill_ins(text: str) -> Iterator[str]:
    """Yield the lines of an inventory that say what is to be filled in."""
    return (line.strip() for line in text.splitlines() if line.strip().startswith(FILL_IN))
