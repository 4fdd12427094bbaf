# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The crash matrix covers what it says, knows when a step is reached, and sees whatever was left behind."""

from __future__ import annotations

import dataclasses
import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.run import timeline

from tests.crash import cell, cover, crashes, matrix, photograph
from tests.e2e import live, support

ROOT = Path(__file__).resolve().parents[3]


def result(**changes: Any) -> cell.Result:
    """A cell that went well, but for the changes."""
    good = cell.Result(
        1, "window", "all killed", "preflight", 29.04, "aborted", (), (), "2026-11-30 15:53", "abc1234"
    )
    return dataclasses.replace(good, **changes)


# -- the cover


def test_each_pair_of_two_is_in_the_matrix() -> None:
    cells = cover.matrix()
    wanted = set()
    axes = [
        [f"experiment {number:02d}" for number in cover.EXPERIMENTS],
        [f"step {step}" for step in cover.STEPS],
        [f"crash {crash}" for crash in cover.CRASHES],
    ]
    for one, other in itertools.combinations(axes, 2):
        wanted |= set(itertools.product(one, other))
    assert cover.pairs(cells) == wanted
    assert len(cells) == len(set(cells)) == len(cover.EXPERIMENTS) * len(cover.CRASHES)


def test_steps_that_outnumber_another_axis_are_no_cover() -> None:
    with pytest.raises(ValueError, match="more steps"):
        cover.cover((1, 2), ("a", "b", "c"), ("x", "y", "z"))


def test_a_seed_draws_one_order_of_all_cells() -> None:
    cells = cover.matrix()
    assert cover.drawn(cells, 7) == cover.drawn(cells, 7) != cover.drawn(cells, 8)
    assert sorted(cover.drawn(cells, 7), key=cells.index) == cells


def test_conditions_choose_cells_and_a_wrong_one_is_named() -> None:
    found = cover.only(cover.matrix(), ["step=window", "crash=all killed"])
    assert found
    assert {(one.step, one.crash) for one in found} == {("window", "all killed")}
    assert {one.experiment for one in cover.only(cover.matrix(), ["experiment=05"])} == {5}
    for wrong in ("step=lunch", "planet=earth", "window"):
        with pytest.raises(ValueError, match=f"{wrong!r} is no condition"):
            cover.only(cover.matrix(), [wrong])


def test_every_experiment_is_in_it_but_the_one_that_needs_a_disk_of_its_own() -> None:
    numbers = {int(path.name[:2]) for path in (ROOT / "playbooks").glob("[01][0-9]-*.yml")}
    assert set(cover.EXPERIMENTS) == numbers - {0, 15}
    for experiment in cover.EXPERIMENTS.values():
        assert (ROOT / experiment.playbook).is_file()
        assert experiment.target in live.SERVICES
        (role,) = (ROOT / "roles").glob(experiment.playbook[len("playbooks/00-") : -4].replace("-", "_"))
        known = yaml.safe_load((role / "defaults" / "main.yml").read_text())
        assert set(experiment.variables) <= set(known), experiment.playbook


# -- the steps


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"t": 1.0, "event": name, **fields}


def test_each_step_is_seen_when_it_comes_and_not_before() -> None:
    story = [
        ("capture", event(timeline.LOG, text="Snapshot taken: 681 facts to find again")),
        ("baseline", event(timeline.PHASE, id="baseline")),
        ("before injection", event(timeline.FAULT_IMMINENT, fault="outage")),
        ("window", event(timeline.FAULT_INJECTED, fault="outage")),
        ("undo", event(timeline.PHASE_END, id="outage")),
        ("recovery", event(timeline.FAULT_UNDONE, fault="outage")),
        ("record", event(timeline.FINISHING, by="module")),
    ]
    assert [step for step, _ in story] == list(cover.STEPS[1:]) == list(cell.SIGNS)[1:]
    for number in range(len(story) + 1):
        signs = cell.Signs("", [told for _, told in story[:number]])
        reached = [step for step in cover.STEPS if cell.SIGNS[step](signs)]
        assert reached == list(cover.STEPS[1 : number + 1])
    assert cell.SIGNS["preflight"](cell.Signs("[2026-11-30 15:09:04] · Plan: localhost alone is touched", []))


def test_the_end_of_another_phase_is_not_the_end_of_the_window() -> None:
    signs = cell.Signs(
        "", [event(timeline.PHASE_END, id="baseline"), event(timeline.FAULT_INJECTED, fault="outage")]
    )
    assert not signs.window_over()


@pytest.mark.parametrize(
    ("closing", "row", "content"),
    [
        ("✓ The host is clean; 1 records wait on it", "01  Database sudden death       ✓ ready", True),
        (
            "✓ The host is clean; 1 records wait on it",
            "01  Database sudden death       ⚠ degraded    no bcc",
            True,
        ),
        (
            "✓ The host is clean; 1 records wait on it",
            "01  Database sudden death       ✗ impossible  down",
            False,
        ),
        ("✓ The host is clean; 1 records wait on it", "02  Network partition           ✓ ready", False),
        ("⚠ The host is not clean: exp-01-x is under way", "01  Database sudden death       ✓ ready", False),
    ],
)
def test_the_next_can_begin_on_a_clean_host_that_is_ready(closing: str, row: str, content: bool) -> None:
    assert cell.can_begin(1, f"{closing}\nREADINESS of localhost\n{row}\n") is content


def test_every_crash_of_the_matrix_can_be_made() -> None:
    assert list(crashes.CRASHES) == list(cover.CRASHES)


# -- the judge


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}, []),
        ({"a": ["x"]}, {"a": ["x", "x"]}, ['a: "x" has come']),
        ({"a": {"b": ["x"]}}, {"a": {"b": []}}, ['a / b: "x" is gone']),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a / b: 1 is 2 now"]),
        ({"a": 1}, {"a": 1, "b": 2}, ["b: None is 2 now"]),
        ({"a": {"Running": True}}, {"a": {"Running": True}}, []),
    ],
)
def test_photographs_are_compared(before: Any, after: Any, wanted: list[str]) -> None:
    assert photograph.differences(before, after) == wanted


def test_a_container_made_anew_differs_in_what_is_its_own_and_nothing_else() -> None:
    def seen(identity: str, image: str) -> dict[str, Any]:
        config = {"Hostname": identity, "Labels": {"number": identity}, "Image": image}
        return {"redis": {"config": config, "limits": {}}, "identities": {"redis": identity, "nginx": "n"}}

    before, anew, other = seen("a", "one"), seen("b", "one"), seen("b", "two")
    assert photograph.differences(before, anew)
    assert not photograph.differences(*(photograph.made_anew(each, "redis") for each in (before, anew)))
    assert photograph.differences(*(photograph.made_anew(each, "redis") for each in (before, other))) == [
        "redis / config / Image: 'one' is 'two' now"
    ]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of a test's own, with a record that waits and is no leftover."""
    folder = tmp_path / "state"
    (folder / "records" / "exp-01").mkdir(parents=True)
    (folder / "records" / "exp-01" / "record.json").write_text("{}")
    monkeypatch.setattr(support, "STATE", folder)
    return folder


def test_a_file_of_a_run_is_seen_and_a_record_that_waits_is_not(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photograph, "PLACES", {str(state.parent / "tmp"): 2})
    (state.parent / "tmp" / "deep").mkdir(parents=True)
    assert photograph.files() == []
    (state / "locks").mkdir()
    (state / "locks" / "project").write_text("")
    (state.parent / "tmp" / "deep" / "exchange-chaos-x1").mkdir()
    (state.parent / "tmp" / "somebody-else").write_text("")
    assert photograph.files() == [
        str(state / "locks" / "project"),
        str(state.parent / "tmp" / "deep" / "exchange-chaos-x1"),
    ]


def test_a_process_that_a_run_started_is_seen_by_its_mark(state: Path) -> None:
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    for run, seen in ((state / "runs" / "exp-05", True), (state.parent / "other" / "runs" / "exp-05", False)):
        child = subprocess.Popen(
            words, env={**os.environ, "EXCHANGE_CHAOS_RUN": str(run)}, start_new_session=True
        )
        try:
            until = time.monotonic() + 10
            while not Path(f"/proc/{child.pid}/environ").read_bytes() and time.monotonic() < until:
                time.sleep(0.01)  # the kernel has not laid it out yet
            assert any(line.endswith("(of exp-05)") for line in photograph.processes()) is seen
        finally:
            child.kill()
            child.wait()


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (("/usr/bin/fio", "--name=x"), True),
        (("stress-ng", "--cpu", "2"), True),
        (("python3", "/root/.ansible/tmp/x/AnsiballZ_window.py"), True),
        (("python3", "/var/lib/exchange-chaos/runs/exp-01/chaos.pyz", "load"), True),
        (("postgres:", "exchange-chaos-lab"), False),
        (("vim", "portfolio.txt"), False),
    ],
)
def test_a_process_of_another_program_is_seen_by_its_name(
    words: tuple[str, ...], ours: bool, state: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "proc" / "77"
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes("\0".join(words).encode())
    (folder / "environ").write_bytes(b"PATH=/bin\0")
    assert bool(photograph.processes(tmp_path / "proc")) is ours


def test_a_name_of_ours_among_the_sockets_is_seen() -> None:
    before = photograph.socket_names()
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind("\0exchange-chaos/test-crash-matrix")
        assert photograph.differences({"a": before}, {"a": photograph.socket_names()}) == [
            'a: "@exchange-chaos/test-crash-matrix" has come'
        ]


def test_a_listener_is_seen() -> None:
    before = photograph.listeners(Path("/proc/self"))
    with socket.socket() as ours:
        for port in range(20_000, 20_100):
            try:
                ours.bind(("127.0.0.1", port))
            except OSError:
                continue
            break
        ours.listen()
        now = photograph.listeners(Path("/proc/self"))
        assert f"tcp 0100007F {ours.getsockname()[1]}" in set(now) - set(before)


def test_a_mount_is_seen_and_the_engines_layers_are_not(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(
        "/dev/vda / ext4 rw,relatime 0 0\n"
        "tracefs /sys/kernel/tracing tracefs rw,relatime 0 0\n"
        "overlay /var/lib/docker/overlay2/1/merged overlay rw,relatime 0 0\n"
    )
    assert photograph.mounts(tmp_path) == ["tracefs at /sys/kernel/tracing rw"]


def test_a_cgroup_is_seen_and_those_of_containers_are_not(tmp_path: Path) -> None:
    (tmp_path / "cpu" / "docker" / ("ab" * 32)).mkdir(parents=True)
    (tmp_path / "cpu" / "exchange-chaos-exp-05").mkdir()
    assert str(tmp_path / "cpu" / "exchange-chaos-exp-05") in photograph.cgroups(tmp_path)
    assert not any("abab" in line for line in photograph.cgroups(tmp_path))


# -- what is kept


def test_a_cell_is_due_once_a_commit_and_again_where_it_failed() -> None:
    bad = result(left=("a file",))
    assert matrix.is_due(None, "abc1234", False)
    assert not matrix.is_due(result(), "def5678", False)
    assert matrix.is_due(result(), "def5678", True)
    assert not matrix.is_due(result(), "abc1234", True)
    assert matrix.is_due(bad, "def5678", False)
    assert not matrix.is_due(bad, "abc1234", False)


def test_the_page_tells_who_cleaned_and_what_failed() -> None:
    bad = result(
        step="undo", by="nobody", left=("files: x has come",), wrong=("the next preflight was not content",)
    )
    page = matrix.show_page([result(), bad])
    assert "2 of 165 cells run, 5 of" in page
    assert "**1 failed**" in page
    assert "Cleaned by: preflight 1, nobody 1." in page
    assert "| 01 | window | all killed | preflight | 29 | aborted | 2026-11-30 15:53 | abc1234 |" in page
    assert "| 01 | undo | all killed | nobody **✗** |" in page
    assert "- 01-undo-all-killed: files: x has come" in page
    assert "- 01-undo-all-killed: the next preflight was not content" in page
    assert "engine restarted" in page


def test_what_is_kept_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "KEPT", tmp_path / "matrix.json")
    monkeypatch.setattr(matrix, "PAGE", tmp_path / "page.md")
    assert matrix.load_kept() == {}
    matrix.keep([result(left=("a",)), result(experiment=2)])
    assert list(matrix.load_kept().values()) == [result(left=("a",)), result(experiment=2)]
