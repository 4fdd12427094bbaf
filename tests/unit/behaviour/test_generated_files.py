# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of ours is read as if a stranger had written it: generated journals, registrations, locks, records."""

from __future__ import annotations

import copy
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import load_evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge import record, unjudged
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abandoned
from ansible_collections.exchange.chaos.plugins.module_utils.run import lease, liveness
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Journal
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import sound_host
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scenario import Scenario

#: What is of the right type and beyond all bounds, or turns a screen over.
BEYOND = st.sampled_from(
    [
        10**400,
        -(10**400),
        2**63,
        -(2**63),
        1e308,
        -1e308,
        1e18,
        253402300800,
        "\x1b[2J",
        "\u202e",
        "\0",
        "9" * 400,
        "1.5",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | BEYOND
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [place for key, one in inner for place in places(one, (*at, key))]


def put(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy of a document with another value in one place."""
    changed = copy.deepcopy(document)
    part = changed
    for key in at[:-1]:
        part = part[key]
    part[at[-1]] = value
    return changed


STEPS = st.sampled_from(["planned", "applied", "undone", "closed", ""]) | VALUES
LINES = st.fixed_dictionaries(
    {},
    optional={
        "t": st.floats(0, 1e6) | VALUES,
        "seq": st.integers(0, 3) | VALUES,
        "entry": STEPS,
        "fault": st.just("outage") | VALUES,
        "kind": st.just("kill") | VALUES,
        "target": st.just("postgres") | VALUES,
        "plan": st.just(["kill"]) | VALUES,
        "undo": st.just({}) | VALUES,
        "expires": st.floats(0, 1e6) | VALUES,
        "event": st.sampled_from(["phase", "fault_injected", "aborted", "waited", "log"]) | VALUES,
        "by": VALUES,
    },
)
DOCUMENTS = VALUES.map(lambda one: json.dumps(one).encode())
FILES = st.binary(max_size=60) | st.lists(LINES, max_size=6).map(
    lambda items: b"".join(json.dumps(one).encode() + b"\n" for one in items)
)


NAMES = (
    "spec.json",
    "journal.jsonl",
    "timeline.jsonl",
    "deadline.json",
    "processes/watchdog.json",
    "load.jsonl",
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, FILES | DOCUMENTS)))
def test_a_runs_folder_of_any_content_can_be_looked_at(content: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        run = RunDir(name)
        run.file("processes").mkdir()
        for file, data in content.items():
            run.file(file).write_bytes(data)
        journal = Journal(run)
        assert all(entry.plan is not None for entry in journal.entries())
        journal.damaged()
        assert isinstance(run.read_deadline(), float)
        assert isinstance(run.of_earlier_boot, bool)
        assert run.slow >= 1
        assert lease.read_patience(run) >= 0
        liveness.is_abandoned(run)
        liveness.lost_watchdogs(run)
        abandoned.has_begun(run)
        run.read_timeline()
        told = unjudged.unread_record(run.known, ValueError("x"))
        assert sound_host(told)["outcome"] == "invalid"


@functools.cache
def whole_run() -> dict[str, bytes]:
    """The files of a run of which nothing is damaged."""
    with tempfile.TemporaryDirectory() as name:
        Scenario().write(Path(name))
        return {
            path.name: path.read_bytes()
            for path in Path(name).iterdir()
            if path.suffix in (".json", ".jsonl")
        }


#: Its load and its probes are generated in test_generated_answers.py; what says whose run it is has to be there.
DAMAGED = ("capture.json", "restore.json", "ledger.json", "journal.jsonl", "timeline.jsonl", "engine.jsonl",
           "histograms.jsonl", "bpf.jsonl", "interference.jsonl")  # fmt: skip


@given(st.data())
def test_a_run_with_one_damaged_field_is_judged_all_the_same(data: Any) -> None:
    files = whole_run()
    name = data.draw(st.sampled_from([one for one in DAMAGED if files.get(one)]))
    lines = files[name].splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    document = json.loads(lines[place])
    at = data.draw(st.sampled_from(places(document) or [()]))
    lines[place] = json.dumps(put(document, at, data.draw(VALUES)) if at else document).encode()
    with tempfile.TemporaryDirectory() as folder:
        for file, content in {**files, name: b"\n".join(lines) + b"\n"}.items():
            (Path(folder) / file).write_bytes(content)
        found = record.host_record(load_evidence(RunDir(folder)))
    assert sound_host(found)["outcome"] in ("passed", "failed", "invalid", "aborted")
    json.dumps(found, allow_nan=False).encode()


@given(FILES | DOCUMENTS)
def test_a_lock_of_any_content_names_somebody_or_nobody(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        state = StateDir(name)
        (state.root / "locks").mkdir()
        (state.root / "locks" / "lab.json").write_bytes(data)
        held = state.lock_holder("lab")
        assert held is None or held.describe()
        for lock in state.left_locks():
            state.unlock_project(lock.project, lock.run_id)


@given(
    st.dictionaries(
        st.sampled_from(["host", "wave", "outcome", "verdicts", "faults", "notes", "judged"]), VALUES
    )
)
def test_a_host_may_send_anything(sent: dict[str, Any]) -> None:
    found = sound_host(sent)
    assert found["outcome"] == "invalid"
    json.dumps(found, allow_nan=False).encode()


@given(st.binary(max_size=200) | DOCUMENTS)
def test_an_answer_of_any_bytes_is_json_or_none(data: bytes) -> None:
    try:
        found = bounds.parse_json(data)
    except ValueError:
        found = None
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    bounds.clean(data).encode()
    assert "\n" not in bounds.fit_line(data, 50)
