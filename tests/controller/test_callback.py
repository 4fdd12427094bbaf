# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action and both callbacks in a real ansible-playbook: what is on the screen, and what is in the files."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import read as records
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import count_columns

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).resolve().parents[1] / "unit" / "data"
PLAYBOOK = DATA / "playbooks" / "run.yml"
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"
BOTH = {"stdout_callback": "exchange.chaos.console", "callbacks_enabled": "exchange.chaos.report"}
REPORT_ONLY = {"stdout_callback": "default", "callbacks_enabled": "exchange.chaos.report"}
NEITHER = {"stdout_callback": "default"}
LIVE = "[####................]  observe: 3 of 15 s; last orders: 20, failed: 20"


@dataclass
class Bench:
    """A folder with an ansible.cfg of its own; reports go to its folder ``reports``."""

    folder: Path
    settings: dict[str, str] = field(default_factory=lambda: dict(BOTH))
    inventory: str = "localhost ansible_connection=local"

    @property
    def reports(self) -> Path:
        path = self.folder / "reports"
        path.mkdir(exist_ok=True)
        return path

    def command(
        self, playbook: Path, *more: str, sample: str = "passed", **variables: Any
    ) -> tuple[list[str], dict[str, str]]:
        lines = [f"{key} = {value}" for key, value in self.settings.items()]
        config = [
            "[defaults]",
            f"collections_path = {ROOT / '.collections'}",
            "localhost_warning = False",
            *lines,
        ]
        (self.folder / "ansible.cfg").write_text("\n".join(config))
        python = f"[all:vars]\nansible_python_interpreter={sys.executable}\n"
        (self.folder / "hosts").write_text(f"{self.inventory}\n{python}")
        given = {
            "report_dir": str(self.reports),
            "sample_file": str(DATA / f"record-{sample}.json"),
            **variables,
        }
        keep = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("ANSIBLE_") and key != "NO_COLOR"
        }
        environment = {**keep, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
        return [
            str(ANSIBLE),
            "-i",
            str(self.folder / "hosts"),
            str(playbook),
            "-e",
            json.dumps(given),
            *more,
        ], environment

    def play(self, *more: str, playbook: Path = PLAYBOOK, code: int = 0, **variables: Any) -> str:
        """Play it and return what was on the screen. The screen is no terminal."""
        command, environment = self.command(playbook, *more, **variables)
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr == ""
        return done.stdout

    def file(self, ending: str) -> Path:
        (path,) = [
            path for path in self.reports.iterdir() if re.search(rf"-\d{{6}}{re.escape(ending)}$", path.name)
        ]
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def assert_closed(lines: list[str], name: str = "PASSED") -> None:
    """Assert that the last 30 lines hold what they must."""
    last = "\n".join(lines[-30:])
    for part in ("KEY FINDINGS:", "FIVE QUESTIONS:", f"OUTCOME: {name}", "Restored:", "\nJUnit:", "\nlog:"):
        assert part in last


def test_a_whole_run(bench: Bench) -> None:
    screen = bench.play().splitlines()
    assert screen[:4] == [
        "[2026-11-23 18:00:00] · About 60 s",
        "[2026-11-23 18:00:01] ✓ Docker found",
        "[2026-11-23 18:00:02] ⚠ order-flow-simulator is running",
        LIVE,
    ]
    assert screen[6] == "[2026-11-23 18:00:48] ✓ Experiment 01 ended: passed"
    assert_closed(screen)
    log = bench.file(".log").read_text().splitlines()
    assert log[1] == "CHAOS EXPERIMENT: Database sudden death"
    assert log[4:8] == [*screen[:3], screen[6]]
    assert log[8:] == screen[7:]
    assert {stat.S_IMODE(path.stat().st_mode) for path in bench.reports.iterdir()} == {0o600}
    record = records.load_record(str(bench.file(".json")))
    assert record == {**json.loads((DATA / "record-passed.json").read_text()), "open_questions": []}
    assert ET.parse(bench.file(".xml")).getroot().get("tests") == "17"
    bpf = bench.file(".log.bpf").read_text().splitlines()
    assert bpf[0].startswith("[18:00:02] CONN_ATTEMPT       trading-api")
    assert any("Statistics" in line for line in bpf[1:])
    assert "\x1b" not in "\n".join(screen + log)


def test_a_suite_sums_up_after_the_last_report(bench: Bench) -> None:
    screen = bench.play(playbook=PLAYBOOK.with_name("suite.yml")).splitlines()
    assert screen[-2:] == ["SUITE", "1 of 1 passed"]
    assert_closed(screen[:-2])


def test_events_that_came_late_are_added_from_the_raw_samples(bench: Bench) -> None:
    sample = json.loads((DATA / "record-passed.json").read_text())
    event = {"event": "CONN_FAILED", "pid": 1234, "comm": "api", "service": "trading-api", "container": "c",
             "family": 4, "laddr": "172.18.0.4", "lport": 40000, "raddr": "172.18.0.3", "rport": 5432, "errno": 111,
             "duration_ms": 0.2, "control": False}  # fmt: skip
    first = {**event, "t": 102.0, "event": "CONN_ATTEMPT", "errno": None}
    anchor = {"anchor": {"boottime": 100.0, "realtime": 1795456800.0, "boot_id": "b"}}
    # The stem is known only once the playbook runs, so all the seconds that it may take its name from are laid out.
    now = int(time.time())
    bench.settings["callbacks_enabled"] = "exchange.chaos.report"
    for at in range(now, now + 90):
        stem = bench.reports / f"chaos-exp-01-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}"
        with gzip.open(f"{stem}.{sample['hosts'][0]['host']}.bpf.jsonl.gz", "wt") as stream:
            stream.writelines(
                f"{json.dumps(each)}\n"
                for each in (anchor, first, {**event, "t": 102.5}, {**event, "t": 103})
            )
    bench.play()
    lines = [line for line in bench.file(".log.bpf").read_text().splitlines() if line.startswith("[")]
    assert [line[:30].split()[:2] for line in lines] == [
        ["[18:00:02]", "CONN_ATTEMPT"], ["[18:00:02]", "CONN_FAILED"], ["[18:00:03]", "CONN_FAILED"]]  # fmt: skip


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_still_has_its_log(bench: Bench, kill: signal.Signals) -> None:
    command, environment = bench.command(PLAYBOOK, wait=60)
    with subprocess.Popen(
        command, env=environment, cwd=bench.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip

        def seen() -> bool:
            return any("order-flow" in path.read_text() for path in bench.reports.glob("*.log"))

        try:
            wait_for(seen)
            time.sleep(1)  # in the middle of the next task: Python may lose a Ctrl-C while it forks
            if kill == signal.SIGINT:  # Ctrl-C reaches the whole group
                os.killpg(process.pid, kill)
            else:
                process.send_signal(kill)
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers, if any; the group is ours alone
    log = bench.file(".log").read_text().splitlines()
    assert log[4:7] == [
        "[2026-11-23 18:00:00] · About 60 s",
        "[2026-11-23 18:00:01] ✓ Docker found",
        "[2026-11-23 18:00:02] ⚠ order-flow-simulator is running",
    ]
    assert "CONN_ATTEMPT" in bench.file(".log.bpf").read_text()


def test_without_callbacks_one_line_says_how_to_get_the_report(bench: Bench) -> None:
    bench.settings = dict(NEITHER)
    screen = bench.play().splitlines()
    path = str(bench.file(".json"))
    hints = [line for line in screen if "ansible-playbook" in line]
    assert hints == [
        "The record is written; for the report of this run: "
        f"ansible-playbook exchange.chaos.report -e chaos_record={path}"
    ]
    assert "KEY FINDINGS:" not in screen
    # The command does what it says, with our callbacks and with none.
    report = Path("exchange.chaos.report")
    shown = bench.play("-e", f"chaos_record={path}", playbook=report).splitlines()
    assert_closed(shown[: next(i for i, line in enumerate(shown) if line.startswith("JUnit:")) + 1])
    log = bench.file(".log").read_text().splitlines()
    assert log[4] == "[2026-11-23 18:00:00] · About 60 s, of which 49 s is waiting on purpose"
    assert_closed(log)
    assert ET.parse(bench.file(".xml")).getroot().get("tests") == "17"
    bench.settings = dict(BOTH)
    assert_closed(bench.play("-e", f"chaos_record={path}", playbook=report).splitlines())
    again = Path(path.replace(".json", "-2.log")).read_text().splitlines()
    assert again[:-5] == log[:-5]  # only the paths differ
    bench.settings = dict(REPORT_ONLY)
    assert_closed(
        bench.play("-e", f"chaos_record={path}", playbook=ROOT / "playbooks" / "report.yml").splitlines()
    )
    assert {path.suffix for path in bench.reports.glob("*-3.*")} == {".log", ".bpf", ".html", ".xml"}


@pytest.mark.full
def test_with_another_screen_the_report_follows_the_recap(bench: Bench) -> None:
    bench.settings = dict(REPORT_ONLY)
    screen = bench.play(sample="failed").splitlines()
    assert_closed(screen, "FAILED")
    recap = next(index for index, line in enumerate(screen) if line.startswith("PLAY RECAP"))
    assert screen.index("KEY FINDINGS:") > recap
    assert "ansible-playbook exchange.chaos.report" not in "\n".join(screen)


def test_failures_are_one_sentence(bench: Bench) -> None:
    screen = bench.play(failing=True, code=2).splitlines()
    assert [re.sub(r"^\[[^]]+\]", "", line) for line in screen[6:]] == [
        " ⚠ The book is empty.",
        " ✗ No service of that name.",
    ]
    log = [re.sub(r"^\[[^]]+\]", "", line) for line in bench.file(".log").read_text().splitlines()]
    assert log[7:9] == [" ⚠ The book is empty.", " ✗ No service of that name."]
    assert log[9].startswith(" ✗ The playbook ended before a record was written")


def test_unreachable_is_one_sentence(bench: Bench) -> None:
    bench.inventory = (
        "away ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-o ConnectTimeout=1'"
    )
    playbook = bench.folder / "ping.yml"
    playbook.write_text("- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n")
    (line,) = bench.play(playbook=playbook, code=4).splitlines()
    assert re.search(r"✗ .*(Connection refused|unreachable|No such file|not found)", line, re.I)


def test_with_several_hosts_each_line_names_its_own(bench: Bench) -> None:
    bench.inventory = "db-1 ansible_connection=local\ndb-2 ansible_connection=local"
    screen = bench.play(targets="all", failing=True, code=2).splitlines()
    for lines in (screen, bench.file(".log").read_text().splitlines()):
        for host in ("db-1", "db-2"):
            assert f"[2026-11-23 18:00:01] ✓ {host}: Docker found" in lines
            assert any(line.endswith(f"✗ {host}: No service of that name.") for line in lines)
    assert screen.count(f"db-1:  {LIVE}") == 3
    events = bench.file(".log.bpf").read_text().splitlines()
    assert sorted(line.split()[1] for line in events) == ["db-1", "db-2"]


def test_check_mode_writes_nothing_and_shows_the_plan(bench: Bench) -> None:
    screen = bench.play("--check").splitlines()
    assert "[2026-11-23 18:00:01] ✓ Docker found" in screen
    assert "KEY FINDINGS:" not in screen
    assert list(bench.reports.iterdir()) == []


@pytest.mark.full
def test_verbose_and_diff(bench: Bench) -> None:
    screen = bench.play("-v", "--diff").splitlines()
    for line in ("PLAY Run", "TASK Tell", "-a", "+b"):
        assert line in screen
    assert not any(line.startswith(("TASK", "-a")) for line in bench.file(".log").read_text().splitlines())


@pytest.mark.full
def test_large_record_stays_in_its_file(bench: Bench) -> None:
    sample = json.loads((DATA / "record-passed.json").read_text())
    sample["hosts"][0]["timeline"] *= 200
    large = bench.folder / "large.json"
    large.write_text(json.dumps(sample))
    assert_closed(bench.play(sample_file=str(large)).splitlines())  # its last task asserts the size
    assert len(records.load_record(str(bench.file(".json")))["hosts"][0]["timeline"]) == 2400


def test_hosts_without_a_record_are_in_the_report(bench: Bench) -> None:
    pairs = [["localhost", {}], ["db-2", {"outcome": "skipped", "reason": "No bcc here."}], ["db-3", {}]]
    screen = bench.play(without_record=pairs, judge=False).splitlines()
    record = records.load_record(str(bench.file(".json")))
    assert [(host["host"], host["outcome"]) for host in record["hosts"]] == [
        ("localhost", "passed"), ("db-2", "skipped"), ("db-3", "invalid")]  # fmt: skip
    assert record["verdicts"] == {"effect": "unknown", "hypothesis": "unknown", "restored": "unknown"}
    assert_closed(screen, "INVALID: 1 passed, 1 skipped, 1 invalid: db-3 (The host was not")


@pytest.mark.full
def test_progress_of_a_task_that_is_tried_again(bench: Bench) -> None:
    screen = bench.play(tries=3).splitlines()
    assert screen[3:6] == ["[2026-11-23 18:00:03] ✓ Looked"] * 3
    assert bench.file(".log").read_text().count("✓ Looked") == 3


def test_record_that_breaks_its_schema_is_kept_and_told(bench: Bench) -> None:
    sample = json.loads((DATA / "record-passed.json").read_text())
    sample["hosts"][0]["surplus"] = 1
    odd = bench.folder / "odd.json"
    odd.write_text(json.dumps(sample))
    command, environment = bench.command(PLAYBOOK, sample_file=str(odd))
    done = subprocess.run(
        command, env=environment, cwd=bench.folder, text=True, capture_output=True, timeout=120, check=False
    )
    told = " ".join((done.stdout + done.stderr).split())
    assert "What this host sent is no record of a host, and nothing of it is believed" in told
    assert "surplus is not part of a record" in told
    assert "OUTCOME: INVALID" in bench.file(".log").read_text()


@pytest.mark.full
def test_log_that_vanished_is_one_warning_and_no_end(bench: Bench) -> None:
    screen = bench.play(spoil=True).splitlines()
    assert len([line for line in screen if line.startswith("⚠ Report: ")]) == 1
    assert "KEY FINDINGS:" in screen
    assert bench.file(".xml").exists()
    assert not list(bench.reports.glob("*.log"))
    assert not [line for line in screen if line.startswith("log:")], "what is not there is not named"
    assert [line for line in screen if line.startswith("page:")]


BAD = """
- hosts: localhost
  gather_facts: false
  tasks:
    - exchange.chaos.report: {state: reserved, report_dir: /nowhere, number: 1, name: x}
      ignore_errors: true
    - exchange.chaos.report: {state: reserved, report_dir: /proc/version, number: 1, name: x}
      ignore_errors: true
    - exchange.chaos.report: {state: reserved, report_dir: /proc, number: 1, name: x}
      ignore_errors: true
    - exchange.chaos.report: {state: reserved, report_dir: /tmp, number: 1, name: x, at: noon}
      ignore_errors: true
    - exchange.chaos.report: {state: reserved, report_dir: /tmp, number: 1}
      ignore_errors: true
    - exchange.chaos.report: {state: rendered, record: ""}
      ignore_errors: true
    - exchange.chaos.report: {state: rendered, record: /nowhere.json}
      ignore_errors: true
    - exchange.chaos.report: {state: rendered, record: "{{ report_dir }}/old.json"}
      ignore_errors: true
    - exchange.chaos.report:
        state: written
        stem: "{{ report_dir }}/taken"
        hosts: "{{ item }}"
        run_id: r
        experiment: {number: 1, name: x, title: X}
        started_at: "2026-11-23T18:00:00.000Z"
        collection_version: "1"
      loop: ["{{ (lookup('file', sample_file) | from_json).hosts }}", [], [{host: a}], [a]]
      ignore_errors: true
"""


def test_bad_input_is_one_sentence_each(bench: Bench) -> None:
    playbook, victim = bench.folder / "bad.yml", bench.folder / "victim"
    playbook.write_text(BAD)
    (bench.reports / "old.json").write_text('{"schema_version": 7}')
    os.symlink(victim, bench.reports / "taken.json")
    screen = [re.sub(r"^\[[^]]+\] ⚠ ", "", line) for line in bench.play(playbook=playbook).splitlines()]
    assert len(screen) == 12
    wanted = [
        "The report folder /nowhere does not exist",
        "The report folder /proc/version is not a folder",
        "The report file /proc/chaos-exp-01-",
        "at is 'noon': a time in UTC like ",
        "state is reserved but all of the following are missing: name",
        "No record was named: add -e chaos_record=",
        "The record /nowhere.json cannot be read: No such file or directory.",
        f"The record {bench.reports}/old.json has schema_version 7, this collection reads version 1 only.",
        f"The report file {bench.reports}/taken.json is there already: nothing is overwritten.",
        "hosts must be the records of the hosts, one at least: there is nothing to write.",
        # a record of a host that is none is that host's affair: it is invalid, and the report is written
        f"The report file {bench.reports}/taken.json is there already: nothing is overwritten.",
        "hosts must be the records of the hosts, one at least: there is nothing to write.",
    ]
    for line, start in zip(screen, wanted):
        assert start in line
    assert not victim.exists()


def on_terminal(bench: Bench, **environment: str) -> str:
    """Play the run on a terminal of 100 columns and return what it was sent."""
    command, base = bench.command(PLAYBOOK)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(bench.folder)
        os.execve(command[0], command, {**base, "COLUMNS": "100", "TERM": "xterm", **environment})
    out = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # EIO is how Linux says that the other side is closed
            break
        if not piece:
            break
        out += piece
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, out.decode()
    return out.decode()


def test_terminal(bench: Bench) -> None:
    out = on_terminal(bench)
    assert out.count("\r\x1b[K") >= 3
    assert f"\r\x1b[K{LIVE}\r\x1b[K" in out.replace("\r\n", "\n")  # written over, not scrolled
    assert re.search(r"\x1b\[0;32m\[2026-11-23 18:00:01\] ✓ Docker found\x1b\[0m", out)
    lines = re.sub(r"\x1b\[[0-9;]*[mK]|\r", "", out).splitlines()
    assert max(len(line) for line in lines[lines.index("KEY FINDINGS:") : -5]) <= 100
    assert_closed([line for line in lines if line != "\x1b[?1h\x1b="])
    assert "\x1b" not in bench.file(".log").read_text()


@pytest.mark.parametrize("columns", [80, 160])
def test_nothing_is_wider_than_the_terminal_but_a_path(bench: Bench, columns: int) -> None:
    out = on_terminal(bench, COLUMNS=str(columns))
    # the live line is written over: what stands before and after it are lines of their own
    lines = re.sub(r"\x1b\[\??[0-9;]*[a-zA-Z=]|\x1b=", "", out.replace("\r", "\n")).splitlines()
    assert [line for line in lines if count_columns(line) > columns and "/" not in line] == []
    wide = max(count_columns(line) for line in lines[lines.index("KEY FINDINGS:") :] if "/" not in line)
    assert (wide > 110) == (columns > 110)
    assert any(line.startswith("  phase") and ("from" in line) == (columns > 100) for line in lines)


def test_terminal_without_colour(bench: Bench) -> None:
    out = on_terminal(bench, NO_COLOR="1")
    assert "✓ Docker found" in out
    assert not re.search(r"\x1b\[[0-9;]*m", out)
