# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observer: the engine's own events of the project's containers as they happen; the gauges, and memory's use.

A start is written with the new main process and addresses, so that the other observers find the target again.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from http.client import HTTPException

from ..common import bounds, clock
from ..common.errors import ChaosError
from ..common.jsonl import Writer
from ..common.shapes import Line
from ..exchange.endpoints import write_moved
from ..faults import planning
from ..host.docker_engine import DockerEngine, Event, load_sdk
from ..run import timeline
from ..run.folder import RunDir
from ..run.lifespan import Lifespan
from .gauges import Gauges

_SHOWN = ("die", "start", "stop", "kill", "oom", "restart", "create", "destroy", "pause", "unpause")
_HEALTH = "health_status"
#: So many events are known again when they are told twice: an engine keeps 256.
_REMEMBERED = 1024
#: An engine that is gone is asked again so often (s).
_PAUSE_S, _SHORT_S = 0.25, 5.0


def main(run: RunDir) -> int:
    """Follow the events until the run ends. Returns 1, and tells why, when they cannot be followed any more."""
    life = Lifespan(run)
    follower = EventFollower(run, Writer(run.file("engine.jsonl")))
    said: list[str] = []
    thread = threading.Thread(target=_follow_or_tell, args=(follower, life, said), daemon=True)
    engine = DockerEngine.connect_for(run)
    follower.engine = engine
    thread.start()
    gauges = Gauges(run)
    planning.start_samplers(run)
    run.register_process("events")
    while not life.stopping and thread.is_alive():
        gauges.take_events(life.marks())
        time.sleep(0.1)
    follower.end()
    if said:
        sys.stderr.write(f"{said[0]}\n")
    return len(said)


def _follow_or_tell(follower: EventFollower, life: Lifespan, said: list[str]) -> None:
    """Follow the events; what ends that goes into ``said``, since nobody waits for a thread's exception."""
    try:
        while not life.stopping:
            follower.follow()
            follower.connect_anew(life)
    except ChaosError as error:
        said.append(str(error))


class EventFollower:
    """Follows an engine's events, and the next one's where that was started anew; what nobody saw is told.

    An engine that ends the stream may have been restarted: what happened until it answers again is in no stream. What
    it tells twice, as it is asked from where the last one stopped, is written once.
    """

    def __init__(self, run: RunDir, writer: Writer, engine: DockerEngine | None = None) -> None:
        """``engine``: connected by :meth:`connect_anew` where there is none yet."""
        self.engine = engine
        self._run, self._writer = run, writer
        self._since = run.anchor.realtime
        self._blind_since: float | None = None
        self._connected: float | None = None
        self._pause = _PAUSE_S
        self._written: deque[tuple[float, str, str]] = deque(maxlen=_REMEMBERED)

    def follow(self) -> None:
        """Write the events until their stream ends, or the disk refuses one, which is then asked for again.

        Raises ChaosError for an engine whose answers are none.
        """
        anchor, engine = self._run.anchor, self.engine
        if engine is None:
            return
        try:
            for event in engine.events(self._run.spec.project, self._since, (*_SHOWN, _HEALTH)):
                known = (event.at, event.container_id, event.action)
                if known in self._written or not event.action.startswith((*_SHOWN, _HEALTH)):
                    continue
                # by the clocks as they stand: the host's may have been set since the run began
                at = clock.take_anchor().boot(event.at)
                if at >= anchor.boottime:
                    self._written.append(known)
                    self._writer.write(_line(event, at, engine))
                    if event.action == "start":
                        # the others learn of a new address by this; where it fails they ask on where it was
                        with contextlib.suppress(ChaosError, OSError):
                            write_moved(self._run, engine)
        except OSError:
            self._written.pop()
        except ChaosError as error:
            self._lose_sight()
            if not _is_lost(error.__cause__):
                raise
        self._lose_sight()
        if self._run.file("engine.jsonl").stat().st_size > bounds.ENGINE_EVENTS:
            raise ChaosError(f"The engine's events are more than {bounds.format_size(bounds.ENGINE_EVENTS)}.")

    def connect_anew(self, life: Lifespan) -> None:
        """Wait until the engine answers again, or the run is over, and tell what was not seen in between."""
        # one that goes on ending its streams at once is asked more and more seldom
        short = self._connected is not None and clock.read() - self._connected < _SHORT_S
        self._pause = min(2 * self._pause, _SHORT_S) if short else _PAUSE_S
        self.engine = None
        while self.engine is None and not life.stopping:
            time.sleep(self._pause)
            with contextlib.suppress(ChaosError):
                self.engine = DockerEngine.connect_for(self._run)
        self._connected = clock.read()
        self.end()

    def end(self) -> None:
        """Tell for how long the events were not seen, if they were not."""
        since, self._blind_since = self._blind_since, None
        if since is not None:
            now = clock.read()
            self._run.note(timeline.EVENTS_UNSEEN, since=since, until=now)
            said = f"The engine's events were not seen for {now - since:.1f} s: it was gone, or ended their stream."
            self._run.say("warn", said, "observe")

    def _lose_sight(self) -> None:
        if self._blind_since is None:
            self._blind_since = clock.read()
            # from a second before, as it counts in whole ones
            self._since = time.time() - 1.0


def _is_lost(error: BaseException | None) -> bool:
    """Return whether an engine's answer ended with its connection, in the words of whichever library read it."""
    if isinstance(error, (OSError, HTTPException, load_sdk().errors.DockerException)):
        return True
    return type(error).__module__.startswith("urllib3")


def _line(event: Event, at: float, engine: DockerEngine) -> Line:
    line: Line = {
        "t": at,
        "service": event.service,
        "container": event.name,
        "id": event.container_id,
        "action": event.action,
        "exit_code": event.exit_code,
    }
    if event.signal:
        line["signal"] = event.signal
    container = engine.inspect(event.container_id) if event.action == "start" else None
    if container is not None:
        line.update(
            pid=container.pid, addresses=list(container.addresses.values()), started_at=container.started_at
        )
    return line
