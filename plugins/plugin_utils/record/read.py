# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a record, and say in one sentence why a file is none."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from .schema import find_problems

Record = dict[str, Any]
VERSION = 1
_SCHEMA = Path(__file__).resolve().parents[3] / "files" / "record.schema.json"
_LARGEST = 64 * 1024 * 1024  # what a host may keep; a record is far smaller


class RecordError(Exception):
    """A file that is no record; the message is one sentence for people."""


@lru_cache(maxsize=1)
def read_schema() -> dict[str, Any]:
    """Return the JSON Schema of the record."""
    loaded: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return loaded


def check_record(record: object, name: str) -> Record:
    """Return ``record`` if it is one of the version known here.

    Raises RecordError with one sentence that begins with ``name`` and gives the first problem.
    """
    if not isinstance(record, dict) or "schema_version" not in record:
        raise RecordError(f"{name} is not a record of exchange.chaos: it has no schema_version.")
    version = record["schema_version"]
    if version != VERSION or isinstance(version, bool):
        raise RecordError(
            f"{name} has schema_version {version!r}, this collection reads version {VERSION} only."
        )
    found = find_problems(record, read_schema())
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise RecordError(f"{name} does not match the schema of a record: {found[0]}{more}.")
    return record


def load_record(path: str) -> Record:
    """Return the record in the file ``path``. Raises RecordError when it cannot be read or is none."""
    return check_record(read_any(path), f"The record {path}")


def read_any(path: str) -> Any:
    """Return the JSON in the file ``path``, whatever it is. Raises RecordError when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read(_LARGEST + 1)
    except OSError as error:
        raise RecordError(f"The record {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"The record {path} is not text in UTF-8.") from error
    if len(text) > _LARGEST:
        raise RecordError(f"The record {path} is larger than {_LARGEST >> 20} MiB, so it is none.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"The record {path} is not valid JSON: {error}.") from error
