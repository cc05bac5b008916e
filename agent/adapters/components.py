"""What this program is made of: the list that its build wrote beside it, else what this interpreter could import.

The list is a CycloneDX document; read are names, versions, licences, package URLs and hashes.
"""

import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from agent.errors import HostError

NAME = "_internal/sbom.cdx.json"
"""Where the list is, beside the executable."""

_MOST_BYTES = 8 << 20
_NEXT_STEP = "install the program again, whole"


class Component(NamedTuple):
    """One of them; `part_of` names the component that it is compiled into, and what is not known is empty."""

    name: str
    version: str
    licence: str
    purl: str
    sha256: str
    part_of: str


def of_program(folder: str) -> tuple[Component, ...]:
    """The components of the built program in `folder`, by name.  Raises `HostError`."""
    path = os.path.join(folder, NAME)
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        return _sorted(_read(json.loads(content)))
    except OSError as error:
        got = f"{path}: got {error.strerror or error}"
        raise HostError(f"{got}; expected the list of components", hint=_NEXT_STEP) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise HostError(f"{path}: got something else; expected the list of components", hint=_NEXT_STEP) from error


def of_environment() -> tuple[Component, ...]:
    """The distributions that are installed for this interpreter, by name: for a program that was not built."""
    import importlib.metadata

    return _sorted(
        Component(
            each.name,
            each.version,
            str(each.metadata.json.get("license_expression") or each.metadata.json.get("license") or "").partition(
                "\n"
            )[0],
            f"pkg:pypi/{each.name.lower().replace('_', '-')}@{each.version}",
            "",
            "",
        )
        for each in importlib.metadata.distributions()
    )


def _sorted(found: Iterator[Component]) -> tuple[Component, ...]:
    return tuple(sorted(found, key=lambda each: (each.part_of.lower(), each.name.lower(), each.version)))


def _read(document: Any) -> Iterator[Component]:
    yield _component(document["metadata"]["component"], "")
    for each in document["components"]:
        yield _component(each, "")
        for inner in each.get("components", ()):
            yield _component(inner, each["name"])


def _component(value: dict[str, Any], part_of: str) -> Component:
    licences = [each.get("expression") or each["license"].get("id") or each["license"].get("name", "")
                for each in value.get("licenses", ())]  # fmt: skip
    hashes = [each["content"] for each in value.get("hashes", ()) if each["alg"] == "SHA-256"]
    texts = (value["name"], value.get("version", ""), " AND ".join(licences), value.get("purl", ""), *hashes[:1])
    if not all(isinstance(each, str) for each in texts):
        raise TypeError("not a text")
    return Component(texts[0], texts[1], texts[2], texts[3], "".join(hashes[:1]), part_of)
