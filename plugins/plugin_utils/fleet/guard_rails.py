# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may be touched: the guard rails that the controller can decide before any host is asked."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible.inventory.manager import split_host_pattern

#: What parts the patterns of a pattern; a slice such as web[0:3] comes apart, too, and its stem is what counts.
_PARTS = re.compile(r"[,:;]")
_SLICE = re.compile(r"\[-?\d*\]?$")
#: A name that no host has: a wildcard that matches it matches any. So does one that matches each of the ordinary ones.
_NOBODY, _ORDINARY = "\0", ("qxzv-gdk.vkj", "QXZV-GDK.VKJ", "7531-090.68")
_HOURS = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$")


#: What decides about the blast radius counts on the command line alone: a play's hosts and serial see no inventory.
BY_COMMAND_LINE = (
    "chaos_targets", "chaos_sample", "chaos_sample_seed", "chaos_waves", "chaos_simultaneous",
)  # fmt: skip
#: Guard rails that the controller heeds, by what it knows itself: a group of the targets is no place for them.
RAILS = ("chaos_forbidden_groups", "chaos_allowed_hours")


class TargetError(Exception):
    """These targets may not be touched; the message is one sentence for people."""


def check_pattern(pattern: str, hosts: Sequence[str]) -> None:
    """Raise TargetError for a pattern that means everything, wholly or in a part of it, or nothing."""
    # as Ansible takes it apart, which makes ~ of ~[ and nothing at all of [, and as a person would
    theirs = _named_in(split_host_pattern(pattern))
    named = [*theirs, *_named_in(_PARTS.split(pattern))]
    # where nothing is named, as in exclusions alone (!db), Ansible takes all but those
    if not theirs or any(_is_everything(part.lstrip("&")) for part in named):
        raise TargetError(
            f"chaos_targets is {pattern!r}, which is every host; name the group that may be broken, such as exchange."
        )
    if not hosts:
        raise TargetError(
            f"chaos_targets is {pattern!r}, and the inventory has no such host; put one into the group exchange."
        )


def _named_in(parts: Sequence[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip() and not part.strip().startswith("!")]


def _is_everything(part: str) -> bool:
    """Return whether a part of a pattern, a slice of it or not, means every host of any inventory."""
    expression = part[1:] if part.startswith("~") else fnmatch.translate(_SLICE.sub("", part))
    try:
        wanted = re.compile(expression)
    except re.error:
        return False  # Ansible refuses it
    everybody = wanted.match(_NOBODY) is not None or all(map(wanted.match, _ORDINARY))
    return everybody or _SLICE.sub("", part) == "all"


def check_groups(groups: Mapping[str, Sequence[str]], forbidden: Sequence[str], accepted: bool) -> None:
    """Raise TargetError when a host is in a forbidden group. ``groups``: each host's groups; ``accepted``: by -e."""
    if accepted:
        return
    for host, names in groups.items():
        found = sorted(set(names) & set(forbidden))
        if found:
            raise TargetError(
                f"Host {host} is in the forbidden group {found[0]}; leave it out of chaos_targets, "
                "or give -e chaos_i_accept_production=true on the command line."
            )


def check_hours(allowed: str, now: datetime) -> None:
    """Raise TargetError outside ``allowed``, such as 09:00-17:00 in the controller's local time; empty: always."""
    if not allowed:
        return
    match = _HOURS.fullmatch(allowed)
    if match is None:
        raise TargetError(f"chaos_allowed_hours is {allowed!r}; it must look like 09:00-17:00.")
    first, last = (f"{match.group(part)}:{match.group(part + 1)}" for part in (1, 3))
    clock = f"{now:%H:%M}"
    inside = first <= clock < last if first <= last else clock >= first or clock < last
    if not inside:
        raise TargetError(
            f"It is {clock}, and chaos_allowed_hours is {allowed}; nothing is broken outside these hours."
        )


def check_command_line(inventory: Mapping[str, Collection[str]], given: Collection[str]) -> None:
    """Raise TargetError when the inventory sets what must be ``given`` by -e, and it was not.

    inventory: the names of each host's variables, those of its groups among them.
    """
    for name in BY_COMMAND_LINE:
        if name in given:
            continue
        host = next((host for host, names in inventory.items() if name in names), None)
        if host is not None:
            raise TargetError(
                f"{name} is set in the inventory (for host {host}), where it does not count; "
                f"take it out, and give -e {name}=… on the command line."
            )


def check_rails(
    controller: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]], given: Collection[str]
) -> None:
    """Raise TargetError when the inventory gives a target a guard rail that it does not give the controller.

    controller, targets: variables by name, those of each target by its name; given: names of those given by -e.
    """
    for name in RAILS:
        if name in given:
            continue
        for host, known in targets.items():
            if name in known and known[name] != controller.get(name):
                raise TargetError(
                    f"{name} is set in the inventory for host {host}, and not so for the controller, which heeds it; "
                    "set it in the group all, or give it by -e."
                )


def is_true(value: object) -> bool:
    """Read a variable as Ansible's bool filter does."""
    return value is True or str(value).strip().lower() in ("true", "yes", "on", "1", "y", "t")
