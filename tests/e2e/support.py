"""Running whole experiments on the embedded exchange, and looking at the machine without the collection's eyes."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "exchange-chaos-lab"
STATE = Path("/var/lib/exchange-chaos")
EXPERIMENT = "playbooks/01-database-sudden-death.yml"
#: Short windows, and clients of little patience, for tests that are not about them. A baseline of 60 orders bears one
#: that fails, as the default of 80 does: a hiccup of the machine is no lack of steady state.
QUICK: dict[str, Any] = {"chaos_baseline_s": "6", "chaos_placebo_s": "3", "chaos_client_timeout_s": "1"}
SHORT: dict[str, Any] = {**QUICK, "database_sudden_death_outage_s": "4"}


def ansible(
    playbook: str, *, tree: Path = ROOT, timeout: float = 600, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook of a tree to its end; output and errors together."""
    return subprocess.run(
        command(playbook, **variables), cwd=tree, env=environment(tree), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def command(playbook: str, **variables: str) -> list[str]:
    """The words of an ansible-playbook call. Gates and other tests may run beside it, which makes a host busy."""
    given = {"chaos_accept_noise": "true", **variables}
    extra = [word for key, value in given.items() for word in ("-e", f"{key}={value}")]
    return [str(ROOT / ".venv" / "bin" / "ansible-playbook"), playbook, *extra]


def environment(tree: Path = ROOT) -> dict[str, str]:
    """The environment of a bare checkout's user."""
    path = f"{ROOT}/.venv/bin:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(tree / "ansible.cfg"), "NO_COLOR": "1"}


def lab(profile: str = "resilient") -> None:
    """Bring the embedded exchange up in a profile."""
    done = ansible("playbooks/lab.yml", lab_profile=profile)
    assert done.returncode == 0, done.stdout[-4000:]


def lab_with(*switches: str) -> None:
    """Bring the embedded exchange up with single weaknesses."""
    done = subprocess.run(
        [*command("playbooks/lab.yml"), "-e", json.dumps({"lab_switches": list(switches)})], cwd=ROOT,
        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


@dataclass(frozen=True)
class Report:
    """The report files of one run."""

    stem: Path

    @property
    def record(self) -> dict[str, Any]:
        """The record as written."""
        return dict(json.loads(self.stem.with_name(f"{self.stem.name}.json").read_text()))

    @property
    def log(self) -> str:
        """What a person reads."""
        return self.stem.with_name(f"{self.stem.name}.log").read_text()

    def raw(self, name: str) -> list[dict[str, Any]]:
        """One raw file's lines but for its clock's."""
        return [line for line in self.raw_lines(name) if "anchor" not in line]

    def raw_lines(self, name: str) -> list[dict[str, Any]]:
        """One raw file's lines."""
        (path,) = self.stem.parent.glob(f"{self.stem.name}.*.{name}.jsonl.gz")
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]

    def finding(self, identity: str) -> dict[str, Any]:
        """One finding of the only host."""
        return next(dict(found) for found in self.record["hosts"][0]["findings"] if found["id"] == identity)


def report(folder: Path) -> Report:
    """The only report in a folder."""
    (log,) = folder.glob("chaos-exp-*.log")
    return Report(log.with_suffix(""))


def docker(*words: str) -> str:
    """Ask the engine through its own client; the machine's PATH decides which."""
    return subprocess.run(
        ["docker", *words], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def container(service: str) -> str:
    """The id of a service's only container."""
    labels = (f"label=com.docker.compose.project={PROJECT}", f"label=com.docker.compose.service={service}")
    return docker("ps", "-aq", "--no-trunc", *(word for label in labels for word in ("--filter", label)))


def state_of(service: str) -> dict[str, Any]:
    """A container's state as the engine tells it."""
    return dict(json.loads(docker("inspect", container(service)))[0]["State"])


def healthy(service: str, within: float = 60) -> None:
    """Wait until a service is healthy."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        state = state_of(service)
        if state["Running"] and state.get("Health", {}).get("Status") in (None, "healthy"):
            return
        time.sleep(0.2)
    raise AssertionError(f"{service} is not healthy: {state_of(service)['Status']}")


def query(sql: str) -> list[str]:
    """Ask the exchange's database itself; a row a line."""
    argv = ("psql", "-XAtq", "-U", "trading_user", "-d", "trading_db", "-c", sql)
    return docker("exec", container("postgres"), *argv).splitlines()


def api_url() -> str:
    """Where the API answers on this machine."""
    return f"http://{docker('port', container('trading-api'), '8080/tcp').splitlines()[0]}"


def ours() -> dict[int, str]:
    """Every process of this machine's runs: pid → command line; the bench's hosts in containers are others."""
    found = {}
    here = os.readlink("/proc/self/ns/mnt")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            if os.readlink(path.with_name("ns") / "mnt") != here:
                continue
        except OSError:
            continue
        if len(words) > 3 and words[1].endswith(b"/chaos.pyz") and words[3].startswith(bytes(STATE)):
            found[int(path.parent.name)] = b" ".join(words).decode(errors="replace")
    return found


def kill_ours(within: float = 10) -> None:
    """End every process of the host's runs, at once and without a word to any of them; whoever is started anew, too."""

    def gone() -> bool:
        for pid in ours():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not ours()

    wait_for(gone, within, lambda: f"still there: {ours()}")


def leftovers() -> list[str]:
    """What of ours is on this machine beside a record that waits to be collected."""
    found = list(ours().values())
    for folder in ("runs", "locks"):
        found += [str(path) for path in (STATE / folder).glob("*")]
    return found


def forget_records() -> None:
    """Drop uncollected records of earlier tests."""
    shutil.rmtree(STATE / "records", ignore_errors=True)


@contextmanager
def observer() -> Iterator[Path]:
    """Run the independent observer meanwhile; yields the file of its samples."""
    output = Path(os.environ.get("TMPDIR", "/tmp")) / f"exchange-chaos-observer-{os.getpid()}.jsonl"
    script = Path(__file__).with_name("observer.py")
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-I", str(script), f"{api_url()}/ready", container("postgres")],
            stdin=subprocess.PIPE, stdout=stream,
        )  # fmt: skip
        try:
            yield output
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)
            stream.flush()


@contextmanager
def under_way(
    folder: Path, wanted: str, playbook: str = EXPERIMENT, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Start an experiment and yield once its log has a line with ``wanted``; killed at the end if it still runs."""
    process = subprocess.Popen(
        command(playbook, chaos_report_dir=str(folder), **variables), cwd=ROOT, env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            if any(wanted in log.read_text() for log in folder.glob("chaos-exp-*.log")):
                break
            time.sleep(0.1)
        assert process.poll() is None, f"the run ended before {wanted!r} was in its log"
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def wait_for(condition: Any, within: float, what: str | Callable[[], object]) -> float:
    """Wait until a condition holds and return how long it took; ``what`` tells what was wrong, then or at the end."""
    begun = time.monotonic()
    while time.monotonic() < begun + within:
        if condition():
            return time.monotonic() - begun
        time.sleep(0.1)
    raise AssertionError(f"not within {within:g} s: {what() if callable(what) else what}")


def mutant(folder: Path, path: str, old: str, new: str) -> Path:
    """Copy the tracked tree and change one place in it."""
    text = (copy_tree(folder) / path).read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    (folder / path).write_text(text.replace(old, new))
    return folder


def copy_tree(folder: Path) -> Path:
    """Copy the tracked tree; the copy is a bare checkout of its own."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    link = folder / ".collections" / "ansible_collections" / "exchange"
    link.mkdir(parents=True)
    (link / "chaos").symlink_to("../../..")
    return folder
