"""The local connection with a link that can be cut: while the file CHAOS_TEST_CUT is there, the host is out of reach.

The file holds how many calls fail before the link is back; an empty one cuts it for good.
"""

from __future__ import annotations

DOCUMENTATION = """
name: cuttable
short_description: execute on the controller, unless the link is cut
description:
  - For tests.
author: The exchange.chaos authors (@exchange-chaos)
options:
  become_success_timeout:
    description: As of the local connection.
    type: int
    default: 10
  become_strip_preamble:
    description: As of the local connection.
    type: bool
    default: true
extends_documentation_fragment:
  - connection_pipelining
"""

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local


class Connection(Local):  # type: ignore[misc]  # ansible-core is untyped
    """Names itself local, as the host is no other than the controller."""

    def exec_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command, unless the link is cut when it begins or by the time it ends."""
        fail_if_cut()
        done = super().exec_command(*args, **kwargs)
        fail_if_cut()
        return done

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file, unless the link is cut."""
        fail_if_cut()
        super().put_file(in_path, out_path)


def fail_if_cut() -> None:
    """Raise as ssh's connection does."""
    path = Path(os.environ["CHAOS_TEST_CUT"])
    if not path.exists():
        return
    left = path.read_text().strip()
    if left:
        path.unlink() if int(left) <= 1 else path.write_text(str(int(left) - 1))
    raise AnsibleConnectionFailure("Failed to connect to the host: the link is cut")
