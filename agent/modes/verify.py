"""`nodeseal verify IMAGE`: a person asks by hand what containerd asks before a pull.

The same judgement over the same ports; a tag is resolved once, and from there on only the digest counts.  Works for an
ordinary user with `--config`.
"""

import argparse
import json
import os
import time
from typing import Mapping, Sequence, TextIO

from agent.adapters.nodestate import moment
from agent.errors import Exit
from agent.model.reference import Reference
from agent.modes import node, place
from agent.modes.asking import Asker, Heard, ask, seconds_to_wait
from agent.modes.rendering import Step, as_json, as_text
from agent.rules import precedence
from agent.rules.floor import Floor
from agent.rules.precedence import Standing

DEADLINE = 30.0
"""Seconds that a person waits at most, unless `--timeout` or the node's bootstrap document says otherwise."""


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
        default=place.USUAL,
        help="root that the node's snapshot and credentials are under (default: %(default)s)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.add_argument(
        "--explain", action="store_true", help="show every step and check: looked for, found, decided, how long"
    )
    parser.add_argument(
        "--timeout",
        type=seconds_to_wait,
        default=None,
        metavar="SECONDS",
        help=f"give up after this time (default: as a pull of this node, if that is recorded; else {DEADLINE:g})",
    )
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Run `verify`.  Raises `UsageError`, `ConfigurationError`, `HostError`, `Malformed`."""
    reference = Reference.parse_short(options.image)
    asker = Asker(options.root, environment, options.config or "")
    # The canary is refused whatever is configured: a configuration that can't be used is not even read.
    own = asker.configuration and not precedence.is_canary(reference.repository)
    found = _personal(options.config, environment) if own else node.opened(options.root)
    trace = StepTrace()
    seconds = options.timeout or found.host.deadline or DEADLINE
    heard = ask(options.image, reference, found, asker, seconds=seconds, trace=trace)
    return _show(options, stdout, heard, trace.steps)


def _show(options: argparse.Namespace, stdout: TextIO, heard: Heard, steps: Sequence[Step]) -> Exit:
    subject, judgement, generation, hint = heard
    if options.format == "json":
        report = as_json(subject, judgement, generation, steps if options.explain else ())
        stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        stdout.write(as_text(subject, judgement, generation, steps, explain=options.explain, hint=hint))
    return judgement.answer.exit


def _personal(path: str, environment: Mapping[str, str]) -> node.Node:
    """A person's own configuration, on no node in particular.  Raises `ConfigurationError`, `UsageError`."""
    from agent.modes.config import load_for_person

    config = load_for_person(path, environment.get("HOME", "/"))
    return node.Node(config, Standing(config.ruleset, Floor(), moment(), os.uname().nodename))
