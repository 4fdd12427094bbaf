# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of the faults on a path: their words, their undo, what they send to the kernel, what they do to a packet."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import impair, partition
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import (
    netem,
    network_path,
    shaping,
    tun,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host import nftables
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry
from pyroute2.netlink.exceptions import NetlinkError

from tests.unit.containers import down, target

PEER, PEER6 = "172.18.0.3", "fd00::3"
CUT = {
    "id": "cut",
    "kind": "partition",
    "target": "trading-api",
    "peer": "postgres",
    "port": 5432,
    "control": "redis",
    "control_port": 6379,
    "window_s": 30,
    "hold_s": 30,
}
SLOW = {**CUT, "id": "slow", "kind": "impair", "engine": "tun", "delay_ms": 100}


def networks(address: str, address6: str = "") -> dict[str, Any]:
    return {"Networks": {"lab_default": {"IPAddress": address, "GlobalIPv6Address": address6}}, "Ports": {}}


@pytest.fixture
def site() -> Site:
    api = target("trading-api", network=networks("172.18.0.5"))
    return Site(
        [
            api,
            target("postgres", network=networks(PEER, PEER6)),
            target("redis", network=networks("172.18.0.4")),
        ],
        True,
    )


# ---- the plans


def test_the_plan_of_a_partition_names_both_ends_the_way_and_the_undo(site: Site) -> None:
    plan = partition.from_spec(CUT, site.targets[:1], site)
    (line,) = plan.lines()
    for wanted in (
        "trading-api",
        "postgres (172.18.0.3, fd00::3)",
        "both ways",
        "ttl",
        "undo: delete the table",
    ):
        assert wanted in line
    undo = json.loads(json.dumps(plan.undo()))
    assert undo["containers"] == [site.targets[0].id]
    assert (undo["op"], undo["fault"], undo["held"]) == ("nft_table", "cut", True)
    assert "command" not in undo
    assert plan.control == ("redis", ["172.18.0.4"], 6379)
    assert (plan.only, plan.ttl_s) == (None, 45)
    assert (
        "TCP port 5432" in partition.from_spec({**CUT, "only_port": True}, site.targets[:1], site).lines()[0]
    )


def test_the_plan_of_an_impairment_says_what_it_does_and_by_which_engine(site: Site) -> None:
    plan = impair.from_spec({**SLOW, "jitter_ms": 5, "ttl": 60}, site.targets[:1], site)
    (line,) = plan.lines()
    assert line.startswith("100 ms delay, 5 ms jitter on packets from ")
    assert "TUN device" in line
    assert plan.undo()["op"] == "tun"
    assert plan.undo()["impairment"]["delay_ms"] == 100
    assert plan.ttl_s == 60
    assert "by netem" in impair.from_spec({**SLOW, "engine": "netem"}, site.targets[:1], site).lines()[0]


@pytest.mark.parametrize(
    ("kind", "change", "wanted"),
    [
        (partition, {"peer": None}, "no peer"),
        (partition, {"peer": "trading-api"}, "another service"),
        (partition, {"peer": "127.0.0.1"}, "no service; give it as peer_addresses"),
        (impair, {"peer": "fd00::5"}, "no service; give it as peer_addresses"),
        (partition, {"port": 70000}, "from 1 to 65535"),
        (partition, {"port": "http"}, "from 1 to 65535"),
        (partition, {"port": None, "only_port": True}, "set its port"),
        (partition, {"control_port": None}, "without a control_port"),
        (impair, {"engine": "tc"}, "auto, netem, tun"),
        (impair, {"delay_ms": 0}, "impairs nothing"),
        (impair, {"delay_ms": -5}, "from 0 to 60000"),
        (impair, {"loss_pct": 101}, "from 0 to 100"),
        (impair, {"delay_ms": "fast"}, "from 0 to 60000"),
        (impair, {"delay_ms": float("nan")}, "from 0 to 60000"),
        (impair, {"jitter_ms": 101}, "more than its delay_ms"),
        (impair, {"delay_ms": 0, "reorder_pct": 5}, "needs a delay"),
    ],
)
def test_a_wrong_argument_is_one_sentence(kind: Any, change: dict[str, Any], wanted: str) -> None:
    good = CUT if kind is partition else SLOW
    assert kind.check(good) == []
    (found,) = kind.check({**good, **change})
    assert wanted in found
    assert found.endswith(".")


def test_what_cannot_be_hit_is_refused(site: Site) -> None:
    for kind, spec in ((partition, CUT), (impair, SLOW)):
        with pytest.raises(ChaosError, match="not running"):
            kind.from_spec(spec, [down("trading-api")], site)
        with pytest.raises(ChaosError, match="no path to it"):
            kind.from_spec({**spec, "peer": "nobody"}, site.targets[:1], site)
        with pytest.raises(Unsupported, match="needs root"):
            planning.try_fault({**spec, "kind": kind.__name__.rpartition(".")[2]}, Site(site.targets, False))


@pytest.mark.parametrize("kind", [partition, impair])
def test_a_network_borrowed_of_a_container_that_has_the_hosts_is_refused(site: Site, kind: Any) -> None:
    """As with compose's network_mode: service:vpn, where the vpn has the host's: SSH goes through it, too."""
    spec = CUT if kind is partition else SLOW
    for mode, refused in (("host", True), ("lab_default", False)):
        owner = target("vpn", host={"NetworkMode": mode})
        borrower = target("trading-api", host={"NetworkMode": f"container:{owner.id}"})
        there = Site([borrower, owner, *site.targets[1:]], True)
        if refused:
            with pytest.raises(ChaosError, match="lab-vpn-1 of service vpn shares the host's network"):
                kind.from_spec(spec, [borrower], there)
        else:
            assert kind.from_spec(spec, [borrower], there).targets == [borrower]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"peer_addresses": ["10.0.0.9"]}, True),
        ({"peer_addresses": ["10.0.0.0/24"]}, True),
        ({"peer_addresses": ["10.0.0.9"], "only_port": True}, False),
        ({"peer_addresses": ["10.0.0.9"], "only_port": True, "port": 6379}, True),
        ({"peer_addresses": ["10.0.0.10"]}, False),
        ({"peer_addresses": ["172.18.0.4"], "control": "redis"}, True),
        ({"peer_addresses": ["10.0.0.9"], "control": ""}, False),
    ],
)
def test_a_control_path_that_would_be_cut_along_is_refused(
    site: Site, change: dict[str, Any], refused: bool
) -> None:
    """Database and cache on one host: the way to the cache, which must stay open, is the very path that is cut."""
    spec = {**CUT, "peer": None, "control": "10.0.0.9", **change}
    if not refused:
        assert partition.from_spec(spec, site.targets[:1], site).peer.addresses == change["peer_addresses"]
        return
    for plan in (partition.from_spec, partition.trial):
        with pytest.raises(ChaosError, match=r"would cut .*6379 along, which must stay in reach") as caught:
            plan(spec, site.targets[:1], site)
        assert str(caught.value).endswith(".")


# ---- what the kernel is told


class Routes:
    """The kernel's routes in a container whose network has IPv4 alone; what is asked of it is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __enter__(self) -> Routes:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def route(self, what: str, **fields: Any) -> list[Any]:
        if what != "get":
            self.asked.append(("route", fields["family"]))
        elif ":" in fields["dst"]:
            raise NetlinkError(101, "Network is unreachable")
        return [SimpleNamespace(get_attr={"RTA_OIF": 7}.get)]

    def rule(self, _what: str, **fields: Any) -> None:
        self.asked.append(("rule", fields["family"]))

    def tc(self, what: str, **fields: Any) -> None:
        self.asked.append((what, fields["index"]))

    def get_qdiscs(self, **_of: Any) -> list[Any]:
        return []

    def get_rules(self, **_of: Any) -> list[Any]:
        return []

    def get_routes(self, **_of: Any) -> list[Any]:
        return []

    def get_links(self, *_of: Any) -> list[Any]:
        return [SimpleNamespace(get_attr={"IFLA_MTU": 1400}.get)]

    def link_lookup(self, **_of: Any) -> list[int]:
        return [9] if self.asked else []

    def link(self, what: str, **fields: Any) -> None:
        self.asked.append((what, fields.get("mtu")))


def test_an_address_that_nothing_leads_to_does_not_stop_netem(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with both families, asked from a container's network with one of them: Docker's default."""
    kernel = Routes()
    monkeypatch.setattr(netem, "IPRoute", lambda: kernel)
    assert netem.build(shaping.Impairment(delay_ms=5), [PEER, PEER6]) == [7]
    assert kernel.asked == [("add", 7), ("add-class", 7), ("add", 7)]
    with pytest.raises(ChaosError, match=f"No interface leads to {PEER6} there"):
        netem.build(shaping.Impairment(delay_ms=5), [PEER6])


def test_the_detour_is_made_for_the_families_that_lead_to_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Routes()
    monkeypatch.setattr(tun, "IPRoute", lambda: kernel)
    monkeypatch.setattr(tun, "_refuse_foreign", lambda _ip: None)
    monkeypatch.setattr(tun, "_raw", lambda _version: None)
    monkeypatch.setattr(tun, "_device", lambda: kernel.asked.append(("device",)) or 0)
    made = tun.build([PEER, PEER6])
    assert list(made.sockets) == [4]
    assert kernel.asked == [
        ("device",), ("set", 1400), ("route", socket.AF_INET), ("rule", socket.AF_INET),
    ]  # fmt: skip


def rules(**changes: Any) -> nftables.Ruleset:
    given: dict[str, Any] = {"port": None, "ttl_s": 12.5, "chains": partition._CHAINS, **changes}
    return nftables.Ruleset("exchange-chaos-exp-02-x-cut", [PEER, PEER6], **given)


def names(rule: dict[str, Any]) -> list[str]:
    (expressions,) = rule["expressions"]
    return [dict(expression["attrs"])["NFTA_EXPR_NAME"] for expression in expressions]


def test_a_partition_drops_both_ways_and_both_families_and_elements_come_last() -> None:
    sent = nftables.build_messages(rules())
    kinds = [kind for kind, _fields in sent]
    assert kinds == [
        "table",
        "set",
        "set",
        "chain",
        "rule",
        "rule",
        "chain",
        "rule",
        "rule",
        "elements",
        "elements",
    ]
    assert [fields["hook"] for kind, fields in sent if kind == "chain"] == ["output", "input"]
    for kind, fields in sent:
        assert fields["name" if kind == "table" else "table"] == "exchange-chaos-exp-02-x-cut"
        if kind == "rule":
            # the counter stands before the verdict, and after all that must match
            assert names(fields)[-3:] == ["lookup", "counter", "immediate"]
    for _kind, fields in sent[-2:]:
        (element,) = fields["elements"]
        assert dict(element["attrs"])["NFTA_SET_ELEM_TIMEOUT"] == 12500
    packed = [
        dict(fields["elements"][0]["attrs"])["NFTA_SET_ELEM_KEY"]["attrs"][0][1] for _, fields in sent[-2:]
    ]
    assert packed == [socket.inet_pton(socket.AF_INET, PEER), socket.inet_pton(socket.AF_INET6, PEER6)]


def payloads(rule: dict[str, Any]) -> list[tuple[int, int, int]]:
    found = []
    for expression in rule["expressions"][0]:
        parts = dict(expression["attrs"])
        if parts["NFTA_EXPR_NAME"] == "payload":
            data = dict(parts["NFTA_EXPR_DATA"]["attrs"])
            found.append((data["NFTA_PAYLOAD_BASE"], data["NFTA_PAYLOAD_OFFSET"], data["NFTA_PAYLOAD_LEN"]))
    return found


def test_the_peers_side_of_each_header_is_looked_at() -> None:
    """Offsets as in RFC 791, RFC 8200 and RFC 9293: destination on the way out, source on the way in."""
    found = [payloads(fields) for kind, fields in nftables.build_messages(rules()) if kind == "rule"]
    assert found == [[(1, 16, 4)], [(1, 24, 16)], [(1, 12, 4)], [(1, 8, 16)]]
    found = [payloads(fields) for kind, fields in nftables.build_messages(rules(port=5432)) if kind == "rule"]
    assert [one[0] for one in found] == [(2, 2, 2), (2, 2, 2), (2, 0, 2), (2, 0, 2)]


def test_only_families_that_the_peer_has_get_rules() -> None:
    only4 = nftables.build_messages(nftables.Ruleset("exchange-chaos-a", [PEER], None, 5, partition._CHAINS))
    assert [kind for kind, _ in only4] == ["table", "set", "chain", "rule", "chain", "rule", "elements"]


def test_a_detour_marks_only_what_is_not_marked_and_a_queue_gets_a_class() -> None:
    marking = [
        m
        for m in nftables.build_messages(tun.make_rules("exchange-chaos-a", [PEER], None, 5))
        if m[0] in ("chain", "rule")
    ]
    assert marking[0][1]["type"] == "route"
    assert names(marking[1][1]) == [
        "meta",
        "cmp",
        "meta",
        "cmp",
        "payload",
        "lookup",
        "counter",
        "immediate",
        "meta",
    ]
    classed = [
        m
        for m in nftables.build_messages(netem.make_rules("exchange-chaos-a", [PEER], None, 5))
        if m[0] in ("chain", "rule")
    ]
    assert classed[0][1]["type"] == "filter"
    assert names(classed[1][1])[-3:] == ["counter", "immediate", "meta"]


def test_only_tables_of_ours_are_ever_deleted() -> None:
    with pytest.raises(ChaosError, match="none of ours"):
        nftables.remove_table("filter")
    assert nftables.table_name("exp-02-20261123-180000-ab12", "cut").startswith(nftables.MARK)


def test_the_queues_of_netem() -> None:
    """Not run here: this kernel has no netem. Units as tc-netem(8) has them in pyroute2: µs, per cent."""
    wanted = shaping.Impairment(100, 10, 1, 2, 3, 4, 512)
    root, inner, leaf = netem.list_queues(wanted, 7)
    assert root == ("add", {"kind": "htb", "index": 7, "handle": netem.ROOT, "default": 0})
    assert (inner[0], inner[1]["parent"], inner[1]["handle"]) == ("add-class", netem.ROOT, netem.CLASS)
    assert leaf[1]["parent"] == netem.CLASS
    asked = {
        key: leaf[1][key]
        for key in ("delay", "jitter", "loss", "duplicate", "prob_reorder", "prob_corrupt", "rate")
    }
    assert asked == {
        "delay": 100000, "jitter": 10000, "loss": 1, "duplicate": 2, "prob_reorder": 3, "prob_corrupt": 4,
        "rate": "512kbit",
    }  # fmt: skip
    assert "rate" not in netem.list_queues(shaping.Impairment(delay_ms=5), 7)[2][1]


# ---- what becomes of a packet


def due(shaper: shaping.Shaper, *times: float, size: int = 1000) -> list[list[float]]:
    return [[copy.due for copy in shaper.copies(at, size)] for at in times]


def test_delay_is_added_to_each_packet() -> None:
    shaper = shaping.Shaper(shaping.Impairment(delay_ms=50))
    assert due(shaper, 10.0, 10.001, 10.002) == [
        [pytest.approx(10.05)],
        [pytest.approx(10.051)],
        [pytest.approx(10.052)],
    ]


def test_jitter_varies_the_delay_and_keeps_the_order() -> None:
    shaper = shaping.Shaper(shaping.Impairment(delay_ms=50, jitter_ms=20), Random(1))
    sent = [index * 0.1 for index in range(500)]
    waits = [copies[0] - at for at, copies in zip(sent, due(shaper, *sent))]
    assert min(waits) < 0.035 < 0.065 < max(waits)
    assert all(0.0299 <= wait <= 0.0701 for wait in waits)
    dense = [copies[0] for copies in due(shaping.Shaper(shaping.Impairment(50, 20), Random(1)), *[1.0] * 200)]
    assert dense == sorted(dense)


@pytest.mark.parametrize(("name", "count"), [("loss_pct", 0), ("duplicate_pct", 2)])
def test_loss_and_duplicates_come_in_the_asked_share(name: str, count: int) -> None:
    shaper = shaping.Shaper(shaping.Impairment(**{name: 20.0}), Random(1))
    hit = sum(len(shaper.copies(float(at), 100)) == count for at in range(5000))
    assert 0.18 < hit / 5000 < 0.22
    sure = shaping.Shaper(shaping.Impairment(**{name: 100.0}), Random(1))
    assert len(sure.copies(1.0, 100)) == count


def test_a_reordered_packet_does_not_wait() -> None:
    shaper = shaping.Shaper(shaping.Impairment(delay_ms=50, reorder_pct=25), Random(1))
    waits = [copies[0] - at for at, copies in zip(range(2000), due(shaper, *map(float, range(2000))))]
    assert 0.22 < sum(wait < 0.001 for wait in waits) / 2000 < 0.28
    assert max(waits) == pytest.approx(0.05)


def test_a_rate_spaces_packets_by_their_size() -> None:
    shaper = shaping.Shaper(shaping.Impairment(rate_kbit=800))
    assert [copies[0] for copies in due(shaper, 1.0, 1.0, 1.0)] == [
        pytest.approx(1.01 + 0.01 * n) for n in range(3)
    ]
    assert due(shaper, 5.0) == [[pytest.approx(5.01)]]
    assert shaping.Impairment(delay_ms=10, rate_kbit=48).rise_ms == pytest.approx(20)


def packet4(payload: bytes = b"payload!") -> bytes:
    head = bytes([0x45, 0, 0, 20 + len(payload), 0, 1, 0x40, 0, 64, 6, 0, 0])
    return head + socket.inet_aton("10.0.0.1") + socket.inet_aton(PEER) + payload


def packet6(payload: bytes = b"payload!") -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, PEER6)
    return bytes([0x60, 0, 0, 0, 0, len(payload), 6, 64]) + ends + payload


@pytest.mark.parametrize(("packet", "header"), [(packet4(), 20), (packet6(), 40)])
def test_one_bit_behind_the_header_is_flipped(packet: bytes, header: int) -> None:
    for seed in range(50):
        changed = shaping.flip_bit(packet, Random(seed))
        assert changed[:header] == packet[:header]
        assert sum(bin(a ^ b).count("1") for a, b in zip(changed, packet)) == 1
    assert shaping.flip_bit(packet[:header], Random(1)) == packet[:header]


def test_a_packet_tells_where_it_goes() -> None:
    assert shaping.read_destination(packet4()) == (4, socket.inet_aton(PEER))
    assert shaping.read_destination(packet6()) == (6, socket.inet_pton(socket.AF_INET6, PEER6))
    for nonsense in (b"", b"\x45", b"\x60" * 20, b"\x00" * 60):
        assert shaping.read_destination(nonsense) == (0, b"")


@pytest.mark.parametrize(
    ("rise", "good"), [(100, True), (91, True), (109, True), (89, False), (111, False), (0, False)]
)
def test_ten_per_cent_is_the_tolerance(rise: float, good: bool) -> None:
    assert impair.is_wanted_rise(rise, shaping.Impairment(delay_ms=100)) is good


def test_jitter_widens_the_tolerance() -> None:
    jittery = shaping.Impairment(delay_ms=100, jitter_ms=30)
    assert impair.is_wanted_rise(135, jittery)
    assert not impair.is_wanted_rise(145, jittery)


# ---- in force, and undone, with an engine that only answers


class Answers:
    """An engine that knows containers."""

    def __init__(self, *known: Any) -> None:
        self.known = {one.id: one for one in known}

    def inspect(self, container: str) -> Any:
        return self.known.get(container)

    def containers(self, project: str, service: str | None = None) -> list[Any]:
        return [one for one in self.known.values() if service in (None, one.service)]


def scene(folder: Path, *known: Any) -> Scene:
    anchor = clock.take_anchor()
    (folder / "spec.json").write_text(json.dumps({"anchor": vars(anchor)}))
    return Scene(RunDir(folder), Answers(*known))  # type: ignore[arg-type]


def entry(plan: Any, kind: str, **facts: Any) -> Entry:
    now = clock.read()
    return Entry(
        1,
        plan.fault,
        kind,
        plan.service,
        plan.lines(),
        plan.undo(),
        now + 30,
        now - 10,
        now - 10,
        facts=facts,
    )


@pytest.mark.parametrize(("kind", "spec"), [("partition", CUT), ("impair", SLOW)])
def test_a_container_that_went_takes_the_fault_along(
    tmp_path: Path, site: Site, kind: str, spec: Any
) -> None:
    fault = {"partition": partition, "impair": impair}[kind]
    plan = fault.from_spec(spec, site.targets[:1], site)  # type: ignore[attr-defined]
    held = entry(plan, kind)
    new = target("trading-api", number=2)
    assert "undone by replacement: the container is gone and lab-trading-api-2" in fault.undo(
        held, scene(tmp_path, new)
    )  # type: ignore[attr-defined]
    assert "no container of trading-api runs" in fault.undo(held, scene(tmp_path))  # type: ignore[attr-defined]
    stopped = down("trading-api")
    assert "its network namespace went with it" in fault.undo(held, scene(tmp_path, stopped))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "spec"), [("partition", CUT), ("impair", SLOW)])
def test_a_target_that_was_replaced_was_not_under_the_fault(
    tmp_path: Path, site: Site, kind: str, spec: Any
) -> None:
    fault = {"partition": partition, "impair": impair}[kind]
    plan = fault.from_spec(spec, site.targets[:1], site)  # type: ignore[attr-defined]
    (proof,) = fault.in_force(entry(plan, kind), scene(tmp_path))  # type: ignore[attr-defined]
    assert (proof.source, proof.share, proof.holds) == ("fault", 0.0, False)


@pytest.mark.parametrize(
    ("kind", "spec", "address", "share"),
    [
        ("partition", CUT, PEER, None),
        ("partition", CUT, "172.18.0.9", 0.4),
        ("impair", SLOW, "172.18.0.9", 0.4),
        ("partition", {**CUT, "peer": None, "peer_addresses": [PEER], "control": None}, "172.18.0.9", None),
    ],
)
def test_a_service_that_came_back_at_another_address_was_hit_until_then(
    tmp_path: Path, site: Site, kind: str, spec: Any, address: str, share: float | None
) -> None:
    fault: Any = {"partition": partition, "impair": impair}[kind]
    held = entry(fault.from_spec(spec, site.targets[:1], site), kind)
    assert held.applied_at is not None
    wall = time.time() - (clock.read() - held.applied_at) + 4
    stamp = datetime.fromtimestamp(wall, timezone.utc).isoformat()
    store = target("postgres", network=networks(address), state={"StartedAt": stamp})
    since = network_path.peer_moved_at(held, scene(tmp_path, store))
    (proof, *told) = reversed(fault.in_force(held, scene(tmp_path, store)))
    assert proof.share == 0.0, "the target itself is not there"
    if share is None:
        assert (since, told) == (math.inf, [])
        return
    whole = network_path.share_in_force(held, scene(tmp_path), dict.fromkeys(held.undo["containers"], since))
    assert whole == pytest.approx(share, abs=0.15)
    assert [(one.source, one.holds) for one in told] == [("fault", False)]
    assert "addresses of postgres are the ones" in told[0].fact


def test_share_is_the_part_of_the_window_until_the_first_container_lost_it(tmp_path: Path) -> None:
    now = clock.read()
    held: Any = SimpleNamespace(applied_at=now - 10, undo={"containers": ["a", "b"]})
    acting: Any = None
    assert network_path.share_in_force(held, acting, {"a": now, "b": now}) == pytest.approx(1.0, abs=0.01)
    assert network_path.share_in_force(held, acting, {"a": now, "b": now - 5}) == pytest.approx(0.5, abs=0.01)
    assert network_path.share_in_force(held, acting, {"a": now}) == 0.0


@pytest.mark.parametrize(
    "trial", [netem.try_queues, lambda: tun.try_detour(["192.0.2.1"])], ids=["netem", "tun"]
)
def test_without_pyroute2_a_trial_names_what_helps(
    trial: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nftables, "NFTables", None)
    for module in (netem, tun):
        monkeypatch.setattr(module, "IPRoute", None)
    with pytest.raises(
        Unsupported, match=r"The Python library pyroute2 is missing on this host .*setup-hosts\.yml"
    ):
        trial()
