"""containerd's child as a whole process, against a bare interpreter and against the other verifiers."""

import sys
from functools import partial

from tests.bench import bare, commands
from tests.bench.figures import Figure, Section, table
from tests.bench.measure import Command, Samples
from tests.bench.stage import ANSWERS, Image, Stage, asked, enough, forgetting
from tests.bench.warm import warm
from tests.frozen.test_policies import INSTALLED

NAME = "child"
ROUNDS = 40

TRUE, PYTHON = "/bin/true", "python3 -S -I -c pass"
NOTATION, COSIGN = "notation verify", "cosign verify"
CANARY, HIT, BARE = "the canary", "remembered answer", "remembered answer, bare program"
DENIED = "remembered denial"
COLD, REGO, UNSIGNED = "alone, nothing remembered", "alone, Rego policy", "alone, unsigned image"
JUDGED, FIRST = "daemon warm, image judged before", "daemon warm, new image"


def section(stage: Stage) -> Section:
    """Measure all of it."""
    (signed,), (unsigned,) = stage.images("child/signed", 1), stage.images("child/unsigned", 1, signed=False)
    cosigned = stage.copy_for_cosign(signed)
    cold, kept = stage.program(), stage.program()
    rego = stage.program({"name": "regoPolicy", "policy": INSTALLED})
    hit, denied = asked(kept.path, [signed]), asked(kept.path, [unsigned], code=10)
    bare_program = bare.place(kept.root)
    for command in (hit, denied):
        stage.requests(command)
    bare.give_answers(kept, bare_program)
    canary = Image("nodeseal-canary", signed.digest, signed.size)
    run: dict[str, Command] = {
        TRUE: stage.other(["/bin/true"]),
        PYTHON: stage.other([_interpreter(), "-S", "-I", "-c", "pass"]),
        CANARY: asked(cold.path, [canary], registry="127.0.0.1", code=10),
        BARE: asked(bare_program, [signed]),
        HIT: hit,
        DENIED: denied,
        COLD: forgetting(cold, asked(cold.path, [signed])),
        REGO: forgetting(rego, asked(rego.path, [signed])),
        UNSIGNED: forgetting(cold, asked(cold.path, [unsigned], code=10)),
        NOTATION: stage.notation(signed),
        COSIGN: stage.cosign(cosigned),
    }
    counted = stage.requests(run[COLD])
    judging, verifying = stage.program(), stage.program()
    run[JUDGED] = forgetting(judging, asked(judging.path, [signed]), ANSWERS)
    run[FIRST] = asked(verifying.path, stage.images("child/new", enough(ROUNDS), together=True))
    with warm(stage.node, judging), warm(stage.node, verifying):
        return _section(stage.measure(run, ROUNDS), counted)


def _section(samples: dict[str, Samples], counted: int) -> Section:
    lines = [
        *commands.table(ROUNDS, samples),
        "Ratios within a round:",
        "",
        *table(figures(samples)),
        f"Requests for one signature, alone, on a registry without the referrers API: {counted} "
        "(3 where the registry has it; each further signature costs 2).",
    ]
    return Section(NAME, lines)


def figures(samples: dict[str, Samples]) -> list[Figure]:
    """What is compared with what."""

    both = partial(commands.both, samples)

    def memory(name: str, goal: float) -> Figure:
        return Figure(f"{name}, peak MiB", max(samples[name]["rss_kib"]) / 1024, goal, 1)

    return [
        *(each for name in (HIT, JUDGED) for each in both(name, PYTHON, 1.1)),
        *(each for name in (HIT, JUDGED) for each in both(name, NOTATION, 0.7)),
        *(each for name in (HIT, JUDGED) for each in both(name, COSIGN, 0.25)),
        *both(PYTHON, NOTATION, None),
        *both(PYTHON, COSIGN, None),
        *both(FIRST, NOTATION, 1.25),
        *both(COLD, NOTATION, 5.5),
        *both(HIT, BARE, 1.05),
        memory(HIT, 10),
        memory(JUDGED, 10),
        memory(COLD, 35),
        memory(REGO, 35),
    ]


def _interpreter() -> str:
    """The interpreter that the program was built with, not a virtual environment's link to it."""
    return str(getattr(sys, "_base_executable", sys.executable))
