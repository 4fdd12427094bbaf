# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connects to whom, drawn: for a screen of 80 columns, and as Mermaid for a browser. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import is_whole

from ..words import clip_text, pad_text

WIDTH = 80
_MOST = 200
_NAME, _PLACE = 40, 34
#: Letters that a label of Mermaid takes as they are; any other is written by its number.
_LETTER = re.compile(r"[^\w .,/-]", re.ASCII)


@dataclass(frozen=True)
class DrawnLink:
    """``client`` connects to ``server`` at a port; how many connections were seen."""

    client: str
    server: str
    port: int
    seen: int


def read_links(answer: Any) -> list[DrawnLink]:
    """Return the links in a host's answer that are what they should be."""
    found = []
    for one in answer[:_MOST] if isinstance(answer, list) else []:
        if not isinstance(one, dict) or not is_whole(one.get("port")) or not is_whole(one.get("seen")):
            continue
        client, server, address = (
            bounds.fit_line(str(one.get(key) or ""), _NAME) for key in ("client", "server", "address")
        )
        found.append(DrawnLink(client, f"{server} {address}".strip(), one["port"], one["seen"]))
    return found


def read_products(answer: Any) -> dict[str, str]:
    """Return which service is what, as far as a host's answer says."""
    found = list(answer.items())[:_MOST] if isinstance(answer, dict) else []
    return {bounds.fit_line(str(name), _NAME): bounds.fit_line(str(what), _NAME) for name, what in found}


def draw_map(links: Sequence[DrawnLink], products: Mapping[str, str]) -> list[str]:
    """Return the map as lines of at most 80 columns: each client, and below it whom it connects to."""
    if not links:
        return ["No connection was seen while this was looked at."]
    lines = []
    for client in dict.fromkeys(link.client for link in links):
        what = products.get(client, "")
        lines.append(clip_text(f"{client}  ({what})" if what else client, WIDTH))
        own = [link for link in links if link.client == client]
        for link in own:
            branch = "└──>" if link is own[-1] else "├──>"
            place = pad_text(clip_text(f"{link.server}:{link.port}", _PLACE), _PLACE)
            many = f"{link.seen} connection{'s' if link.seen != 1 else ''}"
            lines.append(clip_text(f"  {branch} {place} {many}", WIDTH))
    return lines


def draw_mermaid(links: Sequence[DrawnLink], products: Mapping[str, str]) -> str:
    """Return the map as a flowchart of Mermaid, no text of which is anything but a label."""
    names = list(dict.fromkeys(name for link in links for name in (link.client, link.server)))
    names += [name for name in products if name not in names]
    numbers = {name: f"n{at}" for at, name in enumerate(names)}
    lines = ["flowchart LR"]
    for name, number in numbers.items():
        what = products.get(name, "")
        label = f"{_escape(name)}<br/>{_escape(what)}" if what else _escape(name)
        lines.append(f'  {number}["{label}"]')
    lines += [f'  {numbers[link.client]} -->|"{link.port}"| {numbers[link.server]}' for link in links]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return _LETTER.sub(lambda found: f"#{ord(found.group())};", text)
