"""The part of the schema that is the options of verifiers of reports: `sbom`, and others of Ratify's.

Their keys are Ratify's.  What needs more than form is checked by each format's `parse`.
"""

from agent.config.words import Schema, obj, text

MAX_DISALLOWED = 1_000
"""Most entries of one list of what must not be there."""


def _names(title: str, description: str, name: str, example: str) -> Schema:
    return {
        "title": title,
        "description": description,
        "type": "array",
        "maxItems": MAX_DISALLOWED,
        "items": text(name, f"One {name.lower()}.", maxLength=256),
        "x-expected": f"a list of at most {MAX_DISALLOWED} texts",
        "examples": [[example]],
    }


SBOM_KEYS: Schema = {
    "disallowedLicenses": _names(
        "Disallowed licenses",
        "Licenses that no package may be under: whole words of its license expression, in any case.",
        "License",
        "GPL-3.0-only",
    ),
    "disallowedPackages": {
        "title": "Disallowed packages",
        "description": "Packages that must not be there.",
        "type": "array",
        "maxItems": MAX_DISALLOWED,
        "items": obj(
            "Package",
            "A package, in one version or in all.",
            {
                "name": text("Name", "The package's name, exactly.", maxLength=256, examples=["log4j-core"]),
                "version": text(
                    "Version", "The version, exactly; every one if it is missing.", maxLength=256, examples=["2.14.1"]
                ),
            },
            required=("name",),
        ),
        "x-expected": f"a list of at most {MAX_DISALLOWED} packages",
    },
}
"""The options of a verifier `sbom`."""

SBOM: Schema = {
    "title": "SBOM verifier",
    "description": "Looks for disallowed licenses and packages in bills of materials (SPDX).",
}

REPORT_VERIFIERS = (("sbom", SBOM, SBOM_KEYS),)
"""Verifiers of reports: type, what holds for one, its options."""
