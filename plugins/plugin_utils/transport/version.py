# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own version, from what the checkout or the installed artifact says."""

from __future__ import annotations

import json
import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


def collection_version() -> str:
    """Return the version in MANIFEST.json (installed) or galaxy.yml (checkout), 0.0.0 without either."""
    manifest = _ROOT / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text())["collection_info"]["version"])
    galaxy = _ROOT / "galaxy.yml"
    found = re.search(
        r"^version:\s*['\"]?([^'\"\s]+)", galaxy.read_text() if galaxy.exists() else "", re.MULTILINE
    )
    return found.group(1) if found else "0.0.0"
