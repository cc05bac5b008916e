"""One image, asked for by a person: a name and what holds on a node come in, a judgement goes out.

The same for `nodeseal verify` and for whoever asks again later what was let in.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.adapters.policy_worker import ForkedWorker, longest
from agent.adapters.verdicts import NoVerdicts, VerdictFolder
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Unavailable
from agent.judgement import Judgement, judge, opened
from agent.model.answer import Answer, printable
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.model.verdict import NOTHING
from agent.modes.node import Node
from agent.modes.registry_access import open_registry
from agent.modes.revocation_access import LateRevocation
from agent.ports import Trace, VerdictStore
from agent.rules import age, precedence
from agent.rules.precedence import Standing


class Heard(NamedTuple):
    """`subject` is `repository@digest`, or the name if nobody said what it means.

    `generation` is the configuration that was in force, empty if there was none or it was not asked.  `hint` is the
    next step, where whatever was in the way knew it better than the answer's code does.
    """

    subject: str
    judgement: Judgement
    generation: str
    hint: str = ""


class Asker(NamedTuple):
    """Who asks, and from where.  `environment` is believed for its proxies, and for credentials if `personal`.

    Where the node has recorded its proxies, these count.

    `configuration` is the path of a configuration of their own, empty if they ask about the node's.
    """

    root: str
    environment: Mapping[str, str]
    configuration: str = ""

    @property
    def personal(self) -> bool:
        """Whether they ask about a configuration of their own: then nothing of what the node remembers counts."""
        return bool(self.configuration)


def ask(
    name: str, reference: Reference, found: Node, asker: Asker, *, seconds: float, trace: Trace | None = None
) -> Heard:
    """Judge what `reference` names now, within `seconds`.

    `name` is what the person said.  Raises `Malformed` if the registry says that there is no such image.
    """
    if precedence.is_canary(reference.repository):
        return Heard(str(reference), Judgement(precedence.canary_answer(reference.tag or ""), None), "")
    config, standing = found.config, found.standing
    verdicts = NoVerdicts() if asker.personal else VerdictFolder(asker.root)
    early = _before_any_network(reference, standing)
    if early is not None:
        generation = config.generation if isinstance(config, Config) else ""
        return Heard(str(reference), Judgement(early, None), generation)
    if isinstance(config, Unavailable):
        return Heard(str(reference), _unverified(name, reference, config, standing, verdicts), "", config.hint)
    trace = trace or NoTrace()
    source = asker.configuration or f"snapshot under {asker.root}"
    trace.step("read configuration", source, config.generation[:12])
    deadline = time.monotonic() + seconds
    seen = config.seen_by(precedence.terms_for(reference.repository, standing).owner)
    host, environment = found.host, asker.environment
    insist: list[Callable[[], bool]] = []
    hint = ""
    with open_registry(
        seen, environment, deadline, root=asker.root, host=host, personal=asker.personal, insist=insist
    ) as registry:
        engine = Engine(
            config,
            registry=registry,
            # A person's own configuration is tried without the node's cache.
            revocation=LateRevocation(environment, deadline, None if asker.personal else asker.root, host=host),
            concurrent=OneByOne(),
            policies=ForkedWorker(seconds=longest(seconds), until=deadline),
            clock=SystemClock(),
            trace=trace,
            deadline=deadline,
            insist=insist,
        )
        try:
            subject, judgement = run(_resolve_and_judge(name, reference, engine, trace, standing, verdicts))
        except Unavailable as error:
            known = age.trouble(standing, precedence.terms_for(reference.repository, standing).rule)
            trouble = Unavailable(known[1], cause=known[0]) if known else error  # as containerd hears, with a digest
            subject = str(reference)
            judgement = _unverified(name, reference, trouble, standing, verdicts)
            hint = trouble.hint
    return Heard(subject, judgement, config.generation, hint)


def seconds_to_wait(text: str) -> float:
    """What a person writes after `--timeout`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:  # false for nan too
        raise argparse.ArgumentTypeError(f"got {printable(text)}; expected a number of seconds above 0")
    return value


async def _resolve_and_judge(
    name: str,
    reference: Reference,
    engine: Engine,
    trace: Trace,
    standing: Standing,
    verdicts: VerdictStore,
) -> tuple[str, Judgement]:
    """Step 1 for a person: what the reference names now; then the judgement.  Raises `Unavailable`, `Malformed`."""
    subject = await engine.registry.resolve(reference)
    trace.step("resolve", str(reference), f"{subject.digest} ({subject.media_type}, {subject.size} bytes)")
    request = PullRequest(name, reference, subject)
    case = await opened(request, standing, verdicts)
    if isinstance(case, Answer):
        return request.identity, Judgement(case, None)
    return request.identity, await judge(case, engine, verdicts)


def _before_any_network(reference: Reference, standing: Standing) -> Answer | None:
    """The answer that is due without asking anybody; None as well if the digest has to be known first."""
    if reference.digest is None and precedence.depends_on_digest(reference.repository, standing):
        return None
    return precedence.before_verification(reference.repository, str(reference.digest or ""), str(reference), standing)


def _unverified(
    name: str, reference: Reference, error: Unavailable, standing: Standing, verdicts: VerdictStore
) -> Judgement:
    """What is said of an image if there is nothing to verify it with, or nobody says what its name means."""
    verdict = precedence.not_verified(error.cause, error.message, reference.repository, standing)
    terms = precedence.terms_for(reference.repository, standing)
    before = NOTHING
    if terms.rule and reference.digest:
        before = run(verdicts.recall(terms.rule.ground, f"{reference.repository}@{reference.digest}"))
    return Judgement(precedence.conclude(verdict, terms, name, standing, before.verified), verdict)
