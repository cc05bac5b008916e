"""The real tools: fetched from the Debian archive into a cache folder of the user's, unpacked, never installed.

`python -m tests.testbed.tools` fetches them.  apt checks the archive index's signature and every package's hash; apt's
own state lies in a private folder.  Once the cache is complete, no network is used.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from typing import Iterator, NamedTuple

SUITE = os.environ.get("NODESEAL_TESTBED_SUITE", "forky")
"""Debian suite that the tools come from: the first one with containerd 2.1."""

PACKAGES = ("containerd", "notation", "cosign", "oras", "docker-registry", "busybox-static", "runc")
PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2", "notation", "cosign", "oras", "docker-registry", "busybox")
MINIMUM_CONTAINERD = (2, 1)
PRIVATE = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
"""Runs what follows in namespaces of its own, which end with it or with its parent."""

_HOST_TOOLS = ("apt-get", "dpkg", "unshare", "nsenter", "mount")


class ToolsMissing(Exception):
    """The tools can't be had here; the text says why."""


class Tools(NamedTuple):
    """Where the unpacked tools are, and which versions: one line per tool."""

    root: pathlib.Path
    versions: tuple[str, ...]

    @property
    def path(self) -> str:
        """A PATH with the tools in front."""
        return f"{self.root}/usr/sbin:{self.root}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def program(self, name: str) -> str:
        """The full path of a tool."""
        found = shutil.which(name, path=self.path)
        if found is None:
            raise ToolsMissing(f"{name}: not among the tools in {self.root}")
        return found


def unavailable() -> str:
    """Why the real testbed cannot run on this machine; empty if it can."""
    if os.geteuid() != 0:
        return "not root: namespaces and mounts need it"
    missing = [name for name in _HOST_TOOLS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} on this machine"
    probe = [*PRIVATE, "mount", "-t", "tmpfs", "tmpfs", "/run"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"namespaces are not to be had: {done.stderr.strip()}" if done.returncode else ""


def cache_folder() -> pathlib.Path:
    """The user's cache folder for the tools."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "nodeseal" / "testbed" / SUITE


def fetch() -> Tools:
    """The tools, from the cache or the archive.  Raises `ToolsMissing`."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        root = cache / "root"
        if not (root / "complete").is_file():
            _fetch_into(root, cache)
    return checked(root)


def faketime() -> pathlib.Path:
    """The library libfaketime of the host's own suite, from the cache or the archive.  Raises `ToolsMissing`."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / "faketime"
    with locked(cache / "lock"):
        if not root.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                unpacked = pathlib.Path(folder) / "root"
                download(pathlib.Path(folder), _host_suite(), ("libfaketime",), unpacked)
                unpacked.rename(root)
    found = next(root.glob("usr/lib/*/faketime/libfaketime.so.1"), None)
    if found is None:
        raise ToolsMissing(f"{root}: without libfaketimeMT.so.1; delete the folder to fetch it again")
    return found


def promtool() -> pathlib.Path:
    """Prometheus' tool, of the host's own suite, from the cache or the archive.  Raises `ToolsMissing`."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    found = cache / "promtool"
    with locked(cache / "lock"):
        if not found.is_file():
            print("testbed: fetching prometheus from Debian (about 35 MB, once) ...", flush=True)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                unpacked = pathlib.Path(folder) / "root"
                download(pathlib.Path(folder), _host_suite(), ("prometheus",), unpacked)
                (unpacked / "usr/bin/promtool").rename(found)
    return found


def service_manager() -> pathlib.Path:
    """A root with systemd of the host's own suite and its libraries, to lie over the host's `/usr`.

    From the cache or the archive.  Raises `ToolsMissing`.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / "systemd"
    with locked(cache / "lock"):
        if not root.is_dir():
            print("testbed: fetching systemd from Debian (about 30 MB, once) ...", flush=True)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                unpacked = pathlib.Path(folder) / "root"
                download(
                    pathlib.Path(folder), _host_suite(), ("systemd",), unpacked, with_dependencies=("lib", "systemd")
                )
                for name in ("bin", "sbin", "lib"):  # where /usr is everything
                    if (unpacked / name).is_dir() and not (unpacked / name).is_symlink():
                        shutil.copytree(unpacked / name, unpacked / "usr" / name, symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(unpacked / "usr/share", ignore_errors=True)
                unpacked.rename(root)
    if not (root / "usr/lib/systemd/systemd").is_file():
        raise ToolsMissing(f"{root}: without systemd; delete the folder to fetch it again")
    return root


def _fetch_into(root: pathlib.Path, cache: pathlib.Path) -> None:
    print(f"testbed: fetching {', '.join(PACKAGES)} from Debian {SUITE} (about 150 MB, once) ...", flush=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        unpacked = pathlib.Path(folder) / "root"
        download(pathlib.Path(folder), SUITE, PACKAGES, unpacked)
        if not _runs([str(unpacked / "usr" / "sbin" / "runc"), "--version"]):
            # Built for a newer glibc than this host's: the host's own suite has one that runs.
            for stale in unpacked.glob("usr/*bin/runc"):
                stale.unlink()
            download(pathlib.Path(folder), _host_suite(), ("runc",), unpacked)
        for superfluous in ("usr/share", "usr/libexec"):
            shutil.rmtree(unpacked / superfluous, ignore_errors=True)
        (unpacked / "complete").touch()
        shutil.rmtree(root, ignore_errors=True)
        unpacked.rename(root)


def download(
    folder: pathlib.Path,
    suite: str,
    packages: tuple[str, ...],
    into: pathlib.Path,
    *,
    with_dependencies: str | tuple[str, ...] = "",
) -> None:
    """Download packages of a suite with a private apt, and unpack them into `into`.

    `with_dependencies` is what the names of those dependencies begin with that are wanted as well; empty for none.
    Raises `ToolsMissing`.
    """
    options = private_apt(folder, suite)
    archives = folder / f"archives-{suite}"
    archives.mkdir()
    if with_dependencies:
        planned = must(["apt-get", *options[1:], "-s", "--no-install-recommends", "install", *packages], folder)
        names = {line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")}
        packages = tuple(sorted(name for name in names if name.startswith(with_dependencies)))
    must(["apt-get", *options, "download", *packages], archives)
    for archive in sorted(archives.glob("*.deb")):
        must(["dpkg", "-x", str(archive), str(into)], folder)


def private_apt(folder: pathlib.Path, suite: str, *, types: str = "deb") -> list[str]:
    """Options of an apt whose state lies below `folder`, with the lists of one suite.  Raises `ToolsMissing`."""
    private = folder / f"apt-{suite}"
    for part in (
        "etc/sources.list.d",
        "etc/apt.conf.d",
        "etc/preferences.d",
        "lists/partial",
        "cache/archives/partial",
    ):
        (private / part).mkdir(parents=True)
    (private / "status").touch()
    (private / "etc" / "sources.list.d" / "testbed.sources").write_text(
        f"Types: {types}\nURIs: {_mirror()}\nSuites: {suite}\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
    settings = {
        "Dir::Etc": f"{private}/etc",
        "Dir::State": private,
        "Dir::State::lists": f"{private}/lists",
        "Dir::State::status": f"{private}/status",
        "Dir::Cache": f"{private}/cache",
        "APT::Sandbox::User": "root",
    }
    options = ["-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    must(["apt-get", *options, "update"], folder)
    return options


def _mirror() -> str:
    """The archive that this host's own apt is configured to use."""
    listed = subprocess.run(["apt-get", "--print-uris", "update"], capture_output=True, text=True, check=False).stdout
    match = re.search(rf"'(\S+/)dists/{_host_suite()}/InRelease'", listed)
    if match is None:
        raise ToolsMissing("apt is configured for no Debian archive")
    return match[1]


def _host_suite() -> str:
    match = re.search(r"^VERSION_CODENAME=(\S+)", pathlib.Path("/etc/os-release").read_text(), re.MULTILINE)
    if match is None:
        raise ToolsMissing("not a Debian release: /etc/os-release has no VERSION_CODENAME")
    return match[1]


def checked(root: pathlib.Path) -> Tools:
    """The tools in `root`, if they are all there and containerd is new enough.  Raises `ToolsMissing`."""
    missing = [name for name in PROGRAMS if not (root / "usr" / "bin" / name).is_file()]
    if missing:
        raise ToolsMissing(f"{root}: without {', '.join(missing)}; delete the folder to fetch them again")
    runc = next(str(path) for path in root.glob("usr/*bin/runc"))
    asked = {
        "containerd": [str(root / "usr/bin/containerd"), "--version"],
        "runc": [runc, "--version"],
        "notation": [str(root / "usr/bin/notation"), "version"],
        "docker-registry": [str(root / "usr/bin/docker-registry"), "--version"],
    }
    versions = []
    for name, command in asked.items():
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        match = re.search(r"v?([0-9]+)\.([0-9]+)(?:\.[0-9]+)?\S*", output)
        versions.append(f"{name} {match[0] if match else 'of unknown version'}")
        if name == "containerd" and (match is None or (int(match[1]), int(match[2])) < MINIMUM_CONTAINERD):
            raise ToolsMissing(f"got {versions[-1]}; expected 2.1 or newer, which calls verifiers on CRI pulls")
    return Tools(root, tuple(versions))


def must(command: list[str], folder: pathlib.Path) -> str:
    """What a command says on standard output.  Raises `ToolsMissing` if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolsMissing(f"{command[0]}: {done.stderr.strip()[-400:]}")
    return done.stdout


def links(folder: str, names: list[str]) -> list[str]:
    """Which of these are symbolic links: what `shutil.copytree` is to leave out."""
    return [name for name in names if os.path.islink(os.path.join(folder, name))]


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Only one process at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print("\n".join(fetch().versions))
