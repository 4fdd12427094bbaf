# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run: what it holds, that it is one file, and that nothing set into it can act."""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
import stat
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError, raw_path
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.samples import (
    Requests,
    Span,
    read_samples,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page import lanes, page_file
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page.axes import TimeAxis, log_axis
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page.distributions import Distribution
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page.page import (
    command_again,
    render_page,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page.words import to_epoch

from tests.unit import fleets, recorded


class Parsed(HTMLParser):
    """A page's elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, attribute: str) -> list[str]:
        """Return all values of an attribute."""
        return [str(each[attribute]) for _tag, each in self.tags if attribute in each]


@pytest.fixture(scope="module", params=recorded.EACH)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str, Parsed]:
    """Each recorded run with its stem and its page."""
    record, stem = recorded.report(request.param, tmp_path_factory.mktemp("report"))
    return record, stem, Parsed(render_page(record, stem))


def test_every_fault_is_shaded_at_its_recorded_times(run: tuple[dict[str, Any], str, Parsed]) -> None:
    record, _stem, shown = run
    bands = {
        each["data-name"]: (float(each["data-from"] or 0), float(each["data-to"] or 0))
        for tag, each in shown.tags
        if tag == "rect" and each.get("data-band") == "fault"
    }
    faults = [fault for fault in record["hosts"][0]["faults"] if fault["injected_at"]]
    assert faults
    assert bands == {
        fault["id"]: (
            pytest.approx(to_epoch(fault["injected_at"])),
            pytest.approx(to_epoch(fault["undone_at"])),
        )
        for fault in faults
    }
    assert shown.all("data-undo") == [fault["id"] for fault in faults]


def test_all_lanes_are_there_and_count_what_the_record_counts(
    run: tuple[dict[str, Any], str, Parsed],
) -> None:
    record, _stem, shown = run
    ids = shown.all("id")
    for lane in ("latency", "throughput", "probes", "containers", "kernel"):
        assert f"h1-{lane}" in ids, lane
    assert ("h1-errors" in ids) == bool(record["hosts"][0]["load"]["errors"])
    assert re.search(r"● (\d+) failed", shown.text)[1] == str(record["hosts"][0]["load"]["errors"])  # type: ignore[index]


def test_every_link_leads_somewhere_and_every_value_to_its_evidence(
    run: tuple[dict[str, Any], str, Parsed],
) -> None:
    record, stem, shown = run
    ids = shown.all("id")
    assert len(set(ids)) == len(ids)
    links = shown.all("href")
    inside = {link[1:] for link in links if link.startswith("#")}
    assert inside <= set(ids)
    assert {f"h1-f-{index + 1}" for index in range(len(record["hosts"][0]["findings"]))} <= inside
    files = [unquote(link[2:]) for link in links if link.startswith("./")]
    assert any(".load.jsonl.gz" in file for file in files)
    assert all((Path(stem).parent / file).exists() for file in files)


def test_it_is_one_file_that_asks_for_nothing(run: tuple[dict[str, Any], str, Parsed]) -> None:
    _record, stem, shown = run
    assert not shown.all("src")
    assert all(link.startswith(("#", "./", "data:,")) for link in shown.all("href"))
    assert not shown.all("style"), "a server that allows no inline style shows it all the same"
    html = render_page(*run[:2])
    assert not re.search(r"@import|url\(", html)
    assert len(html.encode()) < 1_000_000
    assert "fill" in dict(next(each for tag, each in shown.tags if tag == "rect")), stem


# -- hostile text -----------------------------------------------------------------------------------------------

REALTIME = 1763920800.0
HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style></script><img src=x onerror=alert(1)>",
    "]]> --> <!-- ${7*7} {{ 7*7 }} {% raw %}",
    "\x1b[31mred\x1b[0m\x00\x07",
    "one\ntwo\r\nthree\u2028four",
    "\u202efdp.exe\u202c \u200ehidden\u200f \u2066x\u2069",
    "\ud800 lone",
    '" onmouseover="alert(1)" x=\'',
    "A" * 1_000_000,
]
_KEPT = re.compile(
    r"^(\d{4}-\d\d-\d\dT.*Z|passed|failed|invalid|skipped|aborted|pass|fail|unknown|attached)$"
)
#: Control characters but the line feed, and what turns the direction of text.
_ACTING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NEVER = ("level", "step", "source", "op", "what", "status", "name")


def poisoned(value: Any, text: str, key: str = "") -> Any:
    """Return a record with ``text`` in every field that holds text of somebody else's."""
    if isinstance(value, dict):
        return {name: poisoned(each, text, name) for name, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each, text, key) for each in value]
    if isinstance(value, str) and key not in _NEVER and not _KEPT.match(value):
        return text
    return value


def write_raw(stem: str, host: str, raw: str, lines: list[dict[str, Any]]) -> None:
    anchor = {"anchor": {"boottime": 0.0, "realtime": REALTIME, "boot_id": "b"}}
    with gzip.open(raw_path(stem, host, raw), "wt") as stream:
        stream.writelines(f"{json.dumps(line)}\n" for line in (anchor, *lines))


def hostile_samples(text: str, start: float, phase: str) -> dict[str, list[dict[str, Any]]]:
    """Return raw samples with ``text`` wherever there is any; they begin at ``start`` of the host's boottime."""
    containers = {text: [{"addresses": ["10.0.0.1"], "pid": 1}]}
    order = {"ok": False, "kind": text, "error": text, "status": 500}
    probe = {"probe": text, "role": text, "ok": False, "status": 0, "detail": text}
    refused = {
        "event": "CONN_FAILED",
        "service": text,
        "raddr": "10.0.0.9",
        "rport": 5432,
        "pid": 1,
        "errno": 111,
    }
    kept = {"phase": phase, "series": text, "unit": text, "service": text, "key": {"peer": text}}
    return {
        "run": [
            {"document": "spec", "value": {"containers": containers, "capture": {"ports": {"5432": text}}}}
        ],
        "load": [{**order, "at": start + n, "sent": start + n, "end": start + n + 0.1} for n in range(5)],
        "probes": [{**probe, "at": start, "end": start + 1}],
        "bpf": [{**refused, "t": start + 1}],
        "engine": [{"t": start + 1, "service": text, "action": text}],
        "histograms": [{**kept, "t": 1, "buckets": [[1, 2, 3]]}],
        "interference": [{"t": start + n, text[:100]: n} for n in range(3)],
    }


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(tmp_path: Path, text: str) -> None:
    record = poisoned(fleets.sample("failed"), text)
    record["hosts"][0]["host"] = "localhost"
    stem = str(tmp_path / "s")
    phase = record["hosts"][0]["phases"][0]
    for raw, lines in hostile_samples(text, to_epoch(phase["started_at"]) - REALTIME, phase["id"]).items():
        write_raw(stem, "localhost", raw, lines)
    html = render_page(record, stem)
    shown = Parsed(html)
    assert len(html) < 1_500_000, "long text is cut"
    assert [tag for tag, _attributes in shown.tags if tag in ("script", "img", "iframe", "object")] == [
        "script"
    ]
    assert not [name for _tag, attributes in shown.tags for name in attributes if name.startswith("on")]
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", html.replace("\n", "")
    )
    html.encode("utf-8")
    if text.startswith(("<script", "</title", '" on')):
        assert text in shown.text, "it is shown, as what it is"


# -- large runs -------------------------------------------------------------------------------------------------


def many(count: int) -> Requests:
    """Return requests of a minute, one in fifty failed."""
    chance = random.Random(1)
    requests = Requests(kinds=["timeout"])
    for index in range(count):
        requests.at.append(60 * index / count)
        requests.latency.append(chance.lognormvariate(2, 1))
        requests.state.append(index % 50 == 0)
    return requests


def test_dots_are_thinned_and_every_failure_is_kept() -> None:
    requests = many(60_000)
    requests.latency[7] = 5000.0  # one slow request of many
    axis, values = TimeAxis(Span(0, 60), 0, 1000), log_axis(0.1, 10_000, 0, 230)
    good, failed = lanes.place_dots(requests, axis, values)
    dots, cell = lanes.thin_dots(good, 3000)
    assert len(dots) <= 3000
    assert cell > 1
    assert any(abs(y - values.y(5000)) <= cell for _x, y in dots), "what stands out stays"
    for at, latency, state in zip(requests.at, requests.latency, requests.state):
        if state:
            place = (round(axis.x(at) * 2) / 2, round(values.y(latency) * 2) / 2)
            assert place in failed


def test_few_dots_are_all_drawn_where_they_are() -> None:
    requests = many(100)
    axis, values = TimeAxis(Span(0, 60), 0, 1000), log_axis(0.1, 1000, 0, 230)
    good, failed = lanes.place_dots(requests, axis, values)
    dots, cell = lanes.thin_dots(good, 8000)
    assert (len(dots), len(failed), cell) == (98, 2, 1)
    answered = [at for at, state in zip(requests.at, requests.state) if not state]
    assert all(abs(x - axis.x(at)) <= 1 for (x, _y), at in zip(dots, answered))


# -- other runs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["passed", "failed", "invalid", "skipped"])
def test_a_record_alone_gives_a_page_that_says_what_is_missing(tmp_path: Path, name: str) -> None:
    record = fleets.sample(name)
    shown = Parsed(render_page(record, str(tmp_path / "s")))
    assert record["outcome"] in shown.text
    if record["hosts"][0]["phases"]:
        assert "Not drawn, since the raw samples are not beside the record: run, engine, load" in shown.text
    for finding in record["hosts"][0]["findings"]:
        assert finding["title"] in shown.text


def test_a_fleet_has_its_table_its_spread_and_each_host(tmp_path: Path) -> None:
    hosts = [
        fleets.host(1),
        fleets.host(2, "failed"),
        fleets.host(3),
        fleets.unreachable(4),
        fleets.not_begun(5),
    ]
    record = fleets.record(hosts)
    shown = Parsed(render_page(record, str(tmp_path / "s")))
    assert {f"h{number}" for number in range(1, 6)} <= set(shown.all("id"))
    assert "Spread of the starts" in shown.text
    assert fleets.UNREACHABLE in shown.text
    assert fleets.NOT_BEGUN in shown.text
    assert command_again(record).endswith("database_sudden_death --limit host-1,host-2,host-3,host-4,host-5")


def test_a_change_that_many_hosts_call_for_stands_once(tmp_path: Path) -> None:
    record = fleets.record([fleets.host(number, "failed") for number in range(1, 6)])
    text = Parsed(render_page(record, str(tmp_path / "s"))).text
    assert text.count("its reads had no time-out shorter than that") == 1
    assert "5 hosts: That postgres was gone was noticed after 1.0004 s (≤ 1 s is wanted)" in text
    assert "A query time-out below 1 s turns waiting into errors" in text


def test_a_page_of_many_hosts_stays_small(tmp_path: Path) -> None:
    record, stem = recorded.report(1, tmp_path)
    one = len(render_page(record, stem).encode())
    host = record["hosts"][0]
    for number in range(20):
        for path in (recorded.DATA / "01").glob("*.gz"):
            Path(raw_path(stem, f"host-{number}", path.name.partition(".")[0])).symlink_to(path)
    fleet = {**record, "hosts": [{**host, "host": f"host-{number}"} for number in range(20)]}
    assert len(render_page(fleet, stem).encode()) < 20 * 50_000 < 20 * one


def test_later_keys_are_shown_when_they_are_there(tmp_path: Path) -> None:
    record = copy.deepcopy(fleets.sample("passed"))
    host = record["hosts"][0]
    host["findings"][0].update(control=0.004, interval=[0.011, 0.013])
    host["phases"][0]["interference"] = {"cpu_stolen": 0.25}
    host["placebo"] = {"requests": 77, "errors": 3, "reasons": [], "surge": None}
    host["open_questions"] = ["data loss was not measured here"]
    text = Parsed(render_page(record, str(tmp_path / "s"))).text
    for told in (
        "0.004 s",
        "0.0110 to 0.0130 s",
        "cpu_stolen 0.25",
        "requests 77, errors 3",
        "data loss was not measured here",
    ):
        assert told in text, told


def test_damaged_samples_cost_only_what_was_in_them(tmp_path: Path) -> None:
    record, stem = recorded.report(1, tmp_path)
    load = Path(raw_path(stem, "localhost", "load"))
    whole = load.read_bytes()
    load.write_bytes(whole[: len(whole) // 2])
    Path(raw_path(stem, "localhost", "probes")).write_bytes(b"no gzip at all")
    Path(raw_path(stem, "localhost", "bpf")).write_bytes(gzip.compress(b'{"anchor": 5}\n[1]\n{"t": "x"}\n'))
    shown = Parsed(render_page(record, stem))
    assert "h1-latency" in shown.all("id")
    assert "Not drawn, since the raw samples are not beside the record: probes, bpf." in shown.text


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, stem = recorded.report(1, tmp_path)
    path = raw_path(stem, "localhost", "load")
    with gzip.open(path, "ab") as stream:
        stream.write(b" " * (64 << 20))
    span = Span(to_epoch(record["started_at"]), to_epoch(record["ended_at"]))
    assert len(read_samples(stem, "localhost", span).requests.at) > 1000


def test_it_is_private_and_never_written_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.html"
    page_file.write_page(fleets.sample("passed"), str(tmp_path / "s"), str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        page_file.write_page(fleets.sample("passed"), str(tmp_path / "s"), str(path))


def test_whatever_goes_wrong_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"The page .*s\.html was not written: KeyError: 'hosts'\."):
        page_file.write_page({}, str(tmp_path / "s"), str(tmp_path / "s.html"))


def numbers() -> Iterator[tuple[float, float]]:
    yield from ((0.4, 5.0), (3.0, 900.0), (0.0, 0.0), (2e-9, 1e7))


@pytest.mark.parametrize(("least", "most"), list(numbers()))
def test_the_log_axis_holds_what_it_is_made_for(least: float, most: float) -> None:
    axis = log_axis(least, most, 10, 100)
    for value in (least, most):
        assert 10 <= axis.y(value) <= 110
    assert axis.y(axis.low) == 110
    assert len(axis.ticks()) >= 2


@pytest.mark.parametrize(("high", "power"), [(2, 1), (2.1, 2), (4, 2), (0.5, -1), (0.3, -1), (1, 0), (0, 0)])
def test_a_value_is_counted_below_the_next_power_of_two(high: float, power: int) -> None:
    one = Distribution("t", "ms")
    one.add("before", high, 3)
    assert one.counts["before"] == {power: 3}


def test_what_came_before_steady_state_is_called_so_and_the_placebo_once(tmp_path: Path) -> None:
    record, stem = recorded.report(1, tmp_path, recorded.FRAGILE)
    phases = [phase["id"] for phase in record["hosts"][0]["phases"]]
    assert phases.count("unsteady") == 3
    assert "placebo" in phases
    assert record["hosts"][0]["placebo"]
    html = render_page(record, stem)
    drawn = re.findall(r"<text[^>]*>([^<]+)</text>", html)
    assert [drawn.count(each) for each in ("not steady yet", "steady state", "placebo")] == [3, 1, 1]
