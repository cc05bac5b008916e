"""`nodeseal config`: check a configuration, put it in force, print its schema, import Ratify's resources.

Everything that is wrong is told at once, errors first, and then the next step.  `check` and `apply` read the same way,
so that what was checked is what is put in force.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TextIO

from agent.adapters.documents import DocumentSet
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.policy_worker import Trials
from agent.adapters.snapshots import SnapshotStore
from agent.codec import strictjson, strictyaml
from agent.config import bootstrap, checking, importing, ratify
from agent.config.bootstrapschema import BOOTSTRAP_SCHEMA
from agent.config.config import Config
from agent.config.dialect import Node
from agent.config.ratify import NO_NODE, Checked
from agent.config.schema import SCHEMA
from agent.errors import ConfigurationError, Exit, HostError, Malformed, Problem, UsageError
from agent.model.answer import printable
from agent.model.documents import Document
from agent.modes import place, signing
from agent.modes.signing import Demand, Judged
from agent.rules import lists, lockout
from agent.rules.floor import Bootstrap
from agent.rules.lockout import Needs

if TYPE_CHECKING:
    from agent.modes.keys import Keys

SCHEMA_VERSION = "1"
"""Version of what `config check --format json` prints."""

MAX_IMPORT = 8 * 1024 * 1024
"""Most bytes of one file with resources."""

_PATH_HELP = "folder with config.json or nodeseal.yaml and the documents that they name, or one configuration file"
_EXITS = "exit codes: 0 ok, 2 usage, 3 configuration, 5 host operation failed, 70 bug"


class Findings(NamedTuple):
    """What came of reading a configuration: a `config` if it can be used, and everything that should be told.

    `judged` is what came of its signatures and its serial; None if no node was asked.
    """

    config: Config | None
    problems: tuple[Problem, ...]
    judged: Judged | None = None

    @property
    def errors(self) -> int:
        """How many of the problems are fatal."""
        return sum(problem.fatal for problem in self.problems)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `config` and its commands; each sets `handler(options, environment, stdout, stderr) -> Exit`."""
    from agent.modes import difference  # it has use for what is here

    parser = subparsers.add_parser(
        "config",
        help="check a configuration, put it in force, compare two, import Ratify's",
        description="Work with configurations: what Ratify's command line reads from config.json, with the "
        "certificates that it names beside it.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    one = commands.add_parser(
        "check",
        help="tell everything that is wrong with a configuration",
        description="Read a configuration as 'config apply' does, and tell everything that is wrong with it. "
        "Changes nothing; works for an ordinary user.",
        epilog=_EXITS,
    )
    one.add_argument("path", metavar="DIR|FILE", help=_PATH_HELP)
    one.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    one.add_argument(
        "--root", metavar="DIR", default=place.USUAL, help="root that the node's floor is under (default: %(default)s)"
    )
    one.set_defaults(handler=check)
    one = commands.add_parser(
        "apply",
        help="check a configuration and put it in force on this node",
        description="Check a configuration and, if it can be used, write it as a snapshot and put it in force at "
        "once: the next pull is verified under it. Otherwise the configuration in force stays.",
        epilog=_EXITS,
    )
    one.add_argument("path", metavar="DIR|FILE", help=_PATH_HELP)
    one.add_argument(
        "--root", metavar="DIR", default=place.USUAL, help="root that the node's state is under (default: %(default)s)"
    )
    one.set_defaults(handler=apply)
    signing.add_parser(commands, _EXITS)
    one = commands.add_parser(
        "schema",
        help="print the JSON Schema of config.json",
        description="Print the JSON Schema (2020-12) of config.json, for editors and other programs. "
        "'config check' checks more than it can say: names, certificates, trust policies.",
        epilog=_EXITS,
    )
    one.add_argument("--bootstrap", action="store_true", help="that of the node's bootstrap document instead")
    one.set_defaults(handler=schema)
    one = commands.add_parser(
        "import",
        help="turn Ratify's Kubernetes resources into a config.json",
        description="Read Ratify's Kubernetes resources (Store, Verifier, Policy, KeyManagementProvider and "
        "CertificateStore, v1alpha1 and v1beta1, also those of a namespace) and print the config.json that says the "
        "same. What is left to do is told on standard error. Changes nothing.",
        epilog=f"{_EXITS}; example: kubectl get stores,verifiers,policies,keymanagementproviders -o yaml | "
        "nodeseal config import - > config.json",
    )
    one.add_argument(
        "files", metavar="FILE", nargs="+", help="file with resources, as YAML or JSON; - is standard input"
    )
    one.add_argument(
        "--namespace",
        metavar="NS",
        default="",
        help="take the resources of this namespace, and the cluster's where it has none of a kind",
    )
    one.set_defaults(handler=import_resources)
    difference.add_parser(commands)


def check(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Tell what is wrong with `options.path`, on `stdout`.  Raises `UsageError`, `HostError` if it can't be read."""
    demand, needs, told = _demand(options.root)
    node = Node(demand.floor if demand else None, moment().wall, needs=needs, trial=Trials())
    found = read(options.path, environment.get("HOME", "/"), node, demand)
    found = found._replace(problems=_sorted((*told, *found.problems)))
    if any(problem.fatal for problem in told):
        found = found._replace(config=None)
    if options.format == "json":
        stdout.write(json.dumps(_as_json(found), indent=2) + "\n")
    else:
        stdout.write(_as_text(found.problems))
        stdout.write(_exemptions_as_text(found.config))
        name = printable(f"{options.path}{_under(options.root)}")
        if found.config:
            stdout.write(f"generation {found.config.generation}\n{signing.signed_by(found.judged)}")
        stdout.write(_next_step(found, f"put it in force: nodeseal config apply {name}", f"config check {name}"))
    return Exit.CONFIGURATION if found.config is None and found.errors else Exit.ALLOW


def apply(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Put `options.path` in force under `options.root`: problems on `stderr`, what was done on `stdout`.

    Raises `UsageError`, `HostError`, `ConfigurationError` for a bootstrap document that can't be believed.
    """
    from agent.modes.keys import Keys

    keys = Keys(options.root, environment, by_hand=True)
    found = put_in_force(options.path, options.root, environment.get("HOME", "/"), keys)
    stderr.write(_as_text(found.problems))
    if found.config is None:
        stderr.write(_next_step(found, "", printable(f"config apply {options.path}{_under(options.root)}")))
        stderr.write("Nothing was changed: the configuration in force stays.\n")
        return Exit.CONFIGURATION
    stdout.write(f"generation {found.config.generation}\n{signing.signed_by(found.judged)}")
    stdout.write(f"in force under {printable(SnapshotStore(options.root).state)}\n")
    for name, trouble in keys.troubles():
        stderr.write(printable(f"WARNING: {name}: not fetched, what was fetched before counts: {trouble}") + "\n")
    ask = printable(f"nodeseal verify --explain IMAGE{_under(options.root)}")
    stdout.write(_next_step(found, f"see what it means for an image: {ask}", ""))
    return Exit.ALLOW


def put_in_force(path: str, root: str, home: str | None, keys: "Keys | None" = None) -> Findings:
    """Publish the configuration at `path` under `root`, unless it can't be used; what was found in it.

    Paths of the host count in it if `home` is given.  `keys` fetches those that it names.  Raises what `apply` raises.
    """
    from agent.modes.keys import Keys

    state = NodeState(root)
    said = bootstrap_of(state)
    demand = signing.demand(said.floor, root)
    keys = keys or Keys(root, {})
    node = Node(demand.floor, moment().wall, needs=lockout.needs(said), trial=Trials())
    found = read(path, home, node, demand, keys)
    if found.config is not None:
        keys.forget()
        state.begin(found.config.ruleset.break_glass)
        SnapshotStore(root).publish(found.config, admit=lambda: signing.admit(demand, found.judged))
    return found


def schema(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Print the schema on `stdout`."""
    stdout.write(json.dumps(BOOTSTRAP_SCHEMA if options.bootstrap else SCHEMA, indent=2) + "\n")
    return Exit.ALLOW


def import_resources(
    options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO
) -> Exit:
    """Print the configuration that Ratify's resources in `options.files` mean on `stdout`, problems on `stderr`.

    Raises `UsageError`, `HostError`.
    """
    documents: list[tuple[str, object]] = []
    problems: list[Problem] = []
    for file in options.files:
        name = "standard input" if file == "-" else file
        content = _import_file(file)
        try:
            if file.endswith(".json"):
                values = [strictjson.decode(content, name, limit=MAX_IMPORT)]
            else:
                values = strictyaml.decode_all(content, name, limit=MAX_IMPORT, nothing_is_null=True)
        except Malformed as error:
            got, _, expected = error.message.removeprefix(f"{name}: ").removeprefix("got ").partition("; expected ")
            problems.append(Problem(name, got, expected or "Kubernetes resources, as YAML or JSON"))
            continue
        documents += ((name, value) for value in values)
    # What a file holds that can't be read is not missing.
    imported = importing.convert([] if problems else documents, options.namespace)
    problems += () if problems else imported.problems
    stderr.write(_as_text(_sorted(problems)))
    if any(problem.fatal for problem in problems):
        stderr.write("nothing was written.\nnext step: correct the errors, then nodeseal config import again\n")
        return Exit.CONFIGURATION
    content = json.dumps(imported.config, indent=2).encode() + b"\n"
    stdout.write(content.decode())
    configuration = Document("config.json", content, "what was written")
    found = _checked(DocumentSet(configuration, (), folder=environment.get("HOME", "/")))
    stderr.write(_as_text(found.problems))
    first = f"correct {_counted(found.errors, 'error')} in it, and " if found.errors else ""
    stderr.write(f"next step: {first}save it as config.json in a folder, with the documents beside it that it names;\n")
    stderr.write("           then nodeseal config check that folder\n")
    return Exit.ALLOW


def _import_file(path: str) -> bytes:
    """Raises `UsageError`, `HostError`."""
    try:
        if path == "-":
            return sys.stdin.buffer.read(MAX_IMPORT + 1)
        with open(path, "rb") as file:
            return file.read(MAX_IMPORT + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: got nothing there; expected a file with Ratify's resources") from None
    except OSError as error:
        raise HostError(f"{path}: got {error.strerror}; expected to read Ratify's resources") from None


def read(
    path: str, home: str | None, node: Node = NO_NODE, demand: Demand | None = None, keys: "Keys | None" = None
) -> Findings:
    """Read a person's configuration for `node`.  Raises `UsageError`, `HostError`.

    Paths of the host count in it, unless `demand` asks for a signature: that covers documents of the set alone.  `keys`
    fetches those that it names, if its signature is good; without, nobody knows them.
    """
    try:
        documents = DocumentSet.read(path, home=None if demand and demand.keys else home)
    except ConfigurationError as error:
        return Findings(None, _sorted(error.problems))
    if keys is not None:
        node = node._replace(fetched=_fetched(documents, node, demand, keys))
    found = _checked(documents, node)
    if demand is None:
        return found
    judged = signing.judged(demand, documents, found.config)
    problems = _sorted((*found.problems, *judged.problems))
    return Findings(None if any(problem.fatal for problem in problems) else found.config, problems, judged)


def _fetched(documents: DocumentSet, node: Node, demand: Demand | None, keys: "Keys") -> Mapping[str, bytes | str]:
    """What the node has of the keys that documents name, once what is due was fetched.  Raises `HostError`."""
    from agent.modes.keys import sources_of

    signed = demand is None or not any(each.fatal for each in signing.judged(demand, documents, None).problems)
    keys.use(sources_of(documents) if signed else [], local=bool(node.floor and node.floor.local_keys))
    keys.refresh()
    return keys.contents()


def _checked(documents: DocumentSet, node: Node = NO_NODE) -> Findings:
    """What `read` makes of documents."""
    node = node._replace(labour=Trials().labour)
    try:
        config, told = ratify.read(documents.configuration, documents, beside=documents.beside, node=node)
    except ConfigurationError as error:
        # Documents that nobody named are no news here: whoever names them may not have been read.
        return Findings(None, _sorted((*error.problems, *(each for each in documents.problems() if each.fatal))))
    problems = _sorted((*told, *documents.problems()))
    return Findings(None if any(problem.fatal for problem in problems) else config, problems)


def read_for_person(path: str, home: str) -> Checked:
    """A configuration and its warnings.  Raises `ConfigurationError` with every problem, `UsageError`, `HostError`."""
    found = read(path, home)
    return Checked(usable(path, found), found.problems)


def usable(path: str, found: Findings) -> Config:
    """What was found at `path`.  Raises `ConfigurationError` with every error if it can't be used."""
    if found.config is None:
        raise ConfigurationError(
            f"{path}: the configuration can't be used",
            problems=tuple(problem for problem in found.problems if problem.fatal or not found.errors),
            hint=f"correct it; nodeseal config check {path} tells more"
            if found.errors
            else f"what it has fetched is there once it is put in force: nodeseal config apply {path}; "
            "to try it before, lay a trusted root that it names beside it",
        )
    return found.config


def load_for_person(path: str, home: str) -> Config:
    """The configuration of a person who names one by hand.  Raises what `read_for_person` raises."""
    return read_for_person(path, home).config


def bootstrap_of(state: NodeState) -> Bootstrap:
    """The node's bootstrap document.  Raises `HostError`, `ConfigurationError` if it is not of the form."""
    content = state.bootstrap_content()
    if content is None:
        return Bootstrap()
    try:
        return bootstrap.decode(content)
    except Malformed as error:
        problems = _problems_of_bootstrap(content, state.bootstrap_path) or (
            Problem(state.bootstrap_path, error.message, "the form of its schema"),
        )
        raise ConfigurationError(
            f"{state.bootstrap_path}: the bootstrap document can't be used: the strictest floor is in force",
            problems=problems,
            hint="correct it; nodeseal config schema --bootstrap prints its form",
        ) from None


def _problems_of_bootstrap(content: bytes, where: str) -> tuple[Problem, ...]:
    try:
        value = strictjson.decode(content, where, limit=bootstrap.MAX_SIZE)
    except Malformed as error:
        got = error.message.removeprefix(f"{where}: ").removeprefix("got ").partition("; expected ")[0]
        return (Problem(where, got, "a JSON object"),)
    return tuple(finding.problem(where) for finding in checking.check(value, BOOTSTRAP_SCHEMA))


def _demand(root: str) -> tuple[Demand | None, Needs, tuple[Problem, ...]]:
    """What the node asks of a configuration, what it needs, and what should be told of its bootstrap document."""
    state = NodeState(root)
    try:
        found = bootstrap_of(state)
        return signing.demand(found.floor, root), lockout.needs(found), ()
    except ConfigurationError as error:
        return None, Needs(), error.problems
    except HostError as error:
        got = error.message.removeprefix(f"{state.bootstrap_path}: got ").partition("; expected ")[0]
        expected = "the node's bootstrap document, to compare with its floor"
        return None, Needs(), (Problem(state.bootstrap_path, got, expected, fatal=False),)


def _exemptions_as_text(config: Config | None) -> str:
    """What will not be verified, built-in exemptions too: nobody should have to look for that."""
    if config is None:
        return ""
    lines = []
    for entry in (*config.ruleset.exempt, *lists.BUILT_IN):
        how = f"by {_counted(len(entry.digests), 'digest')}" if entry.digests else "not verified"
        why = f" (built in: {entry.why})" if entry.why else ""
        lines.append(f"{printable(f'exempt: {entry.match}, {how}{why}')}\n")
    return "".join(lines)


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Errors first, then by place; each once."""
    return tuple(sorted(set(problems), key=lambda problem: (not problem.fatal, problem)))


def _as_text(problems: Iterable[Problem]) -> str:
    return "".join(f"{'error' if problem.fatal else 'WARNING'}: {printable(str(problem))}\n" for problem in problems)


def _next_step(found: Findings, good: str, again: str) -> str:
    warnings = len(found.problems) - found.errors
    counted = f"{_counted(found.errors, 'error')}, {_counted(warnings, 'warning')}"
    if found.config is None and not found.errors:
        return f"{counted}: the configuration can be used once what it names is fetched.\nnext step: {good}\n"
    if found.config is None:
        return f"{counted}: the configuration can't be used.\nnext step: correct the errors, then nodeseal {again}\n"
    return f"{counted}: the configuration can be used.\nnext step: {good}\n"


def _under(root: str) -> str:
    return "" if root == "/" else f" --root {root}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _as_json(found: Findings) -> dict[str, object]:
    return {
        "schemaVersion": SCHEMA_VERSION,
        "usable": found.config is not None or not found.errors,
        "generation": found.config.generation if found.config else None,
        "exemptions": [
            entry._asdict() for entry in (*(found.config.ruleset.exempt if found.config else ()), *lists.BUILT_IN)
        ],
        "problems": [
            {
                "severity": "error" if problem.fatal else "warning",
                "path": problem.path,
                "got": problem.got,
                "expected": problem.expected,
            }
            for problem in found.problems
        ],
    }
