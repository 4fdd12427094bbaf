# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen dataclasses read from JSON-like data: each value is checked once, where it enters, and wrong ones are told.

A field says with :func:`take_number`, :func:`take_text`, :func:`take_part` … what it takes, and its default. A number
may come as text, since Ansible hands on what was given with ``-e`` so; it never comes as true, null, NaN or infinity.
Keys that no field knows are kept in ``more``, so that what is written back holds all that was read.
"""

# pylint: disable=invalid-field-call
# what is made here are the fields that dataclasses declare
from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, Union

#: Deeper than this no specification is nested; longer no text of one is, nor greater a number (2**53: exact floats).
DEEPEST, LONGEST, GREATEST = 24, 10_000, 2**53
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SHOWN = 60

Read = Callable[[Any, str], Any]
Part = TypeVar("Part", bound="Described")


class Wrong(ValueError):
    """Values that are not what a field takes: one sentence each."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)
        self.sentences = list(sentences)


def show_value(value: Any) -> str:
    """Return a value for a sentence, cut; printable whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, thousands of brackets
        return "too much to be shown"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def as_number(value: Any, where: str, what: str = "a number") -> float:
    """Return a finite number; it may come as text. Raises Wrong."""
    if not isinstance(value, bool) and isinstance(value, (int, float, str)):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found) and abs(found) <= GREATEST:
            return found
    raise Wrong(f"{where} is {show_value(value)}; it must be {what}.")


def take_number(
    default: Any = dataclasses.MISSING,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: bool = False,
) -> Any:
    """A number from ``least`` (itself not, with ``above``) to ``most``; null is good only where that is the default."""
    what = f"a number{_range(least, most, above)}"

    def read(value: Any, where: str) -> float:
        found = as_number(value, where, what)
        if not least <= found <= most or (above and found == least):
            raise Wrong(f"{where} is {show_value(value)}; it must be {what}.")
        return found

    return _field(read, default, null=default is None)


def take_whole(default: Any = dataclasses.MISSING, *, least: int, most: int = GREATEST) -> Any:
    """A whole number."""
    what = f"a whole number{_range(least, most, False)}"

    def read(value: Any, where: str) -> int:
        found = as_number(value, where, what)
        if not found.is_integer() or not least <= found <= most:
            raise Wrong(f"{where} is {show_value(value)}; it must be {what}.")
        return int(found)

    return _field(read, default, null=default is None)


def take_text(default: Any = "", *, pattern: str = "", what: str = "text") -> Any:
    """A text, which matches ``pattern`` as a whole if given; null is the default."""

    def read(value: Any, where: str) -> str:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)  # a name such as 7, which YAML takes for a number
        if not isinstance(value, str) or (pattern and not re.fullmatch(pattern, value)):
            raise Wrong(f"{where} is {show_value(value)}; it must be {what}.")
        return value

    return _field(read, default)


def take_choice(default: str, *of: str) -> Any:
    """One of a few words."""
    return take_text(default, pattern="|".join(map(re.escape, of)), what=f"one of {', '.join(of)}")


def take_flag(default: bool | None) -> Any:
    """True or false; absent it may be None."""

    def read(value: Any, where: str) -> bool:
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        found = words.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(found, bool):
            raise Wrong(f"{where} is {show_value(value)}; it must be true or false.")
        return found

    return _field(read, default)


def take_texts(*default: str) -> Any:
    """A list of texts, kept as a tuple."""

    def read(value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
            raise Wrong(f"{where} is {show_value(value)}; it must be a list of texts.")
        return tuple(value)

    return _field(read, default)


def take_texts_or_one() -> Any:
    """A list of texts, or a single one; empty when there is none."""

    def read(value: Any, where: str) -> tuple[str, ...]:
        each = [value] if isinstance(value, str) else value
        if not isinstance(each, (list, tuple)) or not all(isinstance(one, str) for one in each):
            raise Wrong(f"{where} is {show_value(value)}; it must be a text or a list of texts.")
        return tuple(one.strip() for one in each if one.strip())

    return _field(read, ())


def take_mapping(of: Read | None = None) -> Any:
    """Named values; ``of`` reads each of them."""

    def read(value: Any, where: str) -> Mapping[str, Any]:
        _require_mapping(value, where)
        if of is None:
            return dict(value)
        each = {str(key): _attempt(of, one, f"{where}.{key}") for key, one in value.items()}
        return _sound(each)

    return dataclasses.field(default_factory=dict, metadata={"read": read, "null": True})


def take_text_mapping() -> Any:
    """Named texts."""
    return take_mapping(take_text().metadata["read"])


def take_part(of: type[Part], *, optional: bool = False) -> Any:
    """Named values with fields of their own; absent with ``optional`` it is None, else all defaults."""
    if optional:
        return _field(of.from_data, None, null=True)
    return dataclasses.field(
        default_factory=lambda: of.from_data({}, ""), metadata={"read": of.from_data, "null": False}
    )


def take_parts(of: type[Part]) -> Any:
    """A list of such parts, kept as a tuple."""
    return _field(_list_of(of), ())


def take_parts_by_name(of: type[Part], *, listed: bool = False) -> Any:
    """Such parts (with ``listed`` lists of them) by a name."""
    return take_mapping(_list_of(of) if listed else of.from_data)


Scalar = Union[bool, int, float, str]


def take_scalar() -> Any:
    """A number, a word, true or false."""

    def read(value: Any, where: str) -> Scalar:
        if isinstance(value, (bool, int, float, str)) and (
            isinstance(value, (bool, str)) or abs(value) <= GREATEST
        ):
            return value
        raise Wrong(f"{where} is {show_value(value)}; it must be a number or a word.")

    return _field(read, None)


def take_anything(default: Any = None) -> Any:
    """A value that whoever uses it checks."""
    return _field(lambda value, where: value, default)


@dataclasses.dataclass(frozen=True)
class Described:
    """A dataclass whose fields say what they take."""

    @classmethod
    def from_data(cls: type[Part], data: Any, where: str = "") -> Part:
        """Read it. Raises Wrong with a sentence for each wrong value; missing ones have their defaults."""
        _require_mapping(data, where)
        values: dict[str, Any] = {}
        wrong: list[str] = []
        known = {"more"}
        for one in dataclasses.fields(cls):
            if one.name == "more":
                continue
            key = str(one.metadata.get("key") or one.name)
            known.add(key)
            if key not in data or (data[key] is None and one.metadata["null"]):
                continue
            try:
                values[one.name] = one.metadata["read"](data[key], cls.name_of(where, key))
            except Wrong as error:
                wrong += error.sentences
        if wrong:
            raise Wrong(*wrong)
        rest = {str(key): value for key, value in data.items() if key not in known}
        return cls(**values, **({"more": rest} if "more" in cls.__dataclass_fields__ else {}))

    @classmethod
    def name_of(cls, where: str, key: str) -> str:
        """Return what a sentence calls the value ``key`` of the part called ``where``."""
        return f"{where}.{key}" if where else key

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON-like data, all that was read included; what is empty is left out."""
        found = {
            str(one.metadata.get("key") or one.name): _plain(getattr(self, one.name))
            for one in dataclasses.fields(self)
            if one.name != "more"
        }
        told = {key: value for key, value in found.items() if value not in (None, "", [], {})}
        return {**told, **_plain(getattr(self, "more", {}))}


def find_unsound(data: Any, where: str = "") -> Iterator[str]:
    """Yield a sentence for each value that no field of any part could take: NaN, control characters, endless depth."""
    waiting: list[tuple[Any, str, int]] = [(data, where, 0)]
    while waiting:
        value, name, depth = waiting.pop()
        if isinstance(value, (Mapping, list, tuple)) and depth >= DEEPEST:
            yield f"{name} is nested deeper than {DEEPEST} levels; nothing of a run is."
        elif isinstance(value, Mapping):
            for key, one in value.items():
                label = f"{name}.{key}" if name else str(key)
                if not isinstance(key, str) or _CONTROL.search(key) or len(key) > _SHOWN * 2:
                    yield f"{name or 'The specification'} has a key {show_value(key)}; a key is a short text."
                else:
                    waiting.append((one, label, depth + 1))
        elif isinstance(value, (list, tuple)):
            waiting += [(one, f"{name}[{place}]", depth + 1) for place, one in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{name} is {value}; it must be a finite number."
        elif isinstance(value, int) and abs(value) > GREATEST:
            yield f"{name} is {show_value(value)}; a number must not be beyond 2**53, either way."
        elif isinstance(value, (bytes, bytearray, set, frozenset)):
            # what YAML makes of !!binary and !!set: no module could be told it
            yield f"{name} is {show_value(value)}; it must be text, a number, a list or a dictionary."
        elif isinstance(value, str) and (_CONTROL.search(value) or len(value) > LONGEST):
            shown = show_value(value)
            yield f"{name} is {shown}; a text must have no control characters, and at most {LONGEST} others."


def _field(read: Read, default: Any, *, null: bool = True, key: str = "") -> Any:
    metadata = {"read": read, "null": null}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def rename_key(key: str, field: Any) -> Any:
    """The same field under another key, one that Python keeps for itself."""
    return dataclasses.field(default=field.default, metadata={**field.metadata, "key": key})


def _list_of(of: type[Part]) -> Read:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise Wrong(f"{where} is {show_value(value)}; it must be a list.")
        each = {place: _attempt(of.from_data, one, f"{where}[{place}]") for place, one in enumerate(value)}
        return tuple(_sound(each).values())

    return read


def _attempt(read: Read, value: Any, where: str) -> Any:
    try:
        return read(value, where)
    except Wrong as error:
        return error


def _sound(each: dict[Any, Any]) -> dict[Any, Any]:
    wrong = [sentence for one in each.values() if isinstance(one, Wrong) for sentence in one.sentences]
    if wrong:
        raise Wrong(*wrong)
    return each


def _require_mapping(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise Wrong(f"{where or 'The specification'} is {show_value(value)}; it must be named values.")


def _range(least: float, most: float, above: bool) -> str:
    if math.isinf(least) and math.isinf(most):
        return ""
    low = f" above {least:g}" if above else f" from {least:g}"
    if most in (math.inf, GREATEST):
        return low if above else f" of at least {least:g}"
    return f"{low} {'and up to' if above else 'to'} {most:g}"


def _plain(value: Any) -> Any:
    if isinstance(value, Described):
        return value.to_data()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
