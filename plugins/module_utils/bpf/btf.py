# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offsets in the running kernel's structures, read from its own type information.

A program compiled without kernel headers knows no structure of the kernel; where the kernel carries BTF
(/sys/kernel/btf/vmlinux, kernel 5.4 with CONFIG_DEBUG_INFO_BTF), this file tells the few offsets it needs.
Source of the format: Documentation/bpf/btf.rst. One pass over 130,000 types takes about 0.1 s.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_HEADER = struct.Struct("=HBBIIIII")
_TYPE = struct.Struct("=III")
_MAGIC = 0xEB9F
_ARRAY, _STRUCT, _UNION, _ENUM, _TYPEDEF = 3, 4, 5, 6, 8
#: Types that only decorate another: typedef, volatile, const, restrict, type tag.
_DECORATIONS = (8, 9, 10, 11, 18)
#: Bytes that follow the common part of a type, once (INT, ARRAY, VAR, DECL_TAG) or for each of its members.
_ONCE = {1: 4, 3: 12, 14: 4, 17: 4}
_EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


class _Member(NamedTuple):
    name: bytes
    type_id: int
    offset: int  # bytes


class Btf:
    """The types of one kernel. Raises ValueError when ``data`` is no BTF of this machine's byte order."""

    def __init__(self, data: bytes) -> None:
        magic, _version, _flags, length, types, types_length, strings, strings_length = _HEADER.unpack_from(
            data
        )
        if magic != _MAGIC:
            raise ValueError("no BTF: the magic number is wrong")
        self._types = data[length + types : length + types + types_length]
        self._strings = data[length + strings : length + strings + strings_length]
        self._positions = [0]
        self._structures: dict[int, int] = {}
        self._enums: list[int] = []
        self._index()

    @classmethod
    def of_kernel(cls, path: Path = VMLINUX) -> Btf | None:
        """Return the running kernel's types, None where it carries none (or none that can be read)."""
        try:
            return cls(path.read_bytes())
        except (OSError, ValueError, struct.error, IndexError, KeyError):
            return None

    def offset(self, structure: str, *members: str) -> int | None:
        """Return the byte offset of a member, or of a member of that member, and so on; None if there is none."""
        type_id = self._find(structure)
        total = 0
        for name in members:
            found = self._member(type_id, name.encode()) if type_id else None
            if found is None:
                return None
            total += found.offset
            type_id = self._bare(found.type_id)
        return total

    def size(self, structure: str) -> int | None:
        """Return the size of a structure in bytes."""
        type_id = self._find(structure)
        return self._at(type_id)[2] if type_id else None

    def enumerator(self, name: str) -> int | None:
        """Return the value of an enumerator, whatever enumeration it stands in."""
        wanted = self._string(name)
        for type_id in self._enums:
            _name, info, _size = self._at(type_id)
            start = self._positions[type_id] + _TYPE.size
            for index in range(info & 0xFFFF):
                offset, value = struct.unpack_from("=Ii", self._types, start + 8 * index)
                if offset == wanted:
                    return int(value)
        return None

    def _index(self) -> None:
        unpack, types, positions = _TYPE.unpack_from, self._types, self._positions
        position, end = 0, len(types)
        while position < end:
            name, info, _size = unpack(types, position)
            kind = info >> 24 & 0x1F
            if kind == _STRUCT and name:
                self._structures.setdefault(name, len(positions))
            elif kind == _ENUM:
                self._enums.append(len(positions))
            positions.append(position)
            position += 12 + (_EACH[kind] * (info & 0xFFFF) if kind in _EACH else _ONCE.get(kind, 0))

    def _string(self, name: str) -> int:
        return self._strings.find(b"\0" + name.encode() + b"\0") + 1

    def _find(self, structure: str) -> int | None:
        return self._structures.get(self._string(structure))

    def _at(self, type_id: int) -> tuple[int, int, int]:
        name, info, size = _TYPE.unpack_from(self._types, self._positions[type_id])
        return name, info, size

    def _bare(self, type_id: int) -> int:
        while type_id:
            _name, info, target = self._at(type_id)
            if info >> 24 & 0x1F not in _DECORATIONS:
                break
            type_id = target
        return type_id

    def _member(self, type_id: int, name: bytes) -> _Member | None:
        """Return a member by name, looking into anonymous structures and unions, too."""
        for member in self._members(type_id):
            if member.name == name:
                return member
            inner = self._member(self._bare(member.type_id), name) if not member.name else None
            if inner is not None:
                return _Member(name, inner.type_id, member.offset + inner.offset)
        return None

    def _members(self, type_id: int) -> list[_Member]:
        _name, info, _size = self._at(type_id)
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return []
        start = self._positions[type_id] + _TYPE.size
        found = []
        for index in range(info & 0xFFFF):
            name, member, offset = _TYPE.unpack_from(self._types, start + 12 * index)
            bits = offset & 0xFFFFFF if info >> 31 else offset
            found.append(_Member(self._strings[name : self._strings.index(b"\0", name)], member, bits // 8))
        return found
