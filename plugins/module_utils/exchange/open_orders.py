# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders of a run that still wait in the book are leftovers: cancelled at a pace that is borne, and asked for anew.

What is open is what the database says. The answer to a cancelling tells only how fast to go on: an order that was
filled meanwhile cannot be cancelled, and is closed all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..common import clock
from ..common.errors import ChaosError
from ..common.shapes import LoadEntry
from ..host.http_client import Client
from .database import Store
from .order_book import Cancelling, cancel_order, open_client
from .orders import Numbering

#: So many are cancelled side by side.
_TOGETHER = 8
#: Cancellings a second: at least, and at most.
_LEAST, _MOST = 1.0, 400.0
_SLOWER, _FASTER = 0.5, 1.1
#: The database is asked again after this time (s); one may lag its API.
_AGAIN_S = 0.3
#: And where none is open, while more may still come in (s).
_LATECOMERS_S = 1.0
#: So long at most orders are cancelled before the run is kept alive and the database asked again (s).
_AT_ONCE_S = 5.0
#: Where not one order more was closed for so long, more tries help nobody (s).
_STUCK_S = 8.0


@dataclass(frozen=True)
class Cleared:
    """What became of them. ``left``: still open, None where the database did not say; ``query``: lists these.

    words: the last reason why one could not be cancelled, or why nobody knows.
    """

    cancelled: int
    left: int | None
    query: str = ""
    words: str = ""


class CancelPace:
    """How fast orders are cancelled: as fast as the run sent them, slower where the exchange fails under it."""

    def __init__(self, rate: float) -> None:
        """rate: orders per second that the exchange bore."""
        self.rate = min(max(rate, _LEAST), _MOST)

    def take_answers(self, strained: bool) -> None:
        """Take in whether the exchange failed to answer one of the last cancellings."""
        self.rate = min(max(self.rate * (_SLOWER if strained else _FASTER), _LEAST), _MOST)


def clear_open_orders(
    load: LoadEntry,
    store: Store,
    numbering: Numbering,
    known: Mapping[int, str],
    *,
    quiet: float,
    within: float,
    keep: Callable[[], None] = lambda: None,
) -> Cleared:
    """Cancel what the database says is open until nothing is, for at most ``within`` seconds.

    known: ids that the API told, by number. quiet: boottime from which on no further order can come in. keep: called
    now and again, so that the run lives meanwhile.
    """
    until, pace = clock.read() + within, CancelPace(float(load["rate"]) + float(load.get("watch_rate") or 0))
    client = open_client(load, _TOGETHER)
    gone: set[str] = set()
    words, fewest, since = "", -1, clock.read()
    while True:
        keep()
        waiting = list_open(store, numbering)
        now = clock.read()
        if len(waiting) < fewest or fewest < 0:
            fewest, since = len(waiting), now
        stuck = bool(waiting) and now - since > _STUCK_S and now >= quiet
        if (not waiting and now >= quiet) or stuck or now >= until:
            break
        ids = [one for one in ids_of(waiting, known) if one]
        for answer in _cancel_at_pace(load, client, ids, pace, min(until, now + _AT_ONCE_S)):
            gone |= {answer.order_id} if answer.went else set()
            words = answer.words or words
        clock.sleep(_AGAIN_S if waiting else _LATECOMERS_S)
    if waiting and not words:
        words = "no id of them is known" if not all(ids_of(waiting, known)) else "there was no time left"
    return Cleared(len(gone), len(waiting), store.show_open(numbering), words if waiting else "")


def ids_of(waiting: Sequence[tuple[int, str]], known: Mapping[int, str]) -> list[str]:
    """Return by which id each of these orders is cancelled: the one that the API told, else the database's."""
    return [known.get(number) or identity for number, identity in waiting]


def list_open(store: Store, numbering: Numbering) -> list[tuple[int, str]]:
    """Return number and id of the run's orders that wait in the book, its trial order with them. Raises ChaosError."""
    return store.list_waiting(numbering, numbering.first, numbering.trial)


def _cancel_at_pace(
    load: LoadEntry, client: Client, ids: Sequence[str], pace: CancelPace, until: float
) -> list[Cancelling]:
    """Cancel these orders, a few side by side, until there is no time left."""
    done: list[Cancelling] = []
    with ThreadPoolExecutor(_TOGETHER) as pool:
        for start in range(0, len(ids), _TOGETHER):
            began = clock.read()
            if began >= until:
                break
            some = ids[start : start + _TOGETHER]
            answers = list(pool.map(lambda identity: cancel_order(load, client, identity), some))
            done += answers
            pace.take_answers(any(answer.strained for answer in answers))
            clock.sleep(max(0.0, began + len(some) / pace.rate - clock.read()))
    return done


def wait_until_closed(store: Store, numbering: Numbering, number: int, within: float) -> bool | None:
    """Return whether an order is closed, as the database says, which has some time to see it; None: it does not say."""
    until = clock.read() + within
    while True:
        try:
            if not store.list_waiting(numbering, number, number):
                return True
        except ChaosError:
            return None
        if clock.read() > until:
            return False
        clock.sleep(0.2)
