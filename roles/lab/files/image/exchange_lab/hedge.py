# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying again without giving up what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Callable, TypeVar

T = TypeVar("T")

GROWTH = 1.4  # of the pause from one attempt to the next ...
LONGEST = 0.4  # ... up to this, seconds


async def first_answer(attempt: Callable[[], Awaitable[T]], *, stagger: float, limit: float) -> T:
    """Result of whichever attempt answers first; another one starts after `stagger` seconds, then after a bit more,
    and so on, up to LONGEST.

    The address of a container that has just died swallows packets, so an attempt under way may never answer
    while its successor would; but on a slow network it is the patient one that succeeds.  An error is an
    answer, too.  Raises asyncio.TimeoutError after `limit` seconds.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit
    under_way: set[asyncio.Future[T]] = set()
    try:
        while loop.time() < end:
            under_way.add(asyncio.ensure_future(attempt()))
            pause = min(stagger, end - loop.time())
            done, _pending = await asyncio.wait(under_way, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return min(done, key=failed).result()  # of two at once, one that succeeded
            stagger = min(stagger * GROWTH, LONGEST)
        raise asyncio.TimeoutError
    finally:
        for other in under_way:
            other.cancel()
            other.add_done_callback(failed)


def failed(future: asyncio.Future[T]) -> bool:
    """Whether it ended badly; asked for also so that asyncio does not complain of an error nobody looked at."""
    return future.cancelled() or future.exception() is not None
