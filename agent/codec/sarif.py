"""Scans in SARIF: which rules a scanner found broken, and how bad it says that is.

Static Analysis Results Interchange Format 2.1.0 (OASIS), "Run object" and what is in it.  Read are, of every run, the
scanner's name, the results' rule ids, and the help text of the rules, in which scanners of images write the severity.
The structure of what is read is checked; the rest is passed over, so that this is no validation under SARIF's schema.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.codec import members, strictjson
from agent.errors import Code, Malformed

MAX_SIZE = 8 * 1024 * 1024
"""Largest report taken, in bytes: 5,000 findings, each with its rule, have about that."""

MAX_VALUES = 300_000
"""Most JSON values of a report, about."""

MAX_RUNS = 64
MAX_RESULTS = 50_000
"""Most results, and most rules, of one run."""

_SEVERITY = re.compile(r"Severity:\s*(\w+)")


class UnsupportedVersion(Malformed):
    """A report of another version."""

    code = Code.EVIDENCE_UNSUPPORTED


class Run(NamedTuple):
    """One run of a scanner.

    `scanner` is its name in lower case; `found` are the ids of the rules that it found broken, in order, each once;
    `help` are the help texts of rules by their ids: one, unless several rules have the same.
    """

    scanner: str
    found: tuple[str, ...]
    help: Mapping[str, Sequence[str]]

    def severities(self, rule: str) -> set[str]:
        """How bad the rule's help texts say that it is, in lower case; an empty one for a text that does not say."""
        found = (_SEVERITY.search(each) for each in self.help.get(rule, ("",)))
        return {match[1].lower() if match else "" for match in found}


def parse(content: bytes) -> tuple[Run, ...]:
    """Read a report, one run at least.  Raises `Malformed` or `LimitExceeded`."""
    decoded = strictjson.decode(content, "scan", limit=MAX_SIZE, most=MAX_VALUES)
    value = members.spelt(decoded, ("version", "runs"), "scan")
    if value.get("version") != "2.1.0":
        got = "none" if value.get("version") is None else ascii(value["version"])[:40]
        raise UnsupportedVersion(f"scan: version: got {got}; expected 2.1.0, of SARIF")
    runs = members.optional_array(value, "runs", "scan", most=MAX_RUNS)
    if not runs:
        raise Malformed("scan: runs: got none; expected at least one: nothing says that the image was looked at")
    return tuple(_run(each, f"scan: runs[{i}]") for i, each in enumerate(runs))


def _run(value: object, where: str) -> Run:
    run = members.spelt(value, ("tool", "results"), where)
    tool = members.spelt(run.get("tool"), ("driver",), f"{where}.tool")
    inner = f"{where}.tool.driver"
    driver = members.spelt(tool.get("driver"), ("name", "rules"), inner)
    scanner = members.optional_text(driver, "name", inner).lower()
    if not scanner:
        raise Malformed(f"{inner}: name: got none; expected the scanner's name")
    if run.get("results") is None:
        raise Malformed(f"{where}: results: got none; expected a list: without one, nothing was looked for")
    results = members.optional_array(run, "results", where, most=MAX_RESULTS)
    rules = members.optional_array(driver, "rules", inner, most=MAX_RESULTS)
    found = dict.fromkeys(_rule_id(each, f"{where}.results[{i}]") for i, each in enumerate(results))
    texts: dict[str, list[str]] = {}
    for i, each in enumerate(rules):
        name, told = _rule(each, f"{inner}.rules[{i}]")
        texts.setdefault(name, []).append(told)
    return Run(scanner, tuple(found), texts)


def _rule_id(value: object, where: str) -> str:
    """The id of the rule that a result is of.  Raises `Malformed` where none is said."""
    found = members.optional_text(members.spelt(value, ("ruleId",), where), "ruleId", where)
    if not found:
        raise Malformed(f"{where}: ruleId: got none; expected the id of a rule")
    return found


def _rule(value: object, where: str) -> tuple[str, str]:
    """A rule's id and help text."""
    rule = members.spelt(value, ("id", "help"), where)
    told = ""
    if rule.get("help") is not None:
        told = members.optional_text(members.spelt(rule["help"], ("text",), f"{where}.help"), "text", f"{where}.help")
    return members.optional_text(rule, "id", where), told
