"""What several files of module tests begin with: a compose project of its own, and a host with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.module import core_support
from tests.module.core_support import Host, Project


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A project without containers, for all tests of a file."""
    with core_support.project() as made:
        yield made


@pytest.fixture
def host(tmp_path: Path, project: Project) -> Iterator[Host]:
    """An empty state folder, and the project without containers."""
    with core_support.host(tmp_path, project) as made:
        yield made
