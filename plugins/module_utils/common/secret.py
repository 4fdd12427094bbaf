# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be read by whoever reads of it: a type that shows nothing of itself, and seals that can be compared.

A secret is handed out by :meth:`Secret.reveal` alone, which stands where it is used and nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from .shapes import Arguments

SHOWN = "(secret)"
_KEY_BYTES = 32
_SEAL_DIGITS = 16


class Secret:
    """A password or token; printed, formatted, logged or written as JSON (``default=str``) it is :data:`SHOWN`."""

    __slots__ = ("_text",)

    def __init__(self, text: object = "") -> None:
        """Take what is to be kept, as text."""
        self._text = text.reveal() if isinstance(text, Secret) else str(text or "")

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __bool__(self) -> bool:
        """Return whether there is one at all."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Compare in a time that tells nothing of the secret."""
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Return the same for all: a hash would tell of the secret."""
        return hash(SHOWN)

    def __repr__(self) -> str:
        """Show nothing."""
        return SHOWN

    __str__ = __repr__

    def __reduce__(self) -> Any:
        """Refuse to be written: a pickle would hold the secret."""
        raise TypeError("a secret is not written")


#: Where there is none.
NO_SECRET = Secret()


def make_key() -> str:
    """Return a random key for seals, to be kept as long as they are compared and no longer."""
    return secrets.token_hex(_KEY_BYTES)


def seal_text(text: str, key: str) -> str:
    """Return what is the same for the same text under a key, and tells nothing of it to who lacks the key."""
    return f"#{hmac.new(key.encode(), text.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:_SEAL_DIGITS]}"


def seal_environment(entries: Sequence[str], key: str) -> list[str]:
    """Return ``NAME=VALUE`` entries with their values sealed."""
    return [
        f"{name}={seal_text(value, key)}"
        for name, _equals, value in (str(one).partition("=") for one in entries)
    ]


def take_arguments(module: Any) -> Arguments:
    """Return the arguments of an ``AnsibleModule``, which shows none of its ``no_log`` ones from now on.

    Ansible itself would blot their values out of every word of the answer: a password that is also a schema's name, or
    "1", turns tables, settings and numbers into asterisks. What answers here is made of no secret in the first place.
    """
    given = dict(module.params)
    for name, option in module.argument_spec.items():
        if option.get("no_log") and given.get(name):
            module.params[name] = SHOWN
    module.no_log_values.clear()
    return given
