"""What every test can lean on, whatever its suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINK = ROOT / ".collections" / "ansible_collections" / "exchange" / "chaos"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start where the collection would not be found, instead of failing in every test for another reason."""
    if not LINK.exists():
        raise pytest.UsageError("the collection's own link is missing: run `make setup` once")
    # Ansible ignores an ansible.cfg in a world-writable folder unless it is named.
    os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT
