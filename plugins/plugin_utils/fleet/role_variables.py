# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the variables that a role is given, in sentences: which, what it is, what would be right.

Ansible checks a role's arguments, too, and stumbles over some: a number where it looks for suboptions ("argument of
type 'int' is not iterable"), a key that is none, infinity, four hundred digits. It takes a list for a text, writes it
out, and leaves the variable as it was. And it does not say which variable a template that cannot be filled in is of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...module_utils.common.bounds import PORT_MAX
from ...module_utils.common.schema import Wrong, as_number, find_unsound, show_value
from ..words import TYPE_WORDS

Option = Mapping[str, Any]

_INSTEAD = "with -e give it as JSON: -e '{\"NAME\": …}'"
_NUMBERS = ("int", "float")
#: What Ansible takes for true or false, as text or as a number.
_BOOLS = ("y", "yes", "on", "1", "true", "t", "1.0", "n", "no", "off", "0", "false", "f", "0.0")
#: What no type says, by variable: the pattern of a text, or the least and the greatest of a number, and in words.
_PATTERNS = {
    "chaos_project": (
        r"[a-z0-9][a-z0-9_-]*",
        "a compose project's name: small letters, digits, - and _, a letter or digit first",
    ),
    "chaos_replicas": (r"one|all|[1-9][0-9]{0,3}", "one, all, or a number of containers from 1 on"),
    "chaos_experiment_role": (
        r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_]+){0,8}",
        "a role's name, such as acme.chaos.my_experiment",
    ),
    "chaos_order_book": (r"|/\S*", "empty, or a path on the API, which begins with /"),
}
_RANGES = {
    "chaos_repeat": (1, 1000, "from 1 to 1000"),
    "chaos_arm_s": (0, 600, "from 0 to 600, in seconds"),
    "chaos_spread_ms": (0, 60_000, "from 0 to 60000, in milliseconds"),
    "chaos_slice_s": (0.1, 1800, "from 0.1 to 1800, in seconds"),
}
#: What named values must have at least, and in words what is to be given.
_NEEDED = {
    "chaos_services": (("database", "cache", "api", "proxy"), "the compose service that plays each part")
}
#: Ports, wherever one stands.
_PORT = re.compile(r"chaos_ports\.\w+|chaos_external\.\w+\.port")


class Unfilled(Exception):
    """A variable is a template that cannot be filled in; the message is the reason."""


def find_problems(options: Mapping[str, Option], read: Callable[[str], Any]) -> list[str]:
    """Return a sentence for each variable that is not what its role takes.

    options: of the role's argument specification; read: returns a variable's value filled in. It raises KeyError where
    nobody set it, and Unfilled where it cannot be filled in.
    """
    found: list[str] = []
    for name, option in options.items():
        try:
            value = read(name)
        except KeyError:
            continue
        except Unfilled as error:
            found.append(
                f"{name} is a template that cannot be filled in ({error}); define what it names, or give a value."
            )
            continue
        if value is None and option.get("type") in TYPE_WORDS:
            found.append(f"{name} is empty (null); it must be {TYPE_WORDS[option['type']]}, or be left out.")
        found += list(_wrong(value, option, name)) or list(_beyond(value, name))
    return found


def _wrong(value: Any, option: Option, name: str) -> Iterator[str]:
    """Yield what is wrong with a value for an option, and with what is in it."""
    if value is None:
        return  # as good as not given
    if option.get("no_log"):
        if not isinstance(value, (str, int)) or isinstance(value, bool) or next(find_unsound(value), ""):
            yield f"{name} is no text of printable characters; a password must be one (it is not shown here)."
        return
    kind = option.get("type", "str")
    if kind == "dict":
        yield from _wrong_mapping(value, option, name)
    elif kind == "list":
        yield from _wrong_list(value, option, name)
    elif kind in _NUMBERS:
        yield from _wrong_number(value, kind, name)
    elif kind == "bool":
        if not isinstance(value, (bool, int, float, str)) or str(value).strip().lower() not in _BOOLS:
            yield f"{name} is {show_value(value)}; it must be true or false."
    elif kind in ("str", "path"):
        yield from _wrong_text(value, name)
    elif kind == "raw":
        yield from find_unsound(value, name)


def _wrong_mapping(value: Any, option: Option, name: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        hint = f"; {_INSTEAD}" if isinstance(value, str) and value and "." not in name else ""
        yield f"{name} is {show_value(value)}; it must be a dictionary{hint}.".replace("NAME", name)
        return
    inner = option.get("options") or {}
    for key, one in value.items():
        if not isinstance(key, str):
            yield f"{name} has a key {show_value(key)}; a key must be text: put it in quotes."
        elif key in inner:
            yield from _wrong(one, inner[key], f"{name}.{key}")
    rest = {key: one for key, one in value.items() if isinstance(key, str) and key not in inner}
    yield from find_unsound(rest, name)


def _wrong_list(value: Any, option: Option, name: str) -> Iterator[str]:
    one_number = isinstance(value, (int, float)) and name == "chaos_waves"
    if isinstance(value, bool) or not (one_number or isinstance(value, (list, tuple, str))):
        yield f"{name} is {show_value(value)}; it must be a list."
    elif not isinstance(value, (list, tuple)):  # one element, or several with commas between
        yield from _wrong_text(value, name)
    else:
        element = {"type": option.get("elements", "raw"), "options": option.get("options")}
        for place, one in enumerate(value):
            if one is None:
                yield f"{name}[{place}] is empty; leave it out, or give a value."
            else:
                yield from _wrong(one, element, f"{name}[{place}]")


def _wrong_number(value: Any, kind: str, name: str) -> Iterator[str]:
    try:
        number = as_number(value, name, f"{TYPE_WORDS[kind]}, finite, and not beyond 2**53 either way")
    except Wrong as error:
        yield str(error)
        return
    if kind == "int" and not number.is_integer():
        yield f"{name} is {show_value(value)}; it must be {TYPE_WORDS[kind]}."
    elif _PORT.fullmatch(name) and not 1 <= number <= PORT_MAX:
        yield f"{name} is {show_value(value)}; it must be a port, from 1 to {PORT_MAX}."


def _wrong_text(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, bool):
        word = str(value).lower()
        yield f"{name} is {word}; it must be text: where a word such as yes, no, on or off is meant, put it in quotes."
    elif isinstance(value, (list, tuple, Mapping)):
        yield f"{name} is {show_value(value)}; it must be text."
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{name} is {value}; it must be text: put it in quotes if that is meant."
    else:
        yield from find_unsound(value, name)


def _beyond(value: Any, name: str) -> Iterator[str]:
    """Yield what is wrong with a value of the right type."""
    if name in _PATTERNS and value is not None:
        pattern, words = _PATTERNS[name]
        if not re.fullmatch(pattern, str(value)):
            yield f"{name} is {show_value(value)}; it must be {words}."
    if name in _RANGES and value is not None:
        least, most, words = _RANGES[name]
        if not least <= as_number(value, name) <= most:
            yield f"{name} is {show_value(value)}; it must be {words}."
    if name in _NEEDED and value is not None:
        keys, words = _NEEDED[name]
        missing = [key for key in keys if value.get(key) in (None, "")]
        if missing:
            yield f"{name} has no {', '.join(missing)}; give {words}."
    if name == "chaos_address" and not _is_address(value):
        yield f"{name} is {show_value(value)}; it must be an address or a name, or a list of them."


def _is_address(value: Any) -> bool:
    each = value if isinstance(value, (list, tuple)) else [value or ""]
    return all(isinstance(one, str) and not re.search(r"\s", one) for one in each)
