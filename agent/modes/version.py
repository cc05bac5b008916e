"""`nodeseal version`: which version this is, and what it is made of.  Asks nobody."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple, TextIO

from agent import RELEASED, __version__
from agent.adapters import components
from agent.adapters.components import Component
from agent.errors import Exit
from agent.model.answer import printable
from agent.modes import place

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""


class Made(NamedTuple):
    """The components, and where that is known from: `built` (the build's list) or `environment` (the interpreter's)."""

    source: str
    components: tuple[Component, ...]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `version` to the command line."""
    parser = subparsers.add_parser(
        "version",
        help="print the version, and what the program is made of",
        description="Print the version; with --components, everything that the program is made of, with versions, "
        "licences and package URLs, as the build wrote it down. Run from source it names what is installed for the "
        "interpreter. Asks nobody.",
        epilog="exit codes: 0 ok, 2 usage, 5 host operation failed, 70 bug",
    )
    parser.add_argument("--components", action="store_true", help="print the components, too")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Print it on `stdout`."""
    found = made() if options.components else None
    if options.format == "json":
        stdout.write(json.dumps(as_json(found), indent=2) + "\n")
    else:
        stdout.write(f"nodeseal {__version__}\n")
        stdout.write("".join(f"  {line}\n" for line in _lines(found)) if found else "")
    return Exit.ALLOW


def made() -> Made:
    """What this program is made of.  Raises `HostError`."""
    if getattr(sys, "frozen", False):
        folder = os.path.dirname(os.path.realpath(place.running_program()))
        return Made("built", components.of_program(folder))
    return Made("environment", components.of_environment())


def as_json(found: Made | None) -> dict[str, object]:
    """As an object of JSON; the components only if they are known."""
    value: dict[str, object] = {"schemaVersion": SCHEMA_VERSION, "version": __version__, "released": RELEASED}
    if found is None:
        return value
    listed = [
        {"name": each.name, "version": each.version, "licence": each.licence, "purl": each.purl,
         "sha256": each.sha256 or None, "partOf": each.part_of or None}
        for each in found.components
    ]  # fmt: skip
    return {**value, "source": found.source, "components": listed}


def _lines(found: Made) -> list[str]:
    named = [(printable(f"{each.name} {each.version}"), each) for each in found.components]
    width = max((len(name) for name, _ in named), default=0)
    return [
        printable(f"{name:{width}}  {each.licence or '-'}{f' (in {each.part_of})' if each.part_of else ''}")
        for name, each in named
    ]
