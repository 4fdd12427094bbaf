# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `lab` does on the host beyond what Ansible's own modules offer.  Standard library only.

Usage: python3 lab.py status|missing|engine|pull|image|place|empty|settle|disk|down <JSON arguments>

Prints one JSON object with `changed`; a failure is one sentence on stderr and exit code 1.  Only the engine
of this very host is talked to, whatever DOCKER_HOST says.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, Callable

PROJECT = "exchange-chaos-lab"
LABEL = "exchange.chaos.lab"  # on everything of ours: containers, network, volume, images
SERVICE_LABEL = "com.docker.compose.service"
STOPPED = "order-flow-simulator"  # made, but not running
SOCKET = "unix:///var/run/docker.sock"
#: For one image, over a slow line.
_PULL_S = 1800
#: Machines as the engine calls them, and as uname(1) and wheels do.
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

Json = dict[str, Any]


class LabError(Exception):
    """One clear sentence."""


def run(*words: str, timeout: float = 60) -> str:
    """Output of a command; LabError with what it said when it fails."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise LabError(f"There is no command {words[0]} on this host.") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(words)}` did not end within {timeout:g} s.") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise LabError(f"`{' '.join(words)}` failed: {' '.join(said[-3:])}")
    return done.stdout


def docker(*words: str, timeout: float = 60) -> str:
    """Output of a docker command on this host's engine."""
    return run("docker", "--host", SOCKET, *words, timeout=timeout)


def engine_answers() -> bool:
    """Whether a Docker engine runs here."""
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout=10)
    except LabError:
        return False
    return True


def refuse_podman() -> None:
    """Raise LabError where the command docker, or the engine that answers, is Podman's: the experiments refuse it."""
    helps = (
        "the embedded exchange and the experiments need a Docker engine: install one (Debian: docker.io; Red Hat: "
        "docker-ce) in its place."
    )
    if shutil.which("docker") and "podman" in run("docker", "--version", timeout=10).lower():
        raise LabError(
            f"{shutil.which('docker')} on this host is Podman's (package podman-docker), but {helps}"
        )
    components = "{{range .Server.Components}}{{.Name}} {{end}}"
    if engine_answers() and "podman" in docker("version", "--format", components, timeout=10).lower():
        raise LabError(f"{SOCKET.removeprefix('unix://')} on this host belongs to Podman, but {helps}")


def inspect(*filters: str) -> list[Json]:
    """All containers, or those that the filters (`label=…`) choose, as the engine describes them."""
    words = [word for text in filters for word in ("--filter", text)]
    ids = docker("ps", "--all", "--quiet", *words).split()
    if not ids:
        return []
    described: list[Json] = json.loads(docker("inspect", *ids))
    return described


# -- status ----------------------------------------------------------------------------------------------


def service_of(container: Json) -> str:
    """The compose service of a container."""
    return str(container["Config"]["Labels"].get(SERVICE_LABEL, ""))


def port_of(container: Json) -> int | None:
    """The port on the host that leads to the container."""
    for bindings in (container["HostConfig"].get("PortBindings") or {}).values():
        for binding in bindings or []:
            if binding.get("HostPort"):
                return int(binding["HostPort"])
    return None


def complaint(container: Json) -> str:
    """What is wrong with one container of ours, or nothing."""
    service, state = service_of(container), container["State"]
    if service == STOPPED:
        return f"{service} runs, but experiments bring their own load" if state["Running"] else ""
    if not state["Running"]:
        return f"{service} is {state['Status']}"
    health = state.get("Health", {}).get("Status", "none")
    if health != "healthy":
        return f"{service} is {health}"
    policy = container["HostConfig"]["RestartPolicy"]["Name"]
    return "" if policy == "unless-stopped" else f"{service} has the restart policy {policy!r}"


def judge(containers: list[Json], services: list[str], checksum: str) -> list[str]:
    """What keeps the exchange from being up as wanted, one clause each; empty when it is."""
    found = {service_of(container): container for container in containers}
    wrong = [f"{service} is missing" for service in services if service not in found]
    wrong += filter(None, map(complaint, containers))
    # Made last, so it tells that everything before it was made of the same settings.
    if STOPPED in found and found[STOPPED]["Config"]["Labels"].get(LABEL) != checksum:
        wrong.append("other settings are wanted now")
    return wrong


def choose_way(images: str, made: str) -> str:
    """What the exchange is made of here: packages or registry, as wanted or, with `auto`, as this host can.

    A host of Debian's family can make the image from packages; any can use it where it is (`made`) already.
    """
    if images != "auto":
        return images
    if is_debian(os_release()) and shutil.which("apt-get"):
        return "packages"
    there = shutil.which("docker") and engine_answers() and docker("image", "ls", "--quiet", made).strip()
    return "packages" if there else "registry"


def status(services: list[str], checksums: dict[str, str], images: str, made: str, wait: float = 0) -> Json:
    """Whether the exchange is up as wanted, waiting for it up to `wait` seconds; changes nothing.

    `checksums` are what each way to make it comes to, `images` is the way, `made` the image made from packages.
    """
    end = time.monotonic() + wait
    way = choose_way(images, made)
    while True:
        wrong, containers = ["no engine answers"], []
        if shutil.which("docker") and engine_answers():
            containers = inspect(f"label={LABEL}", f"label=com.docker.compose.project={PROJECT}")
            wrong = judge(containers, services, checksums[way])
        if not wrong or time.monotonic() >= end:
            ports = {service_of(container): port_of(container) for container in containers}
            return {"changed": False, "up": not wrong, "wrong": wrong, "ports": ports, "way": way}
        time.sleep(0.2)


# -- what is needed --------------------------------------------------------------------------------------


def works(*words: str) -> bool:
    """Whether a command is there and succeeds."""
    try:
        run(*words)
    except LabError:
        return False
    return True


def missing(images: list[str], wait: float = 0) -> Json:
    """What the exchange needs and this host lacks: engine, compose, capture (bcc); LabError for Podman.

    A docker client alone is no engine: it takes one that answers, or the daemon to start. What is being installed is
    half there: it is waited for up to `wait` seconds, and `installing` tells whether somebody still is at it.
    `imageless` is whether none of `images` can be here: their engine says so, or is only just coming. `debian` is
    whether this is one or of its family.
    """
    refuse_podman()
    end = time.monotonic() + wait
    while is_installing() and time.monotonic() < end:
        time.sleep(0.2)
    needs = {
        "engine": works("docker", "--version") and (engine_answers() or bool(shutil.which("dockerd"))),
        "compose": works("docker", "compose", "version") or works("docker-compose", "version"),
        "capture": works("/usr/bin/python3", "-c", "import bcc"),
    }
    lacks = [name for name, there in needs.items() if not there]
    release, installing = os_release(), is_installing()
    if engine_answers():
        known = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
        imageless = not set(images) & set(known)
    else:
        imageless = installing or "engine" in lacks
    return {
        "changed": False,
        "missing": lacks,
        "installing": installing,
        "imageless": imageless,
        "debian": is_debian(release),
        "distribution": release.get("NAME", "a Linux without a name"),
    }


def is_installing() -> bool:
    """Whether somebody holds the lock of Debian's package system."""
    try:
        inode = os.stat("/var/lib/dpkg/lock-frontend").st_ino
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[5].endswith(f":{inode}") for line in locks if len(line.split()) > 5)


# -- engine ----------------------------------------------------------------------------------------------


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), field 22); None if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError):
        return None


def engine(home: str, wait: float = 40) -> Json:
    """Have an engine answer: one that runs is used as it is, else systemd starts it, else we do."""
    if engine_answers():
        return {"changed": False, "started": ""}
    if Path("/run/systemd/system").is_dir():
        run("systemctl", "start", "docker")
        return wait_for_engine(
            {"changed": True, "started": "by systemd"}, wait, lambda: True, Path("/dev/null")
        )
    program = shutil.which("dockerd")
    if program is None:
        raise LabError("There is no dockerd on this host, and none could be installed.")
    folder = Path(home)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    log = folder / "dockerd.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [program], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )
    # Remembered by pid and start time, so that lab-down ends this engine and no other.
    state = {"pid": process.pid, "start_time": start_time(process.pid)}
    (folder / "engine.json").write_text(json.dumps(state))
    return wait_for_engine({"changed": True, "started": "by hand"}, wait, lambda: process.poll() is None, log)


def wait_for_engine(result: Json, wait: float, alive: Callable[[], bool], log: Path) -> Json:
    """Wait until the engine answers; LabError with the end of its log if it does not."""
    end = time.monotonic() + wait
    while time.monotonic() < end and alive():
        if engine_answers():
            return result
        time.sleep(0.2)
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    raise LabError(f"The Docker engine did not start; it said: {' / '.join(lines[-3:]) or 'nothing'}")


# -- images made here ------------------------------------------------------------------------------------


def os_release() -> dict[str, str]:
    """/etc/os-release as a dictionary."""
    pairs = [line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line]
    return {key: value.strip('"') for key, value in pairs}


def is_debian(release: dict[str, str]) -> bool:
    """Whether what /etc/os-release says is a Debian, or of its family."""
    return "debian" in (release.get("ID"), *release.get("ID_LIKE", "").split())


def import_base(root: str, tag: str) -> None:
    """Import the root that base_image.py wrote as an image, where that is not done; the root is gone afterwards."""
    archive = Path(root)
    if archive.exists():
        docker("import", "--change", f"LABEL {LABEL}=base", root, tag, timeout=300)
        archive.unlink()


def context(sources: dict[str, bytes]) -> bytes:
    """A build context for `docker build -`: path → content, as a tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, data in sorted(sources.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755 if data.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


def image(
    source: str, base: str, tag: str, dockerfile: str = "Dockerfile", wheels: str = "", root: str = ""
) -> Json:
    """Build an image of the exchange's on a base image, without any network; `wheels` is a folder that goes along.

    The base image is imported first where its `root` lies.
    """
    if root:
        import_base(root, base)
    files = {path: text.encode() for path, text in json.loads(Path(source).read_text()).items()}
    if wheels:
        files |= {f"wheels/{path.name}": path.read_bytes() for path in Path(wheels).glob("*.whl")}
    words = ["build", "--quiet", "--force-rm", "--network", "none", "--file", dockerfile, "--tag", tag]
    done = subprocess.run(
        ["docker", "--host", SOCKET, *words, "--build-arg", f"BASE={base}", "-"],
        input=context(files),
        capture_output=True,
        check=False,
        # The other builder would ask a registry for the base image.
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
    )
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise LabError(f"The exchange's image could not be built: {' / '.join(said[-4:])}")
    return {"changed": True}


# -- public images ---------------------------------------------------------------------------------------


def pull(registry: str, images: dict[str, dict[str, str]], home: str) -> Json:
    """Have the public images: those that are not here are pulled, and remembered for `lab-down`.

    Returns where each is (`pulled`: name → reference), and the `machine` that they are for, as uname(1) calls it.
    """
    folder = Path(home)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    references = {name: reference_of(registry, image) for name, image in images.items()}
    lacking = [reference for reference in references.values() if not is_here(reference)]
    for reference in lacking:
        try:
            docker("pull", "--quiet", reference, timeout=_PULL_S)
        except LabError as error:
            raise LabError(
                f"The image {reference} could not be pulled ({error}); lab_registry names the registry or mirror to "
                "pull from, and lab_images=packages needs none on a Debian."
            ) from None
        (folder / "pulled.json").write_text(json.dumps([*pulled_before(folder), reference]))
    machine = docker("version", "--format", "{{.Server.Arch}}").strip()
    return {"changed": bool(lacking), "pulled": references, "machine": _MACHINES.get(machine, machine)}


def reference_of(registry: str, image: dict[str, str]) -> str:
    """An image as the engine is asked for it: by its digest where that is known, else by its tag."""
    name = f"{registry.rstrip('/')}/{image['name']}"
    return f"{name}@{image['digest']}" if image["digest"] else f"{name}:{image['tag']}"


def is_here(reference: str) -> bool:
    """Whether the engine has an image."""
    return works("docker", "--host", SOCKET, "image", "inspect", "--format", "{{.Id}}", reference)


def pulled_before(folder: Path) -> list[str]:
    """What `pull` brought since there is an exchange of ours here."""
    try:
        remembered: list[str] = json.loads((folder / "pulled.json").read_text())
    except (OSError, ValueError):
        return []
    return remembered


def remove_pulled(folder: Path) -> list[str]:
    """Remove the public images that we pulled, but for those that somebody else's container uses by now."""
    return [
        f"image {name}" for name in pulled_before(folder) if works("docker", "--host", SOCKET, "rmi", name)
    ]


# -- ports -----------------------------------------------------------------------------------------------


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this host."""
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as probe:
            # connections that were closed a moment ago keep the port for nobody
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def choose(
    wanted: dict[str, int], kept: dict[str, int], claimed: set[int], free: Callable[[int], bool]
) -> dict[str, int]:
    """A port for each service: the one it has, else the wanted one, else the next free from 10000 above it."""
    chosen: dict[str, int] = {}
    for service, port in wanted.items():
        if service in kept:
            chosen[service] = kept[service]
            continue
        if not 1 <= port <= 65535:
            raise LabError(f"The port of {service} must lie from 1 to 65535; lab_ports says {port}.")
        candidates = [port, *range(port + 10000, min(port + 11000, 65536))]
        taken = claimed | set(chosen.values()) | set(kept.values())
        found = next((number for number in candidates if number not in taken and free(number)), None)
        if found is None:
            raise LabError(
                f"No free port for {service}: {port} and 1000 more above {port + 10000} are taken."
            )
        chosen[service] = found
    return chosen


def place(home: str, wanted: dict[str, int], images: list[str], look: bool) -> Json:
    """Have a folder, ports, and no container of other images; with `look` only say what that would come to."""
    removed = [] if look else clear(images)
    if not look:
        Path(home).mkdir(mode=0o755, parents=True, exist_ok=True)
    return {"changed": bool(removed), "removed": removed, "ports": choose_ports(wanted)}


def choose_ports(wanted: dict[str, int]) -> dict[str, int]:
    """Choose the ports; one that a foreign container claims is taken even while that container is stopped."""
    kept: dict[str, int] = {}
    claimed: set[int] = set()
    for container in inspect():
        port = port_of(container)
        if LABEL in container["Config"]["Labels"]:
            if port is not None:
                kept[service_of(container)] = port
        else:
            for bindings in (container["HostConfig"].get("PortBindings") or {}).values():
                claimed |= {int(binding["HostPort"]) for binding in bindings or [] if binding.get("HostPort")}
    return choose(wanted, kept, claimed, is_free)


# -- from one way to the other ---------------------------------------------------------------------------


def clear(images: list[str]) -> list[str]:
    """Remove the exchange's containers that are made of other images than these, whatever the version.

    Compose would hand their volumes on to the new ones, which cannot read them.
    """
    repositories = {image.partition(":")[0] for image in images}
    removed = [
        container["Name"].lstrip("/")
        for container in inspect(f"label={LABEL}", f"label=com.docker.compose.project={PROJECT}")
        if container["Config"]["Image"].partition(":")[0] not in repositories
    ]
    for name in removed:
        docker("rm", "--force", "--volumes", name)
    return removed


# -- up --------------------------------------------------------------------------------------------------


def empty(wait: float) -> Json:
    """Empty the book and the cache, once the database takes connections."""
    database, cache = f"{PROJECT}-postgres", f"{PROJECT}-redis"
    end = time.monotonic() + wait
    while not works("docker", "--host", SOCKET, "exec", database, "pg_isready", "-q", "-h", "127.0.0.1"):
        if time.monotonic() > end:
            raise LabError(f"The database takes no connection after {wait:g} s: see docker logs {database}.")
        time.sleep(0.2)
    docker("exec", database, "/opt/exchange/postgres/empty")
    docker("exec", cache, "redis-cli", "FLUSHALL")
    return {"changed": True}


def settle(services: list[str], checksums: dict[str, str], images: str, made: str, wait: float) -> Json:
    """Keep stopped what is made and not to run, wait until the rest is well, and forget images of earlier versions."""
    docker("stop", f"{PROJECT}-{STOPPED}")
    found = status(services, checksums, images, made, wait)
    pruned = docker("image", "prune", "--all", "--force", "--filter", f"label={LABEL}=image")
    return {**found, "changed": "Total reclaimed space: 0B" not in pruned}


# -- down ------------------------------------------------------------------------------------------------


def disk(home: str, own: bool, size_mb: int = 0, data: str = "data") -> Json:
    """Have a filesystem of its own for the database, an image of ``size_mb`` mounted below ``home``; or have none.

    ``data`` is the folder in it that becomes the volume.
    """
    folder = Path(home)
    image, mount = folder / "database.img", folder / "database"
    if not own:
        gone = docker("volume", "ls", "--quiet", "--filter", f"name=^{PROJECT}_postgres.*-own$").split()
        for volume in gone:
            docker("volume", "rm", volume)
        return {"changed": unmount(folder) or bool(gone)}
    mounted = mount.is_mount()
    if not mounted:
        mount.mkdir(parents=True, exist_ok=True)
        if not image.exists():
            with image.open("wb") as made:
                made.truncate(size_mb * 1024 * 1024)
            run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "1", str(image))
        run("mount", "-o", "loop", str(image), str(mount))
    (mount / data).mkdir(exist_ok=True)
    return {"changed": not mounted}


def unmount(folder: Path) -> bool:
    """Take the database's own filesystem away, its loop device and its image; whether there was any."""
    image, mount = folder / "database.img", folder / "database"
    if mount.is_mount():
        run("umount", str(mount))
    there = image.exists()
    image.unlink(missing_ok=True)
    if mount.is_dir():
        mount.rmdir()
    return there


def down(home: str) -> Json:
    """Take away all that is ours; idempotent.  The engine goes only if we started it and nobody else uses it."""
    folder = Path(home)
    removed: list[str] = []
    if shutil.which("docker"):
        # Ours may lie in an engine that is not running now (after a reboot): started to be cleaned.
        if not engine_answers() and (folder / "engine.json").is_file():
            engine(home)
        if engine_answers():
            removed += remove_objects()
            removed += remove_pulled(folder)
            removed += stop_engine(folder)
    unmount(folder)
    if folder.is_dir():
        shutil.rmtree(folder)
        removed.append(f"folder {folder}")
    return {"changed": bool(removed), "removed": removed}


def remove_objects() -> list[str]:
    """Remove containers, networks, volumes and images that carry our label."""
    ours = ("--filter", f"label={LABEL}")
    removed: list[str] = []
    for kind, find, remove in (
        ("container", ("ps", "--all", "--format", "{{.Names}}"), ("rm", "--force", "--volumes")),
        ("network", ("network", "ls", "--format", "{{.Name}}"), ("network", "rm")),
        ("volume", ("volume", "ls", "--format", "{{.Name}}"), ("volume", "rm", "--force")),
        # Not --all: the layers in between go with the image they led to, and refuse to go before it.
        ("image", ("images", "--format", "{{.ID}}"), ("rmi", "--force")),
    ):
        names = list(dict.fromkeys(docker(*find, *ours).split()))
        for name in names:
            try:
                docker(*remove, name)
            except LabError as error:
                # An image's parents go with it, so some of the list are gone when their turn comes.
                if "No such" not in str(error):
                    raise
            removed.append(f"{kind} {name}")
    return removed


def stop_engine(folder: Path) -> list[str]:
    """End the engine that we started, unless it has containers of others."""
    try:
        state = json.loads((folder / "engine.json").read_text())
    except (OSError, ValueError):
        return []
    pid = state["pid"]
    if state["start_time"] is None or start_time(pid) != state["start_time"]:
        return []  # not ours: another engine runs now
    if docker("ps", "--all", "--quiet").split():
        return []
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    while start_time(pid) == state["start_time"] and time.monotonic() < end and not is_zombie(pid):
        time.sleep(0.1)
    return [f"engine (process {pid})"]


def is_zombie(pid: int) -> bool:
    """Whether a process has ended, but nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def main(words: list[str]) -> int:
    """Run one of the actions with its arguments as JSON."""
    actions: dict[str, Callable[..., Json]] = {
        "status": status,
        "missing": missing,
        "engine": engine,
        "pull": pull,
        "image": image,
        "place": place,
        "empty": empty,
        "settle": settle,
        "disk": disk,
        "down": down,
    }
    try:
        print(json.dumps(actions[words[0]](**json.loads(words[1]))))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
