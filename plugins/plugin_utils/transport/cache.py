# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the controller keeps what it carries to hosts: whatever lies there is run by root on every one of them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ansible import constants

from ...module_utils.common.files import find_base, refuse_folder


def find_cache() -> Path:
    """Return the folder, made if need be: in the user's cache, or Ansible's own of this play where that will not do.

    A home whose folders a group may write to, or nobody may, as in many containers, or none at all, costs that each
    play makes the files anew.
    """
    base = find_base("XDG_CACHE_HOME", ".cache")
    if base is not None:
        kept = base / "exchange-chaos"
        with contextlib.suppress(OSError):
            kept.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not refuse_folder(kept) and os.access(kept, os.W_OK):
                return kept
    mine = Path(str(constants.DEFAULT_LOCAL_TMP)) / "exchange-chaos"
    mine.mkdir(mode=0o700, exist_ok=True)
    return mine
