# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of the record: every key of it counts, nothing beyond it is let in."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import schema as ours

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "files" / "record.schema.json").read_text())
SAMPLES = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).resolve().parents[1] / "data").glob("record-*.json"))
}
# Objects whose keys are data (names of trials, kinds of errors): any may be there or not.
MAPS = {"trials", "kinds"}
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every object in a record whose keys the schema names."""
    if isinstance(value, dict):
        if not (path and path[-1] in MAPS):
            yield path
        for key, inner in value.items():
            yield from objects(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from objects(inner, (*path, index))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


KEYS = [
    (path, key) for path in objects(SAMPLES["record-failed"]) for key in at(SAMPLES["record-failed"], path)
]


def bad(record: Any) -> bool:
    """Return True if the record is refused; our own checker must agree with jsonschema."""
    theirs = not VALIDATOR.is_valid(record)
    assert bool(ours.find_problems(record, SCHEMA)) == theirs
    return theirs


def test_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_match(name: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(SAMPLES[name])] == []
    assert ours.find_problems(SAMPLES[name], SCHEMA) == []


def test_every_kind_of_object_is_walked() -> None:
    """The failed sample has at least one member in every list, so that no object of the schema goes untested."""
    assert all(
        at(SAMPLES["record-failed"]["hosts"][0], (name,))
        for name in ("faults", "phases", "findings", "timeline", "leftovers", "notes")
    )


@pytest.mark.parametrize(
    ("path", "key"), KEYS, ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else v
)
def test_each_key_removed(path: tuple[Any, ...], key: str) -> None:
    record = copy.deepcopy(SAMPLES["record-failed"])
    del at(record, path)[key]
    assert bad(record)


@pytest.mark.parametrize(
    "path", list(objects(SAMPLES["record-failed"])), ids=lambda v: ".".join(map(str, v)) or "top"
)
def test_extra_key(path: tuple[Any, ...]) -> None:
    record = copy.deepcopy(SAMPLES["record-failed"])
    at(record, path)["surplus"] = 1
    assert bad(record)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("started_at",), "2026-11-23T18:00:00Z"),
        (("started_at",), "2026-11-23 18:00:00.123"),
        (("started_at",), "2026-13-23T18:00:00.123Z"),
        (("started_at",), None),
        (("outcome",), "ok"),
        (("verdicts", "effect"), "skipped"),
        (("verdicts", "effect"), True),
        (("hosts",), []),
        (("hosts", 0, "wave"), 0),
        (("hosts", 0, "wave"), 1.5),
        (("hosts", 0, "load", "requests"), -1),
        (("hosts", 0, "load", "requests"), True),
        (("hosts", 0, "load", "requests"), "12"),
        (("hosts", 0, "ledger", "lost"), 0.5),
        (("hosts", 0, "findings", 0, "value"), [1, 2, 3]),
        (("hosts", 0, "findings", 0, "value"), {"a": 1}),
        (("hosts", 0, "findings", 0, "threshold"), {"op": "<", "value": 1}),
        (("hosts", 0, "bpf", "status"), "maybe"),
        (("hosts", 0, "timeline", 0, "step"), "lunch"),
        (("hosts", 0, "capabilities", "trials"), {"netem": "failed"}),
        (("hosts", 0, "capabilities", "root"), None),
        (("hosts", 0, "faults", 0, "proof", 0, "source"), "hearsay"),
        (("hosts", 0, "questions", "errors_clear", "kinds"), {"reset": -1}),
    ],
)
def test_wrong_value(path: tuple[Any, ...], value: Any) -> None:
    record = copy.deepcopy(SAMPLES["record-failed"])
    at(record, path[:-1])[path[-1]] = value
    assert bad(record)


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_not_a_record_at_all(value: Any) -> None:
    assert bad(value)


def test_problems_name_the_place() -> None:
    record = copy.deepcopy(SAMPLES["record-passed"])
    del record["hosts"][0]["load"]["floor"]
    record["hosts"][0]["bpf"]["status"] = "maybe"
    assert ours.find_problems(record, SCHEMA) == [
        "hosts[0].load lacks floor",
        'hosts[0].bpf.status is "maybe", not one of "attached", "absent", "failed", "stopped"',
    ]
