"""What a host says of its containerd: the process behind the CRI's socket, its version, its configuration.

The process is the one that listens where the kubelet asks, by `SO_PEERCRED`: a node often runs another containerd, for
Docker.  Nothing is changed.  The version is asked of the running process's own program, and so is the configuration
(`config dump`).  Where the host is mounted elsewhere, paths in its configuration mean other files: its program is run
with the host's root for its own, and if that can't be, the configuration is put together from the files.
"""

import os
import socket
import stat
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from agent.adapters import files, host
from agent.adapters.hostroot import HostRoot, Reached
from agent.errors import HostError, Malformed
from agent.wiring import distributions, effective
from agent.wiring.facts import (
    MAIN,
    MARKERS,
    OWN,
    SOCKETS,
    UNIT_FOLDERS,
    UNITS,
    Facts,
    Process,
    main_of_unit,
    os_release,
    unit_of,
)
from agent.wiring.loading import Files, load
from agent.wiring.merging import from_dump, merge
from agent.wiring.version import Version, parse

PROGRAMS = (
    "/usr/bin/containerd",
    "/usr/local/bin/containerd",
    "/usr/sbin/containerd",
    "/opt/bin/containerd",
)
"""Where its program is, if no process tells, and the configuration is no distribution's own."""

NOT_ASKED = "not asked"
"""How `Told.dump_trouble` begins where nothing is wrong: the host's containerd could not be asked from here."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_CONNECT_SECONDS = 2.0
_MAX_COMMAND = 64 * 1024
_MAX_UNITS = 64
_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_DELETED = " (deleted)"


class Asked(NamedTuple):
    """What to look at: a host's root, and what to take instead of what is found; `version` only if none is found."""

    host: str = "/"
    configuration: str = ""
    socket: str = ""
    version: str = ""


class Told(NamedTuple):
    """The facts, and what could not be had of them.

    `dump_trouble` is why `config dump` said nothing, empty if it did; `replaced` is whether the process runs a program
    that is not on the disk any more.
    """

    facts: Facts
    dump_trouble: str = ""
    replaced: bool = False


def check(asked: Asked) -> None:
    """Refuse a configuration that somebody named and that is not there: containerd's defaults would be judged.

    Raises `HostError`.
    """
    if asked.configuration and not HostRoot(asked.host).exists(asked.configuration):
        raise HostError(
            f"--containerd-config: got {asked.configuration}, and nothing there; expected containerd's main "
            "configuration file, as an absolute path of the host",
            hint="leave the option out: then it is what the running containerd was told",
        )


def facts(asked: Asked) -> Told:
    """Find everything out.  Raises `HostError` if the host's files can't be read."""
    source = HostRoot(asked.host)
    if not source.exists("/"):
        raise HostError(f"{asked.host}: got nothing there; expected the root of a host")
    at, process = _listening(source, asked.socket)
    replaced = process is not None and process.exe.endswith(_DELETED)
    main = asked.configuration or (process.option("-c", "--config") if process else "") or _usual(source, at)
    program = _program(source, process, main)
    below = _below(source, process, main)
    version = next(filter(None, (_version(each) for each in (below, program) if each)), None) or parse(asked.version)
    read = _Remembered(source)
    loaded = load(main, read)
    for path in _beside(main):
        read.read(path)
    known = Facts(
        version,
        main,
        read.files,
        process=process,
        socket=at,
        os_release=os_release(next(filter(None, map(source.read, _OS_RELEASE)), b"")),
        markers=frozenset(path for path in MARKERS if source.exists(path)),
    )
    if version is None:
        return Told(known, "which containerd runs here is not known", replaced)
    dump, trouble = None, f"{NOT_ASKED}: the host's root is not ours"
    if distributions.identify(known).way is distributions.Way.REFUSE:
        trouble = f"{NOT_ASKED}: this is no containerd"
    elif asked.host == "/" and program and loaded.files:
        dump, trouble = _dump(program, main, version)
    elif below and loaded.files:
        dump, trouble = _dump(below, main, version)
        trouble = f"{NOT_ASKED}: {trouble}" if dump is None else ""
    elif asked.host == "/":
        trouble = "there is no configuration file"
    written = merge(load(main, Files(read.files)), version)
    in_force = effective.effective(version, written, from_dump(dump, version) if dump is not None else None)
    folder = str(in_force.bin_dir.value)
    known = known._replace(dump=dump, folder=source.folder(folder) if folder.startswith("/") else None)
    return Told(known, trouble, replaced)


def _usual(source: HostRoot, socket: str) -> str:
    """The main configuration of whoever listens at a socket, where no process tells it.

    Where nobody listens, as on a host that does not run, a distribution's own comes first: the kubelet asks that one.
    """
    for own in OWN:
        if own.socket == (socket or own.socket) and source.exists(own.main):
            return own.main
    return main_of_unit(_units(source)) or MAIN


def _units(source: HostRoot) -> Iterator[bytes]:
    changes = (each for folder in UNIT_FOLDERS for each in source.glob(f"{folder}/*.conf")[:_MAX_UNITS])
    for path in (*UNITS, *changes):
        with suppress(HostError):
            yield source.read(path) or b""


def listening(source: HostRoot, wanted: str) -> int | None:
    """The process that listens where the kubelet asks, 0 if it is of another namespace, None if none does."""
    return next((pid for path in _places(wanted) if (pid := _peer(source, path)) is not None), None)


def started(pid: int) -> float:
    """When a process was started, in seconds since 1970; 0 if nobody can tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read(_MAX_COMMAND).rpartition(b")")[2].split()[19])  # proc(5): 22nd field, starttime
    except (OSError, ValueError, IndexError):
        return 0.0
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def socket_path(source: HostRoot, wanted: str) -> Iterator[str]:
    """A path of ours that leads to the socket where the kubelet asks, whatever its length; empty if none is there."""
    with ExitStack() as opened:
        for path in _places(wanted):
            with suppress(OSError, ValueError):
                reached = opened.enter_context(source.reached(path))
                if stat.S_ISSOCK(reached.found.st_mode):
                    found = f"/proc/self/fd/{reached.descriptor}"
                    break
        else:
            found = ""
        yield found


def _places(wanted: str) -> Sequence[str]:
    return (wanted,) if wanted else SOCKETS


class _Remembered:
    """A source that keeps what was read."""

    def __init__(self, source: HostRoot) -> None:
        self._source = source
        self.files: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        """See `loading.Source.read`."""
        content = self._source.read(path)
        if content is not None:
            self.files[path] = content
        return content

    def glob(self, pattern: str) -> Sequence[str]:
        """See `loading.Source.glob`."""
        return self._source.glob(pattern)


def _beside(main: str) -> Iterable[str]:
    """Files that a plan looks at and that containerd may not read: our own, and templates."""
    folder = os.path.dirname(main)
    yield f"{folder}/conf.d/{distributions.OWN_FILE}"
    if "/snap/microk8s/" in main:
        yield f"{folder}/containerd-template.toml"
    if folder.endswith("/agent/etc/containerd"):
        yield from (f"{folder}/{name}" for name in distributions.RANCHER_TEMPLATES)


def _listening(source: HostRoot, wanted: str) -> tuple[str, Process | None]:
    """The first socket that somebody listens at, and who; the wanted one, if any, whether or not somebody does."""
    for path in _places(wanted):
        pid = _peer(source, path)
        if pid is not None:
            return path, _process(pid)
    return wanted, None


def _peer(source: HostRoot, path: str) -> int | None:
    with suppress(OSError, ValueError), source.reached(path) as reached:
        if not stat.S_ISSOCK(reached.found.st_mode):
            return None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(f"/proc/self/fd/{reached.descriptor}")
            told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid = _CREDENTIALS.unpack(told)[0]
            return pid if isinstance(pid, int) else None
    return None


def _process(pid: int) -> Process | None:
    """What the kernel says of a process; 0 is one of another namespace, of which it says nothing here."""
    if pid <= 0:
        return None
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(_MAX_COMMAND).rstrip(b"\0").split(b"\0")
        exe = os.readlink(f"/proc/{pid}/exe")
        with open(f"/proc/{pid}/cgroup", "rb") as file:
            unit = unit_of(file.read(_MAX_COMMAND))
    except OSError:
        return None
    return Process(pid, exe, tuple(os.fsdecode(word) for word in words), unit)


class _Program(NamedTuple):
    """A program to ask, the name to call it by (k3s is one program of many names), and what is its root."""

    path: str
    name: str
    root: str = "/"


def _program(source: HostRoot, process: Process | None, main: str) -> _Program | None:
    """containerd's own, as a path of ours."""
    if process is not None:
        name = os.path.basename(process.arguments[0]) if process.arguments else ""
        return _Program(f"/proc/{process.pid}/exe", name)
    for path in _programs(main):
        with suppress(OSError), source.reached(path) as reached:
            if _is_program(reached):
                return _Program(os.path.join(source.root, reached.path.lstrip("/")), os.path.basename(path))
    return None


def _programs(main: str) -> Sequence[str]:
    """Where the program is that reads a configuration: a distribution's own, else wherever one usually is."""
    return next(((own.program,) for own in OWN if own.main == main), PROGRAMS)


def _below(source: HostRoot, process: Process | None, main: str) -> _Program | None:
    """The same as a path of a host that is mounted elsewhere; None where our root is the host's."""
    if source.root == "/" or os.geteuid() != 0:
        return None
    for path in (process.exe,) if process is not None else _programs(main):
        with suppress(OSError, ValueError), source.reached(path) as reached:
            if _is_program(reached):
                name = os.path.basename(process.arguments[0] if process and process.arguments else path)
                return _Program(reached.path, name, source.root)
    return None


def _is_program(reached: Reached) -> bool:
    return stat.S_ISREG(reached.found.st_mode) and bool(reached.found.st_mode & 0o111) and not reached.unsafe


def _version(program: _Program) -> Version | None:
    if program.root == "/" and _owned_by_others(program.path):
        return None
    with suppress(HostError):
        done = host.run(program.path, ["--version"], name=program.name, root=program.root)
        if done.code == 0:
            return parse(done.stdout[:4096].decode("utf-8", "replace"))
    return None


def _owned_by_others(program: str) -> bool:
    """Whether others could have written a program that is about to be run."""
    try:
        return bool(files.foreign(os.stat(program)))
    except OSError:
        return True


def _dump(program: _Program, main: str, version: Version) -> tuple[bytes | None, str]:
    try:
        done = host.run(program.path, ["--config", main, "config", "dump"], name=program.name, root=program.root)
        if done.code != 0:
            return None, f"containerd config dump ended with exit code {done.code}: {done.said}"
        from_dump(done.stdout, version)
    except (HostError, Malformed) as error:
        return None, error.message
    return done.stdout, ""
