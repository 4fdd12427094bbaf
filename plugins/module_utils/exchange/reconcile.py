# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the load: wait until no request can be under way, hold the orders against the database, clear the book."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..common.json_files import write_json
from ..common.jsonl import read_lines
from ..common.shapes import Attempt, LoadEntry
from ..host.docker_engine import DockerEngine
from ..run import lease, processes, timeline
from ..run.folder import RunDir
from ..run.timeline import Timeline
from .database import Store, access_of_run, store_of_run
from .endpoints import move_load
from .ledger import faults_struck, reconcile_orders
from .open_orders import Cleared, clear_open_orders
from .order_book import cancel_all, read_depth
from .orders import Numbering

#: Beyond the client's time-out, for what the service still does after its client has gone (s).
AFTER_S = 5.0
#: Beyond it, for the load to notice that it is to end and to write its last lines (s).
_STOP_S = 10.0
#: So long open orders are cancelled at most (s); whoever waits for halt waits less.
CLEAR_S, CLEAR_AT_HALT_S = 300.0, 60.0
#: How an order ended that the exchange may take all the same, a little later: nobody answered it.
_MAY_COME_IN = ("timeout", "reset", "other")
#: A database that has just come back may refuse for a moment (s).
_PATIENCE_S = 10.0
#: An order book may be served from a cache that lags the cancelling (s).
_BOOK_LAG_S = 3.0


def split_lines(
    lines: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any] | None]:
    """Part the lines of load.jsonl into attempts and the closing summary, None when the observer wrote none."""
    summary = next((line["summary"] for line in reversed(lines) if "summary" in line), None)
    return [line for line in lines if "ok" in line], summary


def quiet_at(attempts: Sequence[Attempt], timeout_s: float, sound: float) -> float:
    """Return the boottime from which on no request of the load can still be under way; 0 when none can be now.

    A request may be worked on until the client's time-out + 5 s after it was sent, unless it was acknowledged by an
    exchange that was sound when it came: sent at boottime ``sound`` or later.
    """
    known = [float(line["sent"]) for line in attempts if not line["ok"] or float(line["sent"]) < sound]
    return max(known) + timeout_s + AFTER_S if known else 0.0


def sound_since(known: Timeline, steady_s: float) -> float:
    """Return since when steady state has held after the last fault; infinity where it has not, 0 without a fault.

    It had held for ``steady_s`` when the timeline said so.
    """
    struck = max((float(event["t"]) for event in known.injections()), default=0.0)
    steady = max((float(event["t"]) for event in known.named(timeline.STEADY)), default=0.0)
    if not struck:
        return 0.0
    return steady - steady_s if steady > struck else math.inf


def _wait(run: RunDir, until: float) -> None:
    quiet = max(0.0, until - clock.read())
    clock.sleep(quiet)
    run.write_event(timeline.WAITED, seconds=round(quiet, 3), why="no request under way")


def close_account(run: RunDir, engine: DockerEngine) -> dict[str, Any]:
    """End the load when its last answers are in, and settle: the account of a run that ends in order."""
    patience = run.spec.client_timeout_s + _STOP_S
    lease.renew_lease(run, 2 * patience + lease.LEASE_S)
    processes.stop_process(run, "load", timeout=patience)
    return settle_orders(run, engine)


def settle_orders(
    run: RunDir, engine: DockerEngine, *, wait: bool = True, within: float = CLEAR_S
) -> dict[str, Any]:
    """Reconcile the run's orders, cancel what stays open, write and return ledger.json.

    Waits until no request can be under way, and for every one before it calls an order lost, unless ``wait`` is
    false: an aborted run is cleared away at once. Open orders are cancelled for at most ``within`` seconds.
    What the database or the API will not tell
    is None in the ledger and a warning in the run's log; nothing is raised for it, because the report must come.
    """
    load = {**move_load(run.spec, engine), "access": access_of_run(run)}
    timeout_s = float(load["timeout_s"])
    attempts, summary = split_lines(read_lines(run.file("load.jsonl")))
    known = run.read_timeline()
    sound = sound_since(known, run.spec.windows.steady_s)
    if summary is None or int(summary["in_flight"]):  # not every answer is known
        sound = math.inf
    all_quiet = quiet_at(attempts, timeout_s, math.inf)
    if wait:
        _wait(run, quiet_at(attempts, timeout_s, sound))
    numbering = Numbering.from_price(load["price"])
    store = Store(engine, run.spec.project, store_of_run(run), load)
    ledger = reconcile_orders(attempts, _count(run, store, numbering), faults_struck(known))
    if (
        wait and ledger["lost"] and clock.read() < all_quiet
    ):  # an exchange may acknowledge first and store later
        _wait(run, all_quiet)
        ledger = reconcile_orders(attempts, _count(run, store, numbering), faults_struck(known))
    quiet = quiet_at([line for line in attempts if line["kind"] in _MAY_COME_IN], timeout_s, math.inf)
    if summary is None or int(summary["in_flight"]):
        quiet = max(quiet, clock.read() + AFTER_S)
    cleared = _clear(run, load, store, numbering, attempts, quiet=quiet, within=within)
    before = known.book_depth
    ledger.update(
        open_orders_cancelled=cleared.cancelled,
        open_orders_left=cleared.left,
        open_orders_query=cleared.query,
        book_before=before,
        book_after=_book(load, before),
        in_flight_unresolved=None if summary is None else int(summary["in_flight"]),
    )
    write_json(run.file("ledger.json"), ledger)
    _tell(run, ledger)
    return ledger


def list_unpaired(attempts: Sequence[Attempt], first: int) -> list[str]:
    """Return the ids of the acknowledged orders whose counterpart was not acknowledged: they may still wait."""
    known = {int(line["n"]): line for line in attempts if line.get("n") is not None and line.get("ok")}
    return [
        str(line["id"])
        for number, line in sorted(known.items())
        if line.get("id") and ((number - first) ^ 1) + first not in known
    ]


def _count(run: RunDir, store: Store, numbering: Numbering) -> Mapping[int, int] | None:
    until = clock.read() + _PATIENCE_S
    while True:
        try:
            return store.count_orders(numbering, numbering.first, numbering.last)
        except ChaosError as error:
            if clock.read() > until:
                run.log("fail", f"The orders could not be counted: {error}", "reconcile")
                return None
            clock.sleep(0.5)


def _clear(
    run: RunDir,
    load: LoadEntry,
    store: Store,
    numbering: Numbering,
    attempts: Sequence[Attempt],
    *,
    quiet: float,
    within: float,
) -> Cleared:
    """Cancel what is open, as the database says; guess it from the answers where that does not tell."""
    known = {
        int(line["n"]): str(line["id"]) for line in attempts if line.get("n") is not None and line.get("id")
    }
    try:
        cleared = clear_open_orders(
            load,
            store,
            numbering,
            known,
            quiet=quiet,
            within=within,
            keep=lambda: lease.renew_lease(run, lease.LEASE_S),
        )
    except ChaosError as error:
        run.log(
            "warn",
            f"Open orders are guessed from the answers, as the database did not tell: {error}",
            "reconcile",
        )
        cancelled, failures = cancel_all(load, list_unpaired(attempts, numbering.first))
        if failures:
            run.log("warn", f"{len(failures)} of them could not be cancelled; {failures[0]}", "reconcile")
        return Cleared(cancelled, None, words=str(error))
    if cleared.left:
        run.log(
            "fail",
            f"{cleared.left} orders of this run stay open in the exchange ({cleared.words}); they are listed by: "
            f"{cleared.query}",
            "reconcile",
        )
    return cleared


def _book(load: LoadEntry, before: int | None) -> int | None:
    until = clock.read() + _BOOK_LAG_S
    while True:
        after = read_depth(load)
        if before is None or after is None or after <= before or clock.read() > until:
            return after
        clock.sleep(0.3)


def _tell(run: RunDir, ledger: Mapping[str, Any]) -> None:
    """Say in the run's log what the account came to."""
    counts = f"{ledger['acknowledged']} orders acknowledged"
    if ledger["lost"] is not None:
        counts += (
            f", {ledger['lost']} lost, {ledger['duplicated']} duplicated, "
            f"{ledger['unacknowledged_applied']} applied without acknowledgement"
        )
    well = ledger["lost"] == 0 and ledger["duplicated"] == 0
    run.log("ok" if well else "warn", counts, "reconcile")
    if ledger["open_orders_cancelled"]:
        run.log(
            "ok", f"{ledger['open_orders_cancelled']} orders that stayed open were cancelled", "reconcile"
        )
    before, after = ledger["book_before"], ledger["book_after"]
    if None not in (before, after) and after > before:
        run.log("warn", f"The order book is {after} levels deep and was {before} before the run", "reconcile")
