"""What an experiment may change on this machine, as other tools than the collection's show it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e import live, support

#: Limits of a container's own cgroup, in either version.
LIMITS = (
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.max",
    "memory.swap.max",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.max",
    "blkio.throttle.*_device",
    "io.max",
    "freezer.state",
    "cgroup.freeze",
    "pids.max",
)
#: nft is not everywhere; pyroute2 speaks its protocol. Packets are counted anew all the time, so rules are counted.
_RULES = """
from collections import Counter
from pyroute2.nftables.main import NFTables
with NFTables(nfgen_family=0) as nft:
    for get, kind in ((nft.get_tables, "TABLE"), (nft.get_chains, "CHAIN"), (nft.get_sets, "SET")):
        for item in get():
            print(item["nfgen_family"], kind, item.get_attr(f"NFTA_{kind}_TABLE"), item.get_attr(f"NFTA_{kind}_NAME"))
    rules = ((item.get_attr("NFTA_RULE_TABLE"), item.get_attr("NFTA_RULE_CHAIN")) for item in nft.get_rules())
    for place, count in Counter(rules).items():
        print(*place, count)
"""


def seen() -> dict[str, Any]:
    """Return the state of the exchange's containers, their limits, networks and settings; our processes and files.

    Addresses are the engine's to give out: a container that was started anew may have another one's.
    """
    found: dict[str, Any] = {"ours": support.leftovers(), "settings": settings()}
    known = {service: inspected(service) for service in live.SERVICES}
    names = {
        network[key]: f"<{service}>"
        for service, container in known.items()
        for network in container["NetworkSettings"]["Networks"].values()
        for key in ("IPAddress", "MacAddress")
        if network[key]
    }
    found["host network"] = network(os.getpid(), names)
    for service, container in known.items():
        found[service] = {
            "id": container["Id"],
            "running": container["State"]["Running"],
            "config": container["Config"],
            "host config": container["HostConfig"],
            "limits": {path.name: text for path, text in live.limits(service, *LIMITS).items()},
            "network": network(container["State"]["Pid"], names),
        }
    return found


def inspected(service: str) -> dict[str, Any]:
    """What the engine says of a service's container."""
    return dict(json.loads(support.docker("inspect", support.container(service)))[0])


def network(pid: int, names: dict[str, str]) -> dict[str, list[str]]:
    """Links, routes, rules, queueing disciplines and packet filter of a process's network namespace, by tool."""
    tools = {
        "link": ["ip", "-o", "link"],
        "route": ["ip", "route", "show", "table", "all"],
        "rule": ["ip", "rule"],
        "qdisc": ["tc", "qdisc"],
        "nft": [sys.executable, "-c", _RULES],
    }
    return {tool: _lines(["nsenter", "-t", str(pid), "-n", *words], names) for tool, words in tools.items()}


def _lines(words: list[str], names: dict[str, str]) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    # a container started anew has a new pair of devices, numbered anew
    return sorted(_named(line, names) for line in lines if "veth" not in line and ": eth0@" not in line)


def _named(line: str, names: dict[str, str]) -> str:
    for address, name in names.items():
        line = line.replace(address, name)
    return line


def settings() -> list[str]:
    """PostgreSQL's settings, and what is written for its next start."""
    asked = (
        "SELECT name || '=' || setting FROM pg_settings ORDER BY 1",
        "SELECT name || '=' || setting || ' from ' || sourcefile FROM pg_file_settings ORDER BY 1",
    )
    words = ("exec", support.container("postgres"), "psql", "-XAtq", "-U", "postgres", "-c")
    return [line for query in asked for line in support.docker(*words, query).splitlines()]


def files() -> list[str]:
    """What lies in the state folder, but for records that wait to be collected."""
    return sorted(
        str(path) for path in Path(support.STATE).rglob("*") if "records" not in path.parts and path.is_file()
    )
