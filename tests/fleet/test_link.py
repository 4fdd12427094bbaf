"""The link to a host is cut amid a fault: the host undoes it by itself, and the controller says what it knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest

from tests.e2e import live, support

pytestmark = pytest.mark.full

#: The crash's window and margin, or the lease, whichever ends first; and the end of the run.
ENDED_S = 25.0 + 20.0


@pytest.fixture(autouse=True)
def _clean() -> None:
    support.wait_for(lambda: not support.leftovers(), 90, "the host is not clean before the test")
    live.ready()


@contextmanager
def cut_in_the_crash(folder: Path, monkeypatch: pytest.MonkeyPatch, calls: str) -> Iterator[Path]:
    """Run experiment 01 and cut the link once its first fault is in force; yields the reports when the play is over."""
    cut, reports = folder / "cut", folder / "reports"
    reports.mkdir()
    monkeypatch.setenv("CHAOS_TEST_CUT", str(cut))
    monkeypatch.setenv("ANSIBLE_CONNECTION_PLUGINS", str(Path(__file__).parent / "connection_plugins"))
    with support.under_way(reports, "Fault crash", ansible_connection="cuttable", **support.SHORT) as process:
        cut.write_text(calls)
        process.wait(120)
        assert process.returncode != 0
    yield reports


def test_a_link_that_stays_cut_is_told_and_the_host_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cut_in_the_crash(tmp_path, monkeypatch, "") as reports:
        report = support.report(reports)
    jsonschema.validate(report.record, live.SCHEMA)
    (host,) = report.record["hosts"]
    assert (report.record["outcome"], host["outcome"]) == ("aborted", "aborted")
    assert set(host["verdicts"].values()) == {"unknown"}
    (note,) = host["notes"]
    assert note.startswith("Unreachable since ")
    assert "step: Observe the fault window" in note
    assert "undone by the host itself" in note
    assert "playbooks/collect.yml" in note
    assert "ended: aborted" in report.log
    # the host, without any controller: nothing in force, nothing running, its record kept
    support.wait_for(lambda: not support.leftovers(), ENDED_S, "the host did not end the run by itself")
    assert support.state_of("postgres")["Running"]
    assert (support.STATE / "records" / report.record["run_id"] / "record.json").exists()


def test_a_link_that_is_back_for_the_record_brings_it_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cut_in_the_crash(tmp_path, monkeypatch, "1") as reports:
        report = support.report(reports)
    jsonschema.validate(report.record, live.SCHEMA)
    (host,) = report.record["hosts"]
    assert host["outcome"] == "aborted"
    assert host["verdicts"]["restored"] == "pass"
    assert [fault["injected_at"] is not None for fault in host["faults"]] == [True, False], "no second fault"
    assert any("aborted by controller: Unreachable since" in note for note in host["notes"])
    assert host["load"]["requests"] > 0
    assert report.raw("load")
    assert support.leftovers() == []
