"""The daemon: what one core verifies, how much of that is cryptography, and what stays in memory."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.bench.figures import Figure, Section, Spread, table
from tests.bench.measure import Call
from tests.bench.stage import Image, Stage, call
from tests.bench.warm import PYTHON, ask, processor_seconds, resident_mib, socket_of, warm
from tests.frozen.program import Program
from tests.signing import write_config
from tests.testbed.clock import MovedClock
from tests.testbed.node import Node, Running

NAME = "daemon"
IMAGES = 200
VERDICTS = 10_000
PROFILED = 1_000
AT_ONCE = 8
MOST_MIB = 110
HOURS = 24


class Batch(NamedTuple):
    """`IMAGES` verifications: seconds until the last was over, the daemon's processor seconds, its MiB at the end."""

    wall: float
    processor: float
    mib: float


class Registry(NamedTuple):
    """The registry of twins (`tests.bench.twins`)."""

    host: str
    images: list[Image]
    certificate: bytes


def section(stage: Stage) -> Section:
    """Measure all of it."""
    node = stage.node
    certificate = node.work / "twins.crt"
    twins = [*PYTHON, "tests.bench.twins", str(IMAGES), str(certificate)]
    with node.started(twins) as running:
        told = json.loads(running.line())
        registry = Registry(told["host"], [Image(*each) for each in told["images"]], certificate.read_bytes())
        measured, profiled = (_program(node, name, registry) for name in ("measured", "profiled"))
        with warm(node, measured) as daemon:
            idle = resident_mib(daemon.pid)
            batches = [batch(number, registry, measured, daemon) for number in range(VERDICTS // IMAGES)]
        cryptography = profile(node, profiled, registry)
        hourly = day(node, _program(node, "day", registry), registry)
    return _section(idle, batches, cryptography, hourly)


def batch(number: int, registry: Registry, program: Program, daemon: Running) -> Batch:
    """Have each image verified under a name that is new."""
    before = processor_seconds(daemon.pid)
    wall = _ask_for_all(number, registry, program)
    return Batch(wall, processor_seconds(daemon.pid) - before, resident_mib(daemon.pid))


def profile(node: Node, program: Program, registry: Registry) -> float:
    """Processor seconds of one verification that are cryptography's."""
    result = node.work / "profile.json"
    with warm(node, program, [*PYTHON, "tests.bench.profiled", str(result)]):
        for number in range(PROFILED // IMAGES):
            _ask_for_all(number, registry, program)
    seconds: float = json.loads(result.read_text())["seconds"]
    return seconds / PROFILED


def day(node: Node, program: Program, registry: Registry) -> list[float]:
    """What the daemon, from source, holds in memory after each hour of a day, MiB: its wall clock is moved on.

    Each hour as many images come as there are, and those of the hour before are asked for again.
    """
    clock, resident = MovedClock(program.root), []
    with warm(node, program, [*PYTHON, "tests.bench.moved", str(clock.file)]) as daemon:
        for number in range(HOURS):
            clock.move_to(number * 3600)
            for known_or_new in (max(0, number - 1), number):
                _ask_for_all(known_or_new, registry, program)
            resident.append(resident_mib(daemon.pid))
    return resident


def _ask_for_all(number: int, registry: Registry, program: Program) -> float:
    """Seconds until the last was allowed.  Raises `AssertionError` if one was not."""
    path = socket_of(program)

    def allowed(each: Call) -> bool:
        return ask(path, each) == 0

    twins = [image._replace(repository=f"{number}/{image.repository}") for image in registry.images]
    calls = [call(program.path, image, registry.host) for image in twins]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        start = time.monotonic()
        if not all(pool.map(allowed, calls)):
            raise AssertionError("a signed image was not allowed")
        return time.monotonic() - start


def _program(node: Node, name: str, registry: Registry) -> Program:
    program = Program(node.work / name)
    program.apply(write_config(node.work / f"{name}-config", registry.certificate))
    return program


def _section(idle: float, batches: list[Batch], cryptography: float, hourly: list[float]) -> Section:
    each = Spread.of(one.processor / IMAGES for one in batches)
    lines = [
        f"{len(batches)} times {IMAGES} images that it never saw, {AT_ONCE} at once, signed with one RSA-2048 key "
        "whose certificate is the third in its chain; the registry is near, has the referrers API, and is another "
        "process.",
        "",
        *table(
            [
                Figure(
                    "verifications per second of one core",
                    Spread.of(IMAGES / one.processor for one in batches),
                    digits=0,
                ),
                Figure("verifications per second", Spread.of(IMAGES / one.wall for one in batches), digits=0),
                Figure("processor, ms each", Spread(*(1000 * value for value in each)), digits=1),
                Figure("of it cryptography, ms", 1000 * cryptography),
                Figure("of it cryptography, percent", 100 * cryptography / each.median, digits=0),
                Figure("resident before the first, MiB", idle, digits=1),
                Figure(f"resident after {IMAGES}, MiB", batches[0].mib, digits=1),
                Figure(
                    f"resident after {len(batches) * IMAGES // 2:,}, MiB", batches[len(batches) // 2 - 1].mib, digits=1
                ),
                Figure(f"resident after {len(batches) * IMAGES:,}, MiB", batches[-1].mib, MOST_MIB, digits=1),
                Figure("resident after 1 hour of a day whose clock is moved on, MiB", hourly[0], digits=1),
                Figure(f"resident after {HOURS // 2} hours of it, MiB", hourly[HOURS // 2 - 1], digits=1),
                Figure(f"resident after {HOURS} hours of it, MiB", hourly[-1], MOST_MIB, digits=1),
            ]
        ),
        f"That day's daemon runs from source. In each hour {IMAGES} new images come, and those of the hour "
        "before are asked for again.",
    ]
    return Section(NAME, lines)
