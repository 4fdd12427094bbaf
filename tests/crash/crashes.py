"""What the matrix does to a run: how each crash is made, and how its owner ends it where no run could."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import support

LAB = Path("/var/lib/exchange-chaos-lab")
#: Room of a file system that is filled up: more than the free 500 MB without which no run begins.
_SIZE = "640m"
_PAUSE_S = 15.0


@dataclass
class Scene:
    """What there is to be broken: the play, the target's service, the report folder, why a crash came to nothing."""

    play: subprocess.Popen[bytes]
    target: str
    reports: Path
    came_to_nothing: str = ""


@dataclass(frozen=True)
class Crash:
    """One way to break.

    ``mount``: what is made a file system of its own before the run. ``lift``: what the owner does about it after
    ``after`` seconds, or once the run has done all it can, whichever comes first.
    """

    do: Callable[[Scene], None]
    lift: Callable[[Scene], None] | None = None
    after: float = float("inf")
    mount: Callable[[Path], Path] | None = None
    ends_play: bool = False
    makes_anew: bool = False


def kill_play(scene: Scene) -> None:
    """Kill ansible-playbook and its workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(scene.play.pid, signal.SIGKILL)
    scene.play.wait(10)


def interrupt_play(scene: Scene) -> None:
    """Press Ctrl-C as a person would: again, when nothing seems to happen."""
    for _ in range(6):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(scene.play.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            scene.play.wait(10)
            return


def kill_watchdog(scene: Scene) -> None:
    """Kill the watchdog that works, which is the older one."""
    scene.came_to_nothing = "" if _watchdogs() else "no watchdog was there"
    for pid in _watchdogs()[:1]:
        os.kill(pid, signal.SIGKILL)


def kill_watchdogs(scene: Scene) -> None:
    """Kill both watchdogs in one instant."""
    scene.came_to_nothing = "" if _watchdogs() else "no watchdog was there"
    _kill_at_once(_watchdogs)


def kill_all(scene: Scene) -> None:
    """Kill the play and everything of its run in one instant, modules that are under way with them."""
    _kill_at_once(lambda: [*_group(scene.play.pid), *processes_of_runs()])
    scene.play.wait(10)


def restart_target(scene: Scene) -> None:
    """Restart the target's container."""
    support.docker("restart", "--time", "1", support.container(scene.target))


def recreate_target(scene: Scene) -> None:
    """Make the target's container anew by the exchange's own compose file."""
    words = ["docker-compose", "--project-name", support.PROJECT, "--file", "compose.yml"]
    words += ["up", "--detach", "--force-recreate", "--no-deps", scene.target]
    subprocess.run(words, cwd=LAB, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120)


def pause_target(scene: Scene) -> None:
    """Pause the target's container, if it runs."""
    if support.state_of(scene.target)["Running"]:
        support.docker("pause", support.container(scene.target))
    else:
        scene.came_to_nothing = "the target was down"


def unpause_target(scene: Scene) -> None:
    """Have a paused target go on; one that was undone meanwhile goes on already."""
    if support.state_of(scene.target)["Paused"]:
        support.docker("unpause", support.container(scene.target))


def fill(folder: Path) -> None:
    """Take all the room that is left where a folder lies."""
    with (folder / "somebody-else").open("ab", buffering=0) as stream:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    stream.write(b"\0" * size)


def make_room(folder: Path) -> None:
    """Give back what was taken."""
    (folder / "somebody-else").unlink(missing_ok=True)


def make_read_only(scene: Scene) -> None:
    """Mount the state folder over itself, for reading alone."""
    state = str(support.STATE)
    subprocess.run(["mount", "--bind", state, state], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)


def make_writable(scene: Scene) -> None:
    """Take the mount away that is for reading alone; who has a file open keeps it."""
    subprocess.run(["umount", "--lazy", str(support.STATE)], check=True)


#: By the names of the matrix (:data:`.cover.CRASHES`).
CRASHES = {
    "play killed": Crash(kill_play, ends_play=True),
    "play interrupted": Crash(interrupt_play, ends_play=True),
    "watchdog killed": Crash(kill_watchdog),
    "watchdogs killed": Crash(kill_watchdogs),
    "all killed": Crash(kill_all, ends_play=True),
    "target restarted": Crash(restart_target),
    "target re-created": Crash(recreate_target, makes_anew=True),
    "target paused": Crash(pause_target, unpause_target, _PAUSE_S),
    "state full": Crash(
        lambda scene: fill(support.STATE),
        lambda scene: make_room(support.STATE),
        mount=lambda reports: support.STATE,
    ),
    "state read-only": Crash(make_read_only, make_writable),
    "reports full": Crash(
        lambda scene: fill(scene.reports),
        lambda scene: make_room(scene.reports),
        mount=lambda reports: reports,
    ),
}


@contextlib.contextmanager
def own_file_system(folder: Path) -> Iterator[None]:
    """Have a folder on a small file system of its own meanwhile."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0700", "exchange-chaos-crash", str(folder)]
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def processes_of_runs() -> list[int]:
    """Every process of a run on this host: its own, those they started, and the modules at work on it."""
    state = str(support.STATE).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        started = b"EXCHANGE_CHAOS_RUN=" + state in environment
        if started or (b"/chaos.pyz\0" in words and state in words):
            found.append(int(folder.name))
    return found


def _watchdogs() -> list[int]:
    """Both watchdogs of a run, the older first."""
    found = []
    for pid in processes_of_runs():
        with contextlib.suppress(OSError, IndexError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[2] == b"watchdog":
                begun = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
                found.append((begun, pid))
    return [pid for _, pid in sorted(found)]


def _group(leader: int) -> list[int]:
    """A process and all that descend from it, sessions of their own included."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [leader]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def _kill_at_once(wanted: Callable[[], list[int]]) -> None:
    """Stop all, those too that were born meanwhile, and then kill them: none sees another one die."""
    stopped: set[int] = set()
    while new := set(wanted()) - stopped:
        for pid in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)


def lift_read_only() -> None:
    """Have no mount over the state folder, whatever became of a cell."""
    place = str(support.STATE)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[1] == place:
            subprocess.run(["umount", "--lazy", place], check=False)


def remove(folder: Path) -> None:
    """Take a folder away with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
