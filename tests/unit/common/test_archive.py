# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that Ansible packed with a part of the library finds the rest in the runtime: kinds, metrics, proofs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.faults import registry
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

LIBRARY = "ansible_collections/exchange/chaos/plugins/module_utils"
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ansible_collections.exchange.chaos.plugins.module_utils.common import archive
from ansible_collections.exchange.chaos.plugins.module_utils.faults import registry
archive.complete_from(Path(sys.argv[2]))
archive.complete_from(Path(sys.argv[2]))
print(" ".join(registry.known_kinds()))
print(*(registry.by_kind(kind).__name__.rpartition(".")[2] for kind in registry.known_kinds()))
print(sum(type(one).__module__ == archive.__name__ for one in sys.meta_path))
"""


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Ansible makes of a module that imports the registry: its imports, and the empty package of the kinds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "module.zip"
    parts = Path(LIBRARY).parts
    with zipfile.ZipFile(path, "w") as archive:
        for end in range(1, len(parts) + 1):
            archive.writestr("/".join([*parts[:end], "__init__.py"]), "")
        for name, data in runtime.read_content().items():
            room = name.partition("/")[2]
            if room.startswith(("common/", "host/", "run/")) or room in (
                "faults/__init__.py", "faults/registry.py", "faults/contract.py", "faults/kind.py",
                "faults/kinds/__init__.py",
            ):  # fmt: skip
                archive.writestr(f"{LIBRARY}/{room}", data)
    return path


def answers(packed: Path, archive: Path) -> list[str]:
    """What a process says that has the packed part alone, and perhaps the runtime."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(packed), str(archive)],
        capture_output=True, text=True, cwd="/", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_kinds_are_found_in_the_runtime_and_once(packed: Path) -> None:
    listed, loaded, rest = answers(packed, runtime.build_archive())
    assert listed == loaded == " ".join(registry.known_kinds())
    assert rest == "1"


def test_without_a_runtime_there_is_what_was_packed(packed: Path, tmp_path: Path) -> None:
    listed, loaded, rest = answers(packed, tmp_path / "none.pyz")
    assert listed == loaded == ""
    assert rest == "0"
