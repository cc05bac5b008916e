"""The same questions where the registry is far away: what counts there is how often somebody waits for it.

Both ways in the same rounds: what the far registry takes longer than the near one is waiting, and a whole number of
round trips, nearly.  The first of them is the connection's, where there is none yet.
"""

from tests.bench.figures import Figure, Section, Spread, ratio, table
from tests.bench.measure import Command, Samples
from tests.bench.stage import ANSWERS, FAR, MILLISECONDS, NEAR, Stage, asked, enough, forgetting
from tests.bench.warm import warm

NAME = "delay"
ROUNDS = 15

HIT, COLD, NOTATION, COSIGN = "remembered answer", "alone, nothing remembered", "notation verify", "cosign verify"
JUDGED, FIRST = "daemon warm, image judged before", "daemon warm, new image"
ELSEWHERE = "daemon warm, new image of a new repository"

GOALS = {FIRST: 3.0}
"""Most round trips one after another."""


def section(stage: Stage) -> Section:
    """Measure all of it."""
    (signed,) = stage.images("delay/signed", 1)
    cosigned = stage.copy_for_cosign(signed)
    cold, kept = stage.program(), stage.program()
    commands: dict[str, Command] = {}
    with stage.node.far(MILLISECONDS / 2):
        for registry in (NEAR, FAR):
            commands |= {
                _name(HIT, registry): asked(kept.path, [signed], registry=registry),
                _name(COLD, registry): forgetting(cold, asked(cold.path, [signed], registry=registry)),
                _name(NOTATION, registry): stage.notation(signed, registry),
                _name(COSIGN, registry): stage.cosign(cosigned, registry),
            }
        counted = {name: stage.requests(commands[_name(name, FAR)]) for name in (COLD, NOTATION, COSIGN)}
        judging, verifying = stage.program(), stage.program()
        new = {
            registry: stage.images(f"delay/new-{number}", enough(ROUNDS) + 1, together=True)
            for number, registry in enumerate((NEAR, FAR))
        }
        elsewhere = {
            registry: stage.images(f"delay/elsewhere-{number}", enough(ROUNDS) + 1)
            for number, registry in enumerate((NEAR, FAR))
        }
        with warm(stage.node, judging), warm(stage.node, verifying):
            for registry, (before, *images) in new.items():
                commands[_name(JUDGED, registry)] = forgetting(
                    judging, asked(judging.path, [signed], registry=registry), ANSWERS
                )
                commands[_name(FIRST, registry)] = asked(verifying.path, images, registry=registry)
                commands[_name(ELSEWHERE, registry)] = asked(
                    verifying.path, elsewhere[registry][:-1], registry=registry
                )
                stage.requests(
                    asked(verifying.path, [before], registry=registry)
                )  # this repository is known from now on
            last = {
                registry: asked(verifying.path, [images[-1]], registry=registry) for registry, images in new.items()
            }
            counted[FIRST] = stage.requests(last[FAR])
            counted[ELSEWHERE] = stage.requests(asked(verifying.path, [elsewhere[FAR][-1]], registry=FAR))
            return _section(stage.measure(commands, ROUNDS), counted)


def _name(name: str, registry: str) -> str:
    return f"{name}, {'far' if registry == FAR else 'near'}"


def _section(samples: dict[str, Samples], counted: dict[str, int]) -> Section:
    names = (HIT, JUDGED, FIRST, ELSEWHERE, COLD, NOTATION, COSIGN)
    lines = [
        f"{ROUNDS} alternating rounds, near and far in each; a round trip to the far registry takes {MILLISECONDS} ms.",
        "",
        "| command | near, ms | far, ms | requests | round trips waited for |",
        "|---|---|---|---|---|",
    ]
    trips = {name: round_trips(samples[_name(name, NEAR)], samples[_name(name, FAR)]) for name in names}
    for name in names:
        near, far = (Spread.of(samples[_name(name, where)]["wall_ms"]).median for where in (NEAR, FAR))
        lines.append(f"| {name} | {near:.0f} | {far:.0f} | {counted.get(name, 0)} | {trips[name].median:.1f} |")
    notation = samples[_name(NOTATION, FAR)]["wall_ms"]
    figures = [
        Figure(f"{name} / {NOTATION}, far, wall", ratio(samples[_name(name, FAR)]["wall_ms"], notation), goal)
        for name, goal in ((HIT, 0.1), (JUDGED, 0.1), (FIRST, None), (COLD, None))
    ]
    figures += [Figure(f"{name}, round trips one after another", trips[name], goal, 1) for name, goal in GOALS.items()]
    return Section(NAME, [*lines, "", *table(figures)])


def round_trips(near: Samples, far: Samples) -> Spread:
    """How many round trips a command waited for, round by round."""
    pairs = zip(far["wall_ms"], near["wall_ms"], strict=True)
    return Spread.of((slow - fast) / MILLISECONDS for slow, fast in pairs)
