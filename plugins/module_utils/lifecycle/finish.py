# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run on its host, in order or not: undo, stop, reconcile, compare with before, judge, keep the record."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Any

from ..common import clock
from ..common.disk_room import is_full
from ..common.errors import ChaosError
from ..common.json_files import read_json, read_object, write_json
from ..evidence.evidence import load_evidence
from ..exchange.reconcile import CLEAR_AT_HALT_S, CLEAR_S, close_account, settle_orders
from ..faults.undo import undo
from ..host import usage
from ..host.docker_engine import DockerEngine
from ..judge import unjudged
from ..judge.containers import list_changes
from ..observe import application_log, start_capture
from ..run import lease, processes, timeline
from ..run.folder import RunDir, read_registration
from ..run.journal import Journal
from ..run.state_dir import StateDir
from ..snapshot import snapshot

#: Ending takes the patience of reconciliation and of the settling snapshot; the watchdog must not end it twice.
_LEASE_S = 90.0
#: A host's clock that was set by less than this during a run is not worth a word, s.
_STEP_S = 0.1
#: Share of a core that all long-lived processes of a run may cost the host.
_BUDGET = 0.10


def main(run: RunDir) -> int:
    """End an abandoned run: the command ``finish`` of the runtime, for halt, preflight and the boot unit."""
    finish_run(run, by=os.environ.get("EXCHANGE_CHAOS_BY", "finish"))
    return 0


def finish_run(run: RunDir, *, by: str) -> RunDir:
    """Do all that is left to do of a run and return the folder its record now lies in.

    First the undo, then everything else, and no word is waited for on the way to it. Every later step is tried whatever
    became of the one before; what failed is in the record's timeline, and a run that cannot be judged leaves a record
    that says so. Raises ChaosError while a fault resists its undo (the run, its journal and its watchdog stay then) or
    while the disk lets nothing be kept.
    """
    rebooted = _resume_count(run)
    if not run.read_timeline().being_ended:
        run.note(timeline.FINISHING, by=by)
        if rebooted:
            run.note(timeline.REBOOTED)
            run.say("warn", "The host was rebooted in the run: what was measured ends there.")
    _undo(run, by)
    # only now: what resists its undo is tried again at once, not when this is over
    with contextlib.suppress(ChaosError):
        lease.renew_lease(run, _LEASE_S)
    with _alone(run) as under_way:
        if under_way:
            return _close(run, by)
    return _ended(run)


def _resume_count(run: RunDir) -> bool:
    """Count time as the run does; returns whether it began in an earlier boot. A damaged run is counted from now."""
    try:
        return clock.resume_count(run.anchor, run.read_timeline().last)
    except ChaosError as error:
        run.say("warn", f"The run is damaged, and ended as far as it is known: {error}")
        return False


def _close(run: RunDir, by: str) -> RunDir:
    """Compare, judge what was measured, keep the record, end everything of the run."""
    steps: tuple[tuple[str, Callable[[RunDir], None]], ...] = (
        ("keepers", _tell_keepers),
        ("journal", _tell_damage),
        ("cost", _tell_cost),
        # the play's own end has the time to wait for every order; who ends a run for it has not
        *((("orders", _account),) if by == "module" else ()),
        ("stop", processes.stop_observers),
        ("events", start_capture.read_storms),
        ("reconcile", lambda run: _reconcile(run, by)),
        ("restore", _compare),
        ("containers", _tell_containers),
        ("time", _tell_time),
        ("clock", _tell_step),
    )
    for name, step in steps:
        try:
            step(run)
        except Exception as error:
            run.note(timeline.STEP_FAILED, step=name, error=f"{type(error).__name__}: {error}")
            run.say("fail", f"{name}: {error}")
    if run.owed:
        run.note(timeline.UNWRITTEN, lines=run.owed)
    run.note(timeline.FINISHED, by=by)
    _write_record(run)
    processes.stop_watchdogs(run)
    return StateDir(run.path.parent.parent).keep_record(run)


def _write_record(run: RunDir) -> None:
    """Judge the run and write its record; a full disk is given what only the run itself needed.

    Raises ChaosError when the disk refuses even so: nothing is in force any more, and the run stays until it can end.
    """
    record = _judge(run)
    try:
        try:
            write_json(run.file("record.json"), record, sync=True)
        except OSError as error:
            if not is_full(error):
                raise
            processes.stop_watchdogs(run)  # they run from the runtime, which is the largest of what goes
            run.drop_working_files("chaos.pyz")
            write_json(run.file("record.json"), record, sync=True)
    except OSError as error:
        raise ChaosError(
            f"Every fault of run {run.path.name} is undone, but its record cannot be written ({error.strerror}); "
            "it ends when the disk takes it."
        ) from error


def _judge(run: RunDir) -> dict[str, Any]:
    """Judge a run from its folder; whatever raises, return what is known of it, marked ``judged: false``."""
    try:
        evidence = load_evidence(run)
    except Exception as error:
        return unjudged.unread_record(run.known, error)
    return unjudged.safe_record(evidence)


@contextlib.contextmanager
def _alone(run: RunDir) -> Iterator[bool]:
    """Wait until nobody else ends the run; False when somebody has ended it meanwhile (halt and the play's own end).

    The lock is on the run's folder itself, so that it needs no file on a disk that may refuse one.
    """
    try:
        lock = os.open(str(run.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        until = clock.read() + _LEASE_S
        while run.path.exists():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.read() > until:
                    raise ChaosError(
                        f"Run {run.path.name} is being ended by somebody else, and not done yet."
                    ) from None
                clock.sleep(0.1)
        yield run.path.exists()
    finally:
        os.close(lock)


def _ended(run: RunDir) -> RunDir:
    """Return the record of a run that somebody else ended. Raises ChaosError when it was collected already."""
    record = StateDir(run.path.parent.parent).record_dir(run.path.name)
    if not record.file("record.json").exists():
        raise ChaosError(f"Run {run.path.name} was ended and its record collected by somebody else.")
    return record


def _undo(run: RunDir, by: str) -> None:
    try:
        undo(run, by=by)
    except Exception as error:
        raise ChaosError(
            f"A fault of run {run.path.name} could not be undone yet ({error}); its watchdog tries on, "
            "and playbooks/halt.yml does when the cause is gone."
        ) from error


def _account(run: RunDir) -> None:
    if run.file("load.jsonl").exists() and not run.file("ledger.json").exists():
        close_account(run, DockerEngine.connect_for(run))


def _reconcile(run: RunDir, by: str) -> None:
    """Reconcile the ledger now if the run's own reconciliation did not come to it."""
    if run.file("load.jsonl").exists() and not run.file("ledger.json").exists():
        # whoever ended the run from outside waits for it, and not for ever
        within = CLEAR_S if by in ("module", "watchdog") else CLEAR_AT_HALT_S
        settle_orders(run, DockerEngine.connect_for(run), wait=False, within=within)
    application_log.collect_first_lines(run)


def _compare(run: RunDir) -> None:
    before = read_json(run.file("snapshot-before.json"))
    if before is None:
        raise ChaosError("There is no snapshot from before the run to compare with.")
    after = snapshot.wait_settled(run, before)
    write_json(run.file("snapshot-after.json"), after)
    write_json(run.file("restore.json"), snapshot.compare_snapshots(before, after, run.read_timeline()))


def _tell_keepers(run: RunDir) -> None:
    """Say that both watchdogs were gone when the run was ended: nobody here would have undone a fault in time."""
    known = [read_registration(run.file("processes") / f"{name}.json") for name in processes.WATCHDOGS]
    lost = any(known) and not any(processes.living_process(run, name) for name in processes.WATCHDOGS)
    if lost and not run.of_earlier_boot:
        run.note(timeline.KEEPERS_LOST)
        run.say("warn", "Both watchdogs of the run were dead when it was ended.")


def _tell_damage(run: RunDir) -> None:
    """Name what of the journal could not be understood, and so could not be undone from it."""
    for line in Journal(run).damaged():
        why = f"a line of it could not be understood, so nothing was undone by it: {line}"
        run.note(timeline.STEP_FAILED, step="journal", error=why)
        run.say("fail", f"The journal has a line that could not be understood: {line}")


def _tell_containers(run: RunDir) -> None:
    """Say of every container of the project that ended or started in the run whether anybody meant it."""
    for change in list_changes(load_evidence(run)):
        level = "info" if change.meant else "warn"
        run.note(timeline.LOG, t=change.t, level=level, text=change.text, step="observe")


def _tell_time(run: RunDir) -> None:
    """Say how much of the run was waiting on purpose, and how much was our own work."""
    whole = clock.read() - run.anchor.boottime
    waited = run.read_timeline().waited_s
    run.say(
        "info",
        f"{whole:.1f} s since the run was opened: {waited:.1f} s of waiting on purpose, {whole - waited:.1f} s of work",
        "report",
    )


def _tell_cost(run: RunDir) -> None:
    """Say what the run's own processes have cost the host, by process, while they are still there to be asked."""
    used = {}
    for name in sorted((*processes.OBSERVERS, *processes.WATCHDOGS)):
        entry = processes.living_process(run, name)
        found = usage.of_process(int(entry["pid"])) if entry else None
        if found:
            used[name] = round(found[1], 2)
    if not used:
        return
    whole = clock.read() - run.anchor.boottime
    share = sum(used.values()) / whole
    run.note(timeline.OWN_COST, cpu_s=used, share=round(share, 4))
    parts = ", ".join(f"{name} {used[name]:.1f}" for name in sorted(used, key=lambda name: -used[name]))
    run.say(
        "info",
        f"Watching cost {sum(used.values()):.1f} CPU s, {share:.1%} of a core"
        f"{'' if share <= _BUDGET else f' (more than the {_BUDGET:.0%} it is to keep to)'}: {parts}",
        "report",
    )


def _tell_step(run: RunDir) -> None:
    """Say that somebody set the host's clock in the run, which counts on another; the application's log does not."""
    by = clock.seconds_stepped(run.anchor)
    if abs(by) >= _STEP_S:
        run.say(
            "warn",
            f"The host's clock was set by {by:+.3f} s during the run: its own times go on as if it had not been, but "
            "what the application logged since then is dated that much off",
            "report",
        )


def read_record(run: RunDir) -> dict[str, Any]:
    """Return the host record of a finished run."""
    return read_object(run.file("record.json"))
