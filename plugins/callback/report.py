# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback that writes the report files of a run while it goes on."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: aggregate
short_description: Writes the report files of chaos experiments as they run
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Follows the results of the tasks and appends to the log and to the kernel events of the run, line by line, so that
    a run that is interrupted still has its log. When the record is written, it adds the report and the JUnit file.
  - The files are those that M(exchange.chaos.report) reserved. Without one it does nothing.
  - With a screen callback other than P(exchange.chaos.console#callback) it also shows the report after the recap.
requirements:
  - enable in configuration
options:
  width:
    description: The longest line of the report's last part.
    type: int
    default: 110
    env:
      - name: EXCHANGE_CHAOS_REPORT_WIDTH
    ini:
      - section: callback_exchange_chaos_report
        key: width
"""

from collections.abc import Callable
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import presence
from ansible_collections.exchange.chaos.plugins.plugin_utils.live.follow import Follower
from ansible_collections.exchange.chaos.plugins.plugin_utils.live.results import Result, believe_result
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import text
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import escape_line


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is untyped
    """Thin: what a result means and where it is written is :class:`Follower`'s business."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "exchange.chaos.report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._follower = Follower()
        self._complaints: set[str] = set()

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self._follower.width = max(40, int(self.get_option("width")))

    def v2_playbook_on_start(self, playbook: Any) -> None:
        presence.note_presence(presence.REPORT)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._follower.hosts.note_host(host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._guarded(self._follower.take_result, _host(result), _told(result))

    v2_runner_on_skipped = v2_runner_on_ok
    v2_runner_item_on_ok = v2_runner_on_ok
    v2_runner_item_on_skipped = v2_runner_on_ok
    v2_runner_retry = v2_runner_on_ok
    v2_runner_on_async_poll = v2_runner_on_ok

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if "results" not in result._result:  # of a loop, each item was told already
            self._guarded(self._follower.take_failure, _host(result), _told(result), ignored=ignore_errors)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._guarded(
            self._follower.take_failure,
            _host(result),
            _told(result),
            ignored=bool(result._task.ignore_errors),
        )

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._guarded(self._follower.take_failure, _host(result), _told(result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._guarded(self._follower.take_end)
        if self._follower.last and not presence.is_present(presence.CONSOLE):
            record, files = self._follower.last
            self._guarded(self._show, text.render_report(record, files, self._follower.width, brief=True))

    def _show(self, lines: list[str]) -> None:
        self._display.display("\n".join(lines))

    def _guarded(self, act: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Call ``act``; whatever goes wrong is one line on the screen, once, and never an end of the run."""
        try:
            act(*args, **kwargs)
        except Exception as error:
            complaint = f"⚠ Report: {escape_line(error) or type(error).__name__}"
            if complaint not in self._complaints:
                self._complaints.add(complaint)
                self._display.display(complaint)


def _told(result: Any) -> Result:
    task = result._task
    return believe_result(task.resolved_action or task.action, result._result)


def _host(result: Any) -> str:
    return str(result._host.get_name())
