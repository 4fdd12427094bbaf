# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A base image out of the distribution's packages, for the role `lab`: unpacked, not set up.  Standard library only.

Usage: python3 base_image.py /where/root.tar "curl redis-server"      (names of packages, by spaces or lines)

apt solves and fetches, dpkg-deb unpacks, and what comes out is one tar archive that `docker import` takes; neither
an engine nor a registry is asked, and nothing is installed on this host.  The packages' own set-up scripts are not
run: what they would have done and an exchange needs (accounts, where names are looked up) is `SETTLED`.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: What every image has beside the packages it is made for: a shell, its usual tools, accounts.
_SYSTEM = ["base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "gzip", "hostname"]
_SYSTEM += ["libc-bin", "mawk", "ncurses-base", "sed", "tar", "util-linux"]
#: Asked for by packages and never run here: set-up scripts, and the compiler that PostgreSQL loads only with jit = on.
_UNWANTED = re.compile(r"libllvm.*|libz3-4|perl.*|libperl.*|usrmerge|locales|libc-l10n")
#: Not unpacked.
_EXCLUDED = re.compile(r"usr/share/(doc|man|locale)/|usr/lib/postgresql/[^/]+/lib/bitcode/")
_ATTEMPTS = 3
#: For one command of apt's, over a slow line (s).
_FETCH_S = 600
#: /bin, /lib and their like are links into /usr, as on every Debian since 12; packages may still bring both.
_MERGED = re.compile(r"^(bin|sbin|lib|lib32|lib64|libx32)(?=/|$)")
#: Accounts that packages would have added when set up: user, uid, gid and home, as Debian numbered them before.
_ACCOUNTS = [("redis", 100, 102, "/var/lib/redis"), ("postgres", 101, 103, "/var/lib/postgresql")]
_MASTERS = {
    "usr/share/base-passwd/passwd.master": "etc/passwd",
    "usr/share/base-passwd/group.master": "etc/group",
}
SETTLED = {
    "etc/passwd": "".join(
        f"{name}:x:{uid}:{gid}::{home}:/usr/sbin/nologin\n" for name, uid, gid, home in _ACCOUNTS
    ),
    "etc/group": "".join(f"{name}:x:{gid}:\n" for name, _uid, gid, _home in _ACCOUNTS),
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
}
_FOLDERS = ["usr/local/bin", "usr/local/lib", "usr/local/sbin", "var/www"]
_LINKS = {
    "var/run": "/run",
    "var/lock": "/run/lock",
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "usr/bin/awk": "mawk",
}


class ImageError(Exception):
    """One clear sentence."""


def run(*words: str, timeout: float = 60) -> str:
    """Output of a command; ImageError with what it said when it fails."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise ImageError(f"There is no command {words[0]} on this host.") from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"{words[0]} was not done after {timeout:.0f} s.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in said if line.startswith(("E:", "Err:"))] or said
        raise ImageError(f"{words[0]} failed: {' / '.join(errors[-4:]) or f'exit code {done.returncode}'}")
    return done.stdout


def sources() -> list[str]:
    """This host's own apt sources of its distribution, one line each.

    Foreign repositories that the host has besides (a browser's, a cloud's) are left out: the image needs
    nothing from there.
    """
    wanted = "deb [signed-by=$(SIGNED_BY)] $(REPO_URI) $(RELEASE) $(COMPONENT)"
    origin = os_release().get("ID", "debian").lower()
    lines = run(
        "apt-get", "indextargets", "--format", f"$(ORIGIN)|{wanted}", "Created-By: Packages"
    ).splitlines()
    chosen = [line.split("|", 1)[1] for line in lines if line.split("|", 1)[0].lower() == origin]
    # apt fills in $(SIGNED_BY) only where a source names a key.
    cleaned = [re.sub(r"\[signed-by=(\$\(SIGNED_BY\))?\] ", "", line) for line in chosen]
    return list(dict.fromkeys(cleaned))


def os_release() -> dict[str, str]:
    """/etc/os-release as a dictionary."""
    pairs = [line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line]
    return {key: value.strip('"') for key, value in pairs}


def apt_options(folder: Path, lines: list[str]) -> list[str]:
    """Options with which apt takes these sources, and this host for one without any package.

    The lists are the host's own, which are fresh; all that apt writes goes into ``folder``.
    """
    (folder / "partial").mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text("".join(f"{line}\n" for line in lines))
    settings = {
        "Dir::State::status": folder / "status",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::Cache": folder,
        "Dir::Cache::archives": folder,
        "Debug::NoLocking": "true",
        "Acquire::ForceHash": "SHA256",
    }
    return [word for key, value in settings.items() for word in ("--option", f"{key}={value}")]


def fetch_packages(folder: Path, packages: list[str]) -> list[Path]:
    """Download packages and what they depend on, but for the unwanted, into ``folder``: their files, by name."""
    lines = sources()
    if not lines:
        raise ImageError(
            "This host's apt names no source of its own distribution: there is nothing to make an image of."
        )
    options = apt_options(folder, lines)
    answer = run(
        "apt-get",
        *options,
        "--print-uris",
        "--yes",
        "--no-install-recommends",
        "install",
        *_SYSTEM,
        *packages,
    )
    wanted = chosen(answer)
    triples = [
        word for name, (uri, digest) in wanted.items() for word in (uri, str(folder / f"{name}.deb"), digest)
    ]
    run(
        "/usr/lib/apt/apt-helper",
        "--option",
        "Debug::NoLocking=true",
        "download-file",
        *triples,
        timeout=_FETCH_S,
    )
    return [folder / f"{name}.deb" for name in sorted(wanted)]


def chosen(answer: str) -> dict[str, tuple[str, str]]:
    """Package -> where it is fetched from and its SHA-256, of what apt would install; without the unwanted.

    ImageError if apt knows no such sum for one: what can't be checked is not taken.
    """
    wanted = {}
    for line in re.findall(r"^'.*$", answer, re.M):
        found = re.fullmatch(r"'(\S+)' (\S+?)_\S*\.deb \d+ (SHA256:[0-9a-f]{64})", line)
        if not found:
            raise ImageError(f"apt has no SHA-256 for {line.split()[0]}.")
        uri, name, digest = found.groups()
        if not _UNWANTED.fullmatch(name):
            wanted[name] = (uri, digest)
    return wanted


def place_of(name: str) -> str:
    """Where a package's file lies in the image, without a slash in front."""
    plain = name[2:] if name.startswith("./") else name.lstrip("/")
    return _MERGED.sub(r"usr/\1", plain[len("var/") :] if plain.startswith("var/run/") else plain)


def members(package: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """What a package holds, in order; ImageError if it can't be read whole."""
    unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
    with unpack.stdout as stream, tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[union-attr]
        for member in archive:
            yield member, archive
    if unpack.wait():
        raise ImageError(f"dpkg-deb could not unpack {package.name}.")


def write_root(path: Path, packages: list[Path]) -> None:
    """Write the image's files as a tar archive: those of the packages, each folder once, and what they lack."""
    folders = set(_LINKS)
    settled = dict(SETTLED)
    with tarfile.open(path, mode="w") as root:
        for package in packages:
            for member, archive in members(package):
                member.name = place_of(member.name)
                if member.name in ("", ".", *folders) or _EXCLUDED.match(member.name):
                    continue
                if member.isdir():
                    folders.add(member.name)
                if member.islnk():
                    member.linkname = place_of(member.linkname)
                content = archive.extractfile(member) if member.isreg() else None
                if member.name in _MASTERS and content:
                    text = content.read()
                    content = io.BytesIO(text)
                    settled[_MASTERS[member.name]] = text.decode() + settled[_MASTERS[member.name]]
                root.addfile(member, content)
        for name in _FOLDERS:
            add(root, name, tarfile.DIRTYPE, mode=0o755)
        for name, text in settled.items():
            add(root, name, content=text.encode())
        for name, target in _LINKS.items():
            add(root, name, tarfile.SYMTYPE, target=target)


def add(
    root: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    content: bytes = b"",
    target: str = "",
) -> None:
    """Add a file, folder or link of ours to the image's root, root's own."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
    root.addfile(entry, io.BytesIO(content))


def have_root(path: Path, packages: list[str]) -> None:
    """Have the image's root at ``path``, whole or not at all; whoever is at it already is waited for."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make_root(path, packages)


def make_root(made: Path, packages: list[str]) -> None:
    """Write the image's root to ``made``, trying again where a fetch failed."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
                fetched = fetch_packages(Path(scratch) / "apt", packages)
                half = Path(scratch) / "root.tar"
                write_root(half, fetched)
                half.replace(made)
            return
        except ImageError:
            if not left:
                raise
            time.sleep(3)
            renew_lists()


def renew_lists() -> None:
    """Have apt learn anew what there is: it knew nothing yet, or of files that are gone."""
    with contextlib.suppress(ImageError):  # somebody else may be at it, and what is known may do
        run("apt-get", "update", timeout=_FETCH_S)


if __name__ == "__main__":
    try:
        have_root(Path(sys.argv[1]), sys.argv[2].split())
    except (ImageError, OSError, tarfile.TarError) as error:
        sys.exit(f"The base image could not be made: {error}")
