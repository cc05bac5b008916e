"""`nodeseal config statement`, and what a node asks of a configuration's signatures and serial.

Only a node whose floor has keys (`signedBy`) asks.  `check` and `apply` judge alike; `apply` asks for the serial once
more under the lock of publishing, and notes it there.
"""

import argparse
import os
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple, TextIO

from agent.adapters.documents import DocumentSet
from agent.adapters.nodestate import BOOTSTRAP
from agent.adapters.serials import Serials
from agent.codec import signaturelines
from agent.config import serialform
from agent.config import statement as statements
from agent.config.config import Config
from agent.config.dialect import SECTION, Placing
from agent.config.documentset import NamedDocuments
from agent.config.serialform import Applied
from agent.config.statement import SIGNATURES
from agent.errors import ConfigurationError, Exit, HostError, Malformed, Problem, UsageError
from agent.model.answer import printable
from agent.rules.floor import Floor
from agent.trust import signedconfiguration
from agent.trust.signedconfiguration import MAX_KEYS, SigningKey

_AGAIN = "nodeseal config statement DIR prints what is signed"


class Demand(NamedTuple):
    """What a node asks: its floor, the keys of which one must have signed (none: nobody asks), its serials.

    `bootstrap` is where the floor and the keys stand.
    """

    floor: Floor
    keys: tuple[SigningKey, ...]
    serials: Serials
    bootstrap: str


class Judged(NamedTuple):
    """What came of it: problems; and if nothing is wrong and somebody asked, who signed and what will be noted."""

    problems: tuple[Problem, ...]
    key: SigningKey | None = None
    applied: Applied | None = None


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", exits: str) -> None:
    """Add `config statement`; it sets `handler(options, environment, stdout, stderr) -> Exit`."""
    one = commands.add_parser(
        "statement",
        help="print what is signed of a configuration",
        description="Print the statement about a folder's documents: what a key of the floor's signedBy signs. The "
        f"signature, as base64, is the document {SIGNATURES} in the same folder. Changes nothing; works for an "
        "ordinary user.",
        epilog=f"{exits}; example: nodeseal config statement DIR | openssl dgst -sha256 -sign key.pem | base64 > "
        f"DIR/{SIGNATURES}",
    )
    one.add_argument("path", metavar="DIR", help="folder with the configuration and the documents that it names")
    one.set_defaults(handler=statement)


def statement(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Print the statement about `options.path` on `stdout`, nothing else.

    Raises `UsageError`, `HostError`, `ConfigurationError` if documents can't be read.
    """
    if os.path.isfile(options.path):
        raise UsageError(
            f"{options.path}: got a file; expected a folder: what is signed is all of one",
            hint="put it into a folder of its own, as config.json or nodeseal.yaml",
        )
    documents = DocumentSet.read(options.path)
    refused = tuple(problem for problem in documents.problems() if problem.fatal)
    if refused:
        message = f"{options.path}: got documents that can't be read; expected a folder that can be signed as a whole"
        raise ConfigurationError(message, problems=refused, hint="take them out of the folder, or correct them")
    stdout.write(statements.of(documents.contents).decode("ascii"))
    return Exit.ALLOW


def demand(floor: Floor, root: str) -> Demand:
    """What the node under `root` asks.  Raises `ConfigurationError` for keys that can't be used."""
    where = os.path.join(root, BOOTSTRAP)
    keys: list[SigningKey] = []
    problems: list[Problem] = []
    if len(floor.signed_by) > MAX_KEYS:
        problems.append(Problem(f"{where}: floor.signedBy", f"{len(floor.signed_by)} keys", f"at most {MAX_KEYS}"))
    for i, text in enumerate(floor.signed_by[:MAX_KEYS]):
        try:
            keys.append(signedconfiguration.signing_key(text))
        except Malformed as error:
            problems.append(_problem(f"{where}: floor.signedBy[{i}]", error))
    if problems:
        raise ConfigurationError(
            f"{where}: the keys in signedBy can't be used: no configuration can be put in force",
            problems=tuple(problems),
            hint="correct them; openssl pkey -in KEY -pubout prints a private key's public one",
        )
    return Demand(floor, tuple(keys), Serials(root), where)


def judged(asked: Demand, documents: NamedDocuments, config: Config | None) -> Judged:
    """What is wrong with the signatures of `documents` and the serial of `config`, which they are if they can be used.

    Without keys nobody asks: then what looks signed is told to have no effect.
    """
    section = Placing(documents.configuration.name, (documents.beside or documents.configuration).name)
    at = section.text((SECTION, "serial"))
    serial = config.ruleset.serial if config else None
    if not asked.keys:
        return Judged(tuple(_in_vain(asked, documents, serial, at)))
    content = statements.of(documents.contents)
    problems = [
        Problem(path[:120], "a path that no document of the folder has", _uncovered(asked))
        for path in documents.outside
    ]
    key = _signer(asked, documents, content, problems)
    if config is None:
        return Judged(tuple(problems))
    if serial is None:
        expected = f"a number that is higher with each configuration: signedBy in {asked.bootstrap} asks for it"
        return Judged((*problems, Problem(at, "nothing", expected)))
    applied = Applied(serial, f"sha256:{sha256(content).hexdigest()}")
    try:
        problems += _replayed(asked, applied, at)
    except HostError as error:
        problems.append(Problem(asked.serials.path, error.message, "to compare with the last serial", fatal=False))
    return Judged(tuple(problems), key, applied)


def admit(asked: Demand, found: Judged | None) -> None:
    """Note the serial of what was `found` good, if keys ask for one.  Under the lock of publishing alone.

    Raises `ConfigurationError` if it may not follow what was in force meanwhile, `HostError`.
    """
    if not asked.keys:
        return
    if found is None or found.key is None or found.applied is None:
        raise ValueError("a configuration that nobody signed was to be put in force")  # a bug, and it ends as one
    problems = _replayed(asked, found.applied, f"{SECTION}.serial")
    if problems:
        message = "another configuration was put in force meanwhile, which this one may not follow"
        raise ConfigurationError(message, problems=problems, hint="nodeseal config check DIR tells more")
    if asked.serials.last() != found.applied:
        asked.serials.note(found.applied)


def signed_by(found: Judged | None) -> str:
    """A line that says who signed; empty if nobody asked."""
    if found is None or found.key is None or found.applied is None:
        return ""
    return printable(f"signed by {found.key.fingerprint}, serial {found.applied.serial}") + "\n"


def _in_vain(asked: Demand, documents: NamedDocuments, serial: int | None, at: str) -> list[Problem]:
    """What looks signed where nobody asks."""
    found = []
    if documents.signatures:
        expected = f"signedBy in the floor of {asked.bootstrap}, or no such document"
        found.append(Problem(SIGNATURES, "signatures that nobody asks for", expected, fatal=False))
    if serial is not None:
        expected = f"to know that it has no effect: there is no signedBy in the floor of {asked.bootstrap}"
        found.append(Problem(at, str(serial), expected, fatal=False))
    return found


def _signer(asked: Demand, documents: NamedDocuments, content: bytes, problems: list[Problem]) -> SigningKey | None:
    """The key that signed `content`.  None if none did: `problems` says why."""
    if documents.signatures is None:
        expected = f"a signature as base64, by a key of signedBy in {asked.bootstrap}; {_AGAIN}"
        problems.append(Problem(SIGNATURES, "nothing of this name in the folder", expected))
        return None
    try:
        signatures = signaturelines.decode(documents.signatures.content)
    except Malformed as error:
        problems.append(_problem(SIGNATURES, error))
        return None
    key = signedconfiguration.signer(content, signatures, asked.keys)
    if key is None:
        got = "a signature that does not hold" if len(signatures) == 1 else f"{len(signatures)} signatures, none holds"
        expected = f"one over these very documents, by a key of signedBy in {asked.bootstrap}; {_AGAIN}"
        problems.append(Problem(SIGNATURES, got, expected))
    return key


def _replayed(asked: Demand, applied: Applied, at: str) -> tuple[Problem, ...]:
    """Why `applied` may not follow what was in force.  Raises `HostError` if nobody can tell."""
    try:
        complaint = serialform.complaint(applied, asked.serials.last())
    except Malformed:
        got = "a file that is damaged, or that others could have written"
        expected = (
            "what nodeseal wrote; if the disk spoilt it, remove it and apply the newest signed configuration at once: "
            "in between, any serial is let in"
        )
        return (Problem(asked.serials.path, got, expected),)
    return (Problem(at, *complaint),) if complaint else ()


def _uncovered(asked: Demand) -> str:
    return f"a document of it: what lies elsewhere is not signed, and {asked.bootstrap} has signedBy"


def _problem(where: str, error: Malformed) -> Problem:
    got, _, expected = error.message.removeprefix("got ").partition("; expected ")
    return Problem(where, got, expected)
