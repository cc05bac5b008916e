"""What is looked for in a bill of materials: licenses and packages that are not allowed.

A license counts where it stands as whole words in a package's license expression, in any case: `GPL-3.0` is in
`(MIT OR GPL-3.0)` and not in `LGPL-3.0` or `GPL-3.0-only`.  A package counts by its exact name and version, or in every
version where none is said.  The words of what is told are Ratify's, so that its policies can read them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import cast

from agent.codec import spdx
from agent.codec.spdx import Package
from agent.errors import Code
from agent.formats.contents import MAX_VIOLATIONS, Appraisal, few

_BETWEEN_WORDS = re.compile(r"[\s()]+")


def check(content: bytes, settings: Mapping[str, object]) -> Appraisal:
    """What is wrong with the bill of materials under a verifier's settings.  Raises `Malformed`."""
    bill = spdx.parse(content)
    licenses = [_words(each) for each in cast("Sequence[str]", settings["disallowedLicenses"])]
    versions: dict[str, set[str]] = {}
    for each in cast("Sequence[Mapping[str, str]]", settings["disallowedPackages"]):
        versions.setdefault(each["name"], set()).add(each.get("version", ""))
    by_expression: dict[str, bool] = {}
    licensed = [each for each in bill.packages if _is_licensed(each.license, licenses, by_expression)]
    named = [each for each in bill.packages if {"", each.version} & versions.get(each.name, set())]
    said: dict[str, object] = {"creationInfo": dict(bill.creation)}
    if not licensed and not named:
        return Appraisal(f"nothing that is disallowed in the SBOM's {len(bill.packages)} packages", said=said)
    told = []
    for name, found, what in (
        ("licenseViolations", licensed, "packages under disallowed licenses"),
        ("packageViolations", named, "disallowed packages"),
    ):
        if found:
            said[name] = [_told(each) for each in found[:MAX_VIOLATIONS]]
            told.append(f"{len(found)} {what}: {few([_shown(each) for each in found])}")
    return Appraisal(f"the SBOM has {'; '.join(told)}", Code.CONTENT_REFUSED, said)


def _words(expression: str) -> str:
    """An expression's words, in one spelling, each with a space on both sides."""
    return f" {' '.join(filter(None, _BETWEEN_WORDS.split(expression.casefold())))} "


def _is_licensed(expression: str, disallowed: Sequence[str], known: dict[str, bool]) -> bool:
    """Whether a disallowed license is in it; `known` is what was found out before."""
    if expression not in known:
        words = _words(expression)
        known[expression] = any(each in words for each in disallowed)
    return known[expression]


def _shown(package: Package) -> str:
    return " ".join(filter(None, (package.name, package.version, package.license and f"({package.license})")))


def _told(package: Package) -> dict[str, str]:
    """A package in Ratify's words, each as long as anybody reads."""
    return {"Name": package.name[:256], "Version": package.version[:256], "License": package.license[:256]}
