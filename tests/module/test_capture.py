"""The capture against the running kernel: known work, known counts."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.bpf import spool
from ansible_collections.exchange.chaos.plugins.module_utils.common import jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.observe import start_capture
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module import capture_support as support
from tests.module.capture_support import CLOSED, OPEN, Exchange

pytestmark = pytest.mark.skipif(bool(support.missing()), reason=support.missing())

#: The ways a host can lack something: each must count the same.
MODES = {
    "btf": "",
    "no-btf": "from exchange_chaos.bpf import loader\nloader.Btf.of_kernel = classmethod(lambda cls: None)",
    "perf-buffers": "",
    # as an older bcc has them: nothing to ask them with but a poll
    "perf-buffers-polled": "import bcc\ndel bcc.BPF.perf_buffer_consume",
    "bcc-without-ring": "import bcc\ndel bcc.BPF.ring_buffer_consume",
}
#: What a kernel before 5.8 gets.
PERF = ("perf-buffers", "perf-buffers-polled", "bcc-without-ring")
NO_BCC = "import sys\nsys.modules['bcc'] = None"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with support.exchange() as made:
        yield made


def names(events: list[dict[str, object]]) -> dict[object, int]:
    """Count the connections' events; ends of helpers and a full queue's retransmits come as they come."""
    return dict(Counter(event["event"] for event in events if str(event["event"]).startswith("CONN_")))


@pytest.mark.parametrize(
    "mode",
    ["btf", *(pytest.param(mode, marks=pytest.mark.full) for mode in MODES if mode != "btf")],
)
def test_counts_refused_and_good_connects_of_a_container(
    exchange: Exchange, tmp_path: Path, mode: str
) -> None:
    store = exchange.address("store")
    asked = {"ring": False} if mode.startswith("perf") else {}
    with support.capture(tmp_path, exchange.spec(**asked), MODES[mode]) as capture:
        refused = support.connects(exchange.pid("api"), store, CLOSED, 50, pause=0.2)
        good = support.connects(exchange.pid("api"), store, OPEN, 30, pause=0.2)
        # a server whose queue is full drops the end of a connection, and the kernel tells it again a while later
        capture.wait_for_events(30, pid=good, event="CONN_CLOSED")
        assert capture.stop() == 0

    failed = [event for event in capture.events(pid=refused) if event["event"].startswith("CONN_")]
    assert names(failed) == {"CONN_ATTEMPT": 50, "CONN_FAILED": 50}
    assert {event["errno"] for event in failed if event["event"] == "CONN_FAILED"} == {111}
    made = [event for event in capture.events(pid=good) if event["event"].startswith("CONN_")]
    assert names(made) == {"CONN_ATTEMPT": 30, "CONN_OK": 30, "CONN_CLOSED": 30}
    name = exchange.containers("api")[0]["name"]
    assert {(e["service"], e["container"], e["family"], e["raddr"]) for e in failed + made} == {
        ("api", name, 4, store)
    }
    assert all(event["duration_ms"] > 0 for event in failed + made if event["event"] != "CONN_ATTEMPT")
    status = capture.status
    assert status["status"] == "attached"
    assert status["transport"] == ("perf buffers" if mode in PERF else "ring buffer")
    assert status["positive_control"] is True
    assert status["lost"] == 0
    assert status["events"] == len(capture.events())
    assert status["cpu_s"] > 0
    assert capture.events(control=True), "the control's own events are marked"


def test_counts_ipv6(exchange: Exchange, tmp_path: Path) -> None:
    with support.capture(tmp_path, exchange.spec()) as capture:
        pid = support.connects(exchange.pid("api"), "::1", CLOSED, 7)
        mapped = support.connects(exchange.pid("api"), f"::ffff:{exchange.address('store')}", CLOSED, 5)
        capture.stop()
    events = capture.events(pid=pid, event="CONN_FAILED")
    assert [(event["family"], event["raddr"], event["errno"]) for event in events] == [(6, "::1", 111)] * 7
    assert [event["family"] for event in capture.events(pid=mapped, event="CONN_FAILED")] == [4] * 5


@pytest.mark.parametrize("mode", ["btf", "no-btf"])
def test_a_connect_nobody_answers_is_given_up_with_its_age(
    exchange: Exchange, tmp_path: Path, mode: str
) -> None:
    # A listener whose queue is full stays silent.
    script = f"""
server = socket.socket(); server.bind(("127.0.0.1", {CLOSED})); server.listen(0)
filling = [connect("127.0.0.1", {CLOSED}, 0.2) for _ in range(2)]
silent = connect("127.0.0.1", {CLOSED}, 1.3)
silent.close()
"""
    with support.capture(tmp_path, exchange.spec(), MODES[mode]) as capture:
        pid = support.work(exchange.pid("api"), script, pause=0.2)
        capture.stop()
    given_up = capture.events(pid=pid, event="CONN_GAVE_UP")
    assert given_up
    assert any(event["duration_ms"] == pytest.approx(1300, abs=150) for event in given_up)
    assert all(event["errno"] is None for event in given_up)
    assert capture.events(pid=pid, event="TCP_RETRANSMIT"), "the SYN was sent again after a second"
    assert not capture.events(pid=pid, event="CONN_FAILED")


@pytest.mark.full
@pytest.mark.parametrize("mode", ["btf", pytest.param("no-btf", marks=pytest.mark.full)])
def test_an_unreachable_host_fails_with_its_errno(exchange: Exchange, tmp_path: Path, mode: str) -> None:
    nobody = exchange.address("store").rpartition(".")[0] + ".250"
    with support.capture(tmp_path, exchange.spec(), MODES[mode]) as capture:
        pid = support.work(exchange.pid("api"), f"connect({nobody!r}, {OPEN}, 10)", pause=0.2)
        capture.stop()
    (failed,) = capture.events(pid=pid, event="CONN_FAILED")
    assert failed["errno"] == (113 if mode == "btf" else None), (
        "without BTF the kernel tells too late: not guessed"
    )


@pytest.mark.full
@pytest.mark.skipif(support.cgroup2() is None, reason="needs cgroup version 2, alone or beside version 1")
def test_a_process_is_known_by_its_cgroup_of_version_2(exchange: Exchange, tmp_path: Path) -> None:
    identity = exchange.containers("api")[0]["id"]
    scope = Path(str(support.cgroup2())) / f"docker-{identity}.scope"
    inner = scope / "inner"
    inner.mkdir(parents=True)
    script = f"""
open("{inner}/cgroup.procs", "w").write(str(os.getpid()))
for _ in range(4):
    connect({exchange.address("store")!r}, {CLOSED})
open("{support.cgroup2()}/cgroup.procs", "w").write(str(os.getpid()))
"""
    prelude = "from exchange_chaos.bpf import sources\nsources.has_unified_cgroups = lambda: True"
    try:
        with support.capture(tmp_path, exchange.spec(), prelude) as capture:
            pid = support.work(exchange.pid("api"), script)
            capture.stop()
    finally:
        inner.rmdir()
        scope.rmdir()
    assert len(capture.events(pid=pid, event="CONN_FAILED", service="api")) == 4


def test_a_reset_is_seen_by_who_gets_it_and_who_sends_it(exchange: Exchange, tmp_path: Path) -> None:
    script = f"""
server = socket.socket(); server.bind(("127.0.0.1", {CLOSED})); server.listen(8)
client = connect("127.0.0.1", {CLOSED})
accepted, _ = server.accept()
accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
accepted.close()
time.sleep(0.05)
client.close()
"""
    with support.capture(tmp_path, exchange.spec()) as capture:
        pid = support.work(exchange.pid("api"), script)
        capture.stop()
    (received,) = capture.events(event="CONN_RESET", direction="received")
    assert (received["pid"], received["service"], received["errno"]) == (pid, "api", 104)
    (closed,) = capture.events(event="CONN_CLOSED", pid=pid)
    assert closed["errno"] == 104
    assert [event["service"] for event in capture.events(event="CONN_RESET", direction="sent")] == ["api"]


@pytest.mark.parametrize("mode", ["btf", pytest.param("no-btf", marks=pytest.mark.full)])
def test_a_killed_main_process_exits_by_signal_9_and_its_heir_is_known(
    exchange: Exchange, tmp_path: Path, mode: str
) -> None:
    with support.capture(tmp_path, exchange.spec(), MODES[mode]) as capture:
        before = exchange.pid("store")
        time.sleep(0.6)
        os.kill(before, 9)
        end = time.monotonic() + 20
        while exchange.pid("store") in (0, before):
            assert time.monotonic() < end
            time.sleep(0.1)
        after = exchange.pid("store")
        heir = support.connects(after, "127.0.0.1", CLOSED, 9, pause=0.7)
        capture.stop()
    (event,) = capture.events(event="PROC_EXIT", pid=before)
    assert (event["service"], event["exit_signal"], event["by_pid"]) == ("store", 9, os.getpid())
    if mode == "btf":
        assert event["main"] is True
    assert len(capture.events(pid=heir, event="CONN_FAILED", service="store")) == 9


def test_a_container_made_during_the_run_is_known_by_the_engine(exchange: Exchange, tmp_path: Path) -> None:
    with support.exchange() as other, support.capture(tmp_path, other.spec()) as capture:
        support.run("docker", "rm", "-f", other.containers("api")[0]["id"])
        other.start("api")
        pid = support.connects(other.pid("api"), other.address("store"), CLOSED, 12)
        capture.stop()
    assert len(capture.events(pid=pid, event="CONN_FAILED", service="api")) == 12
    assert capture.status["unattributed"] == 0


def test_nobody_elses_sockets_are_taken(exchange: Exchange, tmp_path: Path) -> None:
    foreign = exchange.start("api", project="somebody-else")
    try:
        pid = int(support.run("docker", "inspect", "--format", "{{.State.Pid}}", foreign))
        store = exchange.address("store")
        with support.capture(tmp_path, exchange.spec()) as capture:
            support.connects(pid, store, CLOSED, 20)
            support.connects(os.getpid(), store, CLOSED, 20)  # the host's own
            # a guest in the container's network, but not of its processes
            script = f"import socket\nfor _ in range(20): socket.socket().connect_ex(({store!r}, {CLOSED}))"
            support.run("nsenter", "-t", str(exchange.pid("api")), "-n", support.PYTHON, "-c", script)
            time.sleep(0.3)
            capture.stop()
    finally:
        support.run("docker", "rm", "-f", foreign)
    assert names(capture.events()) == {}


@pytest.mark.full
def test_a_service_out_of_scope_is_left_out(exchange: Exchange, tmp_path: Path) -> None:
    with support.capture(tmp_path, exchange.spec(services=["store"])) as capture:
        support.connects(exchange.pid("api"), exchange.address("store"), CLOSED, 5)
        inside = support.connects(exchange.pid("store"), "127.0.0.1", CLOSED, 5)
        capture.stop()
    assert {event["pid"] for event in capture.events()} == {inside}


def test_the_wrong_port_shows_as_a_control_not_seen(exchange: Exchange, tmp_path: Path) -> None:
    with support.capture(tmp_path, exchange.spec(ports={"5999": "nobody"})) as capture:
        assert capture.status["positive_control"] is False
        assert any(line.startswith("fail ") and "was not seen" in line for line in capture.logs())
        support.connects(exchange.pid("api"), exchange.address("store"), CLOSED, 5)
        capture.stop()
    assert capture.events() == []


def test_without_bcc_the_run_goes_on(exchange: Exchange, tmp_path: Path) -> None:
    with support.capture(tmp_path, exchange.spec(), NO_BCC) as capture:
        assert capture.process.wait(10) == 0
    assert capture.status["status"] == "absent"
    assert "python3-bpfcc" in capture.status["reason"] or "bcc" in capture.status["reason"]
    assert capture.status["positive_control"] is None
    assert any(line.startswith("warn No kernel events") for line in capture.logs())
    timeline = jsonl.read_lines(tmp_path / "timeline.jsonl")
    assert [line["command"] for line in timeline if line["event"] == "observer_stopped"] == ["capture"]


@pytest.mark.full
def test_a_compiler_error_is_one_sentence(exchange: Exchange, tmp_path: Path) -> None:
    prelude = (
        "from exchange_chaos.bpf import sources\nread = sources.read_source\n"
        "sources.read_source = lambda name: 'this is no C' if name == 'tcp.c' else read(name)"
    )
    with support.capture(tmp_path, exchange.spec(), prelude) as capture:
        assert capture.process.wait(20) == 0
    assert capture.status["status"] == "failed"
    assert capture.status["reason"].endswith("its own words are in capture.err.")


@pytest.mark.full
@pytest.mark.parametrize("ring", [True, False], ids=["ring-buffer", "perf-buffers"])
def test_what_does_not_fit_is_counted(exchange: Exchange, tmp_path: Path, ring: bool) -> None:
    prelude = "from exchange_chaos.bpf import sources\nsources.RING_BYTES = 16384\nsources.PERF_BYTES = 16384"
    with support.capture(tmp_path, exchange.spec(ring=ring), prelude) as capture:
        pid = support.connects(exchange.pid("api"), exchange.address("store"), CLOSED, 5000)
        capture.stop()
    start_capture.read_storms(RunDir(tmp_path))
    status = capture.status
    assert status["lost"] > 0
    # Ends of processes in other containers may be among the lost; whose they were, nobody can tell.
    assert 10_000 <= status["events"] + status["lost"] <= 10_050
    assert {event["pid"] for event in capture.events()} == {pid}
    # what was lost on its way to user space was counted in the kernel all the same
    assert totals(status, "CONN_ATTEMPT", CLOSED) == totals(status, "CONN_FAILED", CLOSED) == 5000


def totals(status: dict[str, Any], event: str, port: int) -> int:
    """Return what the kernel counted of an event at a port."""
    return sum(one["count"] for one in status["totals"] if (one["event"], one["port"]) == (event, port))


def test_a_storm_is_carried_to_disk_as_it_is_and_read_when_it_is_over(
    exchange: Exchange, tmp_path: Path
) -> None:
    prelude = "from exchange_chaos.bpf import capture\ncapture.LIVE_BYTES_S = 20_000"
    with support.capture(tmp_path, exchange.spec(), prelude) as capture:
        pid = support.connects(exchange.pid("api"), exchange.address("store"), CLOSED, 20_000)
        killed = support.work(exchange.pid("api"), "os.kill(os.getpid(), 9)", code=-9)
        capture.stop()
    status, followed = capture.status, len(capture.events(pid=pid))
    assert status["lost"] == 0
    assert followed < 5_000, "a storm was followed event by event"
    assert capture.events(pid=killed, event="PROC_EXIT"), "the end of a process drowned in a storm"
    spooled = (tmp_path / spool.NAME).stat().st_size
    assert spooled / (40_000 - followed) <= 60, "bytes an event"

    start_capture.read_storms(RunDir(tmp_path))

    assert names(capture.events(pid=pid)) == {"CONN_ATTEMPT": 20_000, "CONN_FAILED": 20_000}
    assert {event["service"] for event in capture.events(pid=pid)} == {"api"}
    assert {event["errno"] for event in capture.events(pid=pid, event="CONN_FAILED")} == {111}
    assert totals(status, "CONN_FAILED", CLOSED) == 20_000
    assert capture.status["unwritten"] == 0
    assert not (tmp_path / spool.NAME).exists()


@pytest.mark.full
def test_of_a_storm_too_large_to_keep_the_counts_are_true(exchange: Exchange, tmp_path: Path) -> None:
    prelude = "from exchange_chaos.bpf import capture, spool\ncapture.LIVE_BYTES_S = 20_000\nspool.MOST_BYTES = 50_000"
    with support.capture(tmp_path, exchange.spec(), prelude) as capture:
        support.connects(exchange.pid("api"), exchange.address("store"), CLOSED, 20_000)
        capture.stop()
    start_capture.read_storms(RunDir(tmp_path))
    status = capture.status
    assert len(capture.events()) < 20_000
    assert totals(status, "CONN_FAILED", CLOSED) == 20_000
    assert 40_000 <= status["events"] <= 40_050
    assert status["unwritten"] == status["events"] - len(capture.events())


def test_the_compiler_is_gone_once_the_programs_run(exchange: Exchange, tmp_path: Path) -> None:
    with support.capture(tmp_path, exchange.spec()) as capture:
        mapped = Path(f"/proc/{capture.process.pid}/maps").read_text()
        resident = support.resident_mb(capture.process.pid)
        support.connects(exchange.pid("api"), exchange.address("store"), CLOSED, 50)
        capture.stop()
    assert "libbcc" not in mapped
    assert "libLLVM" not in mapped
    assert resident < 60
    assert len(capture.events(event="CONN_FAILED")) == 50


def mounts(path: str) -> list[str]:
    """Lines of a table of mounts, but for the engine's and other tests' own, which come and go meanwhile."""
    own = ("/docker/", "/runc.", "/pytest-of-")
    return sorted(
        line for line in Path(path).read_text().splitlines() if not any(part in line for part in own)
    )


def test_nothing_is_left_on_the_host(exchange: Exchange, tmp_path: Path) -> None:
    before = mounts("/proc/mounts")
    with support.capture(tmp_path, exchange.spec()) as capture:
        assert mounts("/proc/mounts") == before
        assert mounts(f"/proc/{capture.process.pid}/mountinfo") == mounts("/proc/self/mountinfo")
        assert capture.stop() == 0
    children = subprocess.run(["ps", "--ppid", str(capture.process.pid)], capture_output=True, check=False)
    assert children.returncode == 1
