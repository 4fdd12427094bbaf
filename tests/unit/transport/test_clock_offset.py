# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The offset of a host's clock: the quickest exchange counts, and it is never surer than its round trip allows."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import clock_offset, host_clock
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.clock_offset import (
    ECHO,
    ClockReading,
    Unmeasured,
    choose_best,
)

pytestmark = pytest.mark.slow

AHEAD = 5.0
SHIFTED = f"import time; real = time.time; time.time = lambda: real() + {AHEAD}\n"


def exchange(there: float, back: float, offset: float = AHEAD) -> ClockReading:
    """Return an exchange whose ways took so many seconds, with a clock that is truly ``offset`` ahead."""
    sent = 1_700_000_000.0
    return ClockReading(sent, there + back, sent + there + offset)


def test_the_quickest_exchange_counts() -> None:
    found = choose_best([exchange(0.09, 0.01), exchange(0.001, 0.001), exchange(0.01, 0.2)])
    assert found.offset_ms == pytest.approx(5000, abs=0.001)
    assert found.uncertainty_ms == pytest.approx(1.0, abs=0.001)
    assert found.measured_at == pytest.approx(1_700_000_005.001)


@pytest.mark.parametrize(("there", "back"), [(0.020, 0.0), (0.0, 0.020), (0.017, 0.003), (0.01, 0.01)])
def test_ways_of_different_length_stay_within_the_uncertainty(there: float, back: float) -> None:
    found = choose_best([exchange(there, back), exchange(0.05, 0.0)])
    assert found.offset_ms is not None
    assert found.uncertainty_ms is not None
    assert abs(found.offset_ms - 5000) <= found.uncertainty_ms + 0.001
    assert found.uncertainty_ms == pytest.approx(10, abs=0.001)


def test_no_exchange_is_unknown_with_its_reason() -> None:
    assert choose_best([]).fields() == {
        "offset_ms": None, "uncertainty_ms": None, "measured_at": None, "reason": "no exchange was answered",
    }  # fmt: skip


def test_a_process_that_answers_is_asked_often_enough_over_one_connection() -> None:
    exchanges = clock_offset.read_clock([sys.executable, "-c", f"{SHIFTED}{ECHO}"])
    found = choose_best(exchanges)
    assert len(exchanges) >= 20
    assert found.offset_ms is not None
    assert found.uncertainty_ms is not None
    assert abs(found.offset_ms - 5000) <= found.uncertainty_ms + 0.01
    assert found.uncertainty_ms < 50


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("pass", "only 0 of"),
        ("import time; time.sleep(60)", "only 0 of"),
        ("print('Welcome'); import time; time.sleep(60)", "no time"),
        ("import sys\nfor n in range(5): sys.stdin.readline(); print(1.0, flush=True)", "only 5 of"),
    ],
)
def test_what_is_no_clock_is_told_in_time(program: str, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unmeasured, match=words):
        clock_offset.read_clock([sys.executable, "-c", program], patience=1.0)
    assert time.monotonic() - began < 5


def test_a_program_that_is_missing_is_told() -> None:
    with pytest.raises(Unmeasured, match="cannot be started"):
        clock_offset.read_clock(["/nowhere/ssh"])


class Connection:
    """An Ansible connection as far as it is asked; ``built`` is what its own builder was given."""

    def __init__(self, transport: str, **options: Any) -> None:
        self.transport, self.host, self.options = transport, "alpha", {"ssh_executable": "ssh", **options}
        self.built: tuple[Any, ...] = ()

    def get_option(self, name: str) -> Any:
        return self.options.get(name)

    def _build_command(self, *given: Any) -> list[bytes]:
        self.built = given
        return [b"ssh", b"-o", b"Port=2222", b"alpha", given[-1].encode()]


def action(connection: Connection, answer: str = "") -> Any:
    """Return an action plugin over a connection, whose ordinary commands all print ``answer``."""
    return SimpleNamespace(
        _connection=connection,
        _play_context=SimpleNamespace(password=None),
        _templar=SimpleNamespace(template=lambda value: value),
        _low_level_execute_command=lambda command, sudoable: {"stdout": answer},
    )


def test_ssh_is_opened_by_ansibles_own_builder_and_asks_nobody() -> None:
    connection = Connection("ssh")
    argv = host_clock._argv(action(connection), {"ansible_python_interpreter": "/opt/python"})
    assert argv[:5] == [b"ssh", b"-o", b"BatchMode=yes", b"-o", b"Port=2222"]
    assert connection.built[:3] == ("ssh", "ssh", "alpha")
    assert "exec /opt/python -u -c" in connection.built[3]
    host_clock._argv(action(connection), {"ansible_python_interpreter": "auto_silent"})
    assert "command -v python3" in connection.built[3]
    host_clock._argv(
        action(connection), {"ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3.9"}}
    )
    assert "exec /usr/bin/python3.9 -u" in connection.built[3]


@pytest.mark.parametrize(
    "connection", [Connection("ssh", password="secret"), Connection("docker"), Connection("paramiko")]
)
def test_a_password_or_another_plugin_takes_ordinary_commands(connection: Connection) -> None:
    found = host_clock.measure_offset(action(connection, f"Welcome\n{time.time() + 5:.9f}"), {})
    assert found.offset_ms == pytest.approx(5000, abs=500)
    assert connection.built == ()


def test_an_echo_that_fails_is_replaced_by_ordinary_commands() -> None:
    local = Connection("local")
    found = host_clock.measure_offset(
        action(local, f"{time.time()}"), {"ansible_python_interpreter": "/bin/false"}
    )
    assert found.offset_ms == pytest.approx(0, abs=500)


def test_a_host_whose_clock_cannot_be_read_is_unknown_and_fails_nothing() -> None:
    found = host_clock.measure_offset(action(Connection("docker"), "sh: date: not found"), {})
    assert (found.offset_ms, found.uncertainty_ms) == (None, None)
    assert found.reason == "no exchange was answered"
    broken = SimpleNamespace(_connection=Connection("ssh"))
    assert host_clock.measure_offset(broken, {}).reason.startswith("AttributeError")
