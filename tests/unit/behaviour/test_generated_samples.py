# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that lies may send any line among its raw samples, and any event while a run is watched: all is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import raw_lines, samples
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import raw_path
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import bpf_log
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.event_lines import format_event
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page import page
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import escape_line
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import recorded
from tests.unit.behaviour.test_generated_files import VALUES, places, put

RAW = sorted({*samples.DRAWN, "histograms"})


Reported = tuple[dict[str, Any], str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A run's record, the stem of its files, and the lines of its raw samples, as JSON."""
    record, stem = recorded.report(1, tmp_path_factory.mktemp("samples"))
    host = record["hosts"][0]["host"]
    paths = {raw_path(stem, host, raw) for raw in RAW}
    return record, stem, {path: [json.dumps(one) for one in raw_lines.read_lines(path)] for path in paths}


def damaged(data: Any, line: str) -> Any:
    """A line with another value in one place."""
    known = json.loads(line)
    at = data.draw(st.sampled_from(places(known)))
    return put(known, at, data.draw(VALUES))


@given(data=st.data())
def test_raw_samples_of_any_content_are_drawn(reported: Reported, data: Any) -> None:
    record, stem, lines = reported
    path = data.draw(st.sampled_from(sorted(path for path, known in lines.items() if known)))
    place = data.draw(st.just(0) | st.integers(0, len(lines[path]) - 1))
    wrong = damaged(data, lines[path][place])

    def read(asked: str) -> Iterator[Any]:
        for number, line in enumerate(lines.get(asked, ())):
            yield wrong if asked == path and number == place else json.loads(line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "read_lines", read)
        patch.setattr(bpf_log, "read_lines", read)
        assert page.render_page(record, stem).encode()
        host = record["hosts"][0]["host"]
        live = [damaged(data, line) for line in lines[raw_path(stem, host, "bpf")][1:4]]
        fresh, seen = bpf_log.find_unwritten(record, stem, {host: live})
        shown = bpf_log.render_events(fresh, several=True)
        shown += bpf_log.render_block(record, seen, bpf_log.read_histograms(record, stem))
    assert all(escape_line(line) == line.strip() for line in shown)


INSTANTS = (
    st.floats() | st.sampled_from([10**400, 1e308, -5.0, 1e18, "2026-11-30T\x1b[2J\n\u202e"]) | st.text()
)


@given(data=st.data(), at=INSTANTS)
def test_an_event_of_any_content_is_one_clean_line(reported: Reported, data: Any, at: float | str) -> None:
    _record, _stem, lines = reported
    known = [line for path, all_of_it in lines.items() if ".bpf." in path for line in all_of_it[1:]]
    shown = format_event(damaged(data, data.draw(st.sampled_from(known))), at)
    assert escape_line(shown) == shown.strip()
