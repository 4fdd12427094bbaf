# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshot behind the *restored* verdict: one leftover of each kind is planted, and shows.

What others do on the host meanwhile does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.snapshot import snapshot

from tests.module import core_support
from tests.module.core_support import LISTEN, PORT, Host, Project, wait_for

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
#: Networks that nobody else uses: documentation addresses (RFC 5737, RFC 3849).
NET, NET6, HOST_NET = "198.51.100.0/24", "2001:db8:77::/48", "203.0.113.0/24"
Leftover = dict[str, Any]

#: Queues that this kernel surely has; others may not.
TBF = ("tbf", "rate", "10mbit", "burst", "32k", "latency", "50ms")
QUEUES = (TBF, ("htb",))
_NFT = """
import ctypes, os, sys
from pyroute2.nftables.main import NFTables
pid, what = int(sys.argv[1]), sys.argv[2]
if pid:
    assert ctypes.CDLL(None).setns(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY), 0x40000000) == 0
with NFTables(nfgen_family=1) as nft:
    if what == "table":
        nft.table("add", name="chaos_test")
    elif what == "rule":
        nft.rule("add", table="chaos_test", chain="in", expressions=())
    elif what == "chain":
        nft.chain("add", table="chaos_test", name="in", hook="input", type="filter", policy=1)
    else:
        nft.table("del", name="chaos_test")
"""


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with core_support.project() as made:
        yield made


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, project: Project) -> Iterator[Host]:
    with core_support.host(tmp_path_factory.mktemp("snapshot"), project) as made:
        made.project.up("store", LISTEN)
        yield made


@pytest.fixture(scope="module")
def run(host: Host) -> RunDir:
    return host.inert()


@pytest.fixture
def store(host: Host) -> Any:
    """The one container, as it is meant to be."""
    return host.project.client.containers.get(f"{host.project.name}-store-1")


def pid_of(container: Any) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


def inside(container: Any, *command: str) -> None:
    """Run a program of this machine in a container's network namespace."""
    subprocess.run(["nsenter", "-t", str(pid_of(container)), "-n", *command], check=True, capture_output=True)


def end(container: Any, word: str) -> None:
    """Kill the processes of a container whose command line holds a word."""
    for pid, command in container.top(ps_args="-eo pid,args")["Processes"]:
        if word in command:
            os.kill(int(pid), signal.SIGKILL)


def here(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def nft(pid: int, what: str) -> None:
    subprocess.run([sys.executable, "-c", _NFT, str(pid), what], check=True, capture_output=True)


def planted(run: RunDir, plant: Callable[[], Any], remove: Callable[[], Any]) -> list[Leftover]:
    """Return what a snapshot shows between planting and removing, having seen that before and after are equal.

    Others use this machine, too: what comes or goes on the host meanwhile makes it try once more.
    """
    for last in (False, True):
        before = snapshot.take_snapshot(run)
        plant()
        try:
            seen = snapshot.find_differences(before, snapshot.take_snapshot(run))
        finally:
            remove()
        after = snapshot.wait_settled(run, before, 4)
        left = snapshot.find_differences(before, after)
        foreign = [item for item in (*seen, *left) if _foreign(item)]
        if not foreign or last:
            assert left == [], "removed, and yet it shows"
            assert before["unchecked"].keys() <= {"PostgreSQL settings"}
            return seen
    raise AssertionError("not reached")


def _foreign(item: Leftover) -> bool:
    """Whether a difference is of the host and none of what these tests plant."""
    marks = ("chaos_test", HOST_NET[:-3], "100.64.", "18999", "chaos.pyz")
    return str(item["what"]).startswith("host ") and not any(mark in str(item["what"]) for mark in marks)


def only(seen: list[Leftover], kind: str, what: str) -> Leftover:
    """Return the one leftover there is, having seen that it is exactly this."""
    assert [(item["kind"], item["what"]) for item in seen] == [(kind, what)]
    return seen[0]


def test_nothing_happened_nothing_shows(run: RunDir) -> None:
    assert planted(run, lambda: None, lambda: None) == []


def test_it_covers_every_kind(run: RunDir) -> None:
    # an empty part compares equal for ever: each must hold something, but for what should not be there
    with socket.create_server(("127.0.0.1", 18998)):  # a bare host may have none
        taken = snapshot.take_snapshot(run)
    assert {kind for kind, part in taken.items() if not part} <= {"container_health", "process", "unchecked"}
    for kind in ("nft", "qdisc", "route", "rule", "listener"):
        assert any(what.startswith("host ") for what in taken[kind]), kind
    for kind in ("qdisc", "route", "rule", "listener", "cgroup"):
        assert any(what.startswith("store.1 ") for what in taken[kind]), kind


@pytest.mark.parametrize("gone", [False, True])
def test_a_process_of_ours(run: RunDir, tmp_path: Path, gone: bool) -> None:
    folder = str(run.path.with_name("exp-01-gone")) if gone else str(run.path)
    script = Path(folder) / "chaos.pyz"
    started: list[subprocess.Popen[bytes]] = []
    command = [sys.executable, str(script), "load", folder]

    def plant() -> None:
        script.parent.mkdir(exist_ok=True)
        script.write_text("import time; time.sleep(60)")
        started.append(subprocess.Popen(command))
        time.sleep(0.3)
        if gone:
            shutil.rmtree(folder)

    def remove() -> None:
        started[-1].kill()
        started[-1].wait()

    seen = planted(run, plant, remove)
    found = only(seen, "process", f"load {folder}")
    assert found["after"] == f"pid {started[-1].pid}"


@pytest.mark.full
@pytest.mark.parametrize("sign", ["folder", "mark"])
def test_a_program_of_others_that_a_process_of_the_run_started(run: RunDir, sign: str) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def plant() -> None:
        where = {"cwd": run.path} if sign == "folder" else {"env": {"EXCHANGE_CHAOS_RUN": str(run.path)}}
        started.append(subprocess.Popen(["/bin/sleep", "60"], **where))  # type: ignore[call-overload]
        time.sleep(0.3)

    def remove() -> None:
        started[-1].kill()
        started[-1].wait()

    seen = planted(run, plant, remove)
    assert [one for one in seen if one["kind"] == "process" and "sleep of" in one["what"]], seen


def test_a_program_in_a_container(run: RunDir, store: Any) -> None:
    # a copy of the image's only program: its name begins alike, so that it still knows its parts
    store.exec_run(["/bin/busybox", "cp", "/bin/busybox", "/bin/busybox-left"])

    def plant() -> None:
        store.exec_run(["/bin/busybox-left", "sleep", "60"], detach=True)
        time.sleep(0.3)

    seen = planted(run, plant, lambda: end(store, "busybox-left"))
    only(seen, "executable", "store.1 /bin/busybox-left")


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listener_on_the_host(run: RunDir, family: int, address: str) -> None:
    opened: list[socket.socket] = []
    with socket.socket(family) as trial:
        try:
            trial.bind((address, 0))
        except OSError as error:
            pytest.skip(f"this machine has no {address}: {error}")

    def plant() -> None:
        opened.append(socket.socket(family))
        opened[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened[-1].bind((address, 18999))
        opened[-1].listen()

    seen = planted(run, plant, lambda: opened[-1].close())
    only(seen, "listener", f"host {address}:18999")


def test_a_listener_in_a_container(run: RunDir, store: Any) -> None:
    def remove() -> None:
        end(store, "127.0.0.1:7777")

    def plant() -> None:
        store.exec_run(["/bin/busybox", "httpd", "-f", "-p", "127.0.0.1:7777"], detach=True)
        time.sleep(0.3)

    only(planted(run, plant, remove), "listener", "store.1 127.0.0.1:7777")


@pytest.mark.parametrize("where", ["host", "store.1"])
def test_a_table_and_a_rule_of_nftables(run: RunDir, store: Any, where: str) -> None:
    pid = 0 if where == "host" else pid_of(store)
    seen = planted(run, lambda: nft(pid, "table"), lambda: nft(pid, "del"))
    only(seen, "nft", f"{where} inet chaos_test")
    nft(pid, "table")
    nft(pid, "chain")
    try:
        before = snapshot.take_snapshot(run)
        nft(pid, "rule")
        found = [
            item
            for item in snapshot.find_differences(before, snapshot.take_snapshot(run))
            if not _foreign(item)
        ]
    finally:
        nft(pid, "del")
    only(found, "nft", f"{where} rules of inet chaos_test in")


def test_a_queue_in_a_container(run: RunDir, store: Any) -> None:
    for queue in QUEUES:
        seen = planted(
            run,
            partial(inside, store, "tc", "qdisc", "add", "dev", "eth0", "root", *queue),
            lambda: inside(store, "tc", "qdisc", "del", "dev", "eth0", "root"),
        )
        assert {item["kind"] for item in seen} == {"qdisc"}
        assert [item["after"] for item in seen if item["what"] == f"store.1 eth0 {queue[0]}"] == ["1"]


@pytest.mark.full
def test_a_queue_on_the_host_even_on_a_bridge_that_is_not_the_projects(run: RunDir, host: Host) -> None:
    other = host.project.client.networks.create(f"{host.project.name}-foreign")
    try:
        for link in (f"br-{other.id[:12]}", f"br-{host.project.network().id[:12]}"):
            seen = planted(
                run,
                partial(here, "tc", "qdisc", "add", "dev", link, "root", *TBF),
                partial(here, "tc", "qdisc", "del", "dev", link, "root"),
            )
            found = [item for item in seen if item["what"] == f"host {link} tbf"]
            assert [(item["kind"], item["before"], item["after"]) for item in found] == [("qdisc", None, "1")]
    finally:
        other.remove()


@pytest.mark.full
def test_routes(run: RunDir, store: Any) -> None:
    seen = planted(
        run,
        lambda: inside(store, "ip", "route", "add", NET, "dev", "eth0"),
        lambda: inside(store, "ip", "route", "del", NET),
    )
    only(seen, "route", f"store.1 {NET} dev eth0 table 254")
    seen = planted(
        run,
        lambda: here("ip", "route", "add", "blackhole", HOST_NET),
        lambda: here("ip", "route", "del", HOST_NET),
    )
    only(seen, "route", f"host {HOST_NET} dev none table 254")
    seen = planted(
        run,
        lambda: here("ip", "-6", "route", "add", NET6, "dev", "lo", "table", "100"),
        lambda: here("ip", "-6", "route", "del", NET6, "dev", "lo", "table", "100"),
    )
    assert [(item["kind"], item["after"]) for item in seen if NET6[:-3] in str(item["what"])] == [
        ("route", "1")
    ]


@pytest.mark.full
def test_policy_rules(run: RunDir, store: Any) -> None:
    rule = ("from", "100.64.7.1", "table", "100", "priority", "77")
    seen = planted(
        run,
        lambda: inside(store, "ip", "rule", "add", *rule),
        lambda: inside(store, "ip", "rule", "del", *rule),
    )
    only(seen, "rule", "store.1 2 priority 77 table 100 from 100.64.7.1")
    seen = planted(run, lambda: here("ip", "rule", "add", *rule), lambda: here("ip", "rule", "del", *rule))
    only(seen, "rule", "host 2 priority 77 table 100 from 100.64.7.1")
    marked = ("fwmark", "7", "table", "100", "priority", "78")
    seen = planted(
        run,
        lambda: inside(store, "ip", "-6", "rule", "add", *marked),
        lambda: inside(store, "ip", "-6", "rule", "del", *marked),
    )
    only(seen, "rule", "store.1 10 priority 78 table 100 fwmark 7")


def cgroup_file(pid: int, v1: tuple[str, str], v2: str) -> Path:
    """Return a limit file of a process, on whichever hierarchy this host has."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if v1[0] in controllers.split(","):
            return Path("/sys/fs/cgroup") / v1[0] / path.lstrip("/") / v1[1]
    return Path("/sys/fs/cgroup") / next(path for _, names, path in lines if not names).lstrip("/") / v2


def test_limits_written_past_the_engine(run: RunDir, store: Any) -> None:
    for v1, v2, low, none in (
        (("memory", "memory.limit_in_bytes"), "memory.max", "67108864", ("-1", "max")),
        (("cpu", "cpu.cfs_quota_us"), "cpu.max", "10000", ("-1", "max")),
        (("pids", "pids.max"), "pids.max", "50", ("max", "max")),
    ):
        path = cgroup_file(pid_of(store), v1, v2)
        free = none[0] if path.name == v1[1] else none[1]
        seen = planted(run, partial(path.write_text, low), partial(path.write_text, free))
        assert only(seen, "cgroup", f"store.1 {path.name}")["after"].startswith(low)


def test_a_limit_on_the_disk(run: RunDir, store: Any) -> None:
    path = cgroup_file(pid_of(store), ("blkio", "blkio.throttle.write_bps_device"), "io.max")
    device = os.stat("/var/lib/docker").st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    if not Path(f"/sys/dev/block/{name}").exists() or not path.exists():
        pytest.skip("the engine's data lies on no block device, or there is no such controller")
    low, free = (
        (f"{name} 131072", f"{name} 0")
        if path.name.startswith("blkio")
        else (f"{name} wbps=131072", f"{name} wbps=max")
    )
    seen = planted(run, lambda: path.write_text(low), lambda: path.write_text(free))
    assert only(seen, "cgroup", f"store.1 {path.name}")["after"] == low


def test_a_limit_set_through_the_engine_shows_in_cgroup_and_config(run: RunDir, store: Any) -> None:
    seen = planted(run, lambda: store.update(cpu_shares=512), lambda: store.update(cpu_shares=1024))
    config = [item for item in seen if item["kind"] == "container_config"]
    # the engine's own "not set" (0) cannot be had back: the first round leaves 1024 there, and is not counted
    assert [item["what"] for item in config] == ["store.1 host_config.CpuShares"]
    assert len([item for item in seen if item["kind"] == "cgroup"]) == 1
    assert len(seen) == 2


@pytest.fixture(autouse=True, scope="module")
def settle_shares(host: Host) -> None:
    host.project.client.containers.get(f"{host.project.name}-store-1").update(cpu_shares=1024)


def test_the_restart_policy(run: RunDir, store: Any) -> None:
    seen = planted(
        run,
        lambda: store.update(restart_policy={"Name": "no"}),
        lambda: store.update(restart_policy={"Name": "always"}),
    )
    (policy,) = [item for item in seen if item["kind"] == "restart_policy"]
    assert (policy["what"], policy["before"], policy["after"]) == ("store.1", "always", "no")
    assert {item["kind"] for item in seen} == {"restart_policy", "container_config"}


@pytest.mark.full
def test_a_container_that_is_down_paused_or_one_too_many(run: RunDir, host: Host, store: Any) -> None:
    def start() -> None:
        store.start()
        wait_for(lambda: pid_of(store))

    seen = planted(run, lambda: store.stop(timeout=0), start)
    (state,) = [item for item in seen if item["kind"] == "container_state"]
    assert (state["what"], state["before"], state["after"]) == ("store.1", "running", "exited")
    seen = planted(run, store.pause, store.unpause)
    assert [item["what"].split()[0] for item in seen] == ["store.1"]
    extra: list[Any] = []
    seen = planted(
        run, lambda: extra.append(host.project.up("store", number=2)), lambda: extra[-1].remove(force=True)
    )
    (state,) = [item for item in seen if item["kind"] == "container_state"]
    assert (state["what"], state["before"], state["after"]) == ("store.2", None, "running")


def test_a_container_on_one_more_network(run: RunDir, host: Host, store: Any) -> None:
    other = host.project.client.networks.create(f"{host.project.name}-more")
    try:
        seen = planted(run, lambda: other.connect(store), lambda: other.disconnect(store))
        assert [item["what"] for item in seen if item["kind"] == "container_config"] == ["store.1 networks"]
    finally:
        other.remove()


def test_a_crash_and_restart_is_no_leftover_but_counted(run: RunDir, host: Host, store: Any) -> None:
    before = snapshot.take_snapshot(run)
    old = pid_of(store)
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: pid_of(store) not in (0, old))
    after = snapshot.wait_settled(run, before, 8)
    asked = [{"event": "fault_injected", "target": "store"}]
    found = snapshot.compare_snapshots(before, after, asked)
    assert [item for item in found["leftovers"] if not _foreign(item)] == []
    assert (found["restarts"], found["unasked_restarts"]) == ({"store": 1}, [])
    assert snapshot.compare_snapshots(before, after, [])["unasked_restarts"] == ["store"]


@pytest.mark.full
def test_what_others_do_on_this_host_is_no_leftover(run: RunDir) -> None:
    """Another project comes up meanwhile, with a network, a published port, a container on the default bridge."""
    with contextlib.ExitStack() as stack:
        before = snapshot.take_snapshot(run)
        other = stack.enter_context(core_support.project())
        other.up("web", LISTEN, ports={f"{PORT}/tcp": ("127.0.0.1", 18998)})
        other.up("plain", number=2, network_mode="bridge", project="")
        with socket.create_connection(("127.0.0.1", 18998), timeout=5):
            pass
        during = snapshot.take_snapshot(run)
        assert _ours_or(during, before, other) == []
    # and the other way round: it was there before, and went
    assert _ours_or(snapshot.take_snapshot(run), during, other) == []


def _ours_or(after: snapshot.Snapshot, before: snapshot.Snapshot, other: Project) -> list[Leftover]:
    """Differences, but for those that name neither these tests' ports nor any link: other workers' doings."""
    del other
    mine = ("18998", "docker0", "veth", "br-", "nat", "filter")
    return [
        item
        for item in snapshot.find_differences(before, after)
        if any(word in str(item["what"]) for word in mine)
    ]


def postgres_image() -> str:
    """Return an image of the embedded exchange, "" when none is here."""
    client = core_support.Project().client
    tags = [tag for image in client.images.list(name="exchange-chaos-lab") for tag in image.tags]
    return next((tag for tag in tags if tag.startswith("exchange-chaos-lab:")), "")


@pytest.mark.full
def test_settings_of_postgresql(host: Host, tmp_path: Path) -> None:
    image = postgres_image()
    if not image:
        pytest.skip("there is no image with a PostgreSQL (make lab)")
    database = host.project.up(
        "database",
        ["/opt/exchange/postgres/start"],
        image=image,
        user="postgres",
        environment={"PGUSER": "trading_user", "PGDATABASE": "trading_db"},
    )
    asked = {"service": "database", "user": "trading_user", "name": "trading_db"}
    (tmp_path / "spec.json").write_text(json.dumps({"project": host.project.name, "database": asked}))
    run = RunDir(tmp_path)

    def sql(text: str) -> None:
        code, output = database.exec_run(["psql", "-XU", "postgres", "-d", "trading_db", "-c", text])
        assert code == 0, output

    def ready() -> bool:
        return bool(database.exec_run(["pg_isready", "-q"])[0] == 0)

    try:
        wait_for(ready, 30)
        taken = snapshot.take_snapshot(run)
        assert taken["unchecked"] == {}
        assert taken["postgres_setting"]["listen_addresses"]
        for plant, remove, what in (
            ("ALTER SYSTEM SET work_mem = '5MB'", "ALTER SYSTEM RESET work_mem", "work_mem"),
            (
                "ALTER SYSTEM SET max_connections = 77",
                "ALTER SYSTEM RESET max_connections",
                "max_connections",
            ),
            (
                "ALTER ROLE trading_user CONNECTION LIMIT 3",
                "ALTER ROLE trading_user CONNECTION LIMIT -1",
                "role trading_user",
            ),
            (
                "ALTER DATABASE trading_db SET statement_timeout = 9999",
                "ALTER DATABASE trading_db RESET statement_timeout",
                "statement_timeout",
            ),
        ):

            def change(text: str) -> None:
                sql(text)
                sql("SELECT pg_reload_conf()")
                time.sleep(0.3)

            seen = planted(run, partial(change, plant), partial(change, remove))
            only(seen, "postgres_setting", what)
    finally:
        database.remove(force=True, v=True)
