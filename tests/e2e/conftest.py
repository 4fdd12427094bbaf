"""What experiments on the embedded exchange begin with."""

from __future__ import annotations

import pytest

from tests.e2e import live


@pytest.fixture
def ready() -> None:
    """The exchange is whole, and no record of an earlier test is in the way."""
    live.ready()
