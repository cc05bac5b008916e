"""A ConfigMap is changed: how long until a pull is answered under the new configuration."""

import json

from tests.bench.figures import Figure, Section, Spread, table
from tests.bench.stage import Stage
from tests.bench.warm import PYTHON, warm
from tests.frozen.program import Program

NAME = "change"
COUNTS = (1, 20, 200)
ROUNDS = 30
GOAL = 300


def section(stage: Stage) -> Section:
    """Measure all of it."""
    return _section({count: measured(stage, count) for count in COUNTS})


def measured(stage: Stage, count: int) -> list[float]:
    """Milliseconds of each round, with so many ConfigMaps."""
    program = Program(stage.node.work / f"change-{count}")
    server = [*PYTHON, "tests.bench.configmaps", str(program.root), str(count), str(ROUNDS)]
    with stage.node.started(server) as running:
        words = ["--configmaps", "--node", "n1", "--kubeconfig", running.line()]
        with warm(stage.node, program, words=words):
            found: list[float] = json.loads(running.line())
            return found


def _section(samples: dict[int, list[float]]) -> Section:
    figures: list[Figure] = []
    for count, times in samples.items():
        documents = f"{count} ConfigMap{'s' if count > 1 else ''}"
        figures += (
            Figure(f"{documents}, ms", Spread.of(times), GOAL, 0),
            Figure(f"{documents}, worst, ms", max(times), None, 0),
        )
    lines = [
        f"{ROUNDS} changes of one ConfigMap among so many, each with a rule, a verifier and its certificate; the API "
        "server is near, and another process. All nodes wait 20 ms for the end of a burst.",
        "",
        *table(figures),
    ]
    return Section(NAME, lines)
