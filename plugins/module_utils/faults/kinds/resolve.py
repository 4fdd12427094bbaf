# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name resolution that fails: a container's resolver answers SERVFAIL, nothing, or late; for one name, or for all.

The resolver is the engine's own, at 127.0.0.11 inside each container's network namespace. A table of nftables of ours
keeps questions from it, a process answers in its stead (:mod:`..mechanisms.resolver`); the kernel empties the table at
the fault's time to live, whatever becomes of us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common import clock
from ...common.errors import ChaosError, Unsupported
from ...common.json_files import read_json, write_json
from ...common.schema import show_value
from ...common.shapes import FaultEntry, Line
from ...host import netns, nftables
from ...host.docker_engine import Container
from ...run import processes
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import network_path
from ..mechanisms.resolver import process, sampling, wire

DELAY_MS = 3000
_DELAY_MAX_MS = 60_000
#: A question of ours is answered within this time by a resolver that is well, and waited for so long, s.
_ASK_S = 1.0
#: The answering process says once in half a second that it lives.
_SPEAKS_S = 2.0
KIND = Kind(
    arguments={
        "answer": {"type": "str", "choices": list(process.ANSWERS), "default": process.SERVFAIL},
        "name": {"type": "str", "default": ""},
        "delay_ms": {"type": "int", "default": DELAY_MS},
    },
    required=(
        Required("kept", "questions kept from the resolver, by the kernel's count"),
        Required("answer", "what a question from inside the namespace is answered", "tcp"),
        Required("keeping", "more of them at the end of the window", at_end=True),
        Required("answer_at_end", "what one is answered at the end of the window", "tcp", at_end=True),
    ),
    needs_root=network_path.NEEDS_ROOT,
    process=Process(process.COMMAND, "mechanisms.resolver.process"),
    sample=sampling.start_sampling,
)


@dataclass(frozen=True)
class ResolvePlan:
    """Whose resolver is hit, with which answer; ``name``: the only one that is hit, all names if empty."""

    fault: str
    targets: Sequence[Container]
    answer: str
    name: str
    delay_ms: int

    @property
    def service(self) -> str:
        """Return the service of the first target."""
        return self.targets[0].service

    @property
    def asked(self) -> str:
        """Return the name that our own questions ask for: the one that is hit, else one that surely resolves."""
        return self.name or self.service

    def lines(self) -> list[str]:
        """Return the plan in words, one line a change."""
        what = {
            process.SERVFAIL: "answer SERVFAIL",
            process.NOTHING: "answer nothing",
            process.LATE: f"answer {self.delay_ms} ms late",
        }[self.answer]
        of = f"questions for {self.name}" if self.name else "every question"
        return [
            f"{what} to {of} that {container.name} ({container.service}) asks its resolver, by nftables and a process "
            "in its network namespace; the kernel ends it at the fault's ttl; undo: delete the table, end the process"
            for container in self.targets
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "resolver",
            "project": self.targets[0].project,
            "service": self.service,
            "fault": self.fault,
            "containers": [container.id for container in self.targets],
            "answer": self.answer,
            "asked": self.asked,
            "delay_ms": self.delay_ms,
            "held": True,
        }


def check(fault: FaultEntry) -> list[str]:
    """Return what is wrong with the fault's own arguments."""
    identity, found = fault.get("id"), []
    answer = fault.get("answer") or process.SERVFAIL
    if answer not in process.ANSWERS:
        found.append(
            f"The answer of fault {identity} is {show_value(answer)}; it must be one of {', '.join(process.ANSWERS)}."
        )
    name = fault.get("name") or ""
    if not isinstance(name, str) or not _is_name(name):
        found.append(
            f"The name of fault {identity} is {show_value(name)}; it must be a host's name, or empty for all names."
        )
    delay = str(DELAY_MS if fault.get("delay_ms") is None else fault["delay_ms"])
    if not (delay.isascii() and delay.isdecimal()) or not 0 < int(delay) <= _DELAY_MAX_MS:
        found.append(
            f"The delay_ms of fault {identity} is {show_value(fault.get('delay_ms'))}; it must be 1 to {_DELAY_MAX_MS}."
        )
    return found


def _is_name(name: str) -> bool:
    labels = name.rstrip(".").split(".") if name else []
    return len(name) < 254 and all(
        0 < len(label) < 64 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
        for label in labels
    )


def trial(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> str:
    """Ask each resolver a question from inside, and make such a table in a throw-away namespace."""
    planned = from_spec(fault, chosen, site)
    nftables.require_nftables()
    netns.call_in_throwaway(
        nftables.install_table,
        process.build_rules(nftables.table_name("trial", "names"), 5.0, one_name=bool(planned.name)),
    )
    for container in planned.targets:
        seen = _ask(container, planned.asked)
        if seen["code"] != wire.CODES[0]:
            raise ChaosError(
                f"The resolver of {container.name} does not know {planned.asked} as it is "
                f"({_describe(seen)}): that it fails later would show nothing; name one that resolves."
            )
    return "ok"


def from_spec(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> ResolvePlan:
    """Plan it for the chosen containers. Raises Unsupported for one that asks another resolver than the engine's."""
    targets = network_path.require_running(chosen)
    for container in targets:
        asked = read_resolvers(container.pid)
        if asked != [wire.RESOLVER]:
            raise Unsupported(
                f"Container {container.name} asks {', '.join(asked) or 'nobody'} for names, not the engine's own "
                f"resolver {wire.RESOLVER} alone, which is what this fault stands in for; put it into a network of "
                "its compose project."
            )
    return ResolvePlan(
        str(fault["id"]),
        targets,
        str(fault.get("answer") or process.SERVFAIL),
        str(fault.get("name") or "").rstrip(".").lower(),
        int(fault.get("delay_ms") or DELAY_MS),
    )


def read_resolvers(pid: int) -> list[str]:
    """Return the name servers that a container's processes ask. Raises ChaosError where that cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/root/etc/resolv.conf").read_text(errors="replace").splitlines()
    except OSError as error:
        raise ChaosError(f"The resolv.conf of process {pid} cannot be read ({error.strerror}).") from error
    words = [line.split() for line in lines]
    return [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]


def apply(change: ResolvePlan, entry: Entry, scene: Scene) -> Applied:
    """Start the process that stands in for the resolvers, and ask each a question from inside."""
    run = scene.run
    if processes.living_process(run, process.COMMAND):
        raise ChaosError("Another fault of this run stands in for a resolver already.")
    before = {container.id: _ask(container, change.asked) for container in change.targets}
    run.file(process.STATISTICS).unlink(missing_ok=True)
    write_json(
        run.file(process.PARAMETERS),
        {
            "fault": change.fault,
            "at": None if scene.agreed is None else scene.agreed.at,
            "expires": entry.expires,
            "pids": [container.pid for container in change.targets],
            "table": _table(scene, change.fault),
            "answer": change.answer,
            "name": change.name,
            "delay_ms": change.delay_ms,
        },
    )
    timeout = 15.0 + (0.0 if scene.agreed is None else max(0.0, scene.agreed.seconds_left))
    at = float(processes.start_process(run, process.COMMAND, timeout=timeout)["began"])
    proofs, counted = [], {}
    for container in change.targets:
        now = _ask(container, change.asked)
        proofs.append(replace(_answer_proof(change, container, before[container.id], now), name="answer"))
        counted[container.id] = _count(container, scene, change.fault)
        fact = f"questions of {container.service} kept from its resolver"
        seen = counted[container.id]
        proofs.append(Proof("kernel", fact, seen, clock.read(), seen > 0, name="kept"))
    facts = {
        "engine": "nftables",
        "namespaces": {one.id: netns.read_netns_number(one.pid) for one in change.targets},
        "kept": counted,
        "pids": [one.pid for one in change.targets],
    }
    return Applied(at, proofs, facts)


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Ask again, read the kernel's count, and for how long table and process were there."""
    wanted, proofs, still = entry.undo, [], {}
    spoke = float((read_json(scene.run.file(process.STATISTICS)) or {}).get("t") or 0.0)
    for identity in wanted["containers"]:
        container = scene.engine.inspect(identity)
        if container is None or container.pid <= 0 or not network_path.same_namespace(entry, container):
            still[identity] = network_path.namespace_ended_at(scene, container)
            continue
        now = _ask(container, wanted["asked"])
        holds = _is_as_wanted(now, wanted["answer"], wanted["delay_ms"])
        fact = f"{wanted['asked']} asked from inside {container.name} at the end"
        proofs.append(Proof("tcp", fact, _describe(now), clock.read(), holds, name="answer_at_end"))
        grown = _count(container, scene, wanted["fault"]) - int(
            (entry.facts.get("kept") or {}).get(identity, 0)
        )
        fact = f"questions of {container.service} kept from its resolver since then"
        proofs.append(Proof("kernel", fact, grown, clock.read(), grown > 0, name="keeping"))
        alive = clock.read() - spoke <= _SPEAKS_S or wanted["answer"] == process.NOTHING
        still[identity] = clock.read() if holds and alive else spoke
    share = network_path.share_in_force(entry, scene, still)
    fact = "questions were kept from the resolver until the undo"
    proofs.append(Proof("fault", fact, f"{share:.0%}", clock.read(), share > 0, share))
    return proofs


def undo(entry: Entry, scene: Scene) -> str:
    """End the process, and delete the table in each container's namespace as it is now."""
    ended = processes.stop_process(scene.run, process.COMMAND)
    table = _table(scene, entry.undo["fault"])
    how = network_path.undo_each(entry, scene, _delete_table, table)
    return f"the process that answered was ended; {how}" if ended else how


def _delete_table(table: str) -> str:
    return f"nftables table {table} deleted" if nftables.remove_table(table) else ""


def _table(scene: Scene, fault: str) -> str:
    return nftables.table_name(scene.run.path.name, fault)


def _count(container: Container, scene: Scene, fault: str) -> int:
    seen: Line = netns.call_inside(container.pid, nftables.read_table, _table(scene, fault))
    return int(seen["packets"])


def _ask(container: Container, name: str) -> Line:
    """Ask a container's resolver from inside its namespace."""
    seen: Line = netns.call_inside(container.pid, wire.ask_resolver, name, _ASK_S)
    return seen


def _answer_proof(change: ResolvePlan, container: Container, before: Line, now: Line) -> Proof:
    holds = before["code"] == wire.CODES[0] and _is_as_wanted(now, change.answer, change.delay_ms)
    fact = f"{change.asked} asked from inside {container.name}"
    return Proof("tcp", fact, f"{_describe(before)} → {_describe(now)}", clock.read(), holds)


def _is_as_wanted(seen: Line, answer: str, delay_ms: int) -> bool:
    """Whether an answer is what the fault is to give; one later than we wait is none to us."""
    if answer == process.SERVFAIL:
        return bool(seen["code"] == wire.CODES[wire.SERVFAIL])
    if answer == process.LATE and delay_ms / 1000 < _ASK_S:
        return bool(seen["code"] == wire.CODES[0] and seen["seconds"] >= delay_ms / 1000)
    return not seen["code"]


def _describe(seen: Line) -> str:
    if not seen["code"]:
        return f"no answer in {seen['seconds']:.1f} s"
    return f"{seen['code']} in {1000 * seen['seconds']:.1f} ms"
