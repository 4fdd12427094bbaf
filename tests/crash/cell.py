"""One cell of the matrix, live: run an experiment to a step, break it there, see who cleans the machine, and when."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.crash import photograph
from tests.crash.cover import EXPERIMENTS, Cell
from tests.crash.crashes import (
    CRASHES,
    Crash,
    Scene,
    kill_play,
    lift_read_only,
    own_file_system,
    processes_of_runs,
)
from tests.e2e import live, support

EVIDENCE = support.ROOT / ".cache" / "crash"
#: Nobody waits longer for a step to be reached, for a run to end in order, for a host to clean itself (s): the longest
#: window, its margin, the lease, the end of a run on a busy machine.
_REACHED_S, _ENDED_S, _CLEAN_S = 120.0, 240.0, 120.0
#: So long nobody of a run lives, and then nobody of it cleans anything any more (s).
_GONE_S = 4.0
_SETTLE_S = 20.0

#: How each step is seen to be reached: by what has happened, as the run's own files tell it.
SIGNS: dict[str, Callable[[Signs], bool]]


@dataclass(frozen=True)
class Signs:
    """What a run has written so far: its log beside the report, its events on the host."""

    log: str
    events: list[dict[str, Any]]

    def has(self, event: str, **fields: str) -> bool:
        """Return whether there was such an event."""
        return any(
            each.get("event") == event and all(each.get(key) == value for key, value in fields.items())
            for each in self.events
        )

    def says(self, text: str) -> bool:
        """Return whether the run said something that begins so."""
        return any(str(each.get("text", "")).startswith(text) for each in self.events)

    def window_over(self) -> bool:
        """Return whether the window of the first fault is over."""
        injected = [each.get("fault") for each in self.events if each.get("event") == "fault_injected"]
        return bool(injected) and self.has("phase_end", id=str(injected[0]))


SIGNS = {
    "preflight": lambda signs: "Plan: " in signs.log,
    "capture": lambda signs: signs.says("Snapshot taken"),
    "baseline": lambda signs: signs.has("phase", id="baseline"),
    "before injection": lambda signs: signs.has("fault_imminent"),
    "window": lambda signs: signs.has("fault_injected"),
    "undo": Signs.window_over,
    "recovery": lambda signs: signs.has("fault_undone"),
    "record": lambda signs: signs.has("finishing"),
}


@dataclass(frozen=True)
class Result:
    """What became of a cell. ``by``: who cleaned the machine; ``seconds``: how long after the crash it was clean."""

    experiment: int
    step: str
    crash: str
    by: str
    seconds: float
    outcome: str
    left: tuple[str, ...]
    wrong: tuple[str, ...]
    run: str
    commit: str

    @property
    def cell(self) -> Cell:
        """Return its place."""
        return Cell(self.experiment, self.step, self.crash)

    @property
    def ok(self) -> bool:
        """True when nothing was left, and nothing else was wrong."""
        return not self.left and not self.wrong


class Unreached(Exception):
    """A run did not come to the step at which it was to be broken."""


def _now() -> str:
    return f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}"


def read_signs(reports: Path) -> Signs:
    """Return what a run has written so far."""
    log = "".join(path.read_text(errors="replace") for path in reports.glob("chaos-exp-*.log"))
    events = []
    for path in support.STATE.glob("runs/*/timeline.jsonl"):
        with contextlib.suppress(OSError):
            for line in path.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):  # a line that is being written
                    events.append(json.loads(line))
    return Signs(log, events)


def can_begin(number: int, said: str) -> bool:
    """Return whether a preflight found the host clean, and found it ready for an experiment."""
    ready = re.search(rf"^{number:02d}  .*?(✓ ready|⚠ degraded)", said, re.M)
    return "✓ The host is clean;" in said and ready is not None


def run_cell(cell: Cell, commit: str) -> Result:
    """Run a cell and keep its evidence in a folder of its own. Raises AssertionError when it cannot even begin."""
    folder = EVIDENCE / cell.name
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.mkdir(parents=True)
    crash = CRASHES[cell.crash]
    support.wait_for(lambda: not support.leftovers(), 120, "the host is not clean before the cell")
    live.ready()
    with contextlib.ExitStack() as stack:
        stack.callback(lift_read_only)
        if crash.mount is not None:
            stack.enter_context(own_file_system(crash.mount(folder / "reports")))
        try:
            result = _Live(cell, crash, folder, commit).run()
        except Unreached as error:
            support.ansible("playbooks/halt.yml")
            result = Result(*astuple(cell), "nobody", 0.0, "no crash", (), (str(error),), _now(), commit)
        except BaseException:
            support.ansible("playbooks/halt.yml")
            raise
        finally:
            _copy_records(folder)
            if crash.mount is not None:  # what lies on it goes with it
                subprocess.run(
                    ["cp", "-r", str(folder / "reports"), str(folder / "reports-kept")], check=False
                )
    (folder / "result.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    return result


def _copy_records(folder: Path) -> None:
    """Keep what waits on the host: the records of runs, and the folders of those that are not ended."""
    for name in ("runs", "records"):
        if (support.STATE / name).is_dir():
            subprocess.run(["cp", "-r", str(support.STATE / name), str(folder / name)], check=False)


class _Live:
    """One cell under way."""

    def __init__(self, cell: Cell, crash: Crash, folder: Path, commit: str) -> None:
        self._cell, self._crash, self._folder, self._commit = cell, crash, folder, commit
        self._experiment = EXPERIMENTS[cell.experiment]
        self._reports = folder / "reports"
        self._reports.mkdir(exist_ok=True)
        self._wrong: list[str] = []
        self._lifted = crash.lift is None
        self._crashed_at = self._seen_at = 0.0

    def run(self) -> Result:
        """Run the experiment to its step, break it, and see what becomes of the machine."""
        begun = _now()
        before = photograph.take()
        with (self._folder / "play.out").open("wb") as output:
            play = self._start(output)
        scene = Scene(play, self._experiment.target, self._reports)
        try:
            self._reach(play)
            self._crashed_at = self._seen_at = time.monotonic()
            self._crash.do(scene)
            self._await_end(scene)
            by, left = self._clean(scene, before)
        finally:
            self._lift(scene)
            if play.poll() is None:
                kill_play(scene)
        seconds = self._seen_at - self._crashed_at
        if not left:
            self._require_next()
        self._write("left.json", left)
        return Result(
            *astuple(self._cell), by, round(seconds, 1), self._outcome(scene), tuple(left), tuple(self._wrong), begun,
            self._commit,
        )  # fmt: skip

    def _start(self, output: Any) -> subprocess.Popen[bytes]:
        variables = {**support.QUICK, **self._experiment.variables, "chaos_report_dir": str(self._reports)}
        return subprocess.Popen(
            support.command(self._experiment.playbook, **variables), cwd=support.ROOT, env=support.environment(),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def _reach(self, play: subprocess.Popen[bytes]) -> None:
        sign = SIGNS[self._cell.step]
        until = time.monotonic() + _REACHED_S
        while not sign(read_signs(self._reports)):
            if play.poll() is not None or time.monotonic() > until:
                raise Unreached(f"the run did not come to the step {self._cell.step}")
            time.sleep(0.02)

    def _await_end(self, scene: Scene) -> None:
        """Wait for a play that was not broken itself; its owner does meanwhile what no run can."""
        until = time.monotonic() + _ENDED_S
        while scene.play.poll() is None:
            if time.monotonic() - self._crashed_at > self._crash.after:
                self._lift(scene)
            if time.monotonic() > until:
                self._wrong.append("the play did not end")
                return
            time.sleep(0.2)

    def _lift(self, scene: Scene) -> None:
        if not self._lifted and self._crash.lift is not None:
            self._lifted = True
            self._crash.lift(scene)

    def _clean(self, scene: Scene, before: dict[str, Any]) -> tuple[str, list[str]]:
        """Return who cleaned the machine, and what nobody did."""
        host = "host" if self._crash.ends_play or support.leftovers() else "play"
        if not self._lifted:
            # what its owner does by the clock is an exchange that is not whole, such as a paused container
            if self._crash.after == float("inf"):
                self._require_exchange_whole(before)
            self._lift(scene)
        self._await_quiet()
        if not self._look(before, host):
            return host, []
        for by in ("preflight", "halt"):
            done = support.ansible(f"playbooks/{'00-preflight' if by == 'preflight' else by}.yml")
            (self._folder / f"{by}.out").write_text(done.stdout)
            self._require_words(by, done.stdout)
            if not self._look(before, by):
                return by, []
        return "nobody", self._look(before, "nobody")

    def _await_quiet(self) -> None:
        """Wait until nothing of a run is there any more, or nobody lives who could take it away."""
        until, gone = time.monotonic() + _CLEAN_S, 0.0
        while support.leftovers() and time.monotonic() < until:
            if processes_of_runs():
                gone = 0.0
            elif not gone:
                gone = time.monotonic()
            elif time.monotonic() - gone > _GONE_S:
                return
            time.sleep(0.2)

    def _look(self, before: dict[str, Any], name: str) -> list[str]:
        left, self._seen_at = self._differences(before, 0.0 if support.leftovers() else _SETTLE_S)
        self._write(f"after-{name}.json", left)
        return left

    def _differences(self, before: dict[str, Any], within: float) -> tuple[list[str], float]:
        def alike(seen: dict[str, Any]) -> dict[str, Any]:
            made_anew = self._crash.makes_anew
            return photograph.made_anew(seen, self._experiment.target) if made_anew else seen

        return photograph.settled(before, within, alike)

    def _require_exchange_whole(self, before: dict[str, Any]) -> None:
        """The exchange is as it was before the owner has done anything: an undo needs no disk."""
        of_the_run = ("ours", "processes", "socket names", "files", "mounts", "kernel programs")
        left: list[str] = []

        def whole() -> bool:
            nonlocal left
            found, _ = self._differences(before, 0.0)
            left = [line for line in found if not line.startswith(of_the_run)]
            return not left

        try:
            support.wait_for(whole, _CLEAN_S, "it is not")
        except AssertionError:
            self._wrong += [f"while it lasted: {line}" for line in left]

    def _require_next(self) -> None:
        """The next experiment can begin."""
        for service in live.SERVICES:
            support.healthy(service)
        done = support.ansible("playbooks/00-preflight.yml")
        (self._folder / "next.out").write_text(done.stdout)
        self._require_words("the next preflight", done.stdout)
        if done.returncode or not can_begin(self._cell.experiment, done.stdout):
            self._wrong.append("the next preflight was not content")

    def _require_words(self, what: str, text: str) -> None:
        if "Traceback (most recent call last)" in text:
            self._wrong.append(f"{what} showed a traceback")

    def _outcome(self, scene: Scene) -> str:
        """Return what the run says of itself, in its report or in the record on the host; and if nothing was broken."""
        nothing = f" ({scene.came_to_nothing})" if scene.came_to_nothing else ""
        self._require_words("the play", (self._folder / "play.out").read_text(errors="replace"))
        found = [*self._reports.glob("chaos-exp-*.json"), *support.STATE.glob("records/*/record.json")]
        for path in found:
            with contextlib.suppress(OSError, ValueError):
                return f"{json.loads(path.read_text())['outcome']}{nothing}"
        return f"no record{nothing}"

    def _write(self, name: str, left: list[str]) -> None:
        (self._folder / name).write_text(json.dumps(left, indent=1) + "\n")
