"""`make soak-install`: installed and uninstalled a thousand times on one host, without drift.

One process does all of it on a host of its own, so that whatever it leaks adds up: every other time with a setting of
containerd's that changes.  Every hundredth time is as on a node: the program itself, the real containerd, a restart
where a setting changed, and the proof.  After each time the host must be what it was before the first: every entry,
its kind, mode, owner and content.  What no setting changes is not written anew.  At the end no process, no descriptor
and no block of the disk is left, and memory has not grown.  SIGTERM ends it early, with figures of what was done.
`python -m tests.soak.installs [ROUNDS [EVERY]]`.
"""

import argparse
import contextlib
import gc
import io
import json
import os
import pathlib
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.bench.figures import machine
from tests.commands import processes_naming
from tests.documents import put_between
from tests.frozen.program import BUILT
from tests.testbed.node import Node, Running
from tests.testbed.tools import fetch, unavailable
from tests.testbed.wholehost import WholeHost, whole_host

ROUNDS, EVERY = 1000, 100
WARM = 5
"""Rounds after which memory and descriptors count: what is imported and kept once is there by then."""

MOST_MIB = 4.0
"""How much more memory the process may have at the end: less than 5 KiB for each of a thousand rounds."""

_MOVED = ("--bin-dir", "/srv/verifiers")
MAIN = "etc/containerd/config.toml"
_MEMORY = "/dev/shm"
_PACKAGE = str(pathlib.Path(__file__).parents[2])


class Round(NamedTuple):
    """What the process says after a round: seconds, open descriptors, resident MiB; `wrong` is what went wrong."""

    install: float
    uninstall: float
    descriptors: int
    resident: float
    wrong: str = ""


class Size(NamedTuple):
    """What the host takes: entries of its own, and their bytes on the disk."""

    entries: int
    disk: int


class Drift(Exception):
    """A round left something behind, or failed; the text says which."""


class Soaked(NamedTuple):
    """What came of it: the rounds in one process, the seconds of those on the real containerd, sizes, all of it."""

    rounds: Sequence[Round]
    real: Sequence[float]
    first: Size
    last: Size
    seconds: float


def main(rounds: int, every: int) -> int:
    """Run, print, write; exit code 1 if anything drifted."""
    reason = unavailable()
    if reason:
        print(f"soak: needs the real tools: {reason}")
        return 1
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        text = render(soak(rounds, every, over))
    except Drift as drift:
        print(f"soak: {drift}")
        return 1
    print(text)
    put_between("soak-install", text)
    return 0


def soak(rounds: int, every: int, over: threading.Event | None = None) -> Soaked:
    """So many rounds, each `every`-th on the real containerd; fewer if it is `over` before.  Raises `Drift`."""
    start, done, real = time.monotonic(), list[Round](), list[float]()
    with Node(fetch(), folder=_MEMORY) as node, whole_host(node) as host:
        before, first = host.tree(), size(host)
        with installing(host) as process:
            for number in range(1, rounds + 1):
                written = _written(host)
                if number % every == 0:
                    moves = len(real) % 2 == 0
                    real.append(_on_containerd(host, moved=moves))
                else:
                    moves = number % 2 == 1
                    done.append(_asked(process, number, moved=moves))
                same(before, host.tree(), number)
                if not moves and _written(host) != written:
                    raise Drift(f"round {number}: {MAIN} was written; expected it to be left alone")
                if number % max(1, rounds // 20) == 0:
                    print(f"soak: {number} of {rounds} rounds, {time.monotonic() - start:.0f} s", flush=True)
                if over is not None and over.is_set():
                    break
            last = size(host)
        same(before, host.tree(), rounds)
        left = processes_naming(f"{host.root}/opt/nodeseal")
    steady(done, first, last, left)
    return Soaked(done, real, first, last, time.monotonic() - start)


@contextlib.contextmanager
def installing(host: WholeHost) -> Iterator[Running]:
    """The one process, in the host's namespaces."""
    command = [sys.executable, "-m", "tests.soak.installs", "--inside", str(host.root)]
    with host.node.started(["env", f"PYTHONPATH={_PACKAGE}", *command]) as process:
        yield process


def inside(root: str) -> None:
    """Install and uninstall on the host at `root` for each line of standard input, and tell."""
    for line in sys.stdin:
        words = list(_MOVED) if line.strip() == "moved" else []
        start = time.monotonic()
        said = _called(["install", "--root", root, "--program", str(BUILT), *words])
        middle = time.monotonic()
        said = said or _called(["uninstall", "--root", root])
        end = time.monotonic()
        gc.collect()
        told = Round(middle - start, end - middle, len(os.listdir("/proc/self/fd")), _resident(), said)
        print(json.dumps(told), flush=True)


def _called(words: list[str]) -> str:
    """Run a command in this process; what it said if it failed, else nothing."""
    from agent import cli

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main(["nodeseal", *words])
    except SystemExit as ended:
        return f"nodeseal {words[0]}: exit code {ended.code}: {said.getvalue()[-400:]}" if ended.code else ""


def _asked(process: Running, number: int, *, moved: bool) -> Round:
    """One round of the process's.  Raises `Drift`."""
    process.say("moved" if moved else "as it is")
    line = process.line()
    if not line:
        raise Drift(f"round {number}: the process ended")
    told = Round(*json.loads(line))
    if told.wrong:
        raise Drift(f"round {number}: {told.wrong}")
    return told


def _on_containerd(host: WholeHost, *, moved: bool) -> float:
    """One round of the program's own, with the proof, and with a restart if a setting is `moved`; how long it took."""
    start = time.monotonic()
    told = host.installed(*(_MOVED if moved else ()))
    if told["proof"]["state"] != "enforcing" or told["restarted"] is not moved:
        raise Drift(f"on containerd: {told}")
    done = host.uninstall()
    if done.code or done.err:
        raise Drift(f"on containerd: uninstall: {done.out}{done.err}")
    return time.monotonic() - start


def _written(host: WholeHost) -> int:
    """When containerd's configuration was written last."""
    return (host.root / MAIN).stat().st_mtime_ns


def same(before: Mapping[str, tuple[object, ...]], after: Mapping[str, tuple[object, ...]], number: int) -> None:
    """Raises `Drift` unless every entry is what it was."""
    changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    if changed:
        raise Drift(f"round {number}: {len(changed)} entries are not what they were: {', '.join(changed[:10])}")


def steady(rounds: Sequence[Round], first: Size, last: Size, left: Sequence[int]) -> None:
    """Raises `Drift` if anything grew."""
    warm = rounds[min(WARM, len(rounds)) - 1 :]
    open_files = {each.descriptors for each in warm}
    if len(open_files) > 1:
        raise Drift(f"the process had {min(open_files)} to {max(open_files)} descriptors open; expected one number")
    grown = warm[-1].resident - warm[0].resident
    if grown > MOST_MIB:
        raise Drift(f"the process has {grown:.1f} MiB more than after {WARM} rounds; expected {MOST_MIB:g} at most")
    if first != last:
        raise Drift(f"the host has {last.entries} entries, {last.disk} bytes on the disk; expected as before: {first}")
    if left:
        raise Drift(f"processes of the program's are left: {left}")


def size(host: WholeHost) -> Size:
    """What the host takes now."""
    entries = disk = 0
    for name in host.tree():
        entries += 1
        disk += (host.root / name).lstat().st_blocks * 512
    return Size(entries, disk)


def _resident() -> float:
    """MiB of this process."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


def render(soaked: Soaked) -> str:
    """The figures as Markdown."""
    rounds, first, last = soaked.rounds, soaked.first, soaked.last
    warm = rounds[min(WARM, len(rounds)) - 1 :]
    install, uninstall = (statistics.median(getattr(each, name) for each in rounds) for name in Round._fields[:2])
    lines = [
        machine(),
        "",
        f"{len(rounds) + len(soaked.real)} installations and uninstallations in {soaked.seconds / 60:.0f} minutes, "
        f"{len(soaked.real)} of them by the program on the real containerd, proved, every other one with a restart.",
        "",
        "| | first | last |",
        "|---|---|---|",
        f"| entries of the host's own | {first.entries} | {last.entries} |",
        f"| their bytes on the disk | {first.disk} | {last.disk} |",
        f"| descriptors of the process that installs | {warm[0].descriptors} | {warm[-1].descriptors} |",
        f"| its memory, MiB | {warm[0].resident:.1f} | {warm[-1].resident:.1f} |",
        "",
        f"Median: install {install:.2f} s, uninstall {uninstall:.2f} s"
        + (f"; both on containerd, with the proof, {statistics.median(soaked.real):.1f} s." if soaked.real else "."),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak.installs")
    parser.add_argument("--inside", metavar="ROOT", help=argparse.SUPPRESS)
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS)
    parser.add_argument("every", nargs="?", type=int, default=EVERY)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside)
    else:
        sys.exit(main(options.rounds, options.every))
