# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container's environment tells of the database, without a secret in it. Pure.

A variable is read only if its name says that it holds a database's name or user, or its value is the address (URL) of
a PostgreSQL, of which the password is left out. Of all else nothing is kept but the names of what looks secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from ..common import bounds
from .facts import Environment, Named

_DATABASES = ("POSTGRES_DB", "PGDATABASE", "POSTGRES_DATABASE", "DB_NAME", "DB_DATABASE", "DATABASE_NAME")
_USERS = ("POSTGRES_USER", "PGUSER", "POSTGRES_USERNAME", "DB_USER", "DB_USERNAME", "DATABASE_USER")
_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|_KEY$|DSN$", re.IGNORECASE)
_URL = re.compile(r"(?:jdbc:)?postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
#: Letters of a name, and variables of an environment, that are looked at.
_LONGEST, _MOST = 120, 2000


def read_environment(entries: Iterable[object]) -> Environment:
    """Return what ``NAME=VALUE`` entries tell."""
    databases, users, secrets = [], [], []
    for entry in list(entries)[:_MOST]:
        name, _equals, value = str(entry).partition("=")
        shown = bounds.fit_line(name, _LONGEST)
        if _URL.match(value):
            user, database, secret = _take_apart(value)
            databases += [Named(shown, database)] if database else []
            users += [Named(shown, user)] if user else []
            secrets += [shown] if secret else []
        elif name.upper() in _DATABASES and value:
            databases.append(Named(shown, bounds.fit_line(value, _LONGEST)))
        elif name.upper() in _USERS and value:
            users.append(Named(shown, bounds.fit_line(value, _LONGEST)))
        elif _SECRET.search(name) or _holds_password(value):
            secrets.append(shown)
    return Environment(databases, users, secrets)


def _take_apart(url: str) -> tuple[str, str, bool]:
    """Return (user, database, whether there is a password) of a PostgreSQL's URL; of one that is none, nothing."""
    try:
        parts = urlsplit(url[len("jdbc:") :] if url.lower().startswith("jdbc:") else url)
        secret = parts.password is not None or "password=" in parts.query
        user, database = unquote(parts.username or ""), unquote(parts.path.lstrip("/"))
    except ValueError:
        return "", "", True
    if parts.netloc.count("@") > 1 or "@" in database or ":" in user:
        return "", "", True  # a password with signs that ought to be escaped: what is what cannot be told
    return bounds.fit_line(user, _LONGEST), bounds.fit_line(database, _LONGEST), secret


def _holds_password(value: str) -> bool:
    """Return whether a value is an address with a password in it, of whatever service."""
    return re.search(r"://[^/\s]*:[^/\s]*@", value[:4096]) is not None
