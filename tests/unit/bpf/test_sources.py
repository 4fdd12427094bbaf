"""What bcc is given to compile, from what the kernel says of itself."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.bpf import (
    capture,
    loader,
    positive_control,
    sources,
    tracepoints,
)
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.btf import Btf
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.handover import Loaded
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.programs.registry import PROGRAMS
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.sources import Settings
from ansible_collections.exchange.chaos.plugins.module_utils.host import docker_socket
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification

FORMAT = """name: inet_sock_set_state
ID: 2287
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

\tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:enum sk_rst_reason reason;\toffset:28;\tsize:4;\tsigned:0;
\tfield:__u8 saddr_v6[16];\toffset:40;\tsize:16;\tsigned:0;

print fmt: "%s"
"""


@pytest.fixture
def tracefs(tmp_path: Path) -> Path:
    folder = tmp_path / "events/sock/inet_sock_set_state"
    folder.mkdir(parents=True)
    (folder / "format").write_text(FORMAT)
    return tmp_path


def test_the_fields_of_a_tracepoint(tracefs: Path) -> None:
    assert tracepoints.read_fields(tracefs, "sock:inet_sock_set_state") == {
        "common_type": "unsigned short",
        "skaddr": "const void *",
        "reason": "enum sk_rst_reason",
        "saddr_v6": "__u8",
    }
    assert tracepoints.read_fields(tracefs, "sock:none") is None


def test_what_a_kernel_lacks_is_compiled_out(tracefs: Path) -> None:
    text = sources.write_config([PROGRAMS["tcp"]], tracefs, Settings(ports=(5432, 6379), host_netns=9), None)
    lines = text.splitlines()
    assert "#define HAS_inet_sock_set_state 1" in lines
    assert "#define HAS_inet_sock_set_state_skaddr 1" in lines
    assert "#define HAS_tcp_receive_reset 0" in lines
    assert "#define CHAOS_PORT(port) ((port) == 5432 || (port) == 6379)" in lines
    assert "#define CHAOS_HOST_NETNS 9" in lines
    assert "enum sk_rst_reason { CHAOS_enum_sk_rst_reason };" in lines
    assert "OFF_" not in text
    assert "#define CHAOS_PORT(port) (1)" in sources.write_config([], tracefs, Settings(), None)


def test_a_program_that_cannot_run_here_is_told_by_its_tracepoints(tracefs: Path) -> None:
    assert loader.missing_tracepoints(PROGRAMS["tcp"], tracefs) == []
    assert loader.missing_tracepoints(PROGRAMS["exit"], tracefs) == ["sched:sched_process_exit"]


def test_the_list_of_headers_is_complete(root: Path, tmp_path: Path) -> None:
    folder = root / "files/bpf/include"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.h")}
    assert there == set(sources.HEADERS)
    sources.lay_out(tmp_path, "", (6, 18, 300))
    assert "LINUX_VERSION_CODE 398079" in (tmp_path / "include/linux/version.h").read_text()


def test_every_program_has_its_source() -> None:
    for program in PROGRAMS.values():
        assert "TRACEPOINT_PROBE" in sources.program_text([program])


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-18-amd64", (6, 1, 0)), ("5.14.0-362.el9.x86_64", (5, 14, 0)), ("6.6", (6, 6, 0))],
)
def test_kernel_versions(release: str, version: tuple[int, int, int]) -> None:
    assert sources.kernel_version(release) == version


@pytest.mark.parametrize(
    ("os_release", "package"),
    [
        ("ID=debian\n", "python3-bpfcc"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "python3-bpfcc"),
        ('ID="rhel"\nID_LIKE="fedora"\n', "python3-bcc"),
        ("ID=alpine\n", "py3-bcc"),
        ("", "python3-bcc"),
    ],
)
def test_the_package_that_brings_bcc(tmp_path: Path, os_release: str, package: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(os_release)
    assert loader.bcc_package(tmp_path) == package


def test_ring_buffer_by_release_where_there_is_no_btf() -> None:
    assert loader.has_ring(None, "5.8.0")
    assert not loader.has_ring(None, "5.4.0-150-generic")
    assert not loader.has_ring(None, "5.8.0", bpf=object), "an older bcc cannot read it"


class Bpf:
    """As much of bcc as perf buffers ask: what each round reads."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []

    def __getitem__(self, name: str) -> Any:
        """A table by its name, each of them this."""
        return self

    def open_perf_buffer(self, callback: Any, page_cnt: int, lost_cb: Any, wakeup_events: int) -> None:
        self.record, self.lose = callback, lost_cb

    def perf_buffer_consume(self) -> None:
        for at in self.rounds.pop(0) if self.rounds else []:
            data = at.to_bytes(8, sys.byteorder)
            self.record(0, data, len(data))


class Counted:
    """A map that holds what our programs counted on each processor."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def total(self, *_key: int) -> int:
        return sum(self.counts)


def traced(bpf: Bpf, counts: list[int]) -> loader.Tracer:
    """Return a tracer with perf buffers, whose programs counted that much."""
    facts = {"programs": [], "lacking": {}, "ring": False, "use_btf": False, "mounted": False}
    tracer = loader.Tracer(Loaded({}, (), facts), [], loader.PerfBuffer(bpf))
    tracer._maps["chaos_lost"] = Counted(counts)  # type: ignore[assignment]
    return tracer


def test_a_record_of_a_full_perf_buffer_is_lost_once_whoever_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [0, 0]
    bpf = Bpf()
    tracer = traced(bpf, counts)
    bpf.lose(5)  # an old kernel: our program heard nothing
    assert tracer.count_lost() == 5
    counts[:] = [
        4,
        3,
    ]  # a later one counts at once, and tells user space of the same ones when there is room again
    assert tracer.count_lost() == 7


def test_records_of_perf_buffers_come_in_the_order_of_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bpf = Bpf()
    buffer = loader.PerfBuffer(bpf)
    now = [100]
    monkeypatch.setattr(loader.time, "monotonic_ns", lambda: now[0])
    # While the second buffer was read, 110 came into the first one, and 120 into the second.
    bpf.rounds = [[90, 120, 80], [110]]
    first = [int.from_bytes(record, sys.byteorder) for record in buffer.take()]
    now[0] = 200
    second = [int.from_bytes(record, sys.byteorder) for record in buffer.take()]
    assert (first, second) == ([80, 90], [110, 120])


class Types:
    """Builds BTF (Documentation/bpf/btf.rst) of a few structures."""

    def __init__(self) -> None:
        self.strings = b"\0"
        self.types = b""
        self.count = 0

    def name(self, text: str) -> int:
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(self, kind: int, name: str, size: int, members: int = 0, body: bytes = b"", flag: int = 0) -> int:
        info = flag << 31 | kind << 24 | members
        self.types += struct.pack("=III", self.name(name) if name else 0, info, size) + body
        self.count += 1
        return self.count

    def struct(self, name: str, size: int, *members: tuple[str, int, int], flag: int = 0) -> int:
        body = b"".join(
            struct.pack("=III", self.name(word) if word else 0, kind, offset)
            for word, kind, offset in members
        )
        return self.add(4, name, size, len(members), body, flag)

    def data(self) -> bytes:
        head = struct.pack(
            "=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)
        )
        return head + self.types + self.strings


def test_offsets_from_btf() -> None:
    types = Types()
    number = types.add(1, "int", 4, body=struct.pack("=I", 32))
    types.add(3, "", 0, body=struct.pack("=III", number, number, 7))
    inner = types.struct("ns_common", 16, ("inum", number, 8 * 8))
    decorated = types.add(10, "", inner)
    named = types.add(8, "ns_t", decorated)
    anonymous = types.struct("", 32, ("ns", named, 16 * 8))
    types.struct("net", 64, ("count", number, 0), ("", anonymous, 8 * 8))
    types.struct("flagged", 8, ("bit", number, 1 << 24 | 4 * 8), flag=1)
    values = struct.pack("=IiIi", types.name("cpu_cgrp_id"), 0, types.name("pids_cgrp_id"), 7)
    types.add(6, "cgroup_subsys_id", 4, 2, values)
    btf = Btf(types.data())
    assert btf.offset("net", "ns", "inum") == 8 + 16 + 8
    assert btf.offset("net", "count") == 0
    assert btf.offset("flagged", "bit") == 4
    assert btf.offset("net", "none") is None
    assert btf.offset("none", "x") is None
    assert btf.size("net") == 64
    assert btf.enumerator("pids_cgrp_id") == 7
    assert btf.enumerator("none") is None


def test_damaged_btf_is_none(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"no BTF at all, but long enough for a header")
    assert Btf.of_kernel(tmp_path / "vmlinux") is None
    assert Btf.of_kernel(tmp_path / "missing") is None


SPEC: dict[str, Any] = {
    "containers": {
        "api": [{"id": "a" * 64, "pid": 0}],
        "store": [{"id": "b" * 64, "addresses": ["172.18.0.3"]}],
    },
    "capture": {
        "programs": ["tcp"],
        "ports": {"5432": "database"},
        "control": {"from": "api", "to": "store", "port": 99},
    },
}


def test_the_control_goes_where_the_engine_says_and_not_where_the_filter_looks() -> None:
    nowhere = {**SPEC, "containers": {"store": [{"addresses": []}]}}
    assert positive_control.choose_connect(Specification.read(SPEC)) == ("api", "172.18.0.3", 99)
    assert positive_control.choose_connect(Specification.read({**SPEC, "capture": {}})) is None
    assert positive_control.choose_connect(Specification.read(nowhere)) is None


def test_settings_of_a_run() -> None:
    assert capture.build_settings(Specification.read(SPEC)).ports == (5432,)
    assert (
        capture.build_settings(
            Specification.read({**SPEC, "capture": {**SPEC["capture"], "all_ports": True}})
        ).ports
        == ()
    )
    assert [program.name for program in capture.choose_programs(Specification.read(SPEC))] == ["tcp"]
    assert capture.choose_programs(Specification.read({"capture": {}})) == list(PROGRAMS.values())


def test_an_engine_that_does_not_answer_is_none(tmp_path: Path) -> None:
    assert docker_socket.list_containers("lab", str(tmp_path / "docker.sock")) is None


def test_a_program_that_reads_one_thing_or_another_needs_one_of_them_whole() -> None:
    program, netns = PROGRAMS["rtt"], "#define OFF_sock_common_skc_net 48\n#define OFF_net_inum 0\n"
    assert sources.can_build(program, f"{netns}#define HAS_tcp_probe_skaddr 1\n"), "an offset of 0 is one"
    either = "#define HAS_tcp_rcv_space_adjust {}\n#define OFF_tcp_sock_srtt_us 9\n"
    assert sources.can_build(program, netns + either.format(1))
    assert not sources.can_build(program, netns + either.format(0))
    assert not sources.can_build(program, "#define HAS_tcp_probe_skaddr 1\n")
    assert sources.can_build(PROGRAMS["tcp"], "")


def test_the_text_of_programs_that_keep_nothing_has_no_histograms() -> None:
    assert "chaos_buckets" not in sources.program_text([PROGRAMS["tcp"], PROGRAMS["exit"]])
    text = sources.program_text([PROGRAMS["bytes"], PROGRAMS["tcp"]])
    order = [
        text.index(word)
        for word in (
            "chaos_emit(void",
            "chaos_keep(u16",
            "chaos_bytes(u16",
            "chaos_owner(",
            "chaos_counted_sockets, ",
        )
    ]
    assert order == sorted(order), "what stands on others' shoulders stands behind them"


def test_a_tracepoint_has_one_probe_in_all_programs_together() -> None:
    text = sources.program_text(PROGRAMS.values())
    probes = re.findall(r"^TRACEPOINT_PROBE\((\w+, \w+)\)", text, re.M)
    assert len(probes) == len(set(probes)) > 20
    known = {
        event.replace(":", ", ") for program in PROGRAMS.values() for event in (*program.needs, *program.uses)
    }
    assert set(probes) <= known
