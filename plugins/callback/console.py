# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen of a run: time-stamped lines as they come, one live line while it waits, the report at the end."""

from __future__ import annotations

DOCUMENTATION = r"""
name: console
type: stdout
short_description: Shows a chaos experiment as the people who run it want to see it
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Shows the lines that the experiment has for people, a live line while it observes, and the report at the end.
  - Keeps quiet about tasks that went well. A task that failed, or a host that cannot be reached, is one sentence.
  - C(-v) adds the names of the tasks, C(-vv) their results, C(--diff) the differences they made or would make.
requirements:
  - set as stdout in configuration
options:
  width:
    description: Width of the screen. 0 asks the terminal, and is 110 where there is none.
    type: int
    default: 0
    env:
      - name: EXCHANGE_CHAOS_CONSOLE_WIDTH
    ini:
      - section: callback_exchange_chaos_console
        key: width
"""

import os
import shutil
import sys
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import presence
from ansible_collections.exchange.chaos.plugins.plugin_utils.live.results import (
    HIDDEN,
    Hosts,
    believe_result,
    failure_sentence,
    is_hidden,
    read_finished,
    read_mapping,
    says_already,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.live.screen import LiveLine, progress_line
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import Record, RecordError
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import existing_paths
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import text
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.ending import WIDTH
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import (
    escape_line,
    log_line,
    utc_now,
    wrap_line,
)

_COLOURS = {
    "ok": constants.COLOR_OK,
    "warn": constants.COLOR_WARN,
    "fail": constants.COLOR_ERROR,
    "✓": constants.COLOR_OK,
    "🚨": constants.COLOR_ERROR,
    "?": constants.COLOR_WARN,
}


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is untyped
    """Thin: what a line says is decided in plugin_utils; whether it has a colour is Ansible's business."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "exchange.chaos.console"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hosts = Hosts()
        self._live = LiveLine(tty=sys.stdout.isatty(), width=WIDTH)
        self._width = WIDTH
        self._report: tuple[Record, dict[str, str]] | None = None
        self._told_hidden = False

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        wanted = int(self.get_option("width"))
        screen = shutil.get_terminal_size((WIDTH, 24)).columns if self._live.tty else WIDTH
        self._live.width = max(40, wanted or screen)
        self._width = max(40, wanted or screen)

    # What is shown

    def _say(self, line: str, colour: str | None = None) -> None:
        erase = self._live.clear()
        if erase:
            self._display.display(erase, newline=False, screen_only=True)
        # a terminal would break a line in the middle of a word, and a table's row anywhere
        for part in wrap_line(line, self._width) if self._live.tty else [line]:
            self._display.display(part, color=colour)

    def _result(self, result: Any) -> None:
        """Show what a result has for people, whether it is good or bad."""
        task = result._task
        host = str(result._host.get_name())
        data = believe_result(task.resolved_action or task.action, result._result)
        if is_hidden(data) and not self._told_hidden:
            self._told_hidden = True
            self._say(log_line(utc_now(), "warn", HIDDEN, ""), _COLOURS["warn"])
        report = read_mapping(data, "chaos_report")
        if report.get("state") in ("reserved", "planned"):
            self._show_report()
            self._hosts.set_names(report.get("hosts"))
        for level, line in self._hosts.lines(host, data):
            self._say(line, _COLOURS.get(level))
        state = read_mapping(data, "chaos_progress")
        if state:
            line = self._live.update(progress_line(state, self._hosts.label(host)))
            self._display.display(line, newline=False, screen_only=self._live.tty)
        if result._task.action in constants._ACTION_DEBUG and "msg" in data:
            self._debug(data["msg"])
        try:
            self._report = read_finished(data) or self._report
        except RecordError as error:
            self._say(f"⚠ {error}", constants.COLOR_WARN)
        self._handle_warnings(data)
        if self._display.verbosity > 1:
            self._say(f"{host} => {self._dump_results(data)}", constants.COLOR_VERBOSE)

    def _debug(self, value: Any) -> None:
        for each in value if isinstance(value, (list, tuple)) else [value]:
            for line in (
                (str(each).splitlines() or [""]) if isinstance(each, str) else [self._dump_results(each)]
            ):
                self._say(escape_line(line) if line.strip() else "")

    def _failure(self, result: Any, level: str) -> None:
        """Show in one sentence why a task did not do what it should."""
        sentence = failure_sentence(result._result)
        if not says_already(result._result, sentence):
            label = self._hosts.label(str(result._host.get_name()))
            self._say(log_line(utc_now(), level, sentence, label), _COLOURS[level])
        if self._display.verbosity:
            self._say(f"    in task: {escape_line(result._task.get_name())}", constants.COLOR_VERBOSE)

    def _show_report(self) -> None:
        if self._report is None:
            return
        (record, files), self._report = self._report, None
        there = {kind: path for kind, path in files.items() if os.path.lexists(path)}
        if files:
            there.update(existing_paths(_stem(files)))
        lines = text.render_report(record, there, self._width, brief=True)
        for line in lines:
            self._say(line, _colour(line))

    # What Ansible calls

    def v2_playbook_on_start(self, playbook: Any) -> None:
        presence.note_presence(presence.CONSOLE)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._show_report()
        if self._display.verbosity:
            self._say(f"PLAY {escape_line(play.get_name())}", constants.COLOR_HIGHLIGHT)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self._display.verbosity:
            self._say(f"TASK {escape_line(task.get_name())}", constants.COLOR_VERBOSE)

    v2_playbook_on_cleanup_task_start = v2_playbook_on_task_start

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._say(
            "⚠ No host of the inventory is meant by this play: see `hosts` and --limit.", constants.COLOR_WARN
        )

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        self._say("✗ No host is left to go on with.", constants.COLOR_ERROR)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._hosts.note_host(host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result)

    v2_runner_on_skipped = v2_runner_on_ok
    v2_runner_item_on_ok = v2_runner_on_ok
    v2_runner_item_on_skipped = v2_runner_on_ok
    v2_runner_retry = v2_runner_on_ok

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result)
        if "results" not in result._result:  # of a loop, each item was told already
            self._failure(result, "warn" if ignore_errors else "fail")

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._result(result)
        self._failure(result, "warn" if result._task.ignore_errors else "fail")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._failure(result, "warn" if result._task.ignore_unreachable else "fail")

    def v2_on_file_diff(self, result: Any) -> None:
        for each in result._result.get("results") or [result._result]:
            shown = self._get_diff(each["diff"]) if isinstance(each, dict) and each.get("diff") else ""
            if shown:
                self._say(shown.rstrip("\n"))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._display.verbosity:
            for host in sorted(stats.processed):
                counts = ", ".join(
                    f"{number} {name}" for name, number in stats.summarize(host).items() if number
                )
                self._say(f"{host}: {counts}", constants.COLOR_VERBOSE)
        self._show_report()
        erase = self._live.clear()
        if erase:
            self._display.display(erase, newline=False, screen_only=True)


def _stem(files: dict[str, str]) -> str:
    return files.get("log", files.get("json", "")).rpartition(".")[0]


def _colour(line: str) -> str | None:
    """Return the colour of a line of the report, by the mark in it."""
    return next(
        (colour for mark, colour in _COLOURS.items() if line.endswith(f" {mark}") or f" {mark} " in line),
        None,
    )
