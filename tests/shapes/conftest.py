# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the suite of shapes begins with: the exchange a trait is shown on, running while its traits come in a row."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.shapes.project import Shaped, shaped


@pytest.fixture(scope="module")
def exchange(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shaped]:
    """The one of the file's EXCHANGES that the trait names."""
    with shaped(request.module.EXCHANGES[request.param], tmp_path_factory.mktemp("shape")) as made:
        yield made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for ``trait`` each one of its file's TRAITS by name, on its exchange."""
    if "trait" not in metafunc.fixturenames:
        return
    quick = getattr(metafunc.module, "QUICK", ())
    metafunc.parametrize(
        ("trait", "exchange"),
        [
            pytest.param(one, one.exchange, id=name, marks=() if name in quick else pytest.mark.full)
            for name, one in metafunc.module.TRAITS.items()
        ],
        indirect=["exchange"],
    )
