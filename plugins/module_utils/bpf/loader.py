# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile, load and attach the programs with bcc in a child, and read what they keep by its descriptors."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import maps, ring, sources, tracepoints
from .btf import Btf
from .handover import Loaded, load_in_child
from .histograms import Bucket
from .maps import Map
from .program import Program, decode_name
from .ring import Ring
from .sources import Settings

#: Kernel that brought the BPF ring buffer.
_RING_SINCE = (5, 8, 0)
#: bcc is noisy about macros its own headers define twice.
_CFLAGS = ["-Wno-macro-redefined", "-Wno-unused-function"]


class Absent(Exception):
    """Something the capture needs is not on this host; the message is one sentence that says what would help."""


class LoadError(Exception):
    """The kernel or the compiler refused the programs; the message is one sentence."""


#: How the kernel lays out what user space reads of each map (files/bpf/common.c, histograms.c), as struct formats.
_MAPS = {
    "chaos_lost": ("I", "Q"),
    "chaos_cgroups": ("Q", "96s"),
    "chaos_totals": ("QHHi", "QQQ"),
    "chaos_epoch": ("I", "I"),
    "chaos_buckets": ("QIIHHI", "QQQ"),
    "chaos_unkept": ("I", "Q"),
}
_PER_CPU = {"chaos_lost", "chaos_unkept"}
_BUFFERS = ("chaos_records", "chaos_rare")


@dataclass(frozen=True)
class KernelTotal:
    """How often the kernel saw one thing. owner: a cgroup, or a namespace's number with the bit of one; times: ns."""

    owner: int
    kind: int
    port: int
    error: int
    count: int
    first: int
    last: int


class Tracer:
    """Attached programs, and what they keep for us.

    buffer: the records of the two rings come through it where the kernel has no ring, and else not at all.
    """

    def __init__(self, loaded: Loaded, programs: Sequence[Program], buffer: PerfBuffer | None = None) -> None:
        facts = loaded.facts
        self._loaded = loaded
        self._buffer = buffer
        self._maps = {
            name: Map(fd, *_MAPS[name], per_cpu=name in _PER_CPU)
            for name, fd in loaded.maps.items()
            if name in _MAPS
        }
        self._rings = (
            {}
            if buffer
            else {
                name: Ring(loaded.maps[name], size)
                for name, size in zip(_BUFFERS, (sources.RING_BYTES, sources.RARE_BYTES))
            }
        )
        #: what was refused before the perf buffers were open, when nobody listened yet
        self._unheard = self._maps["chaos_lost"].total(0) if buffer and "chaos_lost" in self._maps else 0
        #: programs that were asked for and cannot run here, with what they lack
        self.lacking: dict[str, str] = dict(facts["lacking"])
        self.programs = tuple(program for program in programs if program.name in facts["programs"])
        #: how they were built in the end
        self.ring, self.use_btf = bool(facts["ring"]), bool(facts["use_btf"])
        #: tracefs was mounted for the loading, and is gone again
        self.mounted = bool(facts["mounted"])

    def take_records(self) -> bytes:
        """Return what came of connections since the last call, as a piece of a ring. Does not wait."""
        return ring.join(self._buffer.take()) if self._buffer else self._rings["chaos_records"].take()

    def take_rare(self) -> bytes:
        """Return what came of ends of processes, which are few and never to be lost, as a piece of a ring."""
        return b"" if self._buffer else self._rings["chaos_rare"].take()

    def count_lost(self) -> int:
        """Return how many records did not fit, since the start.

        Our programs count what the kernel refused. Of a perf buffer that is full, old kernels tell them nothing
        (perf_event_output() had no result) and user space alone; later ones tell both, of the same records.
        """
        refused = self._maps["chaos_lost"].total(0) - self._unheard
        return max(self._buffer.lost if self._buffer else 0, refused)

    def totals(self) -> list[KernelTotal]:
        """Return how often each kind of thing happened, counted in the kernel whatever became of the records."""
        return [KernelTotal(*key, *value) for key, value in self._maps["chaos_totals"].items()]

    def cgroup_name(self, cgroup: int) -> str | None:
        """Return the name the kernel has for a cgroup of a record ("": no container's), None if it forgot it."""
        found = self._maps["chaos_cgroups"].get(cgroup) if "chaos_cgroups" in self._maps else None
        return None if found is None else decode_name(found[0])

    def set_epoch(self, number: int) -> None:
        """Have the kernel count histograms under this number from now on."""
        self._maps["chaos_epoch"].put((0,), (number,))

    def take_buckets(self, below: int) -> list[Bucket]:
        """Return the histograms' buckets of epochs below a number, and delete them."""
        table = self._maps["chaos_buckets"]
        old = [(key, value) for key, value in table.items() if key[1] < below]
        for key, _value in old:
            table.drop(*key)
        return [
            Bucket(epoch, owner, series, detail, slot, *value)
            for (owner, epoch, detail, series, slot, _reserved), value in old
        ]

    def forget_cgroup(self, cgroup: int) -> None:
        """Tell the kernel that a cgroup is not the exchange's, so that it is counted no more."""
        self._maps["chaos_cgroups"].put((cgroup,), (b"",))

    def count_unkept(self) -> int:
        """Return how many values of histograms found no room in the kernel, since the start."""
        return self._maps["chaos_unkept"].total(0) if "chaos_unkept" in self._maps else 0

    def close(self) -> None:
        """Detach everything."""
        if self._buffer:  # bcc is in this process, and knows what it holds
            self._buffer.close()
            return
        for one in self._rings.values():
            one.close()
        self._loaded.close()


class PerfBuffer:
    """Where the kernel has no ring buffer: one buffer per CPU, read by bcc, which stays in this process then."""

    def __init__(self, bpf: Any) -> None:
        self._bpf = bpf
        self._records: list[bytes] = []
        self.lost = 0
        table = bpf["chaos_records"]
        pages = sources.PERF_BYTES // os.sysconf("SC_PAGE_SIZE")
        several = {"page_cnt": pages, "lost_cb": self._count_lost}
        if hasattr(bpf, "perf_buffer_consume"):
            table.open_perf_buffer(self._keep, **several, wakeup_events=4096)
            self._poll: Callable[[], None] = bpf.perf_buffer_consume
        else:  # an older bcc only reads what it was woken for, so each record wakes
            table.open_perf_buffer(self._keep, **several)
            self._poll = lambda: bpf.perf_buffer_poll(0)

    def take(self) -> list[bytes]:
        """Return the records that came since the last call, oldest first."""
        begin = time.monotonic_ns()
        self._poll()
        found = sorted(self._records, key=time_of)
        # One buffer per CPU is read after the other: what is younger than this round may have an elder still unread.
        ready = [record for record in found if time_of(record) <= begin]
        self._records = found[len(ready) :]
        return ready

    def close(self) -> None:
        """Detach everything."""
        self._bpf.cleanup()

    def _keep(self, _cpu: int, data: Any, size: int) -> None:
        self._records.append(ctypes.string_at(data, size))

    def _count_lost(self, count: int) -> None:
        self.lost += count


def require_bcc(root: Path = Path("/")) -> None:
    """Raise Absent, with the reason, when this host cannot capture at all."""
    if importlib.util.find_spec("bcc") is None:
        raise Absent(
            f"bcc is not installed for {sys.executable}: "
            f"install the package {bcc_package(root)} for the system's Python."
        )
    if os.geteuid() != 0:
        raise Absent("BPF programs need root: run the play with become to see the kernel's events.")


def bcc_package(root: Path = Path("/")) -> str:
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


def load_programs(programs: Sequence[Program], settings: Settings, folder: Path) -> Tracer:
    """Attach those of the programs that this kernel has the tracepoints for.

    folder: where our headers are laid out. Raises Absent or LoadError.
    """
    require_bcc()
    try:
        maps.require_library()
        loaded = load_in_child(lambda: _told(programs, settings, folder))
    except OSError:  # no libbpf of its own, or no child: then the compiler's pages stay in this process
        loaded = Loaded({}, (), {"again": True})
    if not loaded.facts.get("again"):
        return Tracer(_believed(loaded), programs)
    bpf, loaded = _attach(programs, settings, folder)
    return Tracer(loaded, programs, None if loaded.facts["ring"] else PerfBuffer(bpf))


def _told(programs: Sequence[Program], settings: Settings, folder: Path) -> Loaded:
    """In the child: load, and put into facts what went wrong. Perf buffers need bcc where they are read."""
    try:
        _bpf, loaded = _attach(programs, settings, folder)
    except (Absent, LoadError) as error:
        return Loaded({}, (), {"error": type(error).__name__, "text": str(error)})
    return loaded if loaded.facts["ring"] else Loaded({}, (), {"again": True})


def _believed(loaded: Loaded) -> Loaded:
    """Return what a child loaded. Raises what it met."""
    kinds = {"Absent": Absent, "LoadError": LoadError}
    if "error" in loaded.facts:
        raise kinds[loaded.facts["error"]](loaded.facts["text"])
    return loaded


def _attach(programs: Sequence[Program], settings: Settings, folder: Path) -> tuple[Any, Loaded]:
    """Load and attach in this process; returns bcc's object and what it holds."""
    try:
        with tracepoints.reach_tracefs() as (tracefs, mounted):
            usable = [program for program in programs if not missing_tracepoints(program, tracefs)]
            if not usable:
                lacking = sorted(
                    {event for program in programs for event in missing_tracepoints(program, tracefs)}
                )
                raise Absent(
                    f"This kernel ({os.uname().release}) lacks the tracepoints {', '.join(lacking)}."
                )
            bpf, able, built, lacks = _load_or_less(usable, settings, folder, tracefs)
            for program in programs:
                lacking = missing_tracepoints(program, tracefs)
                if lacking:
                    lacks[program.name] = f"this kernel has no tracepoint {', '.join(lacking)}"
                elif program not in able:
                    lacks.setdefault(program.name, "this kernel tells too little (BTF would help)")
    except OSError as error:
        raise Absent(f"The kernel's tracepoints cannot be reached: {error.strerror or error}.") from error
    facts = {
        "programs": [program.name for program in able],
        "lacking": lacks,
        "ring": built.ring,
        "use_btf": built.use_btf,
        "mounted": mounted,
    }
    return bpf, Loaded(_descriptors(bpf), tuple(bpf.tracepoint_fds.values()), facts)


def missing_tracepoints(program: Program, tracefs: Path) -> list[str]:
    """Return the tracepoints a program needs and this kernel lacks."""
    return [event for event in program.needs if tracepoints.read_fields(tracefs, event) is None]


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
    programs: list[Program], settings: Settings, folder: Path, tracefs: Path
) -> tuple[Any, list[Program], Settings, dict[str, str]]:
    """Load all programs, or, where the kernel refuses one, at least those that keep no histograms.

    Returns bcc's object, which programs it holds, how they were built, and why others are not there.
    """
    try:
        return (*_load(programs, settings, folder, tracefs), {})
    except LoadError as error:
        events_only = [program for program in programs if not program.series]
        if not events_only or len(events_only) == len(programs):
            raise
        refused = [program.name for program in programs if program.series]
        return (*_load(events_only, settings, folder, tracefs), dict.fromkeys(refused, str(error)))


def _load(
    programs: list[Program], settings: Settings, folder: Path, tracefs: Path
) -> tuple[Any, list[Program], Settings]:
    """Try our headers with what BTF tells, without it, the distribution's headers, and last no ring buffer."""
    bcc = importlib.import_module("bcc")
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
            config = sources.write_config(programs, tracefs, attempt, btf)
            sources.lay_out(folder, config, sources.kernel_version(release))
            able = [program for program in programs if sources.can_build(program, config)]
            return _compile(bcc, sources.program_text(able), folder, ours), able, attempt
        except Exception as error:  # bcc raises plain Exception for whatever went wrong
            first = first or error
    raise LoadError(
        f"bcc could not load the programs ({_one_line(first)}); its own words are in capture.err."
    )


def _descriptors(bpf: Any) -> dict[str, int]:
    """Return the descriptors of the maps there are: which depends on the programs and on the kernel."""
    found = {}
    for name in (*_MAPS, *_BUFFERS):
        with contextlib.suppress(KeyError):
            found[name] = int(bpf[name].map_fd)
    return found


def _compile(bcc: Any, text: str, folder: Path, ours: bool) -> Any:
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


def time_of(record: bytes) -> int:
    return int.from_bytes(record[:8], sys.byteorder)


def _one_line(error: Exception | None) -> str:
    return str(error).strip().splitlines()[0][:200] if error and str(error).strip() else type(error).__name__
