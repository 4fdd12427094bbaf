# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel keeps, against known work in throw-away containers and an independent measure of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl

from tests.module import capture_support as support
from tests.module.capture_support import CLOSED, OPEN, Exchange

pytestmark = pytest.mark.skipif(bool(support.missing()), reason=support.missing())

ALL = ["tcp", "exit", "sched", "block", "fsync", "oom", "rtt", "bytes"]
#: A kernel whose tracepoints tell less: the socket's own counts and BTF must do.
OLDER = """
from exchange_chaos.bpf import tracepoints
real = tracepoints.read_fields
def fields(folder, event):
    found = real(folder, event)
    if event in ("sock:sock_send_length", "sock:sock_recv_length"):
        return None
    if event == "tcp:tcp_probe":
        found.pop("skaddr", None)
    return found
tracepoints.read_fields = fields
"""
NO_BTF = "from exchange_chaos.bpf import loader\nloader.Btf.of_kernel = classmethod(lambda cls: None)"
NO_OOM = "from exchange_chaos.bpf.programs import oom, registry\nfrom dataclasses import replace\n"
NO_OOM += 'registry.PROGRAMS["oom"] = replace(oom.PROGRAM, needs=("oom:no_such_tracepoint",))'


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with support.exchange() as made:
        yield made


class Watched:
    """A capture with phases in its run's timeline."""

    def __init__(self, capture: support.Capture) -> None:
        self.capture = capture
        self._timeline = jsonl.Writer(capture.folder / "timeline.jsonl")

    def phase(self, name: str | None) -> None:
        """Begin a phase, or end the last one, and wait until the capture has taken it up."""
        event = {"event": "phase", "id": name, "fault": None} if name else {"event": "phase_end"}
        self._timeline.write({"t": clock.read(), **event})
        time.sleep(0.2)

    def lines(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the lines of histograms.jsonl that have these fields, or these in their key."""
        return [
            line
            for line in jsonl.read_lines(self.capture.folder / "histograms.jsonl")
            if all({**line, **line["key"]}.get(name) == value for name, value in wanted.items())
        ]

    def sum(self, what: str = "count", **wanted: Any) -> float:
        """Add up a field of those lines."""
        return float(sum(line[what] for line in self.lines(**wanted)))


@contextlib.contextmanager
def watching(folder: Path, exchange: Exchange, programs: list[str], prelude: str = "") -> Iterator[Watched]:
    with support.capture(folder, exchange.spec(programs=["tcp", *programs]), prelude) as capture:
        yield Watched(capture)


def told(folder: Path, exchange: Exchange, script: str) -> dict[str, Any]:
    """Run a script in the container of the api and return what it wrote to ``told``."""
    result = folder / "told.json"
    support.work(exchange.pid("api"), f"import json\n{script}\njson.dump(told, open({str(result)!r}, 'w'))")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


_SWITCHES = """
def switches():
    text = open("/proc/self/status").read()
    return [int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line]
"""


@pytest.mark.parametrize("prelude", ["", pytest.param(NO_BTF, marks=pytest.mark.full)], ids=["btf", "no-btf"])
def test_waits_for_a_processor_and_switches(exchange: Exchange, tmp_path: Path, prelude: str) -> None:
    script = f"""{_SWITCHES}
time.sleep(0.6)
before = switches()
for _ in range(400):
    time.sleep(0.001)
told = [after - was for was, after in zip(before, switches())]
time.sleep(2.5)
"""
    with watching(tmp_path, exchange, ["sched"], prelude) as watched:
        watched.phase("baseline")
        voluntary, involuntary = told(tmp_path, exchange, script)
        watched.phase("quiet")
        time.sleep(1)
        watched.phase(None)
        watched.capture.stop()
    work = {"phase": "baseline", "service": "api"}
    counted = watched.sum(series="context switches", kind="voluntary", **work)
    # one that was put off on its way to sleep was switched from against its will
    assert voluntary + involuntary >= 400
    assert voluntary <= counted <= voluntary + 150, "start and end of the process are beside it"
    forced = watched.sum(series="context switches", kind="involuntary", **work)
    assert involuntary <= forced <= involuntary + 150
    (waits,) = watched.lines(series="run queue latency", **work)
    assert voluntary * 0.97 <= waits["count"] <= counted + forced
    assert sum(count for _low, _high, count in waits["buckets"]) == waits["count"]
    assert 0 < waits["sum"] / waits["count"] <= waits["max"]
    assert watched.sum(series="context switches", phase="quiet", service="api") < 50


@pytest.mark.full
def test_threads_that_fight_for_a_processor_wait(exchange: Exchange, tmp_path: Path) -> None:
    script = """
cpu = min(os.sched_getaffinity(0)); os.sched_setaffinity(0, {cpu})
others = []
for _ in range(3):
    child = os.fork()
    if not child:
        end = time.monotonic() + 1.5
        while time.monotonic() < end: pass
        os._exit(0)
    others.append(child)
for child in others: os.waitpid(child, 0)
"""
    with watching(tmp_path, exchange, ["sched"]) as watched:
        watched.phase("baseline")
        support.work(exchange.pid("api"), script)
        watched.phase(None)
        watched.capture.stop()
    (waits,) = watched.lines(series="run queue latency", service="api")
    assert waits["sum"] > 2_000_000, "three share one for 1.5 s: each waits for a second of it"
    assert watched.sum(series="context switches", kind="involuntary", service="api") > 30


def test_fsyncs_and_how_long_they_took(exchange: Exchange, tmp_path: Path) -> None:
    script = f"""
took = []
fd = os.open({str(tmp_path / "data")!r}, os.O_CREAT | os.O_WRONLY)
for number in range(60):
    os.write(fd, b"x" * 4096)
    begun = time.monotonic()
    (os.fdatasync if number % 3 else os.fsync)(fd)
    took.append(time.monotonic() - begun)
try:
    os.fsync(os.pipe()[0])
except OSError:
    pass
told = took
"""
    with watching(tmp_path, exchange, ["fsync", "block"]) as watched:
        watched.phase("baseline")
        took = told(tmp_path, exchange, script)
        watched.phase(None)
        watched.capture.stop()
    assert watched.sum(series="fsync latency", service="api", call="fsync") == 20
    assert watched.sum(series="fsync latency", service="api", call="fdatasync") == 40
    seen = watched.sum("sum", series="fsync latency", service="api") / 1e6
    assert seen <= sum(took) <= 2 * seen + 0.02
    longest = max(line["max"] for line in watched.lines(series="fsync latency")) / 1e6
    assert longest <= max(took)
    assert watched.sum(series="block I/O latency", op="write") >= 40, "each sync writes to a device"
    assert all(line["max"] >= 1 for line in watched.lines(series="queue depth"))


_SERVE = f"""
server = socket.socket(); server.bind(("127.0.0.1", {CLOSED})); server.listen(8)
client = socket.create_connection(("127.0.0.1", {CLOSED}))
accepted, _ = server.accept()
def move(one, other, size):
    one.sendall(b"x" * size)
    left = size
    while left:
        other.recv(65536, socket.MSG_PEEK)
        left -= len(other.recv(min(left, 65536)))
"""


@pytest.mark.parametrize("prelude", ["", OLDER], ids=["calls", "sockets"])
def test_bytes_by_port_and_direction(exchange: Exchange, tmp_path: Path, prelude: str) -> None:
    script = f"{_SERVE}\nfor _ in range(10):\n    move(client, accepted, 50_000)\n    move(accepted, client, 20_000)\n"
    with watching(tmp_path, exchange, ["bytes", "rtt"], prelude) as watched:
        watched.phase("baseline")
        support.work(exchange.pid("api"), script, pause=0.6)
        watched.phase(None)
        watched.capture.stop()
    wanted = {"series": "bytes", "service": "api", "port": CLOSED}
    for side, direction, size in (
        ("client", "sent", 500_000),
        ("client", "received", 200_000),
        ("server", "sent", 200_000),
        ("server", "received", 500_000),
    ):
        counted = watched.sum("sum", side=side, direction=direction, **wanted)
        assert counted == pytest.approx(size, rel=0.05), (side, direction)
    assert {line["key"]["peer"] for line in watched.lines(**wanted)} == {"nobody"}
    (rtt,) = watched.lines(series="smoothed RTT", port=CLOSED, side="client")
    assert rtt["count"] >= 5
    assert rtt["sum"] / rtt["count"] < 50_000, "loopback"


@pytest.mark.full
def test_nobody_else_is_counted(exchange: Exchange, tmp_path: Path) -> None:
    script = f"{_SERVE}\nmove(client, accepted, 50_000)\n"
    script += f"fd = os.open({str(tmp_path / 'data')!r}, os.O_CREAT | os.O_WRONLY)\n"
    script += "for _ in range(100):\n    time.sleep(0.001)\nos.fsync(fd)\n"
    stranger = f"{exchange.project}-other"
    identity = exchange.start("api", stranger)
    pid = int(support.run("docker", "inspect", "--format", "{{.State.Pid}}", identity))
    with watching(tmp_path, exchange, ["sched", "fsync", "bytes", "rtt"]) as watched:
        watched.phase("baseline")
        support.work(pid, script, pause=0.6)
        watched.phase(None)
        watched.capture.stop()
    assert watched.lines(series="fsync latency") == []
    assert watched.lines(port=CLOSED) == []
    assert watched.sum(series="context switches", service="api") < 50


def limited(exchange: Exchange, limit: str, *command: str) -> str:
    """Start one more container of the api, with a memory limit, and return its id."""
    return support.run(
        *(
            "docker",
            "run",
            "--detach",
            "--network",
            exchange.project,
            "--memory",
            limit,
            "--memory-swap",
            limit,
        ),
        *("--label", f"com.docker.compose.project={exchange.project}"),
        *("--label", "com.docker.compose.service=api"),
        *("--label", f"chaos-capture-test={exchange.project}"),
        *(support.image(), "/bin/busybox", *command),
    )


@pytest.mark.full
def test_a_victim_that_did_not_ask_for_the_memory(exchange: Exchange, tmp_path: Path) -> None:
    # The parent asks once its child holds memory: by far the most, so that what its end frees is enough.
    script = """
import json
reads, writes = os.pipe()
child = os.fork()
if not child:
    open("/proc/self/oom_score_adj", "w").write("1000")
    hog = bytearray(b"x") * (26 << 20)
    os.write(writes, b"!")
    time.sleep(20)
    os._exit(0)
os.read(reads, 1)
mine = bytearray(b"x") * (10 << 20)
_, status = os.waitpid(child, 0)
"""
    script += f"json.dump([os.getpid(), child, status], open({str(tmp_path / 'told.json')!r}, 'w'))"
    identity = limited(exchange, "32m", "sleep", "100000")
    pid = int(support.run("docker", "inspect", "--format", "{{.State.Pid}}", identity))
    told = tmp_path / "told.json"
    with watching(tmp_path, exchange, ["oom"]) as watched:
        for _try in range(
            5
        ):  # now and then the kernel takes the asker as well, before what it freed is counted
            with contextlib.suppress(AssertionError):
                support.work(pid, script)
            if told.exists():
                break
        watched.capture.stop()
    asker, victim, status = json.loads(told.read_text())
    assert status == 9
    (event,) = [one for one in watched.capture.events(event="OOM_KILL") if one["pid"] == victim]
    assert event["service"] == "api"
    assert (event["by_pid"], event["by_itself"], event["score_adj"]) == (asker, False, 1000)
    assert event["anon_kb"] >= 20 * 1024


def test_a_victim_of_the_oom_killer_and_its_stalls(exchange: Exchange, tmp_path: Path) -> None:
    command = (
        "i=0; while [ $i -lt 40 ]; do s=$s$(/bin/busybox head -c 1000000 /dev/zero | /bin/busybox tr '\\0' x); "
        "i=$((i+1)); done; /bin/busybox sleep 5"
    )
    with watching(tmp_path, exchange, ["exit", "oom"]) as watched:
        watched.phase("baseline")
        identity = limited(exchange, "12m", "sh", "-c", command)
        pid = int(support.run("docker", "inspect", "--format", "{{.State.Pid}}", identity))
        assert support.run("docker", "wait", identity) == "137"
        state = json.loads(support.run("docker", "inspect", identity))[0]["State"]
        time.sleep(1.0)
        watched.phase(None)
        watched.capture.stop()
    assert state["OOMKilled"] is True
    victims = watched.capture.events(event="OOM_KILL")
    assert [event["service"] for event in victims] == ["api"] * len(victims)
    (main,) = [event for event in victims if event["pid"] == pid]
    assert 4_000 < main["anon_kb"] <= 12 * 1024
    assert main["comm"]
    assert watched.sum(series="memcg reclaim", service="api") > 0


def test_a_program_that_cannot_run_is_said_and_costs_no_other(exchange: Exchange, tmp_path: Path) -> None:
    with watching(tmp_path, exchange, ["fsync", "oom"], NO_OOM) as watched:
        watched.capture.stop()
    assert watched.capture.status["programs"] == ["tcp", "fsync"]
    lines = watched.capture.logs()
    assert (
        "warn The BPF program oom does not run here: this kernel has no tracepoint oom:no_such_tracepoint"
        in lines
    )


@pytest.mark.full
def test_port_open_is_the_stores(exchange: Exchange, tmp_path: Path) -> None:
    with watching(tmp_path, exchange, ["bytes"]) as watched:
        watched.phase("baseline")
        script = f"s = connect({exchange.address('store')!r}, {OPEN})\n"
        script += 's.sendall(b"GET /none HTTP/1.0\\r\\n\\r\\n")\nwhile s.recv(4096): pass\n'
        support.work(exchange.pid("api"), script)
        watched.phase(None)
        watched.capture.stop()
    sent = watched.sum("sum", service="api", direction="sent", side="client", peer="store")
    assert sent == 22
    assert watched.sum("sum", service="store", direction="received", side="server", peer="store") == sent
