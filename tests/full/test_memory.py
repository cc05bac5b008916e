"""The daemon in the memory that its pod has, and everything at once that registries and images can bring against it."""

import concurrent.futures
import json
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from agent.adapters.budget import MIB, USUAL
from agent.formats.attestation import LAYERS_TYPE
from agent.model.descriptor import Descriptor
from agent.model.manifest import IMAGE_INDEX
from tests.bench import warm
from tests.bench.measure import Call
from tests.frozen.daemon import Daemon
from tests.frozen.program import Program, descriptor, plugin_words
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.signing_cosign import attestation, manifest, public_pem
from tests.signing_cosign import envelope as dsse_envelope
from tests.simulators.registry import Handler, RegistrySimulator
from tests.testbed.memorygroup import MemoryGroup, memory_group

pytestmark = [pytest.mark.frozen, pytest.mark.full]

SECONDS = 20.0
AT_ONCE = 21
EACH = 6
"""Images of each kind, each in a repository of its own."""

WIDE = "\U0001f600"
"""Text with it takes four bytes for each of its characters."""

ALONE = "left to its child"

GREEDY = """package ratify.policy
valid { xs := [numbers.range(1, i) | i := numbers.range(99000, 100000)[_]]; count(xs) > 0 }
"""


def dense(values: int) -> str:
    """JSON that takes as much memory as its length allows."""
    return ",".join(['{"a":0}'] * values)


def report() -> bytes:
    """A bill of materials of 8 MiB."""
    filler = "x" * (8 * MIB - 1_300_000)
    text = f'{{"spdxVersion":"SPDX-2.3","packages":[{{"name":"a"}}],"x":[{dense(140_000)}],"y":"{filler}{WIDE}"}}'
    return text.encode()


def said(image: Descriptor) -> bytes:
    """A statement of 3 MiB, more than is told."""
    one = json.loads(attestation(image))
    one["predicate"] = 0
    text = json.dumps(one).replace(
        '"predicate": 0', f'"predicate": {{"x":[{dense(95_000)}],"y":"{"x" * 2_200_000}{WIDE}"}}'
    )
    return text.encode()


def told(image: Descriptor, number: int) -> bytes:
    """A statement of which all is told, as much as may be."""
    one = json.loads(attestation(image))
    one["predicate"] = [number, *([{"a": 0}] * 40_000)]
    return json.dumps(one, separators=(",", ":")).encode()


class Crowd(NamedTuple):
    """The program, its registry, a good image, and the bad ones by kind."""

    program: Program
    registry: RegistrySimulator
    good: Call
    bad: dict[str, list[Call]]


def call(program: Program, registry: RegistrySimulator, repository: str, image: Descriptor) -> Call:
    """containerd's words."""
    words = plugin_words(f"{registry.host}/{repository}:1", str(image.digest))
    return {"argv": [str(program.path), *words], "stdin": descriptor(str(image.digest), image.size).decode()}


def configuration(folder: pathlib.Path, root_pem: bytes, host: str) -> pathlib.Path:
    """Rules for all kinds; nothing is remembered."""
    write_config(folder, root_pem)
    (folder / "shop.pub").write_bytes(public_pem())
    (folder / "greedy.rego").write_text(GREEDY)
    value: dict[str, Any] = json.loads((folder / "config.json").read_text())
    names = {"sbom": "sbom", "attested": "provenance", "told": "provenance"}
    value["nodeseal"] = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "cache": {"allow": "0s", "deny": {"first": "0s", "max": "0s"}, "cannotTell": "0s"},
        "verifiers": [
            {"name": "sbom", "type": "sbom", "disallowedLicenses": ["GPL-3.0-only"], "signedBy": ["notation"]},
            {"name": "provenance", "type": "attestation", "predicateType": "slsaprovenance1", "keys": ["shop.pub"]},
        ],
        "rules": [
            {
                "name": kind,
                "match": [f"{host}/{kind}/**"],
                "verifiers": sorted({"notation", names.get(kind, "notation")}),
                "policy": "greedy.rego" if kind in ("told", "policy") else {"any": [names.get(kind, "notation")]},
            }
            for kind in ("good", "sbom", "attested", "told", "policy", "listed", "manifests", "endless")
        ],
    }
    (folder / "config.json").write_text(json.dumps(value))
    return folder


def attach(registry: RegistrySimulator, repository: str, image: Descriptor, *contents: bytes) -> None:
    """Attestations in layers of one referrer."""
    layers = [dsse_envelope(each) for each in contents]
    for each in layers:
        registry.push_blob(repository, each.content)
    registry.push_blob(repository, b"{}")
    registry.push_manifest(repository, manifest(layers, image, artifact_type=LAYERS_TYPE))


def large_page(handler: Handler) -> bool:
    """4 MiB of a list, with wide text."""
    filler = "x" * (4 * MIB - 400_000)
    head = f'"schemaVersion":2,"mediaType":"{IMAGE_INDEX}","manifests":[]'
    text = f'{{{head},"x":[{dense(40_000)}],"y":"{filler}{WIDE}"}}'
    return handler.answer(200, text.encode(), Content_Type=IMAGE_INDEX)


def endless(handler: Handler) -> bool:
    """A list of which no end comes, as fast as it is taken."""
    handler.head(200, f"Content-Type: {IMAGE_INDEX}", f"Content-Length: {4 * MIB}")
    end = time.monotonic() + 8
    try:
        handler.wfile.write(b" " * (4 * MIB - 1000))
        while time.monotonic() < end and not handler.simulator.stopping.wait(0.2):
            handler.wfile.write(b" ")
    except OSError:
        pass
    return True


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """All images, pushed."""
    folder: pathlib.Path = tmp_path_factory.mktemp("memory")
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        program = Program(folder / "host")
        program.apply(configuration(folder / "config", trusted.root_pem, registry.host))
        sbom = report()

        def image(repository: str) -> Descriptor:
            return registry.push_image(repository, "1", salt=repository)

        def signed(repository: str) -> Descriptor:
            made = image(repository)
            attach_signature(registry, repository, made, envelope(trusted, made))
            return made

        def with_sbom(repository: str) -> Descriptor:
            made = image(repository)
            for number in range(4):
                registry.attach(repository, made, "application/spdx+json", sbom + b" " * number)
            return made

        def attested(repository: str) -> Descriptor:
            made = image(repository)
            content = said(made)
            attach(registry, repository, made, content, content + b" ", content + b"  ")
            return made

        def telling(repository: str) -> Descriptor:
            made = image(repository)
            for number in range(8):
                attach(registry, repository, made, told(made, number))
            return made

        def with_manifests(repository: str) -> Descriptor:
            made = image(repository)
            for number in range(12):
                beside = {"number": str(number), **{f"{each}": "" for each in range(1900)}, "y": "x" * 200_000 + WIDE}
                attach_signature(registry, repository, made, envelope(trusted, made), annotations=beside)
            return made

        kinds: dict[str, Callable[[str], Descriptor]] = {
            "sbom": with_sbom, "attested": attested, "told": telling, "policy": signed, "listed": signed,
            "manifests": with_manifests, "endless": signed,
        }  # fmt: skip
        bad: dict[str, list[Call]] = {}
        for kind, make in kinds.items():
            repositories = [f"{kind}/{number}" for number in range(EACH)]
            bad[kind] = [call(program, registry, each, make(each)) for each in repositories]

        def behave(handler: Handler) -> bool:
            for kind, behaviour in (("listed", large_page), ("endless", endless)):
                if handler.path.startswith(f"/v2/{kind}/"):
                    return behaviour(handler)
            return False

        registry.misbehave("referrers", behave)
        yield Crowd(program, registry, call(program, registry, "good/1", signed("good/1")), bad)


class Load:
    """Everything that is asked for again and again, by many at once, and the good image beside it."""

    def __init__(self, crowd: Crowd, daemon: Daemon, group: MemoryGroup) -> None:
        """Nothing was asked yet."""
        self._crowd = crowd
        self._daemon = daemon
        self._group = group
        self._path = warm.socket_of(crowd.program)
        self.bad: dict[str, Counter[str]] = {kind: Counter() for kind in crowd.bad}
        self.good: Counter[str] = Counter()
        self.peak = 0
        """The most memory of all processes together, bytes."""

    def run(self, kinds: Sequence[str], seconds: float, at_once: int) -> None:
        """Ask so long."""
        end = time.monotonic() + seconds
        with concurrent.futures.ThreadPoolExecutor(at_once + 2) as pool:
            works = [pool.submit(self._ask_for_bad, kinds, number, end) for number in range(at_once)]
            for work in [pool.submit(self._watch, end), pool.submit(self._ask_for_good, end), *works]:
                work.result()

    def _watch(self, end: float) -> None:
        while time.monotonic() < end:
            self.peak = max(self.peak, self._group.anonymous())
            time.sleep(0.02)

    def _ask_for_good(self, end: float) -> None:
        while time.monotonic() < end:
            self.good[asked(self._path, self._crowd.good)] += 1
            time.sleep(0.3)

    def _ask_for_bad(self, kinds: Sequence[str], number: int, end: float) -> None:
        kind, turn = kinds[number % len(kinds)], number // len(kinds)
        while time.monotonic() < end and self._daemon.is_alive():
            calls = self._crowd.bad[kind]
            self.bad[kind][asked(self._path, calls[turn % len(calls)])] += 1
            turn += 1


def asked(path: pathlib.Path, one: Call) -> str:
    """Decision and code, `ALONE`, or what went wrong."""
    try:
        line = warm.said(path, one).partition("\n")[2]
        return f"{line.split()[0]} {line[line.index('NS-') :][:7]}"
    except (OSError, AssertionError) as error:
        if "cold alone" in str(error):
            return ALONE
        return f"{type(error).__name__}: {error}"[:100]


def test_everything_at_once_ends_neither_the_daemon_nor_anything_in_it(crowd: Crowd) -> None:
    """Nor does it keep a good image from being verified; what finds no room is left to its child."""
    with memory_group(USUAL) as group, Daemon(crowd.program, runner=group.runner) as daemon:
        load = Load(crowd, daemon, group)
        load.run(list(crowd.bad), SECONDS, AT_ONCE)
        print(f"at most {load.peak / MIB:.0f} MiB of {USUAL / MIB:.0f}: {load.bad} {load.good}")
        assert daemon.is_alive()
        assert group.killed == 0
        assert load.peak < USUAL
        assert set(load.good) == {"allow NS-0001"}
        answers = Counter[str]()
        for kind in set(crowd.bad) - {"endless"}:
            answers.update(load.bad[kind])
        # On a full machine some come to their deadline, for want of a processor; nothing else is "cannot tell".
        assert {answer for answer in answers if answer.startswith("cannot")} <= {"cannot NS-3005"}
        assert answers["cannot NS-3005"] < answers.total() / 4
        assert {each for each in answers if not each.startswith(("allow", "deny", "cannot"))} <= {ALONE}
        assert [event for event in daemon.events() if event["event"] == "bug"] == []
        assert daemon.events()[0]["memory"] == USUAL


def test_where_the_sum_is_passed_all_the_same_the_kernel_ends_what_reads_and_the_image_is_denied(crowd: Crowd) -> None:
    """As if others in the group took the rest: the limit is lowered once the daemon has learnt it."""
    crowd.program.forget()  # of the images before: what is done ahead of pulls takes memory of the daemon's own
    with memory_group(USUAL) as group, Daemon(crowd.program, runner=group.runner) as daemon:
        load = Load(crowd, daemon, group)
        load.run(["policy"], 3, 1)
        group.limit(group.anonymous() + 40 * MIB)  # less than one may come to have
        load.run(["policy"], 6, 1)
        end = time.monotonic() + 60
        while not group.killed and time.monotonic() < end:  # on a busy machine a policy's time is over first
            load.run(["policy"], 3, 1)
        print(f"{group.killed} killed: {load.bad['policy']} {load.good}")
        assert daemon.is_alive()
        assert group.killed > 0
        assert {"deny NS-2008"} <= set(load.bad["policy"]) <= {"deny NS-2008", ALONE}
        assert set(load.good) == {"allow NS-0001"}
