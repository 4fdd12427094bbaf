# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application itself logged after a fault: the first line that names the failing dependency."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from ..common.clock import Anchor
from ..evidence.log_lines import is_complaint
from ..evidence.named_cause import cause_pattern
from ..host.docker_engine import DockerEngine
from ..run import timeline
from ..run.folder import RunDir
from ..run.specification import FaultSpec

_LINE_CHARS = 300


def collect_first_lines(run: RunDir) -> None:
    """Read the API's log through the engine and write, per fault, the first complaint that names its dependency.

    What names it, :mod:`..evidence.named_cause` says, and what is a complaint :mod:`..evidence.log_lines`. Read is what
    came from the fault on. A null line says that the log held none; ``whole`` is false where more came than was read.
    """
    known = run.read_timeline()
    injected = known.injections()
    if not injected or known.app_logs():
        return
    engine, anchor = DockerEngine.connect_for(run), run.anchor
    api = engine.containers(run.spec.project, run.spec.services["api"])
    for event in injected:
        logs = [engine.logs(one.id, tail="all", since=anchor.wall(event["t"]) - 1) for one in api]
        lines = split_stamps([line for log in logs for line in log.lines], anchor)
        fault = run.spec.fault(event["fault"]) or FaultSpec(target=str(event.get("target", "")))
        words = cause_pattern(run.spec, fault).pattern
        logged_at, text = find_first(lines, words, event["t"]) or (None, None)
        run.write_event(
            timeline.APP_LOG,
            fault=event["fault"],
            logged_at=logged_at,
            line=text and text[:_LINE_CHARS],
            whole=all(log.whole for log in logs),
        )


def split_stamps(lines: Sequence[str], anchor: Anchor) -> list[tuple[float, str]]:
    """Split the engine's time stamps off and return (boottime, text), oldest first; lines without one are left out."""
    found = []
    for line in lines:
        head, _space, text = line.partition(" ")
        whole, _point, fraction = head.rstrip("Z").partition(".")
        try:
            epoch = datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
        except ValueError:
            continue
        found.append((anchor.boottime + epoch - anchor.realtime, text))
    return sorted(found)


def find_first(lines: Sequence[tuple[float, str]], words: str, after: float) -> tuple[float, str] | None:
    """Return the first complaint from boottime ``after`` on that matches ``words``."""
    pattern = re.compile(words, re.IGNORECASE)
    return next(
        (line for line in lines if line[0] >= after and is_complaint(line[1]) and pattern.search(line[1])),
        None,
    )
