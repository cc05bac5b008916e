"""An image that the real `cosign` signed with a key (a bundle): our program, cold and warm, against `cosign verify`."""

from tests.bench.figures import Figure, Section, Spread, ratio, table
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
    commands: dict[str, Command] = {
        HIT: hit,
        COLD: forgetting(cold, asked(cold.path, [signed])),
        COSIGN: stage.cosign(signed),
    }
    counted = {name: stage.requests(commands[name]) for name in (COLD, COSIGN)}
    commands[JUDGED] = forgetting(judging, asked(judging.path, [signed]), ANSWERS)
    commands[FIRST] = asked(verifying.path, new)
    with warm(stage.node, judging), warm(stage.node, verifying):
        return _section(stage.measure(commands, ROUNDS), counted)


def _section(samples: dict[str, Samples], counted: dict[str, int]) -> Section:
    lines = [
        f"{ROUNDS} alternating rounds, medians.",
        "",
        "| command | wall, ms | processor, ms | peak memory, MiB |",
        "|---|---|---|---|",
    ]
    for name, each in samples.items():
        wall, cpu = Spread.of(each["wall_ms"]).median, Spread.of(each["cpu_ms"]).median
        lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} | {max(each['rss_kib']) / 1024:.1f} |")
    lines += ["", *table(figures(samples)), f"Requests: {counted[COLD]} alone, {counted[COSIGN]} by cosign verify."]
    return Section(NAME, lines)


def figures(samples: dict[str, Samples]) -> list[Figure]:
    """Each of ours against the other, with the goals that the family `child` has."""
    other = samples[COSIGN]
    found = []
    for name, goal in ((HIT, 0.25), (JUDGED, 0.25), (FIRST, None), (COLD, None)):
        mine = samples[name]
        found.append(Figure(f"{name} / {COSIGN}, wall", ratio(mine["wall_ms"], other["wall_ms"]), goal))
        found.append(Figure(f"{name} / {COSIGN}, processor", ratio(mine["cpu_ms"], other["cpu_ms"]), goal))
    return found
