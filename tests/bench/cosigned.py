"""An image that the real `cosign` signed with a key (a bundle): our program, cold and warm, against `cosign verify`."""

from tests.bench import commands
from tests.bench.figures import Figure, Section, table
from tests.bench.measure import Command, Samples
from tests.bench.stage import ANSWERS, Stage, asked, enough, forgetting
from tests.bench.warm import warm

NAME = "cosigned"
ROUNDS = 15

COSIGN = "cosign verify"
HIT, COLD = "remembered answer", "alone, nothing remembered"
JUDGED, FIRST = "daemon warm, image judged before", "daemon warm, new image"


def section(stage: Stage) -> Section:
    """Measure all of it."""
    signed, *new = stage.cosigned("cosigned/app", 1 + enough(ROUNDS))
    cold, kept, judging, verifying = (stage.program_for_cosign() for _ in range(4))
    hit = asked(kept.path, [signed])
    stage.requests(hit)
    run: dict[str, Command] = {
        HIT: hit,
        COLD: forgetting(cold, asked(cold.path, [signed])),
        COSIGN: stage.cosign(signed),
    }
    counted = {name: stage.requests(run[name]) for name in (COLD, COSIGN)}
    run[JUDGED] = forgetting(judging, asked(judging.path, [signed]), ANSWERS)
    run[FIRST] = asked(verifying.path, new)
    with warm(stage.node, judging), warm(stage.node, verifying):
        return _section(stage.measure(run, ROUNDS), counted)


def _section(samples: dict[str, Samples], counted: dict[str, int]) -> Section:
    lines = [*commands.table(ROUNDS, samples), *table(figures(samples))]
    lines.append(f"Requests: {counted[COLD]} alone, {counted[COSIGN]} by cosign verify.")
    return Section(NAME, lines)


def figures(samples: dict[str, Samples]) -> list[Figure]:
    """Each of ours against the other, with the goals that the family `child` has."""
    goals = ((HIT, 0.25), (JUDGED, 0.25), (FIRST, None), (COLD, None))
    return [each for name, goal in goals for each in commands.both(samples, name, COSIGN, goal)]
