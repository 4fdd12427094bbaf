# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the embedded exchange's programs reach their stores where these ask for more, by variables of the environment.

CACHE_USER, CACHE_PASSWORD: as whom; CACHE_CA, DATABASE_CA: a file with the authority of a store that speaks TLS.
"""

from __future__ import annotations

import functools
import os
import ssl

wanted = {
    "username": os.environ.get("CACHE_USER"),
    "password": os.environ.get("CACHE_PASSWORD"),
    "ssl": bool(os.environ.get("CACHE_CA")) or None,
    "ssl_ca_certs": os.environ.get("CACHE_CA"),
}
more = {key: value for key, value in wanted.items() if value}
if more:
    import redis.asyncio

    redis.asyncio.Redis = functools.partial(redis.asyncio.Redis, **more)

if os.environ.get("DATABASE_CA"):
    import asyncpg

    connect, authority = asyncpg.connect, ssl.create_default_context(cafile=os.environ["DATABASE_CA"])
    # an address is connected to, and the certificate has the service's name
    authority.check_hostname = False

    def connect_by_tls(**how: object) -> object:
        """Connect as the programs do, encrypted."""
        return connect(**{**how, "ssl": authority})

    asyncpg.connect = connect_by_tls
