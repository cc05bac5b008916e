"""`make soak`: a real containerd pulls without a pause, for minutes, while the ground under it moves.

Sixteen clients pull signed, unsigned and tampered images through the CRI; a new configuration is put in force twice a
second; every ten seconds the registry stops answering for two.  Looked for: a wrong decision (there must be none), and
whatever grows.  `python -m tests.soak MINUTES`.
"""

import concurrent.futures
import itertools
import os
import pathlib
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from typing import Any, NamedTuple, Sequence

from tests.commands import processes_naming
from tests.documents import put_between
from tests.frozen.program import Program
from tests.signing import write_config
from tests.testbed.node import REGISTRY, Node
from tests.testbed.signatures import Signer, tamper
from tests.testbed.tools import Tools, fetch, unavailable

CLIENTS = 16
IMAGES_OF_A_KIND = 6
KINDS = {"signed": "", "unsigned": "NS-2001", "tampered": "NS-2101"}
"""Kinds of images, and the code with which each must be denied; empty if it must be pulled."""


class Pull(NamedTuple):
    """One pull: the kind of image, what came of it, and how long it took in seconds."""

    kind: str
    outcome: str
    seconds: float


class Size(NamedTuple):
    """What could grow: resident MiB of containerd, snapshots kept, the verifier's processes."""

    containerd_mib: float
    snapshots: int
    processes: int


class Moved(NamedTuple):
    """What went on meanwhile: configurations put in force, stops of the registry, most verifiers seen at once."""

    published: int
    interrupted: int
    most_verifiers: int


def main(minutes: float) -> int:
    """Run, print, write; exit code 1 if one decision was wrong."""
    reason = unavailable()
    if reason:
        print(f"soak: needs the real tools: {reason}")
        return 1
    tools = fetch()
    with Node(tools) as node:
        program, configurations = prepare(node)
        over = threading.Event()
        first = size(node, program)
        with concurrent.futures.ThreadPoolExecutor(CLIENTS + 2) as pool:
            published = pool.submit(publish, program, configurations, over)
            interrupted = pool.submit(interrupt, node, over)
            clients = [pool.submit(pull, node, number, over) for number in range(CLIENTS)]
            most = wait(minutes * 60, over, node, [*clients, published, interrupted])
            pulls = [each for client in clients for each in client.result()]
        time.sleep(9)  # a verifier's own time limit is 8 s: what is there after that is left behind
        last = size(node, program)
        moved = Moved(published.result(), interrupted.result(), most)
        text = render(tools, minutes, pulls, moved, (first, last))
    print(text)
    put_between("soak", text)
    wrong = [each for each in pulls if each.outcome.startswith("WRONG")]
    for each in wrong[:10]:
        print(f"  {each.kind}: {each.outcome}")
    return 1 if wrong or not pulls or last.processes else 0


def prepare(node: Node) -> tuple[Program, list[pathlib.Path]]:
    """Images of every kind, the program in containerd's folder, and two configurations that say the same of them."""
    trusted, other = Signer(node, "build.example.com"), Signer(node, "second.example.com")
    for kind in KINDS:
        for number in range(IMAGES_OF_A_KIND):
            repository = f"soak/{kind}-{number}"
            digest = node.push_image(repository)
            if kind != "unsigned":
                trusted.sign(repository, digest)
            if kind == "tampered":
                tamper(node, repository, digest)
    configurations = [
        write_config(node.work / "config-1", trusted.certificate, remembers=False),
        write_config(node.work / "config-2", trusted.certificate + other.certificate, remembers=False),
    ]
    program = Program(node.root)
    program.apply(configurations[0])
    node.install_verifier(program.path)
    return program, configurations


def pull(node: Node, number: int, over: threading.Event) -> list[Pull]:
    """One client: pulls one image after another, in an order of its own."""
    order = random.Random(number)  # the same order in every run
    pulls = []
    while not over.is_set():
        kind = order.choice(list(KINDS))
        image = f"{REGISTRY}/soak/{kind}-{order.randrange(IMAGES_OF_A_KIND)}:1"
        start = time.monotonic()
        told = node.cri_pull(image)
        pulls.append(Pull(kind, judged(kind, told.ok, told.error), time.monotonic() - start))
        if told.ok and order.random() < 0.2:
            node.images.remove(image)
    return pulls


def judged(kind: str, pulled: bool, error: str) -> str:
    """What came of a pull, in a word or two; anything that must not be begins with WRONG."""
    code = KINDS[kind]
    if pulled:
        return "WRONG: pulled" if code else "pulled"
    if "): cannot tell NS-30" in error:
        return "cannot tell"
    if "): deny " in error:
        return "denied" if code and f"): deny {code} " in error else f"WRONG: {error}"
    return "containerd failed by itself" if "image verifier" not in error else f"WRONG: {error}"


def publish(program: Program, configurations: list[pathlib.Path], over: threading.Event) -> int:
    """Put one configuration after another in force; how often."""
    for number, configuration in enumerate(itertools.cycle(configurations)):
        if over.wait(0.5):
            return number
        program.apply(configuration)
    raise AssertionError("a cycle has no end")


def interrupt(node: Node, over: threading.Event) -> int:
    """Stop the registry for two seconds, again and again; how often."""
    registry = [pid for pid in processes_naming(f"docker-registry serve {node.work}") if pid > 1]
    for number in itertools.count():
        if over.wait(8):
            return number
        for word in (signal.SIGSTOP, signal.SIGCONT):
            for pid in registry:
                os.kill(pid, word)
            if word is signal.SIGSTOP:
                time.sleep(2)
    raise AssertionError("counting has no end")


def wait(seconds: float, over: threading.Event, node: Node, workers: Sequence[concurrent.futures.Future[Any]]) -> int:
    """Wait, tell how far it is, and end early if a worker failed; the most verifiers that were seen at once."""
    start, most = time.monotonic(), 0
    while time.monotonic() - start < seconds and not any(worker.done() for worker in workers):
        time.sleep(min(5, seconds))
        most = max(most, len(verifiers(node)))
        print(f"soak: {time.monotonic() - start:.0f} of {seconds:.0f} s", flush=True)
    over.set()
    return most


def verifiers(node: Node) -> list[int]:
    """The verifier's processes that run now."""
    return processes_naming(f"{node.work}/verifiers/")


def size(node: Node, program: Program) -> Size:
    """What could grow, now."""
    containerd = processes_naming(f"containerd -c {node.work}")
    resident = [_resident_mib(pid) for pid in containerd]
    snapshots = list((program.root / "var" / "lib" / "nodeseal" / "snapshots").iterdir())
    return Size(max(resident), len(snapshots), len(verifiers(node)))


def render(tools: Tools, minutes: float, pulls: list[Pull], moved: Moved, sizes: tuple[Size, Size]) -> str:
    """The figures as Markdown."""
    outcomes = Counter((each.kind, each.outcome.partition(":")[0]) for each in pulls)
    calm = [each.seconds for each in pulls if each.outcome in ("pulled", "denied")]
    cuts = statistics.quantiles(calm, n=100)
    first, last = sizes
    lines = [
        f"{minutes:g} minutes, {CLIENTS} clients at once on {os.cpu_count()} cores; {', '.join(tools.versions)}.  "
        f"{len(pulls)} pulls; {moved.published} configurations put in force; the registry stopped "
        f"{moved.interrupted} times for 2 s; at most {moved.most_verifiers} verifiers at once.",
        "",
        "| image | outcome | pulls |",
        "|---|---|---|",
        *(f"| {kind} | {outcome} | {count} |" for (kind, outcome), count in sorted(outcomes.items())),
        "",
        f"Wrong decisions: {sum(count for (_, outcome), count in outcomes.items() if outcome == 'WRONG')}.  "
        f"A pull took {cuts[49]:.2f} s (median), {cuts[98]:.2f} s (99th percentile), with all clients at work.",
        f"From beginning to end: containerd {first.containerd_mib:.0f} to {last.containerd_mib:.0f} MiB, snapshots "
        f"kept {first.snapshots} to {last.snapshots}, processes of the verifier left behind: {last.processes}.",
        "",
    ]
    return "\n".join(lines)


def _resident_mib(pid: int) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
