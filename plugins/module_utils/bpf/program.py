# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BPF program is to user space, and which there are.

A further program is one more ``.c`` file in files/bpf and one more small file like bpf_exit.py, named here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

#: struct chaos_head of files/bpf/common.c
HEAD = struct.Struct("=QHHII16sIQ")


class Head(NamedTuple):
    """The part every record begins with. at: CLOCK_MONOTONIC ns; pid, netns, cgroup: 0 where not known."""

    at: int
    kind: int
    flags: int
    pid: int
    netns: int
    comm: bytes
    reserved: int
    cgroup: int


#: Turns a record into (event name, fields of its own); None if it is to be left out.
Decoder = Callable[[Head, bytes], Optional[tuple[str, dict[str, Any]]]]


@dataclass(frozen=True)
class Series:
    """A histogram or counter that a program keeps in the kernel (files/bpf/histograms.c).

    unit: of the buckets and of the sum; scale: how many units of the kernel's sum are one of them; key: says what a
    bucket's ``detail`` is; histogram: False for a counter; anybody: kept though nobody of the exchange is known to
    have caused it (a device's requests are often issued by the kernel).
    """

    name: str
    unit: str
    key: Callable[[int], dict[str, Any]]
    scale: int = 1
    histogram: bool = True
    anybody: bool = False


@dataclass(frozen=True)
class Program:
    """One program: its source in files/bpf, the tracepoints it uses, how its records are read.

    needs: tracepoints (``category:name``) without which it cannot run; uses: those it can do without; either: sets of
    words of chaos_config.h, one of which must be there whole; kinds: its events by the number of their kind; series:
    by number, what it keeps in the kernel; by_others: kinds of records whose cgroup is that of who acted, and whose
    pid is that of whom it befell.
    """

    name: str
    needs: tuple[str, ...]
    uses: tuple[str, ...] = ()
    decoders: Mapping[int, Decoder] = field(default_factory=dict)
    kinds: Mapping[int, str] = field(default_factory=dict)
    series: Mapping[int, Series] = field(default_factory=dict)
    either: tuple[frozenset[str], ...] = ()
    by_others: frozenset[int] = frozenset()

    @property
    def source(self) -> str:
        """Return the name of its C file."""
        return f"{self.name}.c"


def decode_name(raw: bytes) -> str:
    """Return a process's name from its fixed 16 bytes."""
    return raw.partition(b"\0")[0].decode(errors="replace")
