# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module costs whole, and out of the host runtime: CPU seconds to pack it, and of the Python that runs it.

Usage: python -m tests.bench.payload_cost [--rounds N]

Each module is packed as Ansible packs it and run as Ansible runs it on a host, in check mode, both ways in turn, N
times; the least CPU time counts, since what else a machine does only adds to it. ``ping`` is Ansible's own: less than
that no module costs. The second packing in a playbook is free either way, and whole each kind of module has its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.executor import module_common
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

CHECK = {"_ansible_check_mode": True}
_FAULT = {"run_id": "exp-x", "fault": "crash", "service": "database", "project": "lab", "ttl": 30}
MODULES: dict[str, dict[str, Any]] = {
    "window": {"run_id": "exp-x", "phase": "baseline", "seconds": 1},
    "kill": {**_FAULT, "state": "absent"},
    "record": {"run_id": "exp-x"},
}


@dataclass(frozen=True)
class Cost:
    """Of one module, one way: CPU seconds to pack it and to run it, and how large it is on its way, KiB."""

    packed_s: float
    run_s: float
    kib: int


def pack(name: str, arguments: Mapping[str, Any]) -> tuple[bytes, float]:
    """Return a module as it is sent to a host, and the CPU seconds that packing it took."""
    found = module_loader.find_plugin_with_context(name)
    begun = time.process_time()
    made = module_common.modify_module(
        module_name=found.resolved_fqcn, module_path=found.plugin_resolved_path, module_args=dict(arguments),
        templar=Templar(DataLoader()), module_compression="ZIP_DEFLATED", remote_is_local=True,
        task_vars={"ansible_python_interpreter": sys.executable, "ansible_playbook_python": sys.executable},
    )  # fmt: skip
    return made.b_module_data, time.process_time() - begun


def cpu_s(data: bytes, folder: Path) -> float:
    """Return the CPU time of a Python that runs what was sent."""
    sent, said = folder / "module.py", folder / "said"
    sent.write_bytes(data)
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, str(sent)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(said), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)],
    )
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"✗ The module ended with {status}: {said.read_text()[:200]}")
    return usage.ru_utime + usage.ru_stime


def measure(rounds: int) -> dict[str, tuple[Cost, Cost | None]]:
    """Return the cost of each module whole, and out of the runtime."""
    # after Ansible knows of the collection: it finds no plugin of one that was imported before
    from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

    archive = runtime.build_archive()
    given = {"sha256": runtime.hash_archive(archive), "runtime": str(archive), **CHECK}
    ways: dict[str, list[tuple[str, dict[str, Any]]]] = {"ping": [("ansible.builtin.ping", {})]}
    for name, arguments in MODULES.items():
        thin = {**given, "module": name, "arguments": arguments}
        ways[name] = [
            (f"exchange.chaos.{name}", {**arguments, **CHECK}), ("exchange.chaos.from_runtime", thin),
        ]  # fmt: skip
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, both in ways.items():
            made = [pack(*way) for way in both]
            times = [[cpu_s(data, Path(scratch)) for data, _ in made] for _ in range(rounds)]
            least = [min(column) for column in zip(*times)]
            costs = [
                Cost(packed, run, len(data) // 1024) for (data, packed), run in zip(made, least, strict=True)
            ]
            found[name] = (costs[0], costs[1] if len(costs) > 1 else None)
    return found


def table(found: Mapping[str, tuple[Cost, Cost | None]]) -> str:
    """Return the figures as a table of a document."""
    lines = [
        "| module | whole: packed, CPU s | run, CPU s | KiB | from the runtime: run, CPU s | KiB | times |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (whole, thin) in found.items():
        rest = f"{thin.run_s:.2f} | {thin.kib} | {thin.run_s / whole.run_s:.2f}" if thin else "– | – | –"
        lines.append(f"| `{name}` | {whole.packed_s:.2f} | {whole.run_s:.2f} | {whole.kib} | {rest} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    options = parser.parse_args()
    init_plugin_loader([])
    print(table(measure(options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
