"""`nodeseal config diff A B IMAGE...`: which images change their verdict if one configuration follows another.

Each image is judged twice, by the same judgement as on a pull: what its name means is asked once, and the second
configuration gets the digest that the first was asked about.  Neither break-glass of the node nor what it remembers of
images counts: both would hide a difference.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, TextIO

from agent.adapters.nodestate import NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.config.config import Config
from agent.config.dialect import Node as OnNode
from agent.errors import Cause, ConfigurationError, Exit, HostError, Malformed, Unavailable, UsageError
from agent.model.answer import Answer, printable
from agent.model.reference import Reference
from agent.modes import config, imagelist, place
from agent.modes.asking import Asker, Heard, ask, seconds_to_wait
from agent.modes.node import Node
from agent.modes.verify import DEADLINE
from agent.rules.floor import Bootstrap
from agent.rules.precedence import Standing

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

CURRENT = "current"
"""What names the configuration in force on the node, instead of a path."""

MAX_IMAGES = 10_000


class Kind(str, Enum):
    """What becomes of an image under the second configuration, compared with the first."""

    CHANGED = "changed"
    OTHER_REASON = "otherReason"
    SAME = "same"
    UNKNOWN = "unknown"


class Side(NamedTuple):
    """One of the two configurations: what was named, and what it is."""

    name: str
    found: Node
    generation: str


class Compared(NamedTuple):
    """One image under both.  `why` is set if nobody could say what its name means; then there are no answers."""

    image: str
    before: Answer | None = None
    after: Answer | None = None
    why: str = ""

    @property
    def kind(self) -> Kind:
        """A verdict is the exit code, what it rests on, and what enforcing would have given."""
        before, after = self.before, self.after
        if before is None or after is None or Exit.CANNOT_TELL in (before.exit, after.exit):
            return Kind.UNKNOWN
        if (before.exit, before.ground, before.would) != (after.exit, after.ground, after.would):
            return Kind.CHANGED
        same = (before.code, before.rule) == (after.code, after.rule)
        return Kind.SAME if same else Kind.OTHER_REASON


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `diff` to the commands of `config`."""
    parser = commands.add_parser(
        "diff",
        help="list the images whose verdict another configuration changes",
        description="Judge each image under two configurations and list those whose verdict changes. A tag is resolved "
        f"once for both. A and B are folders or files as for 'config check', or '{CURRENT}': the configuration in "
        "force. Changes nothing; break-glass of the node and what it remembers of images don't count.",
        epilog="exit codes: 0 compared, whether verdicts change or not, 2 usage, 3 configuration, 5 host operation "
        "failed, 11 some image could not be told about, 70 bug; example: nodeseal config diff current new/ "
        "@images.txt",
    )
    parser.add_argument("before", metavar="A", help=f"DIR, FILE or '{CURRENT}': the configuration to compare with")
    parser.add_argument("after", metavar="B", help=f"DIR, FILE or '{CURRENT}': the one that would follow it")
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="image, for example registry.example.com/app:1.2; or @FILE, a file with one per line and # for comments, "
        "where @- is standard input",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.add_argument(
        "--timeout",
        type=seconds_to_wait,
        default=DEADLINE,
        metavar="SECONDS",
        help="give up on one image under one configuration after this time (default: %(default)g)",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        default=place.USUAL,
        help="root that the node's snapshot, floor and credentials are under (default: %(default)s)",
    )
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Compare.  Raises `UsageError`, `ConfigurationError` if one of the two can't be used, `HostError`."""
    references = _references(options)
    bootstrap = _bootstrap(options.root, stderr)
    before = _side(options.before, bootstrap, options.root, environment)
    after = _side(options.after, bootstrap, options.root, environment)
    tell = _progress(stderr, len(references))
    compared = []
    for number, (name, reference) in enumerate(references.items(), 1):
        tell(number, name)
        compared.append(_compared(name, reference, (before, after), options, environment))
    if options.format == "json":
        stdout.write(json.dumps(_as_json(before, after, compared), indent=2) + "\n")
    else:
        stdout.write(_as_text(before, after, compared))
    return Exit.CANNOT_TELL if any(each.kind is Kind.UNKNOWN for each in compared) else Exit.ALLOW


def _references(options: argparse.Namespace) -> dict[str, Reference]:
    """The images by name, each once, in the order given.  Raises `UsageError`, `HostError`."""
    named: list[tuple[str, str]] = []
    for word in options.images:
        if word.startswith("@"):
            named += imagelist.named(word[1:])
        else:
            named.append(("IMAGE", word))
    references: dict[str, Reference] = {}
    for where, name in named:
        try:
            references[name] = Reference.parse_short(name)
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}", hint=error.hint) from None
    if not 1 <= len(references) <= MAX_IMAGES:
        raise UsageError(f"IMAGE: got {len(references)}; expected 1 to {MAX_IMAGES}")
    return references


def _bootstrap(root: str, stderr: TextIO) -> Bootstrap:
    """The node's, or the strictest one, as on a pull: that is told."""
    state = NodeState(root)
    try:
        return state.read_bootstrap()
    except (HostError, Malformed) as error:
        stderr.write(f"WARNING: {printable(error.message)}; compared under the strictest floor, as pulls are\n")
        return state.bootstrap()


def _side(name: str, bootstrap: Bootstrap, root: str, environment: Mapping[str, str]) -> Side:
    """A configuration as it would hold on this node, with its own break-glass begun now.

    Raises `UsageError`, `ConfigurationError`, `HostError`.
    """
    now = moment()
    if name == CURRENT:
        found = _current(root)
    else:
        found = config.usable(name, config.read(name, environment.get("HOME", "/"), OnNode(bootstrap.floor, now.wall)))
    begun = dict.fromkeys(found.ruleset.break_glass, now)
    node_name = bootstrap.node_name or os.uname().nodename
    standing = Standing(found.ruleset, bootstrap.floor, now, node_name, (), begun)
    return Side(name, Node(found, standing), found.generation)


def _current(root: str) -> Config:
    """Raises `ConfigurationError`."""
    try:
        return SnapshotStore(root).load()
    except Unavailable as error:
        step = "put one in force first" if error.cause is Cause.CONFIGURATION_MISSING else error.hint
        raise ConfigurationError(f"{CURRENT}: {error.message}", hint=f"{step}, or compare two folders") from None


def _compared(
    name: str,
    reference: Reference,
    sides: tuple[Side, Side],
    options: argparse.Namespace,
    environment: Mapping[str, str],
) -> Compared:
    answers: list[Answer] = []
    for side in sides:
        asker = Asker(options.root, environment, side.name)
        try:
            heard = ask(name, reference, side.found, asker, seconds=options.timeout)
        except Malformed as error:
            return Compared(name, why=f"{error.code.value}: {error.message}")
        answers.append(heard.judgement.answer)
        reference = _resolved(heard, reference)
    before, after = answers
    return Compared(name, before, after)


def _resolved(heard: Heard, reference: Reference) -> Reference:
    """What the name meant to the first one is what the second one is asked about."""
    return Reference.parse(heard.subject) if "@" in heard.subject else reference


def _progress(stderr: TextIO, number: int) -> Callable[[int, str], None]:
    """Tells which image it is at, for a person who waits for several."""
    if number == 1 or not stderr.isatty():
        return lambda at, name: None
    return lambda at, name: print(f"[{at}/{number}] {printable(name)}", file=stderr)


def _as_text(before: Side, after: Side, compared: Sequence[Compared]) -> str:
    lines = [
        f"A {printable(before.name)} (generation {before.generation[:12]})",
        f"B {printable(after.name)} (generation {after.generation[:12]})",
        *_with(Kind.CHANGED, compared),
        *_with(Kind.UNKNOWN, compared),
        *_with(Kind.OTHER_REASON, compared),
    ]
    counted = {kind: sum(each.kind is kind for each in compared) for kind in Kind}
    lines.append(
        f"{len(compared)} compared: {counted[Kind.CHANGED]} changed, {counted[Kind.OTHER_REASON]} the same by another "
        f"rule or reason, {counted[Kind.SAME]} the same, {counted[Kind.UNKNOWN]} can't be told"
    )
    return "\n".join(lines) + "\n"


def _with(kind: Kind, compared: Iterable[Compared]) -> Iterator[str]:
    for each in compared:
        if each.kind is kind:
            yield f"{_HEADS[kind]}: {printable(each.image)}"
            yield from (f"    {mark} {line}" for mark, line in _both(each))


def _both(each: Compared) -> Iterator[tuple[str, str]]:
    if each.before is None or each.after is None:
        yield "-", printable(each.why)
        return
    yield "A", _line(each.before)
    yield "B", _line(each.after)


def _line(answer: Answer) -> str:
    return answer._replace(image="").line()


def _as_json(before: Side, after: Side, compared: Sequence[Compared]) -> dict[str, object]:
    return {
        "schemaVersion": SCHEMA_VERSION,
        "before": {"configuration": before.name, "generation": before.generation},
        "after": {"configuration": after.name, "generation": after.generation},
        "images": [
            {
                "image": each.image,
                "result": each.kind.value,
                "before": _answer_as_json(each.before),
                "after": _answer_as_json(each.after),
                "problem": each.why,
            }
            for each in compared
        ],
    }


def _answer_as_json(answer: Answer | None) -> dict[str, object] | None:
    if answer is None:
        return None
    return {
        "exitCode": int(answer.exit),
        "wouldExitCode": None if answer.would is None else int(answer.would),
        "ground": answer.ground.value if answer.ground else None,
        "code": answer.code.value,
        "rule": answer.rule,
        "precedence": answer.precedence,
        "reason": _line(answer),
    }


_HEADS = {
    Kind.CHANGED: "CHANGED",
    Kind.UNKNOWN: "can't be told",
    Kind.OTHER_REASON: "the same, by another rule or reason",
}
