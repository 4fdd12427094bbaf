"""Records of the BPF programs become events; the numbers on both sides agree."""

from __future__ import annotations

import ipaddress
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.program import HEAD, Head
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.programs import oom as bpf_oom
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.programs import process_exit
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.programs import tcp as bpf_tcp
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.programs.registry import PROGRAMS

ALL_KINDS = (bpf_tcp.KINDS, process_exit.KINDS, bpf_oom.KINDS)


def head(kind: int, flags: int = 0) -> Head:
    return Head(5_000_000_000, kind, flags, 1234, 4026532000, b"python3\0junk", 0, 77)


def tcp(
    kind: int, flags: int = 0, error: int = 0, duration: int = 0, remote: str = "::ffff:172.18.0.3"
) -> dict[str, Any]:
    addresses = [ipaddress.IPv6Address(text).packed for text in ("::ffff:172.18.0.2", remote)]
    body = bpf_tcp._BODY.pack(duration, error, 40000, 5432, *addresses)
    name, fields = bpf_tcp.decode(head(kind, flags), HEAD.pack(*head(kind, flags)) + body)
    return {"event": name, **fields}


def test_the_numbers_of_the_kinds_are_those_of_the_c_programs(root: Path) -> None:
    text = (root / "files/bpf/common.c").read_text()
    there = {name: int(number) for name, number in re.findall(r"^\tCHAOS_(\w+) = (\d+),", text, re.M)}
    here = {name: number for kinds in ALL_KINDS for number, name in kinds.items()}
    assert here == there


def test_every_kind_has_one_decoder() -> None:
    kinds = [kind for program in PROGRAMS.values() for kind in program.decoders]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == {number for kinds in ALL_KINDS for number in kinds}


def test_the_head_is_as_long_as_in_c() -> None:
    assert HEAD.size == 48


def test_a_refused_connect() -> None:
    assert tcp(3, flags=1, error=111, duration=204_567) == {
        "event": "CONN_FAILED",
        "family": 4,
        "laddr": "172.18.0.2",
        "lport": 40000,
        "raddr": "172.18.0.3",
        "rport": 5432,
        "errno": 111,
        "duration_ms": 0.205,
        "passive": False,
    }


def test_who_opened_a_connection_older_than_the_capture_is_not_known() -> None:
    assert tcp(6)["passive"] is None


def test_no_errno_is_none_and_so_is_one_that_is_not_known() -> None:
    assert tcp(2)["errno"] is None
    assert tcp(3, error=-1)["errno"] is None
    assert tcp(1)["duration_ms"] is None


def test_ipv6_stays_ipv6() -> None:
    event = tcp(1, flags=1, remote="2001:db8::1")
    assert (event["family"], event["raddr"]) == (6, "2001:db8::1")


@pytest.mark.parametrize(("flags", "direction", "passive"), [(1, "received", False), (7, "sent", True)])
def test_a_reset_has_a_direction(flags: int, direction: str, passive: bool) -> None:
    event = tcp(5, flags=flags)
    assert (event["direction"], event["passive"], event["errno"]) == (direction, passive, 104)


def exited(flags: int, signal: int, status: int, by_pid: int = 0, by: bytes = b"") -> dict[str, Any]:
    body = process_exit._BODY.pack(signal, status, by_pid, 0, by)
    _name, fields = process_exit.decode(head(16, flags), HEAD.pack(*head(16, flags)) + body)
    return fields


def test_a_kill_names_its_sender() -> None:
    assert exited(1 | 2 | 4, 9, 0, 4711, b"bash") == {
        "exit_signal": 9,
        "exit_status": None,
        "main": True,
        "by_pid": 4711,
        "by_comm": "bash",
    }


def test_an_exit_in_order_has_a_status() -> None:
    fields = exited(1 | 2, 0, 3)
    assert (fields["exit_signal"], fields["exit_status"], fields["main"]) == (None, 3, False)


def test_what_the_kernel_does_not_tell_is_none() -> None:
    fields = exited(0, 0, 0)
    assert (fields["exit_signal"], fields["exit_status"], fields["main"]) == (None, None, None)


def test_the_numbers_of_the_series_are_those_of_the_c_programs(root: Path) -> None:
    text = (root / "files/bpf/histograms.c").read_text()
    there = {int(number) for number in re.findall(r"^\tCHAOS_\w+ = (\d+),", text, re.M)}
    here = [number for program in PROGRAMS.values() for number in program.series]
    assert len(here) == len(set(here))
    assert set(here) == there
    for program in PROGRAMS.values():
        source = (root / "files/bpf" / program.source).read_text()
        own = set(re.findall(r"CHAOS_[A-Z_]+", source))
        numbers = dict(re.findall(r"^\t(CHAOS_\w+) = (\d+),", text, re.M))
        assert {int(numbers[name]) for name in own & numbers.keys()} == set(program.series)


def fields_of(text: str, structure: str) -> list[tuple[str, int]]:
    """Return (type, how many) of the members of a C structure."""
    body = re.search(rf"^struct {structure} \{{\n(.*?)^\}};", text, re.M | re.S)
    assert body is not None
    members = re.findall(r"^\t(\w+(?: \w+)?) \w+(?:\[(\d+)\])?;", body.group(1), re.M)
    return [(kind, int(count or 1)) for kind, count in members]


@pytest.mark.parametrize(
    ("source", "structure", "body"),
    [
        ("oom.c", "chaos_oom", bpf_oom._BODY),
        ("exit.c", "chaos_exit", process_exit._BODY),
        ("tcp.c", "chaos_tcp", bpf_tcp._BODY),
    ],
)
def test_a_body_is_read_as_the_c_program_writes_it(
    root: Path, source: str, structure: str, body: struct.Struct
) -> None:
    letters = {"u64": "Q", "s32": "i", "u32": "I", "u16": "H"}
    members = fields_of((root / "files/bpf" / source).read_text(), structure)
    assert members[0] == ("struct chaos_head", 1)
    packed = "".join(letters.get(kind) or f"{count}s" for kind, count in members[1:])
    assert body.format == f"={packed}"


def oom(flags: int) -> dict[str, Any]:
    body = bpf_oom._BODY.pack(90_000, 80_000, 500, 20, -17, 4711, b"postgres\0")
    name, fields = bpf_oom.decode(head(17, flags), HEAD.pack(*head(17, flags)) + body)
    return {"event": name, **fields}


def test_a_victim_of_the_oom_killer() -> None:
    assert oom(1) == {
        "event": "OOM_KILL",
        "total_kb": 90_000,
        "anon_kb": 80_000,
        "file_kb": 500,
        "shmem_kb": 20,
        "score_adj": -17,
        "by_pid": 4711,
        "by_comm": "postgres",
        "by_itself": False,
    }


def test_sizes_the_kernel_does_not_tell_are_none() -> None:
    fields = oom(2)
    assert fields["by_itself"] is True
    assert {fields[name] for name in ("total_kb", "anon_kb", "file_kb", "shmem_kb", "score_adj")} == {None}
