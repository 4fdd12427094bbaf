# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the load costs the machine it measures: ``python -m tests.bench.load_cost`` prints it for three rates.

The API it sends to is on loopback and answers at once, so what is measured is the sender alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".collections"))

from ansible_collections.exchange.chaos.plugins.module_utils.common import jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes

from tests.module.load_api import Api, load_spec, make_run

SECONDS = 10.0


def main() -> None:
    """Run the load for ten seconds at each rate."""
    api = Api()
    print("orders/s    CPU of one core    ms per order    sent late (ms): median    99 %    max")
    with tempfile.TemporaryDirectory() as folder:
        for rate in (10, 50, 200):
            run = make_run(Path(folder) / str(rate), load_spec(api.url, rate=rate, timeout_s=3))
            processes.start(run, "load")
            time.sleep(SECONDS)
            processes.stop(run, "load")
            lines = jsonl.read(run.file("load.jsonl"))
            cpu = lines[-1]["summary"]["cpu_s"]
            late = sorted((line["sent"] - line["at"]) * 1000 for line in lines[:-1])
            print(
                f"{rate:8d}    {cpu / SECONDS:14.1%}    {cpu / len(late) * 1000:12.2f}    "
                f"{late[len(late) // 2]:22.2f}  {late[len(late) * 99 // 100]:6.2f}  {late[-1]:5.2f}"
            )
    api.refuse()


if __name__ == "__main__":
    main()
