"""`nodeseal verify IMAGE`: a person asks by hand what containerd asks before a pull.

The same judgement over the same ports; a tag is resolved once, and from there on only the digest counts.  Works for an
ordinary user with `--config`.
"""

import argparse
import json
import math
import os
import time
from typing import Mapping, Sequence, TextIO

from agent.adapters.inline import OneByOne, SystemClock, run
from agent.adapters.nodestate import moment
from agent.adapters.policy_worker import ForkedWorker
from agent.adapters.verdicts import NoVerdicts, VerdictFolder
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Exit, Unavailable
from agent.judgement import Judgement, judge, opened
from agent.model.answer import Answer, printable
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.modes import node
from agent.modes.registry_access import open_registry
from agent.modes.rendering import Step, as_json, as_text
from agent.modes.revocation_access import LateRevocation
from agent.ports import VerdictStore
from agent.rules import precedence
from agent.rules.floor import Floor
from agent.rules.precedence import Standing

DEADLINE = 30.0
"""Seconds that a person waits at most, unless `--timeout` says otherwise."""


class StepTrace:
    """`ports.Trace` that keeps every step and how long it took since the one before."""

    def __init__(self) -> None:
        """The time runs from now."""
        self.steps: list[Step] = []
        self._since = time.monotonic()

    def step(self, name: str, looked_for: str, found: str) -> None:
        """See `ports.Trace.step`."""
        now = time.monotonic()
        self.steps.append(Step(name, looked_for, found, (now - self._since) * 1000))
        self._since = now


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `verify` to the command line."""
    parser = subparsers.add_parser(
        "verify",
        help="verify one image and say why",
        description="Verify one image as containerd's pull would, and say what was decided and why. "
        "A tag is resolved once; what is verified is the digest it named at that moment.",
        epilog="exit codes: 0 allow, 2 usage, 3 configuration, 5 host operation failed, 10 deny, 11 cannot tell, "
        "70 bug",
    )
    parser.add_argument("image", metavar="IMAGE", help="image, for example registry.example.com/team/app:1.2")
    parser.add_argument(
        "--config", metavar="DIR|FILE", help="use this configuration instead of the node's current snapshot"
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        default="/",
        help="root that the node's snapshot and credentials are under (default: %(default)s)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.add_argument(
        "--explain", action="store_true", help="show every step and check: looked for, found, decided, how long"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DEADLINE,
        metavar="SECONDS",
        help="give up after this time (default: %(default)g)",
    )
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Run `verify`.  Raises `UsageError`, `ConfigurationError`, `HostError`, `Malformed`."""
    reference = Reference.parse_short(options.image)
    if precedence.is_canary(reference.repository):
        return _show(options, stdout, str(reference), Judgement(precedence.CANARY_ANSWER, None), "", ())
    personal = bool(options.config)
    found = _personal(options.config, environment) if personal else node.opened(options.root)
    config, standing = found.config, found.standing
    verdicts = NoVerdicts() if personal else VerdictFolder(options.root)
    early = _before_any_network(reference, standing)
    if early is not None:
        generation = config.generation if isinstance(config, Config) else ""
        return _show(options, stdout, str(reference), Judgement(early, None), generation, ())
    if isinstance(config, Unavailable):
        judgement = _unverified(options.image, reference, config, standing, verdicts)
        return _show(options, stdout, str(reference), judgement, "", ())
    trace = StepTrace()
    trace.step("read configuration", options.config or f"snapshot under {options.root}", config.generation[:12])
    deadline = time.monotonic() + options.timeout
    with open_registry(config, environment, deadline, root=options.root, personal=personal) as registry:
        engine = Engine(
            config,
            registry=registry,
            # A person's own configuration is tried without the node's cache.
            revocation=LateRevocation(environment, deadline, None if personal else options.root),
            concurrent=OneByOne(),
            policies=ForkedWorker(),
            clock=SystemClock(),
            trace=trace,
        )
        try:
            subject, judgement = run(_resolve_and_judge(options.image, reference, engine, trace, standing, verdicts))
        except Unavailable as error:
            subject = str(reference)
            judgement = _unverified(options.image, reference, error, standing, verdicts)
    return _show(options, stdout, subject, judgement, config.generation, trace.steps)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:  # false for nan too
        raise argparse.ArgumentTypeError(f"got {printable(text)}; expected a number of seconds above 0")
    return value


def _show(
    options: argparse.Namespace,
    stdout: TextIO,
    subject: str,
    judgement: Judgement,
    generation: str,
    steps: Sequence[Step],
) -> Exit:
    if options.format == "json":
        report = as_json(subject, judgement, generation, steps if options.explain else ())
        stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        stdout.write(as_text(subject, judgement, generation, steps, explain=options.explain))
    return judgement.answer.exit


async def _resolve_and_judge(
    name: str,
    reference: Reference,
    engine: Engine,
    trace: StepTrace,
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


def _personal(path: str, environment: Mapping[str, str]) -> node.Node:
    """A person's own configuration, on no node in particular.  Raises `ConfigurationError`, `UsageError`."""
    from agent.modes.config import load_for_person

    config = load_for_person(path, environment.get("HOME", "/"))
    return node.Node(config, Standing(config.ruleset, Floor(), moment(), os.uname().nodename))


def _unverified(
    name: str, reference: Reference, error: Unavailable, standing: Standing, verdicts: VerdictStore
) -> Judgement:
    """What is said of an image if there is nothing to verify it with, or nobody says what its name means."""
    verdict = precedence.cannot_tell(error.cause, error.message)
    terms = precedence.terms_for(reference.repository, standing)
    before = None
    if terms.rule and reference.digest:
        before = run(verdicts.recall(terms.rule.ground, f"{reference.repository}@{reference.digest}"))
    return Judgement(precedence.conclude(verdict, terms, name, standing, before), verdict)
