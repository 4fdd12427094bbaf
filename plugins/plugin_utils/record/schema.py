# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a value against a JSON Schema, as far as the record's schema goes, and say what is wrong in words.

The controller shall not need the jsonschema package, so this knows just the keywords that
``files/record.schema.json`` uses; the unit tests hold it against jsonschema itself.
Source: JSON Schema 2020-12, core and validation vocabularies.
"""

from __future__ import annotations

import json
import re
from typing import Any

Schema = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "type", "required", "properties", "items"),
    *(
        "additionalProperties",
        "anyOf",
        "enum",
        "const",
        "pattern",
        "minimum",
        "minItems",
        "maxItems",
        "minLength",
    ),
}


def find_problems(value: Any, schema: Schema) -> list[str]:
    """Return one sentence for each way in which ``value`` breaks ``schema``; none if it matches.

    Raises ValueError when the schema uses a keyword that this checker does not know.
    """
    return _check(value, schema, schema, "")


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):  # in Python a kind of int, in JSON not
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _check(value: Any, schema: Schema, root: Schema, where: str) -> list[str]:
    unknown = set(schema) - _KNOWN
    if unknown:
        raise ValueError(f"the schema uses keywords that are not known here: {', '.join(sorted(unknown))}")
    if "$ref" in schema:
        return _check(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, where)
    place = where or "it"
    if "anyOf" in schema:
        found = [_check(value, choice, root, where) for choice in schema["anyOf"]]
        return (
            []
            if any(not each for each in found)
            else [f"{place} is {_shown(value)}, which is not allowed there"]
        )
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return [f"{place} is {_shown(value)}, not {' or '.join(kinds)}"]
    return [*_plain(value, schema, place), *_inner(value, schema, root, where)]


def _plain(value: Any, schema: Schema, place: str) -> list[str]:
    out = []
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices is not None and not any(value == each and type(value) is type(each) for each in choices):
        wanted = ", ".join(map(_shown, choices))
        out.append(f"{place} is {_shown(value)}, not {'one of ' if len(choices) > 1 else ''}{wanted}")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            out.append(f"{place} is {_shown(value)}, which does not match {schema['pattern']}")
        if len(value) < schema.get("minLength", 0):
            out.append(f"{place} is empty")
    if isinstance(value, (int, float)) and "minimum" in schema and value < schema["minimum"]:
        out.append(f"{place} is {_shown(value)}, less than {schema['minimum']}")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            out.append(f"{place} has fewer than {schema['minItems']} members")
        if len(value) > schema.get("maxItems", len(value)):
            out.append(f"{place} has more than {schema['maxItems']} members")
    return out


def _inner(value: Any, schema: Schema, root: Schema, where: str) -> list[str]:
    out: list[str] = []
    if isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            out += _check(each, schema["items"], root, f"{where}[{index}]")
    if not isinstance(value, dict):
        return out
    out += [f"{where or 'it'} lacks {key}" for key in schema.get("required", []) if key not in value]
    named = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for key, each in value.items():
        place = f"{where}.{key}" if where else str(key)
        if key in named:
            out += _check(each, named[key], root, place)
        elif others is False:
            out.append(f"{place} is not part of a record")
        elif isinstance(others, dict):
            out += _check(each, others, root, place)
    return out


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"
