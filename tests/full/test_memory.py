"""The daemon in the memory that its pod has, and everything at once that registries and images can bring against it."""

import concurrent.futures
import json
import os
import pathlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from agent.adapters.budget import MIB, USUAL
from agent.model.descriptor import Descriptor
from agent.model.manifest import IMAGE_INDEX
from tests.bench.measure import Call
from tests.bench.warm import ask, socket_of
from tests.frozen.daemon import Daemon
from tests.frozen.program import Program, descriptor, plugin_words
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.signing_cosign import attestation, public_pem, referrer_manifest
from tests.signing_cosign import envelope as dsse_envelope
from tests.simulators.registry import Handler, RegistrySimulator
from tests.testbed.memorygroup import MemoryGroup, memory_group

pytestmark = [pytest.mark.frozen, pytest.mark.full]

SECONDS = float(os.environ.get("SECONDS_OF_MEMORY", "25"))
AT_ONCE = 40
EACH = 6
"""Images of each kind, each in a repository of its own."""

WIDE = "\U0001f600"
"""Text with it takes four bytes for each of its characters."""

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
    registry.push_manifest(repository, referrer_manifest(layers, image))


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
            for number in range(40):
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


class Came(NamedTuple):
    """What came of it: exit codes of bad images by kind, of the good one, the most memory (MiB), who was killed."""

    bad: dict[str, Counter[int | str]]
    good: list[int | str]
    seconds: list[float]
    peak: float
    killed: int
    alive: bool
    log: list[dict[str, object]]


def asked(path: pathlib.Path, one: Call) -> int | str:
    """The exit code, or what went wrong."""
    try:
        return ask(path, one)
    except (OSError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"[:100]


def under_load(crowd: Crowd, group: MemoryGroup, kinds: list[str]) -> Came:
    """Have everything asked for again and again."""
    bad: dict[str, Counter[int | str]] = {kind: Counter() for kind in kinds}
    good: list[int | str] = []
    seconds: list[float] = []
    with Daemon(crowd.program, runner=group.runner) as daemon:
        path, end = socket_of(crowd.program), time.monotonic() + SECONDS
        asked(path, crowd.good)
        peak, over = [0.0], threading.Event()

        def watch() -> None:
            while not over.wait(0.02):
                peak[0] = max(peak[0], group.anonymous() / MIB)

        def ask_for_good() -> None:
            while time.monotonic() < end:
                begun = time.monotonic()
                good.append(asked(path, crowd.good))
                seconds.append(time.monotonic() - begun)
                time.sleep(0.3)

        def ask_for_bad(number: int) -> None:
            kind = kinds[number % len(kinds)]
            calls = crowd.bad[kind]
            turn = number // len(kinds)
            while time.monotonic() < end and daemon.is_alive():
                bad[kind][asked(path, calls[turn % len(calls)])] += 1
                turn += 1

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE + 2) as pool:
            watching = pool.submit(watch)
            works = [pool.submit(ask_for_good), *(pool.submit(ask_for_bad, number) for number in range(AT_ONCE))]
            for work in works:
                work.result()
            over.set()
            watching.result()
        came = Came(bad, good, seconds, peak[0], group.killed, daemon.is_alive(), daemon.events())
    return came


def test_everything_at_once_ends_neither_the_daemon_nor_anything_in_it(crowd: Crowd) -> None:
    with memory_group(USUAL) as group:
        came = under_load(crowd, group, os.environ.get("KINDS", " ".join(crowd.bad)).split())
    print(came._replace(log=came.log[-5:]))
    assert came.alive
    assert came.killed == 0
