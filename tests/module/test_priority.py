# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that must be on time is put before the others, and falls back among them when it does not sleep."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.host import priority


def _work(answers: Connection) -> None:
    priority.be_prompt()
    before = os.sched_getscheduler(0)
    until = time.monotonic() + 2
    while time.monotonic() < until and os.sched_getscheduler(0) != os.SCHED_OTHER:
        pass
    answers.send((before, os.sched_getscheduler(0), time.monotonic() < until))


@pytest.mark.skipif(os.geteuid() != 0, reason="the realtime class needs root")
def test_a_prompt_process_that_does_not_sleep_is_an_ordinary_one_again() -> None:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(theirs,))
    process.start()
    assert mine.poll(10)
    before, after, soon = mine.recv()
    process.join()
    if before == os.SCHED_OTHER:
        pytest.skip("this kernel gives the realtime class to nobody in this cgroup")
    assert before & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
    assert (after, soon) == (os.SCHED_OTHER, True)
