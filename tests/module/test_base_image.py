"""The base image of the embedded exchange: what of apt's answer is taken, and where a package's files come to lie."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests.module.test_lab_host import ROLE, load

base_image = load(ROLE / "files" / "base_image.py")
DIGEST = "SHA256:" + "ab" * 32
debian = pytest.mark.skipif(
    not shutil.which("dpkg-deb"), reason="packages are made and read by Debian's own tools"
)


def line(name: str, digest: str = DIGEST) -> str:
    return f"'http://mirror.example/pool/{name}_1%3a2-3_amd64.deb' {name}_1%3a2-3_amd64.deb 123 {digest}"


def test_what_apt_would_install_is_fetched_but_for_what_never_runs() -> None:
    answer = "\n".join(
        ["Reading package lists...", *map(line, ("curl", "libllvm14", "perl-base", "libpcre2-8-0"))]
    )
    uri = "http://mirror.example/pool/{}_1%3a2-3_amd64.deb"
    assert base_image.chosen(answer) == {
        name: (uri.format(name), DIGEST) for name in ("curl", "libpcre2-8-0")
    }


@pytest.mark.parametrize("digest", ["MD5Sum:8e7e741807b1e1939df8f58323affdcb", "", "SHA256:ab"])
def test_what_cannot_be_checked_is_not_fetched(digest: str) -> None:
    with pytest.raises(
        base_image.ImageError, match=r"apt has no SHA-256 for 'http://mirror.example/pool/curl_"
    ):
        base_image.chosen(f"{line('bash')}\n{line('curl', digest)}")


def test_only_the_distribution_s_own_sources_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = """Debian|deb [signed-by=$(SIGNED_BY)] http://mirror.example/debian/ bookworm main
Debian|deb [signed-by=$(SIGNED_BY)] http://mirror.example/debian/ bookworm main
Debian|deb [signed-by=/usr/share/keyrings/own.gpg] http://mirror.example/security/ bookworm-security main
Vendor|deb [signed-by=] https://vendor.example/ stable main
"""
    monkeypatch.setattr(base_image, "run", lambda *words, **options: lines)
    monkeypatch.setattr(base_image, "os_release", lambda: {"ID": "debian"})
    assert base_image.sources() == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb [signed-by=/usr/share/keyrings/own.gpg] http://mirror.example/security/ bookworm-security main",
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("./bin/bash", "usr/bin/bash"),
        ("./lib64", "usr/lib64"),
        ("./usr/bin/install", "usr/bin/install"),
        ("./lib/x86_64-linux-gnu/lib/x", "usr/lib/x86_64-linux-gnu/lib/x"),
        ("./library/x", "library/x"),
        ("./var/run/postgresql", "run/postgresql"),
        ("./", ""),
    ],
)
def test_folders_that_are_links_into_usr_are_written_there(name: str, place: str) -> None:
    assert base_image.place_of(name) == place


def make_package(folder: Path, name: str, files: dict[str, str]) -> Path:
    """A Debian package with such files."""
    root = folder / name
    control = root / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    about = {
        "Package": name,
        "Version": "1",
        "Architecture": "all",
        "Maintainer": "nobody",
        "Description": "none",
    }
    control.write_text("".join(f"{key}: {value}\n" for key, value in about.items()))
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    made = folder / f"{name}.deb"
    words = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(made)]
    subprocess.run(words, check=True, capture_output=True)
    return made


@debian
def test_packages_become_one_root_with_the_accounts_that_nobody_added(tmp_path: Path) -> None:
    master = {"usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/bash\n"}
    bitcode = "usr/lib/postgresql/15/lib/bitcode/x.bc"
    packages = [
        make_package(tmp_path, "one", {"bin/sh": "#!", "usr/share/doc/one/copyright": "long", **master}),
        make_package(
            tmp_path,
            "two",
            {"usr/bin/two": "2", "var/run/x": "", bitcode: "large"},
        ),
    ]
    base_image.write_root(tmp_path / "root.tar", packages)
    with tarfile.open(tmp_path / "root.tar") as root:
        names = root.getnames()
        accounts = root.extractfile("etc/passwd").read().decode()  # type: ignore[union-attr]  # a file, as written
        assert (root.getmember("bin").linkname, root.getmember("var/run").linkname) == ("usr/bin", "/run")
    assert len(names) == len(set(names)), "a folder that two packages have is there once"
    assert {"usr/bin/sh", "usr/bin/two", "run/x", "usr/local/bin", "etc/nsswitch.conf"} <= set(names)
    assert not [name for name in names if "doc/one/" in name or "bitcode/" in name]
    assert accounts.splitlines()[0] == "root:*:0:0:root:/root:/bin/bash"
    assert [entry.split(":")[:3] for entry in accounts.splitlines()[1:]] == [
        ["redis", "x", "100"], ["postgres", "x", "101"],
    ]  # fmt: skip


@debian
def test_half_a_package_makes_no_image(tmp_path: Path) -> None:
    package = make_package(tmp_path, "one", {"bin/sh": os.urandom(200_000).hex()})
    package.write_bytes(package.read_bytes()[:100_000])
    with pytest.raises((base_image.ImageError, tarfile.TarError)):
        base_image.write_root(tmp_path / "root.tar", [package])


@debian
def test_what_apt_says_is_told_when_trying_again_did_not_help_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[bool] = []
    monkeypatch.setattr(base_image.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(base_image, "renew_lists", lambda: renewed.append(True))
    with pytest.raises(base_image.ImageError, match=r"^apt-get failed: E: .*no-such-package$"):
        base_image.make_root(tmp_path / "root.tar", ["no-such-package"])
    assert len(renewed) == 2
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_there_or_being_made_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, made = tmp_path / "lab" / "base-1.tar", []

    def make(path: Path, packages: list[str]) -> None:
        made.append(packages)
        other = threading.Thread(target=base_image.have_root, args=(path, packages))
        other.start()
        other.join(0.3)
        waiting.append(other.is_alive())
        path.write_text("root")

    waiting: list[bool] = []
    monkeypatch.setattr(base_image, "make_root", make)
    base_image.have_root(root, ["curl"])
    base_image.have_root(root, ["curl"])
    assert (made, waiting) == ([["curl"]], [True])


def test_set_up_and_role_call_the_root_by_the_same_name() -> None:
    text = (ROLE.parents[1] / "tools" / "bootstrap").read_text()
    assert "/var/lib/exchange-chaos-lab/base-$sum.tar" in text
    summed = re.search(r"sum=\$\((.+)\)$", text, re.M)
    assert summed
    script = f"files={ROLE}/files; {summed[1]}"
    begun = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    words = [
        "ansible",
        "localhost",
        "--inventory",
        "localhost,",
        "--connection",
        "local",
        "--module-name",
        "debug",
    ]
    more = [f"@{ROLE}/vars/main/main.yml", f"@{ROLE}/defaults/main.yml", f"role_path={ROLE}"]
    words += ["--args", "var=__lab_root", *(word for one in more for word in ("--extra-vars", one))]
    said = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROLE.parents[1]).stdout
    assert f"/var/lib/exchange-chaos-lab/base-{begun}.tar" in said, said
