# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What bcc compiles: the C text, and a folder of headers that stands in for the kernel's own.

bcc wants kernel headers that most production hosts lack. Programs on tracepoints alone need none of them: a few
tiny files of ours and the few facts of the running kernel, written into the run's folder at load time.
"""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import tracepoints
from .btf import Btf
from .program import Program

#: The headers in files/bpf/include; an archive cannot be listed the way a folder can.
HEADERS = (
    "linux/bpf_common.h",
    "linux/kconfig.h",
    "linux/log2.h",
    "linux/types.h",
    "uapi/linux/bpf.h",
    "uapi/linux/if_packet.h",
)
#: For records of connections, which come by the ten thousand in a storm: more than a second of 64,000 of them.
RING_BYTES = 8 * 1024 * 1024
#: For records of processes that end.
RARE_BYTES = 256 * 1024
#: Per CPU, where there is no ring buffer.
PERF_BYTES = 1024 * 1024
#: Inode of the initial PID namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h).
_FIRST_PIDNS = 0xEFFFFFFC
_OFFSETS: dict[str, tuple[str, ...]] = {
    "sock_common_skc_net": ("sock_common", "skc_net"),
    "sock_common_skc_dport": ("sock_common", "skc_dport"),
    "sock_common_skc_num": ("sock_common", "skc_num"),
    "sock_sk_err": ("sock", "sk_err"),
    "tcp_sock_srtt_us": ("tcp_sock", "srtt_us"),
    "tcp_sock_bytes_received": ("tcp_sock", "bytes_received"),
    "tcp_sock_bytes_acked": ("tcp_sock", "bytes_acked"),
    "net_inum": ("net", "ns", "inum"),
    "task_struct_nsproxy": ("task_struct", "nsproxy"),
    "nsproxy_net_ns": ("nsproxy", "net_ns"),
    "task_struct_exit_code": ("task_struct", "exit_code"),
}
_PID_OFFSETS: dict[str, tuple[str, ...]] = {
    "task_struct_group_leader": ("task_struct", "group_leader"),
    "task_struct_thread_pid": ("task_struct", "thread_pid"),
    "pid_level": ("pid", "level"),
    "pid_numbers": ("pid", "numbers"),
    "upid_nr": ("upid", "nr"),
    "upid_ns": ("upid", "ns"),
    "pid_namespace_inum": ("pid_namespace", "ns", "inum"),
}
_CGROUP_OFFSETS: dict[str, tuple[str, ...]] = {
    "task_struct_cgroups": ("task_struct", "cgroups"),
    "cgroup_kn": ("cgroup", "kn"),
    "kernfs_node_id": ("kernfs_node", "id"),
    "kernfs_node_name": ("kernfs_node", "name"),
}
#: cgroup v1: controllers every engine uses, those first that no experiment moves a helper process with.
_CONTROLLERS = ("devices", "pids", "freezer", "cpuset", "cpu", "memory")


@dataclass(frozen=True)
class Settings:
    """How the programs are to be built.

    ports: the in-kernel filter, none means every port; host_netns: inode of the namespace to leave out, 0 for none;
    ring: ring buffer, or perf buffers per CPU; use_btf: read kernel structures where BTF tells how.
    """

    ports: tuple[int, ...] = ()
    host_netns: int = 0
    ring: bool = True
    use_btf: bool = True


def read_source(name: str) -> str:
    """Return a file of files/bpf: from the zipapp, where it lies beside this file, else from the checkout."""
    try:
        data = pkgutil.get_data(__package__, f"source/{name}")
    except OSError:
        data = None
    if data is None:
        data = (Path(__file__).resolve().parents[3] / "files" / "bpf" / name).read_bytes()
    return data.decode()


def program_text(programs: Iterable[Program]) -> str:
    """Return the C text of the programs: one text, so that bcc compiles once and all share one channel in order."""
    programs = list(programs)
    names = [program.source for program in programs]
    if any(program.series for program in programs):
        names = ["histograms.c", *names, "sockets.c"]
    return "\n".join(map(read_source, ["common.c", *names]))


def can_build(program: Program, config: str) -> bool:
    """Return whether what chaos_config.h says is enough for a program that reads one thing or another."""
    lines = [line.split(" ") for line in config.splitlines() if line.startswith("#define ")]
    words = {line[1] for line in lines if line[2:] != ["0"] or line[1].startswith("OFF_")}
    return not program.either or any(option <= words for option in program.either)


def lay_out(folder: Path, config: str, version: tuple[int, int, int]) -> None:
    """Write our headers under ``folder``/include, for BCC_KERNEL_SOURCE to point at."""
    number = (version[0] << 16) + (version[1] << 8) + min(version[2], 255)
    files = {name: read_source(f"include/{name}") for name in HEADERS}
    files["chaos_config.h"] = config
    files["linux/version.h"] = (
        f"#define LINUX_VERSION_CODE {number}\n"
        "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))\n"
    )
    files["asm/page.h"] = f"#define PAGE_SIZE {os.sysconf('SC_PAGE_SIZE')}\n"
    for name, content in files.items():
        path = folder / "include" / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(content)


def write_config(programs: Iterable[Program], tracefs: Path, settings: Settings, btf: Btf | None) -> str:
    """Return chaos_config.h: what this kernel has, and what this run wants (see common.c)."""
    defines: dict[str, str | int] = {
        "CHAOS_RINGBUF": int(settings.ring),
        "CHAOS_PAGES": RING_BYTES // os.sysconf("SC_PAGE_SIZE"),
        "CHAOS_RARE_PAGES": RARE_BYTES // os.sysconf("SC_PAGE_SIZE"),
        "CHAOS_PORT(port)": " || ".join(f"(port) == {port}" for port in settings.ports) or "1",
        "CHAOS_HOST_NETNS": settings.host_netns,
    }
    defines["CHAOS_PORT(port)"] = f"({defines['CHAOS_PORT(port)']})"
    enums: set[str] = set()
    for program in programs:
        defines[f"CHAOS_WITH_{program.name}"] = 1
        for event in (*program.needs, *program.uses):
            found = tracepoints.read_fields(tracefs, event)
            name = event.partition(":")[2]
            defines[f"HAS_{name}"] = int(found is not None)
            for word, kind in (found or {}).items():
                defines[f"HAS_{name}_{word}"] = 1
                enums.update(re.findall(r"\benum (\w+)", kind))
    if btf is not None and settings.use_btf:
        defines.update(_offsets(btf))
        if _pidns() != _FIRST_PIDNS:
            defines["CHAOS_PIDNS"] = _pidns()
    # bcc declares the tracepoint's fields as the kernel names them; of an enumeration only its size matters.
    lines = [f"enum {name} {{ CHAOS_enum_{name} }};" for name in sorted(enums)]
    return "\n".join([f"#define {name} {value}" for name, value in defines.items()] + lines) + "\n"


def kernel_version(release: str) -> tuple[int, int, int]:
    """Return the numbers of a release such as 6.1.0-18-amd64 or 5.14.0-362.el9."""
    numbers = [int(word) for word in re.findall(r"\d+", release)[:3]]
    first, second, third = [*numbers, 0, 0, 0][:3]
    return first, second, third


def _offsets(btf: Btf) -> Mapping[str, int]:
    found = _all(btf, _OFFSETS, every=False)
    upid = btf.size("upid")
    pids = _all(btf, _PID_OFFSETS)
    if pids and upid:
        found.update(pids, SIZE_upid=upid)
    found.update(_cgroup_offsets(btf))
    return found


def _cgroup_offsets(btf: Btf) -> dict[str, int]:
    found = _all(btf, _CGROUP_OFFSETS)
    parent = btf.offset("kernfs_node", "__parent")
    parent = btf.offset("kernfs_node", "parent") if parent is None else parent
    if not found or parent is None:
        return {}
    found["OFF_kernfs_node_parent"] = parent
    if has_unified_cgroups():
        default = btf.offset("css_set", "dfl_cgrp")
        return {} if default is None else {**found, "OFF_css_set_cgroup": default}
    number = next((n for n in map(btf.enumerator, _mounted_controllers()) if n is not None), None)
    states, back = btf.offset("css_set", "subsys"), btf.offset("cgroup_subsys_state", "cgroup")
    if number is None or states is None or back is None:
        return {}
    return {**found, "OFF_css_set_cgroup": states + 8 * number, "OFF_cgroup_subsys_state_cgroup": back}


def has_unified_cgroups() -> bool:
    """Return whether containers live in cgroup version 2; a version 2 mount beside version 1 holds none."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _mounted_controllers() -> list[str]:
    """Return the enumerators of the version 1 controllers that have a hierarchy, best first."""
    text = Path("/proc/self/cgroup").read_text(errors="replace")
    mounted = {name for line in text.splitlines() for name in line.split(":")[1].split(",")}
    return [f"{name}_cgrp_id" for name in _CONTROLLERS if name in mounted]


def _all(btf: Btf, wanted: Mapping[str, tuple[str, ...]], every: bool = True) -> dict[str, int]:
    """Return the offsets by macro name; nothing at all if one is missing and ``every`` is wanted."""
    found = {f"OFF_{name}": btf.offset(*path) for name, path in wanted.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return known if len(known) == len(found) or not every else {}


def _pidns() -> int:
    return os.stat("/proc/self/ns/pid").st_ino
