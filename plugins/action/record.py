# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind exchange.chaos.record: ends the run on the host, brings the raw data home, removes it there."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import tarfile

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import unreachable
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import report_files
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import run_module

#: A bundle has a dozen raw files.
_MOST_MEMBERS = 64


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """One task for what belongs together: judged, fetched, collected."""

    _requires_connection = True

    @unreachable.fail_when_unreachable()
    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Run the module; with ``stem`` fetch what it packed and, once that is safe here, drop it on the host."""
        super().run(tmp, task_vars)
        variables = dict(task_vars or {})
        arguments = dict(self._task.args)
        stem = arguments.get("stem")
        fetch = bool(stem) and not self._task.check_mode
        result = run_module(self, "record", {**arguments, "bundle": fetch}, variables)
        if result.get("failed") or not result.get("bundle_path"):
            return result
        try:
            result["raw_files"] = self._fetch(str(stem), str(result["bundle_path"]), variables)
        except (
            OSError, ValueError, tarfile.TarError, report_files.FileError, AnsibleConnectionFailure,
        ) as error:  # fmt: skip
            result["warnings"] = [
                f"The raw data stays on the host under {result['bundle_path']}, as it could not be fetched: {error}"
            ]
            return result
        collected = {key: arguments[key] for key in ("run_id", "state_dir") if arguments.get(key)}
        # the record is home: a link that breaks now costs the host's tidiness alone, for as long as records may wait
        with contextlib.suppress(AnsibleConnectionFailure):
            run_module(self, "run", {**collected, "state": "absent"}, variables)
        return result

    def _fetch(self, stem: str, path: str, variables: Variables) -> dict[str, str]:
        """Fetch the bundle and lay its parts beside the report, 0600; returns their paths by name."""
        answer = self._execute_module(
            module_name="ansible.legacy.slurp", module_args={"src": path}, task_vars=variables
        )
        if answer.get("failed"):
            raise ValueError(str(answer.get("msg")))
        host = str(variables.get("inventory_hostname", "localhost"))
        found = {}
        packed = base64.b64decode(answer["content"])
        if len(packed) > bounds.BUNDLE:
            raise ValueError(f"it is larger than {bounds.format_size(bounds.BUNDLE)}")
        # a plain archive only: what it holds is then never more than what came, and a hole in it is refused
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            for member in itertools.islice(archive, _MOST_MEMBERS):
                raw = member.name.split(".")[0]
                if not member.isreg() or member.issparse() or member.size > len(packed):
                    raise ValueError(f"{bounds.fit_line(member.name, 80)} in it is no plain file")
                if member.name == f"{raw}.jsonl.gz" and raw.isascii() and raw.isalpha():
                    stream = archive.extractfile(member)
                    data = stream.read(len(packed)) if stream is not None else b""
                    found[raw] = report_files.raw_path(stem, host, raw)
                    report_files.create_bytes(found[raw], data)
        return found
