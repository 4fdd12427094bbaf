# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load observer: orders at a set rate through the real API, whatever becomes of the exchange.

Runs as ``chaos.pyz load <run folder>`` and writes ``load.jsonl``. Latency counts from the instant an order was
meant to go out (``at``), so a stalled service cannot hide how long its clients waited. No order is sent twice.
What it costs, and how punctual it is: see tests/bench/load_cost.py, which measures it.
"""

from __future__ import annotations

from ...common import clock
from ...common.jsonl import Scribe
from ...exchange.database import access_of_run
from ...exchange.endpoints import Moved
from ...host.priority import be_prompt
from ...run import slow_host
from ...run.folder import RunDir
from ...run.lifespan import Lifespan
from .governor import Governor, Wanted
from .schedule import Schedule
from .sender import Sender

#: The loop looks at the timeline and has what has finished written this often, in seconds.
TICK_S = 0.03
#: Somebody waits for ``ready``: without an acknowledged order this long, say it all the same.
READY_S = 3.0
#: Beyond the client's time-out, for the last answers to be read (s).
_LAST_S = 0.5


def main(run: RunDir) -> int:
    """Send until told to stop; then wait for what is under way, at most one time-out, and write the summary."""
    be_prompt()
    life = Lifespan(run)
    wanted, moved = run.spec.order_load, Moved(run)
    load = Sender(wanted, access_of_run(run))
    scribe = Scribe(run.file("load.jsonl"))
    started = tick = clock.read()
    schedule = Schedule(run.spec.order_load, started)
    governor = Governor(Wanted.from_spec(run.spec), schedule)
    every = slow_host.observer_tick(run.spec, TICK_S)
    ready = False
    while not life.stopping:
        now = clock.read()
        if now >= tick:
            tick = now + every
            lines, marks = load.take(), life.marks()
            if moved.has_changed():
                load.move(moved.url_of(wanted))
            load.take_events(marks)
            for event in governor.tick(now, marks, lines, load.waiting_since):
                run.write_event(**event)
            scribe.write(*lines)
            if not ready and (load.acknowledged or now - started >= READY_S):
                run.register_process("load")
                ready = True
        for at, stream in schedule.due(now):
            load.send(at, stream)
        load.wait(min(schedule.next, tick) - clock.read())
    until = clock.read() + run.spec.client_timeout_s + _LAST_S
    while load.in_flight and clock.read() < until:
        load.wait(until - clock.read())
        scribe.write(*load.take())
    scribe.write(*load.take(), {"summary": load.summary()})
    scribe.close()
    return 0
