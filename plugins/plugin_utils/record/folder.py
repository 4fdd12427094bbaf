# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records in a report folder, read with suspicion: others may write there, too."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence

from .read import Record, RecordError, load_record, own_users
from .report_files import FileError

_NAME = re.compile(r"chaos-exp-\d{2,}-\d{8}-\d{6}(-\d+)?\.json")
#: Of more records in a folder the newest are read.
MOST = 2000
#: So many earlier runs a page looks back on, and so much it reads for them.
EARLIER, EARLIER_BYTES = 6, 2 * 1024 * 1024


def record_paths(folder: str) -> list[str]:
    """Return the paths of what may be records in a folder, the newest first; links are left out.

    Raises FileError when the folder cannot be read.
    """
    try:
        names = sorted(filter(_NAME.fullmatch, os.listdir(folder)), key=_began, reverse=True)
    except OSError as error:
        raise FileError(f"The report folder {folder} cannot be read: {error.strerror or error}.") from error
    paths = [os.path.join(folder, name) for name in names]
    return [path for path in paths if stat.S_ISREG(os.lstat(path).st_mode)][:MOST]


def _began(name: str) -> str:
    return "-".join(name.split("-")[3:])


def read_records(paths: Iterable[str]) -> Iterator[tuple[str, Record | str]]:
    """Yield each path with its record, or with the sentence that says why it is none."""
    for path in paths:
        try:
            yield path, load_record(path)
        except RecordError as error:
            yield path, str(error)


def load_named_records(patterns: Sequence[str]) -> list[Record]:
    """Return the records that paths and patterns (``*``) name. Raises RecordError if one is none, or none is there."""
    found = []
    for pattern in patterns:
        paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not paths:
            raise RecordError(f"No record is named like {pattern}.")
        found += [load_record(path) for path in paths]
    return found


def find_earlier(record: Record, folder: str) -> list[tuple[str, Record]]:
    """Return the runs of the same experiment that lie in a folder and began before, the newest first, with paths.

    Of more than EARLIER those are the newest; files of other users and what is no record are passed over, and no more
    than EARLIER_BYTES are read: a page waits for it.
    """
    number = record["experiment"]["number"]
    try:
        paths = [path for path in record_paths(folder) if _number_in(path) == number]
    except FileError:
        return []
    found: list[tuple[str, Record]] = []
    left = EARLIER_BYTES
    for path in paths:
        here = os.lstat(path)
        left -= here.st_size
        if len(found) == EARLIER or left < 0:
            break
        if here.st_uid not in own_users():
            continue
        try:
            read = load_record(path)
        except RecordError:
            continue
        if read["experiment"]["name"] == record["experiment"]["name"] and _is_before(read, record):
            found.append((path, read))
    return found


def _number_in(path: str) -> int:
    return int(os.path.basename(path).split("-")[2])


def _is_before(one: Record, other: Record) -> bool:
    return bool(one["run_id"] != other["run_id"] and one["started_at"] < other["started_at"])
