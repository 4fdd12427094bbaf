# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's maps by their descriptors: read and written through libbpf, which bcc itself stands on.

The compiler is in another process (:mod:`.handover`) and gone by the time the maps are read; libbpf alone is some
hundred kilobytes. Source: bpf(2).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Shared library of libbpf, newest interface first; what is called here is the same in both.
_NAMES = ("libbpf.so.1", "libbpf.so.0")
_ANY = 0  # BPF_ANY


@lru_cache(maxsize=1)
def _libbpf() -> Any:
    """Return the library. Raises OSError when the host has none under a name that we know."""
    for name in _NAMES:
        try:
            return ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
    raise OSError(f"none of {', '.join(_NAMES)} can be loaded")


def require_library() -> None:
    """Raise OSError when maps cannot be reached without the compiler's own library."""
    _libbpf()


@lru_cache(maxsize=1)
def possible_cpus() -> int:
    """Return how many values a per-CPU map has for a key (cpu/possible, e.g. ``0-3``)."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition(",")[2]
    return int(last.rpartition("-")[2]) + 1


class Map:
    """One map. key, value: how the kernel lays them out, as struct formats; per_cpu: a value for each CPU."""

    def __init__(self, fd: int, key: str, value: str, *, per_cpu: bool = False) -> None:
        self.fd = fd
        self._key = struct.Struct(f"={key}")
        self._value = struct.Struct(f"={value}")
        self._room = self._value.size
        if per_cpu:  # each value is rounded up to eight bytes
            self._room = (self._value.size + 7) // 8 * 8 * possible_cpus()

    def get(self, *key: int) -> tuple[Any, ...] | None:
        """Return the value of a key, None if it has none (any more)."""
        data = self._lookup(self._key.pack(*key))
        return None if data is None else self._value.unpack_from(data)

    def total(self, *key: int) -> int:
        """Return the sum over all CPUs of a per-CPU map of whole numbers."""
        data = self._lookup(self._key.pack(*key)) or b""
        return sum(value for (value,) in struct.iter_unpack("=Q", data))

    def put(self, key: tuple[int, ...], value: tuple[Any, ...]) -> None:
        """Set a key's value. Raises OSError when the kernel refuses."""
        raw = self._key.pack(*key), self._value.pack(*value)
        if _libbpf().bpf_map_update_elem(self.fd, raw[0], raw[1], ctypes.c_uint64(_ANY)) < 0:
            raise OSError(ctypes.get_errno(), "bpf_map_update_elem")

    def drop(self, *key: int) -> None:
        """Delete a key, if it is there."""
        _libbpf().bpf_map_delete_elem(self.fd, self._key.pack(*key))

    def items(self) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """Yield key and value of each entry. What programs change meanwhile may be seen or not."""
        for raw in self._keys():
            data = self._lookup(raw)
            if data is not None:
                yield self._key.unpack(raw), self._value.unpack_from(data)

    def _keys(self) -> list[bytes]:
        found: list[bytes] = []
        following = ctypes.create_string_buffer(self._key.size)
        current: bytes | None = None
        while _libbpf().bpf_map_get_next_key(self.fd, current, following) == 0:
            current = following.raw
            found.append(current)
        return found

    def _lookup(self, key: bytes) -> bytes | None:
        room = ctypes.create_string_buffer(self._room)
        return room.raw if _libbpf().bpf_map_lookup_elem(self.fd, key, room) == 0 else None
