# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A trait of an exchange as data, what must come of it, and the one way in which that is seen. No tests."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e import support
from tests.shapes.project import PLAYED, Shaped, nothing

PREFLIGHT = "playbooks/00-preflight.yml"
ACCEPTED = r"Trial order accepted in [0-9.]+ ms, found in the database, "
#: Orders of ours that wait in the book; somebody rests at 150.
OPEN = "SELECT count(*) FROM trading.orders WHERE symbol = 'CHAOS' AND price < 149 AND status = 'PENDING'"


@dataclass(frozen=True)
class Trait:
    """A trait, on the exchange it is shown on, and the right value: it works, or is refused with what helps.

    holds: sees that the trait is there at all, asked of the engine or the service itself. given: what the owner sets.
    says: what preflight says besides. possible: the experiments that it calls possible, in the end. refused: what it
    says first, where it works only with ``remedy``: variables, or the command that its own words name.
    """

    exchange: str
    holds: Callable[[Shaped], object]
    given: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""
    possible: tuple[int, ...] = (1, 2, 9)
    #: those that no variable makes possible here; ``says`` has why
    ruled_out: tuple[int, ...] = ()
    refused: str = ""
    remedy: Mapping[str, Any] = field(default_factory=dict)
    #: what it says though it works, and no more once the command was carried out
    warned: str = ""
    #: the command that helps, in its own words
    command: str = ""
    #: words in front of the first ansible-playbook
    through: tuple[str, ...] = ()
    ending: str = "cancelled"
    #: makes it on an exchange that runs, and takes it away again
    make: Callable[[Shaped], object] = nothing
    unmake: Callable[[Shaped], object] = nothing


def catalogue(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The experiments of these numbers, as 00-preflight has them."""
    (play,) = yaml.safe_load((support.ROOT / PREFLIGHT).read_text())
    return [one for one in play["vars"]["chaos_catalogue"] if one["number"] in numbers]


def preflight(folder: Path, exchange: Shaped, *words: str, **variables: Any) -> str:
    """What 00-preflight says, on one line."""
    given = folder / "variables.json"
    known = {
        "chaos_trial": True,
        "chaos_project": exchange.project,
        "chaos_services": PLAYED,
        "chaos_discover": False,
    }
    given.write_text(json.dumps({**known, **fill_in(variables, exchange)}))
    done = subprocess.run(
        [*words, *support.command(PREFLIGHT), "-e", f"@{given}"], cwd=support.ROOT,
        env=support.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    given.unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stdout.split())


def fill_in(variables: Mapping[str, Any], exchange: Shaped) -> dict[str, Any]:
    """Return variables with addresses filled in: such as ``{address postgres}`` or ``{file ca.pem}``."""

    def find(match: re.Match[str]) -> str:
        what, name = match.groups()
        if what == "file":
            return str(exchange.folder / name)
        if what == "port":
            service, _colon, port = name.partition(":")
            return str(exchange.published(service, int(port)))
        network = exchange.inspect(name)["NetworkSettings"]["Networks"][exchange.project]
        return str(network["IPAddress" if what == "address" else "GlobalIPv6Address"])

    text = re.sub(r"\{(address6?|file|port) ([\w.:-]+)\}", find, json.dumps(variables))
    return dict(json.loads(text))


def impossible(said: str) -> set[int]:
    """The experiments that preflight calls impossible."""
    return {int(number) for number in re.findall(r"\b(\d\d) (?:\S+ ){1,5}?impossible", said)}


def require_right(trait: Trait, exchange: Shaped, folder: Path) -> str:
    """See that the trait is there, and that what must come of it does; returns what preflight said in the end."""
    try:
        trait.make(exchange)
        assert trait.holds(exchange) is not False
        return _require_right(trait, exchange, folder)
    finally:
        trait.unmake(exchange)


def _require_right(trait: Trait, exchange: Shaped, folder: Path) -> str:
    given = {"chaos_catalogue": catalogue((*trait.possible, *trait.ruled_out)), **trait.given}
    said = preflight(folder, exchange, *trait.through, **given)
    if trait.warned:
        assert re.search(trait.warned, said), said
        carry_out(trait.command, said)
        said = preflight(folder, exchange, **given)
        assert not re.search(trait.warned, said), said
    if trait.refused:
        assert re.search(trait.refused, said), said
        assert not re.search(ACCEPTED, said) or set(trait.possible) & impossible(said), said
        if trait.command:
            carry_out(trait.command, said)
        said = preflight(folder, exchange, **{**given, **trait.remedy})
    assert re.search(ACCEPTED + trait.ending, said), said
    assert re.search(trait.says, said), said
    assert impossible(said) == set(trait.ruled_out), said
    assert exchange.query(OPEN) == ["0"]
    return said


#: A load that a small exchange bears beside whatever else this machine does.
LIGHT: dict[str, Any] = {
    "chaos_rate": 10,
    "chaos_floor": 5,
    "chaos_watch_rate": 10,
    "chaos_burst_rate": 40,
    "chaos_thresholds": {"error_ratio": 0.05, "p99_ms": 1000, "loss_visible_ms": 100},
}


@dataclass(frozen=True)
class Ran:
    """A whole experiment: what was printed, and its report."""

    printed: str
    report: support.Report


def run_experiment(playbook: str, exchange: Shaped, folder: Path, **variables: Any) -> Ran:
    """Run an experiment with short windows, telling all that Ansible tells: judged, and all undone."""
    given, reports = folder / "variables.json", folder / "reports"
    known = {"chaos_project": exchange.project, "chaos_services": PLAYED, "chaos_discover": False}
    given.write_text(json.dumps({**support.SHORT, **LIGHT, **known, **fill_in(variables, exchange)}))
    reports.mkdir()
    words = support.command(f"playbooks/{playbook}.yml", chaos_report_dir=str(reports))
    done = subprocess.run(
        [*words, "-e", f"@{given}", "-vvv"], cwd=support.ROOT, env=support.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=200,
    )  # fmt: skip
    return Ran(done.stdout, require_judged(reports, done.stdout))


def require_judged(reports: Path, printed: str) -> support.Report:
    """The report of a run that was judged, took effect with orders going in, and was undone."""
    assert list(reports.glob("*.json")), printed[-4000:]
    report = support.report(reports)
    verdicts, host = report.record["verdicts"], report.record["hosts"][0]
    assert report.record["outcome"] in ("passed", "failed"), host["notes"]
    assert (verdicts["effect"], verdicts["restored"]) == ("pass", "pass"), host["notes"]
    assert host["load"]["ok"] > 0
    return report


def carry_out(command: str, said: str) -> None:
    """Carry out the command that stands in what was said, as a shell takes it."""
    found = re.search(command, said)
    assert found, said
    done = subprocess.run(shlex.split(found[0]), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (found[0], done.stderr)
