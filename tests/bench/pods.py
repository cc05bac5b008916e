"""Many pods at once on a node that knows nothing yet, and one whose image is refused for an hour."""

import json
import random
import sys
from pathlib import Path
from typing import NamedTuple

from tests.bench.figures import Figure, Section, table
from tests.bench.retries import PODS as PODS_IN_TROUBLE
from tests.bench.retries import Hour, hour
from tests.bench.stage import FAR, MILLISECONDS, Image, Stage, call
from tests.bench.warm import warm
from tests.frozen.program import Program

NAME = "pods"
PODS, IMAGES, AT_ONCE = 100, 20, 8
MOST_PER_HOUR = 60
"""Requests to the registry in an hour of retries: one a minute is nothing to a registry, whatever the pods are."""


class Rush(NamedTuple):
    """What a hundred pods took: seconds to the last verdict, and requests to the registry."""

    name: str
    seconds: float
    requests: int


def section(stage: Stage) -> Section:
    """Measure all of it."""
    images = stage.images("pods/image", IMAGES)
    (unsigned,) = stage.images("pods/unsigned", 1, signed=False)
    with stage.node.far(MILLISECONDS / 2):
        rushes = [rush(stage, stage.program(), images, "alone")]
        served = stage.program()
        with warm(stage.node, served):
            rushes.append(rush(stage, served, images, "daemon warm"))
    hours = [hour(stage, stage.program(), unsigned, daemon=daemon) for daemon in (False, True)]
    return _section(rushes, hours)


def rush(stage: Stage, program: Program, images: list[Image], name: str) -> Rush:
    """A hundred calls, in an order that is the same each time.  Raises `AssertionError` if one is not an allowance."""
    calls = [call(program.path, images[number % IMAGES], FAR) for number in range(PODS)]
    random.Random(1).shuffle(calls)
    before = len(stage.node.registry_requests())
    script = str(Path(__file__).with_name("swarm.py"))
    request = json.dumps({"calls": calls, "at_once": AT_ONCE}).encode()
    done = stage.node.run([sys.executable, "-I", "-S", script], stdin=request, seconds=120)
    said = json.loads(done.out)
    if set(said["codes"]) != {0}:
        raise AssertionError(f"exit codes {said['codes']}: {done.err}")
    return Rush(name, said["seconds"], len(stage.node.registry_requests()) - before)


def _section(rushes: list[Rush], hours: list[Hour]) -> Section:
    lines = [
        f"{PODS} calls, {AT_ONCE} at once, {IMAGES} signed images, nothing remembered, one run each; a round trip to "
        f"the registry, which has no referrers API, takes {MILLISECONDS} ms.",
        "",
        "| | requests to the registry | for each image | last verdict after, s |",
        "|---|---|---|---|",
        *(f"| {each.name} | {each.requests} | {each.requests / IMAGES:g} | {each.seconds:.1f} |" for each in rushes),
        "",
        f"An unsigned image of {PODS_IN_TROUBLE} pods, asked for again for an hour: each pod asks after 10 s, then "
        "after twice as long as before, at most 300 s. The whole program, under clocks that are moved on.",
        "",
        "| | calls | requests to the registry | in the second half hour |",
        "|---|---|---|---|",
        *(f"| {each.name} | {each.calls} | {each.requests} | {each.late_requests} |" for each in hours),
        "",
    ]
    figures = [Figure(f"requests in that hour, {each.name}", each.requests, MOST_PER_HOUR, 0) for each in hours]
    return Section(NAME, [*lines, *table(figures)])
