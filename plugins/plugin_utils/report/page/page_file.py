# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the page of a run beside its record."""

from __future__ import annotations

from ....module_utils.common.shapes import Recorded
from ...record import report_files
from ...record.report_files import FileError
from .page import render_page


def write_page(record: Recorded, source: str, path: str) -> None:
    """Write the page of ``record``, whose raw samples lie beside ``source``, to ``path``.

    Raises FileExistsError and FileError, whatever went wrong: what a page shows came from hosts and from other
    people's exchanges, and no surprise in it may cost a run the end of its log.
    """
    try:
        text = render_page(record, source)
    except Exception as error:
        raise FileError(f"The page {path} was not written: {type(error).__name__}: {error}.") from error
    report_files.fill_file(path, text)
