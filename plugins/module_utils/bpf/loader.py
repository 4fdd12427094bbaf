# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile, load and attach the programs with bcc, and take their records out of the kernel."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import sources, tracepoints
from .btf import Btf
from .histograms import Bucket
from .program import Program
from .sources import Settings

try:
    import bcc
except ImportError:
    bcc = None

#: Kernel that brought the BPF ring buffer.
_RING_SINCE = (5, 8, 0)
#: bcc is noisy about macros its own headers define twice.
_CFLAGS = ["-Wno-macro-redefined", "-Wno-unused-function"]


class Absent(Exception):
    """Something the capture needs is not on this host; the message is one sentence that says what would help."""


class LoadError(Exception):
    """The kernel or the compiler refused the programs; the message is one sentence."""


class Tracer:
    """Attached programs. Records come in the order of their time."""

    def __init__(self, bpf: Any, programs: Sequence[Program], settings: Settings, mounted: bool) -> None:
        self._bpf = bpf
        #: programs that were asked for and cannot run here, with what they lack
        self.lacking: dict[str, str] = {}
        self.programs = tuple(programs)
        self.settings = settings
        #: tracefs was mounted for the loading, and is gone again
        self.mounted = mounted
        self._records: list[bytes] = []
        self._lost = 0
        self._poll = self._open()

    def poll(self) -> list[bytes]:
        """Return the records that came since the last call, oldest first. Does not wait."""
        begin = time.monotonic_ns()
        self._poll()
        # Records of several CPUs may overtake each other.
        found = sorted(self._records, key=_time_of)
        # One buffer per CPU is read after the other: what is younger than this round may have an elder still unread.
        ready = found if self.settings.ring else [record for record in found if _time_of(record) <= begin]
        self._records = found[len(ready) :]
        return ready

    def lost(self) -> int:
        """Return how many records did not fit, since the start.

        Our programs count what the kernel refused. Of a perf buffer that is full, old kernels tell them nothing
        (perf_event_output() had no result) and user space alone; later ones tell both, of the same records.
        """
        return max(self._lost, int(sum(self._bpf["chaos_lost"][ctypes.c_int(0)])))

    def cgroup_name(self, cgroup: int) -> str | None:
        """Return the name the kernel has for a cgroup of a record ("": no container's), None if it forgot it."""
        try:
            name: bytes = self._bpf["chaos_cgroups"][ctypes.c_ulonglong(cgroup)].name
        except KeyError:
            return None
        return name.decode(errors="replace")

    def set_epoch(self, number: int) -> None:
        """Have the kernel count histograms under this number from now on."""
        self._bpf["chaos_epoch"][ctypes.c_int(0)] = ctypes.c_uint(number)

    def take(self, below: int) -> list[Bucket]:
        """Return the histograms' buckets of epochs below a number, and delete them."""
        table = self._bpf["chaos_buckets"]
        old = [(key, value) for key, value in table.items() if key.epoch < below]
        for key, _value in old:
            del table[key]
        return [
            Bucket(key.epoch, key.owner, key.series, key.detail, key.slot, value.count, value.sum, value.max)
            for key, value in old
        ]

    def forget(self, cgroup: int) -> None:
        """Tell the kernel that a cgroup is not the exchange's, so that it is counted no more."""
        table = self._bpf["chaos_cgroups"]
        table[ctypes.c_ulonglong(cgroup)] = table.Leaf()

    def unkept(self) -> int:
        """Return how many values of histograms found no room in the kernel, since the start."""
        if not any(program.series for program in self.programs):
            return 0
        return int(sum(self._bpf["chaos_unkept"][ctypes.c_int(0)]))

    def close(self) -> None:
        """Detach everything."""
        self._bpf.cleanup()

    def _open(self) -> Callable[[], None]:
        table = self._bpf["chaos_records"]
        if self.settings.ring:
            table.open_ring_buffer(self._ring_record)
            return self._bpf.ring_buffer_consume  # type: ignore[no-any-return]
        pages = sources.PERF_BYTES // os.sysconf("SC_PAGE_SIZE")
        several = {"page_cnt": pages, "lost_cb": self._perf_lost}
        if hasattr(self._bpf, "perf_buffer_consume"):
            table.open_perf_buffer(self._perf_record, **several, wakeup_events=4096)
            return self._bpf.perf_buffer_consume  # type: ignore[no-any-return]
        # An older bcc only reads what it was woken for, so each record wakes.
        table.open_perf_buffer(self._perf_record, **several)
        return lambda: self._bpf.perf_buffer_poll(0)

    def _ring_record(self, _context: Any, data: Any, size: int) -> int:
        self._records.append(ctypes.string_at(data, size))
        return 0

    def _perf_record(self, _cpu: int, data: Any, size: int) -> None:
        self._records.append(ctypes.string_at(data, size))

    def _perf_lost(self, count: int) -> None:
        self._lost += count


def check(root: Path = Path("/")) -> None:
    """Raise Absent, with the reason, when this host cannot capture at all."""
    if bcc is None:
        raise Absent(
            f"bcc is not installed for {sys.executable}: install the package {package(root)} for the system's Python."
        )
    if os.geteuid() != 0:
        raise Absent("BPF programs need root: run the play with become to see the kernel's events.")


def package(root: Path = Path("/")) -> str:
    """Return the name of the distribution's package with bcc's Python module (os-release(5))."""
    words: set[str] = set()
    try:
        for line in (root / "etc/os-release").read_text().splitlines():
            key, _sign, value = line.partition("=")
            if key in ("ID", "ID_LIKE"):
                words.update(value.strip("\"' ").split())
    except OSError:
        pass
    if words & {"debian", "ubuntu"}:
        return "python3-bpfcc"
    if "alpine" in words:
        return "py3-bcc"
    if "arch" in words:
        return "python-bcc"
    return "python3-bcc"


def load(programs: Sequence[Program], settings: Settings, folder: Path) -> Tracer:
    """Attach those of the programs that this kernel has the tracepoints for.

    folder: where our headers are laid out. Raises Absent or LoadError.
    """
    check()
    try:
        with tracepoints.reachable() as (tracefs, mounted):
            usable = [program for program in programs if not missing(program, tracefs)]
            if not usable:
                lacking = sorted({event for program in programs for event in missing(program, tracefs)})
                raise Absent(
                    f"This kernel ({os.uname().release}) lacks the tracepoints {', '.join(lacking)}."
                )
            tracer = _load_or_less(usable, settings, folder, tracefs, mounted)
            for program in programs:
                lacks = missing(program, tracefs)
                if lacks:
                    tracer.lacking[program.name] = f"this kernel has no tracepoint {', '.join(lacks)}"
                elif program not in tracer.programs:
                    tracer.lacking.setdefault(program.name, "this kernel tells too little (BTF would help)")
            return tracer
    except OSError as error:
        raise Absent(f"The kernel's tracepoints cannot be reached: {error.strerror or error}.") from error


def missing(program: Program, tracefs: Path) -> list[str]:
    """Return the tracepoints a program needs and this kernel lacks."""
    return [event for event in program.needs if tracepoints.fields(tracefs, event) is None]


def has_ring(btf: Btf | None, release: str, bpf: Any = None) -> bool:
    """Return whether kernel and bcc have the ring buffer.

    Of the kernel BTF is asked first, because distributions carry it back. ``bpf``: bcc's class, to be asked for it.
    """
    if bpf is not None and not hasattr(bpf, "ring_buffer_consume"):
        return False
    if btf is not None:
        return btf.enumerator("BPF_MAP_TYPE_RINGBUF") is not None
    return sources.kernel_version(release) >= _RING_SINCE


def _load_or_less(
    programs: list[Program], settings: Settings, folder: Path, tracefs: Path, mounted: bool
) -> Tracer:
    """Load all programs, or, where the kernel refuses one, at least those that keep no histograms."""
    try:
        return _load(programs, settings, folder, tracefs, mounted)
    except LoadError as error:
        events_only = [program for program in programs if not program.series]
        if not events_only or len(events_only) == len(programs):
            raise
        tracer = _load(events_only, settings, folder, tracefs, mounted)
        refused = [program.name for program in programs if program.series]
        tracer.lacking.update(dict.fromkeys(refused, str(error)))
        return tracer


def _load(programs: list[Program], settings: Settings, folder: Path, tracefs: Path, mounted: bool) -> Tracer:
    """Try our headers with what BTF tells, without it, the distribution's headers, and last no ring buffer."""
    btf = Btf.of_kernel() if settings.use_btf else None
    release = os.uname().release
    ring = settings.ring and has_ring(btf, release, bcc.BPF)
    settings = replace(settings, ring=ring, use_btf=btf is not None)
    first: Exception | None = None
    attempts = [(settings, True), (replace(settings, use_btf=False), True), (settings, False)]
    if ring:  # said to be there and refused all the same
        attempts.append((replace(settings, ring=False), True))
    for attempt, ours in attempts if settings.use_btf else attempts[1:]:
        try:
            config = sources.config(programs, tracefs, attempt, btf)
            sources.lay_out(folder, config, sources.kernel_version(release))
            able = [program for program in programs if sources.able(program, config)]
            text = sources.program_text(able)
            return Tracer(_compile(text, folder, ours), able, attempt, mounted)
        except Exception as error:  # bcc raises plain Exception for whatever went wrong
            first = first or error
    raise LoadError(
        f"bcc could not load the programs ({_one_line(first)}); its own words are in capture.err."
    )


def _compile(text: str, folder: Path, ours: bool) -> Any:
    before = os.environ.get("BCC_KERNEL_SOURCE")
    include = folder / "include"
    if ours:
        os.environ["BCC_KERNEL_SOURCE"] = str(folder)
        flags = [f"-I{include}", *_CFLAGS]
    else:  # only the generated file; everything else is the distribution's
        flags = ["-include", str(include / "chaos_config.h"), f"-I{include / 'nothing'}", *_CFLAGS]
        text = text.replace("#include <chaos_config.h>", "")
    try:
        return bcc.BPF(text=text, cflags=flags)
    finally:
        os.environ.pop("BCC_KERNEL_SOURCE", None)
        if before is not None:
            os.environ["BCC_KERNEL_SOURCE"] = before


def _time_of(record: bytes) -> int:
    return int.from_bytes(record[:8], sys.byteorder)


def _one_line(error: Exception | None) -> str:
    return str(error).strip().splitlines()[0][:200] if error and str(error).strip() else type(error).__name__
