"""Whole pulls by a real containerd through the CRI: what Nodeseal adds to one that `/bin/true` lets pass.

The image is removed before each pull, with its content; the verifiers take turns.
"""

import shutil
import time
from pathlib import Path

from tests.bench.figures import Figure, Section, Spread, ratio, table
from tests.bench.stage import CACHES, NEAR, Image, Stage
from tests.bench.warm import warm
from tests.testbed.node import Node

NAME = "pulls"
ROUNDS = 15
SIZES = (1, 20)
"""MiB of random bytes in the image's second layer; the first one is a megabyte of a program."""

TRUE, HIT, COLD, WARM = "/bin/true", "remembered answer", "alone, nothing remembered", "daemon warm, nothing remembered"
_WARM_UP_ROUNDS = 1


def section(stage: Stage) -> Section:
    """Measure all of it."""
    images = {size: _image(stage, size) for size in SIZES}
    kept, cold, verifying = stage.program(), stage.program(), stage.program()
    verifiers: dict[str, Path] = {TRUE: Path("/bin/true"), HIT: kept.path, COLD: cold.path}
    with warm(stage.node, verifying):
        forgetful = [cold.root / CACHES, verifying.root / CACHES]
        return _section(_measure(stage.node, verifiers | {WARM: verifying.path}, images, forgetful))


def _image(stage: Stage, size: int) -> Image:
    repository = f"pulls/of-{size}-mib"
    digest = stage.node.push_image(repository, filler=size * 1024**2)
    stage.signer.sign(repository, digest)
    return Image(repository, digest, 0)


def _measure(
    node: Node, verifiers: dict[str, Path], images: dict[int, Image], forgotten: list[Path]
) -> dict[int, dict[str, list[float]]]:
    """Seconds of each pull, by size and verifier; the folders `forgotten` are removed before each.

    A pull that fails ends the measurement.
    """
    seconds: dict[int, dict[str, list[float]]] = {size: {name: [] for name in verifiers} for size in images}
    for number in range(_WARM_UP_ROUNDS + ROUNDS):
        for size, image in images.items():
            name = f"{NEAR}/{image.repository}:1"
            for verifier, program in verifiers.items():
                node.remove_verifiers()
                node.install_verifier(program)
                for folder in forgotten:
                    shutil.rmtree(folder, ignore_errors=True)
                node.images.remove(name)
                start = time.perf_counter()
                told = node.cri_pull(name)
                took = time.perf_counter() - start
                if not told.ok:
                    raise AssertionError(f"pull with {verifier}: {told.error}")
                if number >= _WARM_UP_ROUNDS:
                    seconds[size][verifier].append(took)
    return seconds


def _section(seconds: dict[int, dict[str, list[float]]]) -> Section:
    lines = [
        f"{ROUNDS} alternating rounds, medians; the registry is near, so a pull is as short as it can be.",
        "",
        "| image | verifier | pull, ms | more than /bin/true, ms |",
        "|---|---|---|---|",
    ]
    figures = []
    for size, by_verifier in seconds.items():
        base = by_verifier[TRUE]
        for verifier, took in by_verifier.items():
            more = Spread.of((one - other) * 1000 for one, other in zip(took, base, strict=True)).median
            lines.append(f"| {size} MiB | {verifier} | {Spread.of(took).median * 1000:.0f} | {more:.0f} |")
            if verifier != TRUE:
                figures.append(Figure(f"{size} MiB, {verifier} / {TRUE}", ratio(took, base)))
    return Section(NAME, [*lines, "", *table(figures)])
