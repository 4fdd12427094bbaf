"""Records of the BPF programs become events; the numbers on both sides agree."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils import bpf_exit, bpf_tcp
from ansible_collections.exchange.chaos.plugins.module_utils.bpf_programs import HEAD, Head
from ansible_collections.exchange.chaos.plugins.module_utils.bpf_registry import PROGRAMS


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
    here = {name: number for kinds in (bpf_tcp.KINDS, bpf_exit.KINDS) for number, name in kinds.items()}
    assert here == there


def test_every_kind_has_one_decoder() -> None:
    kinds = [kind for program in PROGRAMS.values() for kind in program.decoders]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == {*bpf_tcp.KINDS, *bpf_exit.KINDS}


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
    body = bpf_exit._BODY.pack(signal, status, by_pid, 0, by)
    _name, fields = bpf_exit.decode(head(16, flags), HEAD.pack(*head(16, flags)) + body)
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
