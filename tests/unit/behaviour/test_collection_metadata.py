"""What the collection says of itself agrees with what lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def documentation(path: Path) -> Any:
    """The first YAML text in a plugin's source: its DOCUMENTATION."""
    return yaml.safe_load(path.read_text().split("DOCUMENTATION", 1)[1].split('"""')[1])


def test_the_action_group_names_every_module_of_a_run() -> None:
    """``module_defaults: group/exchange.chaos.chaos`` must reach each module with a run's options, and no other."""
    modules = (ROOT / "plugins" / "modules").glob("[a-z]*.py")
    run_bound = {
        path.stem
        for path in modules
        if "exchange.chaos.run" in (documentation(path).get("extends_documentation_fragment") or [])
    }
    assert set(load("meta/runtime.yml")["action_groups"]["chaos"]) == run_bound


def test_galaxy_accepts_the_metadata() -> None:
    galaxy = load("galaxy.yml")
    assert len(galaxy["tags"]) <= 20
    assert galaxy["repository"]
    assert galaxy["license"] == ["GPL-3.0-or-later"]
    assert galaxy["dependencies"] == {}
    assert load("meta/runtime.yml")["requires_ansible"].startswith(">=")


def test_the_dependencies_the_controller_needs_are_pinned_and_explained() -> None:
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    for line in (ROOT / "requirements.txt").read_text().split("\n\n")[0].splitlines():
        if line and not line.startswith("#"):
            assert "==" in line, f"{line} is not pinned"
            name = line.split("==")[0]
            assert f"`{name}`" in explained, f"docs/dependencies.md does not say what {name} is for"
