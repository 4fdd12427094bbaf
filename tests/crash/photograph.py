"""The judge of a cell: all that a run could leave on this machine, seen by other means than the collection's.

What :mod:`tests.e2e.machine` sees of containers, limits, networks and settings, and besides: sessions and roles of the
database, processes and whom they descend from, listeners, mounts, programs in the kernel, names of sockets, cgroups,
files.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.e2e import live, machine, support

#: Folders outside the state folder that a run could write to, and how deep they are looked into.
PLACES = {
    "/tmp": 1,
    "/var/tmp": 2,
    "/dev/shm": 2,
    "/run": 2,
    "/etc": 1,
    "/usr/local/lib": 1,
    "/sys/fs/bpf": 3,
}
#: What of ours is called so: our own names, and those of the programs of others that faults start.
OURS = re.compile(r"exchange-chaos(?!-lab\b)|chaos\.pyz|AnsiballZ|(?:^|[/ ])(?:fio|stress-ng)\b")
#: A process that a run started, and all that came of it, has this in its environment.
_MARK = b"EXCHANGE_CHAOS_RUN="
#: bpf(2): its number, and the commands that tell the next id of a program, of a map, of a link.
_BPF = {"x86_64": 321, "aarch64": 280}
_NEXT_ID = {"program": 11, "map": 12, "link": 31}
_EPHEMERAL = 32768
_HEX = re.compile(r"[0-9a-f]{64}")


def take() -> dict[str, Any]:
    """Return what the machine is like now; containers stand in it by the names of their services."""
    seen = machine.seen()
    identities = {service: seen[service].pop("id") for service in live.SERVICES}
    text = json.dumps(seen)
    for service, identity in identities.items():
        text = text.replace(identity, f"<{service}>").replace(identity[:12], f"<{service}>")
    return {
        **json.loads(text),
        "identities": identities,
        "containers": containers(),
        "sessions": sessions(),
        "cache settings": cache_settings(),
        "processes": processes(),
        "listeners": listeners(Path("/proc/self")),
        "mounts": mounts(Path("/proc/self")),
        "mounts inside": {service: mounts(_process_of(service)) for service in live.SERVICES},
        "kernel programs": kernel_programs(),
        "socket names": socket_names(),
        "cgroups": cgroups(),
        "files": files(),
    }


def _process_of(service: str) -> Path:
    return Path("/proc") / str(machine.inspected(service)["State"]["Pid"])


def containers() -> list[str]:
    """Every container, network and volume of the engine, whosever it is."""
    return [
        *(f"container {line}" for line in support.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()),
        *(f"network {line}" for line in support.docker("network", "ls", "--format", "{{.Name}}").splitlines()),
        *(f"volume {line}" for line in support.docker("volume", "ls", "--format", "{{.Name}}").splitlines()),
    ]  # fmt: skip


def sessions() -> list[str]:
    """Who is in the database but the exchange itself and this question; what is locked, prepared, limited."""
    asked = (
        "SELECT 'session of ' || usename || ' as ' || application_name FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name LIKE '%chaos%'",
        "SELECT 'locked ' || mode || ' ' || relation::regclass FROM pg_locks "
        "WHERE relation IS NOT NULL AND mode LIKE '%Exclusive%' AND mode <> 'RowExclusiveLock' AND granted",
        "SELECT 'prepared ' || gid FROM pg_prepared_xacts",
        "SELECT 'role ' || rolname || ' limit ' || rolconnlimit || ' login ' || rolcanlogin FROM pg_roles ORDER BY 1",
        "SELECT 'database ' || datname || ' limit ' || datconnlimit FROM pg_database ORDER BY 1",
        "SELECT 'settings of ' || setdatabase || '/' || setrole || ': ' || setconfig::text FROM pg_db_role_setting",
    )
    words = (
        "exec",
        support.container("postgres"),
        "psql",
        "-XAtq",
        "-U",
        "postgres",
        "-d",
        "trading_db",
        "-c",
    )
    return [line for query in asked for line in support.docker(*words, query).splitlines()]


def cache_settings() -> list[str]:
    """The cache's settings, one a line."""
    lines = support.docker("exec", support.container("redis"), "redis-cli", "config", "get", "*").splitlines()
    return [f"{name}={value}" for name, value in zip(lines[::2], lines[1::2])]


def processes(proc: Path = Path("/proc")) -> list[str]:
    """Processes of ours, of programs of others that a fault starts, and all that descend from one of a run."""
    found = []
    for folder in proc.glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            run = _run_of((folder / "environ").read_bytes())
        except OSError:
            continue
        ours = run.startswith(str(support.STATE)) if run else bool(OURS.search(words))
        if ours and words and not _of_another_host(folder):
            found.append(f"{words[:200]}{f' (of {Path(run).name})' if run else ''}")
    return sorted(found)


def _run_of(environment: bytes) -> str:
    """The folder of the run that a process was started by, "" for none."""
    of = [each for each in environment.split(b"\0") if each.startswith(_MARK)]
    return of[0].partition(b"=")[2].decode(errors="replace") if of else ""


def _of_another_host(folder: Path) -> bool:
    """Whether a process is of a host in a container: it has a state folder of its own."""
    try:
        there = (folder / "root" / str(support.STATE).lstrip("/")).stat()
        here = support.STATE.stat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)


def listeners(process: Path) -> list[str]:
    """TCP ports that a process's network namespace listens at; those that the system gives out are left out."""
    found = set()
    for version in ("tcp", "tcp6"):
        for line in (process / "net" / version).read_text().splitlines()[1:]:
            _, local, _, state, *_rest = line.split()
            port = int(local.rpartition(":")[2], 16)
            if state == "0A" and port < _EPHEMERAL:
                found.add(f"{version} {local.rpartition(':')[0]} {port}")
    return sorted(found)


def mounts(process: Path) -> list[str]:
    """What is mounted where in a process's mount namespace, without the engine's own layers."""
    lines = (line.split() for line in (process / "mounts").read_text().splitlines())
    return sorted(
        f"{kind} at {place} {options.split(',')[0]}"
        for _, place, kind, options, *_rest in lines
        if not place.startswith(("/var/lib/docker/", "/run/docker/")) and place != "/"
    )


def kernel_programs() -> list[str]:
    """Programs, maps and links that bpf(2) knows; nothing where it may not be asked."""
    number = _BPF.get(platform.machine())
    if number is None:
        return []
    library = ctypes.CDLL(None, use_errno=True)
    found = []
    for kind, command in _NEXT_ID.items():
        last = 0
        while True:
            asked = ctypes.create_string_buffer(struct.pack("=III", last, 0, 0), 128)
            if library.syscall(number, command, asked, 128) != 0:
                break
            last = struct.unpack_from("=II", asked.raw)[1]
            found.append(f"{kind} {last}")
    return found


def socket_names() -> list[str]:
    """Names of ours among the abstract sockets, without the numbers of those who hold them."""
    lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
    return sorted(line.split()[-1] for line in lines if "@exchange-chaos" in line)


def cgroups(root: Path = Path("/sys/fs/cgroup")) -> list[str]:
    """Every cgroup that is not the engine's for a container."""
    return sorted(
        str(folder)
        for folder, _, _ in os.walk(root)
        if not _HEX.search(folder) and Path(folder) != root
    )  # fmt: skip


def files() -> list[str]:
    """What lies in the state folder but for records that wait, and what is called ours anywhere else."""
    state = (
        path for path in support.STATE.rglob("*") if "records" not in path.relative_to(support.STATE).parts
    )
    return sorted(
        [str(path) for path in state if path.is_file() or path.is_symlink()]
        + [path for place, depth in PLACES.items() for path in _called_ours(Path(place), depth)]
    )


def _called_ours(place: Path, depth: int) -> Iterator[str]:
    """Paths whose name is ours, a folder without what is in it; report files that somebody made have another name."""
    try:
        entries = list(os.scandir(place))
    except OSError:
        return
    for entry in entries:
        if OURS.search(entry.name):
            yield entry.path
        elif depth > 1 and entry.is_dir(follow_symlinks=False):
            yield from _called_ours(Path(entry.path), depth - 1)


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Return what is in one photograph and not in the other, each as a line; the order in a list means nothing."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in differences(before.get(key), after.get(key), f"{place} / {key}" if place else key)
        ]
    if isinstance(before, list) and isinstance(after, list):
        was, now = (Counter(json.dumps(item, sort_keys=True) for item in each) for each in (before, after))
        return [
            *(f"{place}: {item} has come" for item in (now - was).elements()),
            *(f"{place}: {item} is gone" for item in (was - now).elements()),
        ]
    return [] if before == after else [f"{place}: {before!r} is {after!r} now"]


def made_anew(photograph: dict[str, Any], service: str) -> dict[str, Any]:
    """Return a photograph without what another container of the same service may have of its own."""
    inspected = photograph[service]
    config = {key: value for key, value in inspected["config"].items() if key not in ("Hostname", "Labels")}
    identities = {key: value for key, value in photograph["identities"].items() if key != service}
    return {**photograph, service: {**inspected, "config": config}, "identities": identities}


def settled(
    before: dict[str, Any], within: float, alike: Callable[[dict[str, Any]], dict[str, Any]]
) -> tuple[list[str], float]:
    """Look until the machine is as it was, ``within`` seconds; returns what differs still, and when that was seen.

    ``alike`` leaves out of a photograph what may differ. The time is that of time.monotonic(), before the last look.
    """
    until = time.monotonic() + within
    while True:
        at = time.monotonic()
        left = _left(before, alike)
        if not left or time.monotonic() > until:
            return left, at
        time.sleep(0.5)


def _left(before: dict[str, Any], alike: Callable[[dict[str, Any]], dict[str, Any]]) -> list[str]:
    """What differs now; of a machine whose exchange is down only that."""
    states = {service: support.state_of(service) for service in live.SERVICES}
    down = [
        f"{service}: {state['Status']}" for service, state in states.items() if state["Status"] != "running"
    ]
    if down:
        return down
    try:
        return differences(alike(before), alike(take()))
    except (OSError, subprocess.CalledProcessError) as error:  # it comes and goes meanwhile
        return [f"no photograph could be taken: {error}"]
