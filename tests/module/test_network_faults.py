# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition and impairment in real network namespaces, seen by a client and a server that know nothing of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Applied, Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import impair as impairing
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import partition
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import (
    netem,
    relay,
    shaping,
    tun,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host import netns, nftables, routes
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

from tests.module.netns_support import OTHER, PEER, PEER6, PORT, SECOND, TARGET, Net, net
from tests.unit.containers import target

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.timeout(120),
]
ONE = {"peer": "store", "port": PORT, "control": "cache", "control_port": PORT, "window_s": 20, "hold_s": 20}
CUT = {**ONE, "id": "cut", "kind": "partition", "target": "api"}
SLOW = {**ONE, "id": "slow", "kind": "impair", "target": "api", "engine": "tun"}


@pytest.fixture(scope="module")
def spaces() -> Iterator[Net]:
    with net() as made:
        yield made


class Stage:
    """A run's folder, a target whose container is a namespace, and a fault that is applied and undone there."""

    def __init__(self, folder: Path, spaces: Net) -> None:
        self.spaces = spaces
        self.run = RunDir(folder / "exp-02-test")
        self.run.path.mkdir()
        self.run.file("chaos.pyz").write_bytes(runtime.build_archive().read_bytes())
        write_json(self.run.file("spec.json"), {"anchor": vars(clock.take_anchor())})
        self.run.extend_deadline(300)
        state = {"Status": "running", "Running": True, "Pid": spaces.target.pid}
        self.target = target("api", state=state)
        self.targets = [self.target, _at("store", PEER, PEER6), _at("cache", OTHER)]
        self.scene = Scene(self.run, self)  # type: ignore[arg-type]
        self.traffic: subprocess.Popen[str] | None = None

    def inspect(self, container: str) -> Container | None:
        """What the engine says of a container."""
        return next((one for one in self.targets if one.id == container), None)

    def containers(self, project: str, service: str | None = None) -> list[Container]:
        """What the engine says of a service."""
        return [one for one in self.targets if service in (None, one.service)]

    def apply(self, fault: Any, spec: dict[str, Any], **changes: Any) -> tuple[Applied, Entry]:
        """Apply as the module does, with traffic of an application, and return the journal's entry as well."""
        spec = {**spec, **changes}
        site = Site(self.targets, True)
        assert fault.check(spec) == []
        plan = fault.from_spec(spec, [self.target], site)
        planned = clock.read()
        entry = Entry(
            1, spec["id"], spec["kind"], "api", plan.lines(), json.loads(json.dumps(plan.undo())),
            planned + plan.ttl_s, planned,
        )  # fmt: skip
        with self.application():
            done = fault.apply(plan, entry, self.scene)
        return done, replace(entry, applied_at=done.at, facts=json.loads(json.dumps(done.facts)))

    @contextlib.contextmanager
    def application(self) -> Iterator[None]:
        """Connect to the peer all the time, as an application would."""
        code = (
            "import socket, time\n"
            "while True:\n"
            "    try:\n"
            f"        socket.create_connection(({PEER!r}, {PORT}), timeout=0.3).close()\n"
            "    except OSError: pass\n"
            "    time.sleep(0.05)\n"
        )
        pid = self.spaces.target.pid
        process = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-I", "-c", code])
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def engine(self) -> int:
        """The pid of the process behind the detour."""
        return int(json.loads((self.run.file("processes") / "impair.json").read_text())["pid"])


def _at(service: str, address: str, address6: str = "") -> Container:
    entry = {"IPAddress": address, "GlobalIPv6Address": address6}
    return target(service, network={"Networks": {"lab": entry}, "Ports": {}})


@pytest.fixture
def stage(tmp_path: Path, spaces: Net) -> Iterator[Stage]:
    made = Stage(tmp_path, spaces)
    before = ruled(spaces)
    yield made
    made.run.file("spec.json").unlink()  # whatever still runs ends by itself
    until = time.monotonic() + 5
    while ruled(spaces) != before and time.monotonic() < until:
        time.sleep(0.05)
    assert ruled(spaces) == before, "something was left behind"


def ruled(spaces: Net) -> list[str]:
    """Rules, routes, links and tables of the target's namespace, as other programs see them."""
    look = spaces.target.run
    tables = netns.call_inside(spaces.target.pid, _tables)
    return [
        look("ip", "rule"),
        look("ip", "-6", "rule"),
        look("ip", "-o", "link"),
        look("tc", "qdisc"),
        *tables,
    ]


def _tables() -> list[str]:
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=0) as found:
        return sorted(item.get_attr("NFTA_TABLE_NAME") for item in found.get_tables())


def has_netem() -> bool:
    """Whether this kernel knows netem, as tc finds it in a namespace of its own."""
    argv = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def by(proofs: Any, source: str) -> list[Any]:
    return [proof for proof in proofs if proof.source == source]


# ---- partition


def test_a_partition_drops_both_ways_and_nothing_else(stage: Stage) -> None:
    here, peer = stage.spaces.target, stage.spaces.peer
    done, entry = stage.apply(partition, CUT)
    kernel, (silent, control) = by(done.proofs, "kernel"), by(done.proofs, "tcp")
    assert [proof.holds for proof in kernel] == [True]
    assert kernel[0].value > 0
    assert (silent.holds, control.holds) == (True, True)
    assert "no answer" in silent.value
    assert here.connects(PEER, PORT, timeout=0.5) == [None]
    assert here.connects(PEER, SECOND, timeout=0.5) == [None]
    assert here.connects(PEER6, PORT, timeout=0.5) == [None]
    assert here.connects(OTHER, PORT) != [None]
    # the other way: what the peer sends is dropped as it comes in
    assert peer.connects(TARGET, PORT, timeout=0.5) == [None]
    before = here.udp()["NoPorts"]
    peer.datagrams(TARGET, 10)
    assert here.udp()["NoPorts"] == before
    whole = partition.in_force(entry, stage.scene)
    assert by(whole, "kernel")[0].holds, "nothing was dropped after the application's own packets"
    assert by(whole, "fault")[-1].share == pytest.approx(1.0, abs=0.01)
    assert "deleted" in partition.undo(entry, stage.scene)
    assert here.connects(PEER, PORT) != [None]
    assert here.connects(PEER6, PORT) != [None]
    assert peer.connects(TARGET, PORT) != [None]
    assert "nothing was left" in partition.undo(entry, stage.scene)


def test_one_port_alone(stage: Stage) -> None:
    _done, entry = stage.apply(partition, CUT, only_port=True)
    assert stage.spaces.target.connects(PEER, PORT, timeout=0.5) == [None]
    assert stage.spaces.target.connects(PEER, SECOND) != [None]
    partition.undo(entry, stage.scene)


@pytest.mark.alone
def test_the_kernel_ends_a_partition_by_itself(stage: Stage) -> None:
    """No process of ours is alive: the table stands, its addresses are gone, packets flow."""
    begun = time.monotonic()
    done, entry = stage.apply(partition, CUT, ttl=4.0)
    assert by(done.proofs, "tcp")[0].holds
    while stage.spaces.target.connects(PEER, PORT, timeout=0.2) == [None]:
        assert time.monotonic() - begun < 10
    assert 3.5 < time.monotonic() - begun < 6
    state = netns.call_inside(
        stage.spaces.target.pid, nftables.read_table, nftables.table_name("exp-02-test", "cut")
    )
    assert (state["there"], state["elements"]) == (True, 0)
    time.sleep(3)
    late = partition.in_force(replace(entry, expires=done.at + 4.0), stage.scene)
    assert not by(late, "kernel")[0].holds
    assert 0.4 < by(late, "fault")[-1].share < 0.75
    assert "deleted" in partition.undo(entry, stage.scene)


def test_without_traffic_a_partition_proves_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "_FLOW_S", 0.3)
    monkeypatch.setattr(Stage, "application", lambda self: contextlib.nullcontext())
    done, entry = stage.apply(partition, CUT)
    assert [proof.holds for proof in by(done.proofs, "kernel")] == [False]
    partition.undo(entry, stage.scene)


def test_a_foreign_table_is_untouched_and_another_runs_is_not_stacked_on(stage: Stage) -> None:
    def plant(name: str) -> None:
        from pyroute2.nftables.main import NFTables

        with NFTables(nfgen_family=1) as found:
            found.table("add", name=name)
            found.chain("add", table=name, name="in", hook="input", type="filter", policy=1)

    def pluck(name: str) -> None:
        from pyroute2.nftables.main import NFTables

        with NFTables(nfgen_family=1) as found:
            found.table("del", name=name)

    pid = stage.spaces.target.pid
    netns.call_inside(pid, plant, "somebodys")
    try:
        _done, entry = stage.apply(partition, CUT)
        partition.undo(entry, stage.scene)
        assert netns.call_inside(pid, _tables) == ["somebodys"]
    finally:
        netns.call_inside(pid, pluck, "somebodys")
    netns.call_inside(pid, plant, "exchange-chaos-exp-99-other-cut")
    try:
        for fault, spec in ((partition, CUT), (impairing, {**SLOW, "delay_ms": 50})):
            with pytest.raises(ChaosError, match=r"another experiment|ended at once"):
                stage.apply(fault, spec)
        assert netns.call_inside(pid, _tables) == ["exchange-chaos-exp-99-other-cut"]
        assert stage.spaces.target.connects(PEER, PORT) != [None]
    finally:
        netns.call_inside(pid, pluck, "exchange-chaos-exp-99-other-cut")


def test_trials_leave_nothing_and_say_what_was_found(stage: Stage) -> None:
    site = Site(stage.targets, True)
    assert partition.trial(CUT, [stage.target], site) == "ok"
    assert impairing.trial({**SLOW, "delay_ms": 50}, [stage.target], site) == "ok: tun"
    if not has_netem():
        with pytest.raises(Unsupported, match="no netem"):
            impairing.trial({**SLOW, "engine": "netem", "delay_ms": 50}, [stage.target], site)


# ---- impairment


@pytest.mark.alone
@pytest.mark.parametrize("delay", [50, 100, 200])
def test_the_delay_asked_is_the_delay_measured(stage: Stage, delay: int) -> None:
    here = stage.spaces.target
    base = here.middle()
    done, entry = stage.apply(impairing, SLOW, delay_ms=delay)
    rise = here.middle(PEER) - base
    print(f"asked {delay} ms, measured {rise:.1f} ms by the client")
    assert abs(rise - delay) <= 0.1 * delay, rise
    assert abs(here.middle(PEER6) - base - delay) <= 0.1 * delay
    assert here.middle(OTHER) < 10
    assert done.facts["engine"] == "tun"
    assert [proof.holds for proof in by(done.proofs, "kernel")] == [True], done.proofs
    whole = impairing.in_force(entry, stage.scene)
    assert [proof.holds for proof in by(whole, "kernel")] == [True], whole
    assert by(whole, "fault")[-1].share == pytest.approx(1.0, abs=0.02)
    assert "detour ended" in impairing.undo(entry, stage.scene)
    assert here.middle() < base + 10
    assert "nothing was left" in impairing.undo(entry, stage.scene)


def test_what_goes_the_long_way_comes_whole(stage: Stage) -> None:
    """Offloaded checksums and segments are the kernel's to finish before the detour: bytes come back as sent."""
    _done, entry = stage.apply(impairing, SLOW, delay_ms=20)
    (taken,) = stage.spaces.target.connects(PEER, PORT, timeout=30, size=1_000_000)
    assert taken is not None
    impairing.undo(entry, stage.scene)


@pytest.mark.full
@pytest.mark.alone
def test_one_port_alone_is_slow(stage: Stage) -> None:
    _done, entry = stage.apply(impairing, SLOW, delay_ms=100, only_port=True)
    assert stage.spaces.target.middle(PEER, PORT) > 90
    assert stage.spaces.target.middle(PEER, SECOND) < 20
    impairing.undo(entry, stage.scene)


@pytest.mark.full
@pytest.mark.alone
def test_loss_and_corruption_hit_and_tcp_bears_them(stage: Stage) -> None:
    done, entry = stage.apply(impairing, SLOW, loss_pct=30, corrupt_pct=20)
    assert [proof.holds for proof in by(done.proofs, "kernel")] == [True]
    here, peer = stage.spaces.target, stage.spaces.peer
    before = peer.udp()
    here.datagrams(PEER, 500)
    time.sleep(0.3)
    grown = {name: value - before[name] for name, value in peer.udp().items()}
    assert 230 <= grown["NoPorts"] <= 330, grown
    assert 35 <= grown["InCsumErrors"] <= 110, grown
    assert None not in here.connects(PEER, PORT, count=3, timeout=20, size=20_000)
    how = impairing.undo(entry, stage.scene)
    assert "lost" in how
    assert "corrupted" in how


@pytest.mark.full
@pytest.mark.alone
def test_duplicates_arrive_twice(stage: Stage) -> None:
    _done, entry = stage.apply(impairing, SLOW, duplicate_pct=50)
    before = stage.spaces.peer.udp()["NoPorts"]
    stage.spaces.target.datagrams(PEER, 300)
    time.sleep(0.3)
    assert 400 <= stage.spaces.peer.udp()["NoPorts"] - before <= 500
    impairing.undo(entry, stage.scene)


@pytest.mark.full
@pytest.mark.alone
def test_a_killed_engine_leaves_traffic_flowing(stage: Stage) -> None:
    _done, entry = stage.apply(impairing, SLOW, delay_ms=200)
    time.sleep(1.2)  # until its sign of life
    os.kill(stage.engine(), signal.SIGKILL)
    assert stage.spaces.target.middle(PEER, count=3) < 20
    time.sleep(3.5)
    whole = impairing.in_force(entry, stage.scene)
    assert [proof.holds for proof in by(whole, "kernel")] == [False]
    assert by(whole, "fault")[-1].share < 0.8
    assert "policy rule deleted" in impairing.undo(entry, stage.scene)


def test_the_kernel_ends_an_impairment_whose_engine_hangs(stage: Stage) -> None:
    _done, entry = stage.apply(impairing, SLOW, delay_ms=100, ttl=6.0)
    os.kill(stage.engine(), signal.SIGSTOP)
    try:
        begun = time.monotonic()
        while stage.spaces.target.connects(PEER, PORT, timeout=0.2) == [None]:
            assert time.monotonic() - begun < 12
    finally:
        os.kill(stage.engine(), signal.SIGCONT)
    impairing.undo(entry, stage.scene)


def test_the_engine_ends_by_itself_at_the_faults_time_to_live(stage: Stage) -> None:
    stage.apply(impairing, SLOW, delay_ms=50, ttl=3.0)
    pid = stage.engine()
    until = time.monotonic() + 6
    while Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < until, "it lives on"
        time.sleep(0.1)
    assert stage.spaces.target.middle(PEER, count=3) < 20


@pytest.mark.alone
def test_an_engine_that_does_not_delay_is_no_effect(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = impairing._start_process

    def lazy(change: impairing.ImpairPlan, *rest: Any) -> tuple[float, float]:
        return real(replace(change, wanted=shaping.Impairment(delay_ms=1)), *rest)

    monkeypatch.setattr(impairing, "_start_process", lazy)
    done, entry = stage.apply(impairing, SLOW, delay_ms=100)
    assert [proof.holds for proof in by(done.proofs, "kernel")] == [False]
    assert [proof.holds for proof in by(done.proofs, "tcp")] == [False]
    assert by(impairing.in_force(entry, stage.scene), "fault")[-1].share == 0.0
    impairing.undo(entry, stage.scene)


# ---- the queues of netem, but for netem itself where the kernel has none


@pytest.mark.alone
def test_packets_to_the_peer_alone_are_in_our_class(stage: Stage) -> None:
    pid, table = stage.spaces.target.pid, nftables.table_name("exp-02-test", "slow")

    def plant() -> None:
        from pyroute2 import IPRoute

        with IPRoute() as ip:
            (link,) = routes.find_interface(ip, PEER)
            netem.send(ip, netem.list_queues(shaping.Impairment(delay_ms=5), link)[:2])
        nftables.install_table(netem.make_rules(table, [PEER], PORT, 60))

    netns.call_inside(pid, plant)
    assert stage.spaces.target.middle(PEER, PORT, count=3) < 20
    counted = netns.call_inside(pid, netem.count_passed)
    assert counted >= 3
    stage.spaces.target.middle(PEER, SECOND, count=3)
    stage.spaces.target.middle(OTHER, PORT, count=3)
    assert netns.call_inside(pid, netem.count_passed) == counted
    assert (
        netns.call_inside(pid, netem.remove_leftovers, table)
        == f"nftables table {table} deleted, queue deleted"
    )
    assert netns.call_inside(pid, netem.remove_leftovers, table) == ""


def test_somebody_elses_queue_is_not_touched(stage: Stage) -> None:
    here = stage.spaces.target
    here.run("tc", "qdisc", "add", "dev", "peer", "root", "handle", "1:", "htb")
    try:
        with pytest.raises(ChaosError, match="somebody else"):
            netns.call_inside(here.pid, netem.build, shaping.Impairment(delay_ms=5), [PEER])
        assert "htb 1:" in here.run("tc", "qdisc", "show", "dev", "peer")
    finally:
        here.run("tc", "qdisc", "del", "dev", "peer", "root")


@pytest.mark.alone
def test_netem_delays_where_there_is_one(stage: Stage) -> None:
    if not has_netem():
        pytest.skip("this kernel has no netem")
    base = stage.spaces.target.middle()
    _done, entry = stage.apply(impairing, SLOW, delay_ms=100, engine="netem")
    assert abs(stage.spaces.target.middle() - base - 100) <= 10
    impairing.undo(entry, stage.scene)
    assert stage.spaces.target.middle() < base + 10


def test_what_runs_in_a_namespace_answers_or_fails_in_words() -> None:
    def wrong() -> None:
        raise ValueError("this and that")

    with pytest.raises(ChaosError, match="ValueError in a network namespace: this and that"):
        netns.call_in_throwaway(wrong)
    with pytest.raises(ChaosError, match=r"longer than 0\.2 s"):
        netns.call_in_throwaway(time.sleep, 5, within=0.2)
    with pytest.raises(ChaosError, match="cannot be entered"):
        netns.call_inside(2**22 - 2, time.sleep, 0)
    assert netns.call_in_throwaway(lambda: [1, "two"]) == [1, "two"]
    assert relay.COMMAND == "impair"
    assert tun.TAKEN != tun.RETURNED
