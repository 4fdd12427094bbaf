# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to happen to packets on an impaired path, and what that means for each one. Pure but for its dice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any

#: As many packets wait at most, as with netem(8); what comes then is dropped.
LIMIT = 1000
_DELAY_MAX_MS = 60000.0
#: Bytes of the packet that opens a connection, for what a rate adds to its round trip.
_SYN_BYTES = 60
_IPV6_HEADER = 40


@dataclass(frozen=True)
class Impairment:
    """Added one-way delay and its jitter (ms, plus or minus), shares of packets (%), rate (kbit/s, 0 for any)."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_pct: float = 0.0
    duplicate_pct: float = 0.0
    reorder_pct: float = 0.0
    corrupt_pct: float = 0.0
    rate_kbit: float = 0.0

    @property
    def rise_ms(self) -> float:
        """Return by how much it lengthens the round trip of a connect."""
        return self.delay_ms + (_SYN_BYTES * 8 / self.rate_kbit if self.rate_kbit else 0.0)

    def describe(self) -> str:
        """Return it in words."""
        named = (
            (self.delay_ms, f"{self.delay_ms:g} ms delay"),
            (self.jitter_ms, f"{self.jitter_ms:g} ms jitter"),
            (self.loss_pct, f"{self.loss_pct:g} % loss"),
            (self.duplicate_pct, f"{self.duplicate_pct:g} % duplicated"),
            (self.reorder_pct, f"{self.reorder_pct:g} % reordered"),
            (self.corrupt_pct, f"{self.corrupt_pct:g} % corrupted"),
            (self.rate_kbit, f"{self.rate_kbit:g} kbit/s"),
        )
        return ", ".join(text for value, text in named if value)


NAMES = tuple(part.name for part in fields(Impairment))


def read_impairment(wanted: Mapping[str, Any]) -> Impairment:
    """Return the impairment that a mapping words; what it does not name is none."""
    return Impairment(**{name: float(wanted.get(name) or 0) for name in NAMES})


def find_problems(fault: str, wanted: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each value that makes no sense, and one if nothing is asked for at all."""
    found = []
    for name in NAMES:
        most = _DELAY_MAX_MS if name.endswith("_ms") else 100.0 if name.endswith("_pct") else 1e7
        try:
            value = float("" if isinstance(wanted.get(name), bool) else wanted.get(name) or 0)
        except (TypeError, ValueError, OverflowError):
            value = -1.0
        if not 0 <= value <= most:
            found.append(
                f"The {name} of fault {fault} is {wanted[name]!r}; it must be a number from 0 to {most:g}."
            )
    if found:
        return found
    asked = read_impairment(wanted)
    if asked == Impairment():
        return [f"Fault {fault} impairs nothing; set one of {', '.join(NAMES)}."]
    if asked.jitter_ms > asked.delay_ms:
        return [
            f"The jitter_ms of fault {fault} is {asked.jitter_ms:g}, more than its delay_ms of {asked.delay_ms:g}."
        ]
    if asked.reorder_pct and not asked.delay_ms:
        return [
            f"Fault {fault} reorders, which needs a delay: what overtakes is what does not wait; set delay_ms."
        ]
    return []


@dataclass(frozen=True)
class Copy:
    """One packet to be sent: when (seconds on the caller's clock), and whether a bit of it is flipped before."""

    due: float
    corrupt: bool = False


class Shaper:
    """Decides, packet by packet. They keep their order whatever the jitter, but for those meant to overtake."""

    def __init__(self, wanted: Impairment, dice: Random | None = None) -> None:
        self._wanted = wanted
        self._dice = dice or Random()
        self._free = 0.0
        self._last = 0.0

    def copies(self, now: float, size: int) -> list[Copy]:
        """Return what becomes of a packet of ``size`` bytes that came ``now``: nothing, one copy, or two."""
        if self._hit(self._wanted.loss_pct):
            return []
        count = 2 if self._hit(self._wanted.duplicate_pct) else 1
        return [Copy(self._due(now, size), self._hit(self._wanted.corrupt_pct)) for _copy in range(count)]

    def _due(self, now: float, size: int) -> float:
        if self._hit(self._wanted.reorder_pct):
            return now
        begin = max(now, self._free)
        if self._wanted.rate_kbit:
            self._free = begin = begin + size * 8 / (self._wanted.rate_kbit * 1000)
        jitter = self._wanted.jitter_ms
        wait = self._wanted.delay_ms + (self._dice.uniform(-jitter, jitter) if jitter else 0.0)
        self._last = max(self._last, begin + wait / 1000)
        return self._last

    def _hit(self, percent: float) -> bool:
        return percent > 0 and self._dice.random() * 100 < percent


def flip_bit(packet: bytes, dice: Random) -> bytes:
    """Return an IP packet with one bit flipped behind its header, which the kernel would put right again."""
    header = _IPV6_HEADER if packet[0] >> 4 == 6 else (packet[0] & 0x0F) * 4
    if len(packet) <= header:
        return packet
    changed = bytearray(packet)
    changed[dice.randrange(header, len(packet))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def read_destination(packet: bytes) -> tuple[int, bytes]:
    """Return (4 or 6, the destination's address as bytes) of an IP packet; (0, b"") of anything else."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return 4, packet[16:20]
    if version == 6 and len(packet) >= _IPV6_HEADER:
        return 6, packet[24:40]
    return 0, b""
