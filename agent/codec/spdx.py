"""Bills of materials in SPDX's JSON form: what an image is made of, and under which licenses.

SPDX specification 2.3 (and 2.2, which differs in nothing that is read here), "Package Information".  Read are the
packages with name, version and license, and who made the document when; the rest is passed over.  Nothing here says
whether any of it is true.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from agent.codec import members, strictjson
from agent.errors import Code, Malformed

MAX_SIZE = 8 * 1024 * 1024
"""Largest document taken, in bytes: 5,000 packages have about 5 MiB, lists of files have any size."""

MAX_VALUES = 300_000
"""Most JSON values of a document, about."""

MAX_PACKAGES = 50_000
MAX_CREATORS = 16
"""Most creators told of a document."""

_LONGEST_TOLD = 256

_VERSION = re.compile(r"SPDX-2\.[23]\Z")
_UNKNOWN = ("", "NOASSERTION", "NONE")
"""What stands for a license that nobody has concluded, in any case: it must not hide the declared one."""


class UnsupportedVersion(Malformed):
    """A document of another version."""

    code = Code.EVIDENCE_UNSUPPORTED


class Package(NamedTuple):
    """One package.  `license` is the concluded one or, where nobody concluded any, the declared one."""

    name: str
    version: str
    license: str


class Bill(NamedTuple):
    """One bill of materials.  `creation` is `creationInfo`, as far as it is told: texts and a list of texts."""

    packages: tuple[Package, ...]
    creation: Mapping[str, object]


def parse(content: bytes) -> Bill:
    """Read a document.  Raises `Malformed` or `LimitExceeded`; `UnsupportedVersion` for other versions."""
    decoded = strictjson.decode(content, "SBOM", limit=MAX_SIZE, most=MAX_VALUES)
    value = members.spelt(decoded, ("spdxVersion", "packages", "creationInfo"), "SBOM")
    version = value.get("spdxVersion")
    if not isinstance(version, str) or not _VERSION.match(version):
        got = "none" if version is None else ascii(version)[:40]
        raise UnsupportedVersion(f"SBOM: spdxVersion: got {got}; expected SPDX-2.3 or SPDX-2.2, as JSON")
    listed = members.optional_array(value, "packages", "SBOM", most=MAX_PACKAGES)
    if not listed:
        raise Malformed("SBOM: packages: got none; expected at least one: nothing says what is in the image")
    packages = tuple(_package(each, f"SBOM: packages[{i}]") for i, each in enumerate(listed))
    return Bill(packages, _creation(value.get("creationInfo")))


def _package(value: object, where: str) -> Package:
    package = members.spelt(value, ("name", "versionInfo", "licenseConcluded", "licenseDeclared"), where)
    name = members.optional_text(package, "name", where)
    if not name:
        raise Malformed(f"{where}: name: got none; expected a name")
    licensed = members.optional_text(package, "licenseConcluded", where)
    if licensed.strip().upper() in _UNKNOWN:
        licensed = members.optional_text(package, "licenseDeclared", where) or licensed
    return Package(name, members.optional_text(package, "versionInfo", where), licensed)


def _creation(value: object) -> Mapping[str, object]:
    """What is told of who made it, and when: whatever of that has the form."""
    if not isinstance(value, dict):
        return {}
    told: dict[str, object] = {
        name: value[name][:_LONGEST_TOLD]
        for name in ("created", "licenseListVersion", "comment")
        if isinstance(value.get(name), str)
    }
    creators = value.get("creators")
    if isinstance(creators, list):
        told["creators"] = [each[:_LONGEST_TOLD] for each in creators[:MAX_CREATORS] if isinstance(each, str)]
    return told
