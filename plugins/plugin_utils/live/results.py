# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task's result tells of a run: the keys that our modules set, read with suspicion.

Results come from hosts under test and from other people's modules, so nothing here takes their shape for granted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...module_utils.common.shapes import Line, is_number
from ..record.clocks import correct_time
from ..record.read import Record, read_any
from ..words import escape_line, log_line
from .no_access import explain_access
from .refusals import explain_refusal

Result = Mapping[str, Any]


_FILTER = re.compile(r"The filter plugin 'exchange\.chaos\.\w+' failed: (?P<said>.+)", re.DOTALL)
#: What alone may say that a report is reserved or written, and speak for the controller or for another host.
CONTROLLERS = frozenset(f"exchange.chaos.{name}" for name in ("collect", "gate", "report", "targets"))
_CONTROLLERS_WORD = ("chaos_report", "chaos_record")


def believe_result(action: object, result: Result) -> Result:
    """Return a result without what only an action that works on the controller may say.

    All else comes from hosts: one that is not what it seems could have lines written into other files of ours, show a
    record of its own making as that of the run, or speak in another host's name. ``action``: the task's, in full.
    """
    if action in CONTROLLERS:
        return result
    kept = {key: value for key, value in result.items() if key not in _CONTROLLERS_WORD}
    if "chaos_lines" in kept:
        kept["chaos_lines"] = leave_host_out(read_dicts(result, "chaos_lines"))
    return kept


def leave_host_out(lines: Iterable[Result]) -> list[Line]:
    """Return lines for people that are of nobody but the host whose result they are in."""
    return [{key: value for key, value in line.items() if key != "host"} for line in lines]


def read_dicts(result: Result, key: str) -> list[Mapping[str, Any]]:
    """Return the dictionaries in the list ``result[key]``; none if it is anything else."""
    value = result.get(key)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, (list, tuple)) else []


def read_mapping(result: Result, key: str) -> Mapping[str, Any]:
    """Return the dictionary ``result[key]``; an empty one if it is anything else."""
    value = result.get(key)
    return value if isinstance(value, Mapping) else {}


def failure_sentence(result: Result) -> str:
    """Return the one sentence that a failed or unreachable result has for people."""
    known = _not_ours(result)
    if known:
        return known
    value = (
        explain_refusal(result)
        or _without_frame(result.get("msg"))
        or result.get("reason")
        or "failed without a message"
    )
    text = escape_line(" ".join(map(str, value)) if isinstance(value, (list, tuple)) else value)
    # A module that broke, a command that failed: what it said last tells more than that it did.
    said = str(
        result.get("module_stderr") or result.get("module_stdout") or result.get("stderr") or ""
    ).strip()
    if said:
        text = f"{text}: {escape_line(said.splitlines()[-1])}"
    return text


HIDDEN = (
    "What tasks answer is hidden by no_log; take no_log from the play, ansible.cfg and the environment "
    "(ANSIBLE_NO_LOG) to see it."
)


def is_hidden(result: Result) -> bool:
    """Return whether Ansible keeps to itself what a task answered."""
    return "censored" in result and "msg" not in result


def _not_ours(result: Result) -> str:
    """Return the sentence for a failure that comes before any of our code, with what would help; empty for another."""
    if is_hidden(result):
        return f"It failed. {HIDDEN}"
    return explain_access(result)


def _without_frame(message: object) -> object:
    """Return what a filter of ours said, without Ansible's frame, in which it stands twice, with what was templated."""
    found = _FILTER.search(message) if isinstance(message, str) else None
    if found is None:
        return message
    said = found.group("said")
    heads = (said[: colon.start()] for colon in re.finditer(": ", said))
    return next((head for head in heads if said[len(head) + 2 :].startswith(head)), said)


def says_already(result: Result, text: str) -> bool:
    """Return True if the result's own lines say ``text`` already."""
    return any(escape_line(line.get("text", "")) == text for line in read_dicts(result, "chaos_lines"))


def read_finished(result: Result) -> tuple[Record, dict[str, str]] | None:
    """Return the record and the files of a result of the report action (written or rendered), None of any other.

    The record is read from its file: what the result carries may be shortened. It is not held against its schema
    again: the action has done so, and a report of an odd record is worth more than none. Raises RecordError if it
    cannot be read.
    """
    carried = result.get("chaos_record")
    if not isinstance(carried, Mapping):
        return None
    files = {str(kind): str(path) for kind, path in read_mapping(result, "files").items()}
    return (read_any(files["json"]) if "json" in files else dict(carried)), files


class Hosts:
    """Whether there are several hosts, and so each line must name its own."""

    def __init__(self) -> None:
        self._named: set[str] = set()
        self._seen: set[str] = set()
        self._offsets: dict[str, float] = {}

    def set_names(self, hosts: object) -> None:
        """Take the hosts that the report action was told of: from here on they alone count."""
        self._named = {str(host) for host in hosts} if isinstance(hosts, (list, tuple)) else set()

    def note_host(self, host: str) -> None:
        """Note that a task ran on ``host``; the controller's own tasks run on localhost."""
        if host != "localhost":
            self._seen.add(host)

    def note_clock(self, host: str, result: Result) -> None:
        """Take the offset of a host's clock (``chaos_clock``, milliseconds ahead) from the result that measured it."""
        offset = read_mapping(result, "chaos_clock").get("offset_ms")
        if is_number(offset):
            self._offsets[host] = float(offset)

    @property
    def offsets(self) -> dict[str, float]:
        """Return the offsets known by now; none for a host alone, whose times stand beside no others."""
        return dict(self._offsets) if len(self._named or self._seen) > 1 else {}

    def label(self, host: str) -> str:
        """Return ``host`` if lines must name it, an empty text if there is but one or it is the controller."""
        if self._named and host not in self._named:
            return ""
        return host if len(self._named or self._seen) > 1 else ""

    def lines(self, host: str, result: Result) -> Iterable[tuple[str, str]]:
        """Yield level and text of each line that a result has for people, of several hosts at the controller's time."""
        self.note_clock(host, result)
        for line in read_dicts(result, "chaos_lines"):
            # an empty host is nobody's: the controller speaks of all of them
            label = "" if line.get("host") == "" else self.label(str(line.get("host") or host))
            yield (
                str(line.get("level")),
                log_line(
                    correct_time(str(line.get("at")), self.offsets.get(host, 0.0)),
                    line.get("level"),
                    line.get("text", ""),
                    label,
                ),
            )
