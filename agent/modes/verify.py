"""`nodeseal verify IMAGE`: a person asks by hand what containerd asks before a pull.

The same judgement over the same ports; a tag is resolved once, and from there on only the digest counts.  Works for an
ordinary user with `--config`.
"""

import argparse
import json
import math
import time
from typing import Mapping, Sequence, TextIO

from agent.adapters.inline import OneByOne, SystemClock, run
from agent.adapters.policy_worker import ForkedWorker
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Exit, Unavailable
from agent.judgement import Judgement, judge
from agent.model.answer import printable
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.model.verdict import Decision, Verdict
from agent.modes.registry_access import open_registry
from agent.modes.rendering import Step, as_json, as_text
from agent.modes.revocation_access import LateRevocation
from agent.rules import precedence

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
    early = precedence.before_verification(reference.repository)
    if early is not None:
        return _show(options, stdout, str(reference), Judgement(early, None), "", ())
    try:
        config = _configuration(options, environment)
    except Unavailable as error:
        return _show(options, stdout, str(reference), _cannot_tell(error), "", ())
    trace = StepTrace()
    trace.step("read configuration", options.config or f"snapshot under {options.root}", config.generation[:12])
    deadline = time.monotonic() + options.timeout
    personal = bool(options.config)
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
            request, judgement = run(_resolve_and_judge(options.image, reference, engine, trace))
        except Unavailable as error:
            return _show(options, stdout, str(reference), _cannot_tell(error), config.generation, trace.steps)
    return _show(options, stdout, request.identity, judgement, config.generation, trace.steps)


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
    name: str, reference: Reference, engine: Engine, trace: StepTrace
) -> tuple[PullRequest, Judgement]:
    """Step 1 for a person: what the reference names now; then the judgement.  Raises `Unavailable`, `Malformed`."""
    subject = await engine.registry.resolve(reference)
    trace.step("resolve", str(reference), f"{subject.digest} ({subject.media_type}, {subject.size} bytes)")
    request = PullRequest(name, reference, subject)
    return request, await judge(request, engine)


def _configuration(options: argparse.Namespace, environment: Mapping[str, str]) -> Config:
    """The configuration to verify under.  Raises `ConfigurationError`, `Unavailable`."""
    if options.config:
        from agent.modes.config import load_for_person

        return load_for_person(options.config, environment.get("HOME", "/"))

    from agent.adapters.snapshots import SnapshotStore

    return SnapshotStore(options.root).load()


def _cannot_tell(error: Unavailable) -> Judgement:
    answer = precedence.cannot_tell(error.cause, error.message, "")
    return Judgement(answer, Verdict(Decision.CANNOT_TELL, answer.code, answer.message, (error.cause,)))
