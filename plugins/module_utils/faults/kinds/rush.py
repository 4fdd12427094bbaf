# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rush of orders, as when a market opens or a price drops: nothing is broken, there is only more of everything.

The orders are the run's own load, which is asked for them by the fault's injection: they are numbered, accounted for
and cancelled with the others, and they yield like the others where the exchange does not bear them. Their end is in
what was asked for; the undo ends them sooner.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...common import clock
from ...common.bounds import PORT_MAX
from ...common.errors import ChaosError
from ...common.jsonl import read_lines
from ...common.peer_addresses import is_port, write_endpoint
from ...common.schema import show_value
from ...common.shapes import Arguments, FaultEntry, Line, is_number
from ...exchange.endpoints import find_endpoint
from ...exchange.rush import STREAM, Rush
from ...host.docker_engine import Container
from ...run import processes, timeline
from ...run.folder import RunDir
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Required


def _as_entry(parameters: FaultEntry) -> Arguments:
    return {"hold_s": 1}


KIND = Kind(
    arguments={
        "rate": {"type": "float"},
        "clients": {"type": "int", "default": 40},
        "proxy": {"type": "str"},
        "proxy_port": {"type": "int", "default": 80},
        "proxy_url": {"type": "str"},
        "proxy_share": {"type": "float", "default": 0.5},
    },
    as_entry=_as_entry,
    required=(
        Required("sent", "orders sent per second at the height of the rush", "tcp", at_end=True),
        Required("taken", "connections that the kernel took for the service", at_end=True),
    ),
    roles=("api",),
)
#: The service runs where the kernel counts its connections; these files are those of its network namespace.
_PROC = Path("/proc")
#: So much of what was asked for must have been sent, at the height and in all, and come over as many connections.
_ENOUGH = 0.8
#: The load may have been told to stop, and reads its last answers, for so long.
_SOON_S = 1.0


@dataclass(frozen=True)
class RushPlan:
    """A rush of orders on the API's containers."""

    targets: Sequence[Container]
    rush: Rush

    @property
    def service(self) -> str:
        """Return the API's service."""
        return self.targets[0].service

    def lines(self) -> list[str]:
        """Return the plan in words."""
        rush = self.rush
        way = f"{rush.proxy_clients} of them through {rush.proxy}, " if rush.proxy_clients else ""
        return [
            f"send {rush.orders} orders on top within {rush.seconds:g} s, {rush.rate:g} per second at the height, to "
            f"{self.service} from {rush.clients} clients, {way}{rush.clients - rush.proxy_clients} directly; "
            "undo: the load ends them"
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "end_orders",
            "project": self.targets[0].project,
            "service": self.service,
            "containers": [{"id": one.id, "name": one.name, "pid": one.pid} for one in self.targets],
            "orders": asdict(self.rush),
            "held": True,
        }


def check(fault: FaultEntry) -> list[str]:
    """Return what is wrong with the fault's own arguments."""
    identity, found = fault.get("id"), []
    for key, least, most, what in (
        ("rate", 1.0, 10_000.0, "orders per second from 1 to 10000"),
        ("clients", 1, 500, "a number from 1 to 500"),
        ("proxy_share", 0.0, 1.0, "a share from 0 to 1"),
    ):
        value = fault.get(key, 1)
        if not is_number(_number(value)) or not least <= float(value) <= most:
            found.append(f"The {key} of fault {identity} is {show_value(value)}; it must be {what}.")
    if "rate" not in fault:
        found.append(
            f"Fault {identity} has no rate; it must be the orders per second at the height of the rush."
        )
    if not is_number(_number(fault.get("hold_s"))) or float(fault["hold_s"]) <= 0:
        found.append(f"Fault {identity} has no hold_s; it must be the seconds that the rush lasts.")
    if fault.get("proxy_port") is not None and not is_port(fault["proxy_port"]):
        found.append(
            f"The proxy_port of fault {identity} is {show_value(fault['proxy_port'])}; it must be from 1 to {PORT_MAX}."
        )
    return found


def _number(value: Any) -> Any:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return float(value)
    return value


def trial(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> str:
    """See where the orders would go, and that the kernel's counts can be read."""
    plan = from_spec(fault, chosen, site)
    for container in plan.targets:
        _count_taken(container.pid)
    return f"ok: {plan.rush.orders} orders"


def from_spec(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> RushPlan:
    """Plan it for the API's running containers. Raises ChaosError where the proxy cannot be reached."""
    running = [one for one in chosen if one.running and one.pid > 0]
    if not running:
        raise ChaosError("A rush of orders needs a running container of the API.")
    clients, share = int(fault.get("clients") or 1), float(fault.get("proxy_share") or 0)
    url = str(fault.get("proxy_url") or "")
    if share and not url and fault.get("proxy"):
        port = int(fault.get("proxy_port") or 80)
        url = f"http://{write_endpoint(*find_endpoint(site.targets, str(fault['proxy']), port))}"
    return RushPlan(
        running,
        Rush(
            rate=float(fault["rate"]),
            seconds=float(fault["hold_s"]),
            clients=clients,
            proxy=url,
            proxy_clients=round(clients * share) if url else 0,
        ),
    )


def apply(change: RushPlan, entry: Entry, scene: Scene) -> Applied:
    """Ask the load for the orders: it hears of them with the fault's injection. Note what the kernel counts by now."""
    if not processes.living_process(scene.run, "load"):
        raise ChaosError("No load of this run is alive that could send a rush of orders.")
    taken = {one.id: _count_taken(one.pid) for one in change.targets}
    with scene.instant():
        at = clock.read()
    return Applied(at, [], {"engine": "orders", "orders": asdict(change.rush), "taken": taken})


def _count_taken(pid: int) -> int:
    """Return how many connections the kernel took in a process's network namespace (Tcp PassiveOpens; proc_net(5))."""
    try:
        lines = (_PROC / str(pid) / "net" / "snmp").read_text().splitlines()
    except OSError as error:
        raise ChaosError(
            f"/proc/{pid}/net/snmp cannot be read ({error.strerror}), so nothing would show the connections."
        ) from error
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("PassiveOpens")])


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read, at the end of the window, what was sent and answered, and what the kernel counted since."""
    clock.sleep(_SOON_S)  # the load writes what has ended every few hundredths of a second
    run, rush, now = scene.run, Rush.from_data(entry.undo["orders"]), clock.read()
    begun = entry.applied_at or entry.planned_at
    lines = read_lines(run.file("load.jsonl"))
    sent = [line for line in lines if line.get("stream") == STREAM and line["kind"] != "dropped"]
    most, accepted = densest_second(sent), sum(bool(line["ok"]) for line in sent)
    share = share_sent(rush, [float(line["sent"]) for line in sent], begun, _cut_at(run, begun, now))
    taken, told = 0, []
    for one in entry.undo["containers"]:
        container = scene.engine.inspect(one["id"])
        if container is None or container.pid != one["pid"]:
            told.append(f"{one['name']} was started anew")
            continue
        grown = _count_taken(one["pid"]) - int(entry.facts["taken"][one["id"]])
        taken += grown
        told.append(f"{grown} at {one['name']}")
    with contextlib.suppress(ChaosError):  # a full disk must not keep the undo from being told
        run.write_event(
            timeline.MEASURED, fault=entry.fault, name=STREAM, value=most, wanted=rush.rate, sent=len(sent),
            accepted=accepted, taken=taken,
        )  # fmt: skip
    said = f"{most} of {rush.rate:g} asked; {len(sent)} in all, {accepted} of them accepted"
    wanted = _ENOUGH * min(rush.clients, len(sent))
    return [
        Proof(
            "tcp", "orders sent in the densest second", said, now, most >= _ENOUGH * rush.rate, share, "sent"
        ),
        Proof(
            "kernel",
            "connections that the kernel took meanwhile",
            f"{', '.join(told)}; {rush.clients} clients",
            now,
            taken >= wanted > 0,
            name="taken",
        ),
    ]


def densest_second(lines: Sequence[Line]) -> int:
    """Return how many orders were sent in the second that had most of them."""
    times = sorted(float(line["sent"]) for line in lines)
    first = most = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def share_sent(rush: Rush, times: Sequence[float], begun: float, until: float) -> float:
    """Return the part (0..1) of the orders due until then that were sent."""
    due = rush.planned_until(until - begun)
    return 0.0 if due < 1 else min(1.0, sum(at < until for at in times) / int(due))


def _cut_at(run: RunDir, begun: float, now: float) -> float:
    """Return until when the rush was to go on: now, or when the load yielded to an exchange that did not bear it."""
    yielded = [float(event["t"]) for event in run.read_timeline().named(timeline.LOAD_YIELDED)]
    return min([t for t in yielded if t >= begun], default=now)


def undo(entry: Entry, scene: Scene) -> str:
    """End the orders: the load hears of the undo by the timeline. Where it is gone, none comes any more."""
    if processes.living_process(scene.run, "load"):
        return "the load sends no more of these orders"
    return "the load that sent the orders is gone"
