# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority of an exchange's own, and a certificate of it for all of its services. No tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
_NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:postgres,DNS:redis"


def make_certificates(folder: Path) -> None:
    """Make ``ca.pem``, ``server.pem`` and ``server.key``; and a key for each store that its server alone may read."""
    openssl(
        "req",
        "-x509",
        *_KEY,
        "-subj",
        "/CN=An exchange's own",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        cwd=folder,
    )
    openssl("req", *_KEY, "-subj", "/CN=exchange", "-keyout", "server.key", "-out", "server.csr", cwd=folder)
    (folder / "names").write_text(_NAMES)
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "server.pem", cwd=folder,
    )  # fmt: skip
    for name in ("ca.pem", "server.pem", "server.key"):
        (folder / name).chmod(0o644)


def openssl(*words: str, cwd: Path) -> None:
    """Run openssl; CalledProcessError if it fails."""
    subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True, env={**os.environ})
