"""The part of the schema that is the options of verifiers of reports: `sbom`, and others of Ratify's.

Their keys are Ratify's.  What needs more than form is checked by each format's `parse`.
"""

from typing import cast

from agent.config.words import DURATION, Schema, obj, text

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

VULNERABILITY_KEYS: Schema = {
    "createdAnnotationName": text(
        "Annotation of the time",
        "The annotation of the report's manifest that says when it was made (RFC 3339); "
        "`org.opencontainers.image.created` if it is missing or empty.",
        maxLength=256,
    )
    | {"minLength": 0},
    "maximumAge": text(
        "Greatest age",
        "How long a report counts, from that time; as long as it likes if it is missing or empty.",
        pattern=rf"^$|{DURATION}",
        maxLength=32,
        examples=["24h"],
    )
    | {"minLength": 0, "x-expected": 'a length of time like "24h" or "1h30m"'},
    "disallowedSeverities": _names(
        "Disallowed severities",
        "Severities that no vulnerability of the image may have, in any case: as Trivy and Grype write them.",
        "Severity",
        "critical",
    ),
    "denylistCVEs": _names(
        "Denied vulnerabilities",
        "Vulnerabilities that the image must not have, in any case.",
        "Vulnerability",
        "CVE-2021-44228",
    ),
    "passthrough": {
        "title": "Pass through",
        "description": "Pass the whole report on to a Rego policy, under `extensions.report`, and look at nothing in "
        "it.",
        "type": "boolean",
        "default": False,
    },
    "schemaURL": text(
        "Schema",
        "A JSON Schema that reports must have the form of: `file:///NAME`, a document of the same configuration.  "
        "Without it, what is read is checked.",
        maxLength=2048,
        examples=["file:///sarif-2.1.0.json"],
    )
    | {"minLength": 0},
}
"""The options of a verifier `vulnerabilityreport`."""

VULNERABILITY: Schema = {
    "title": "Vulnerability report verifier",
    "description": "Looks for vulnerabilities in what scanners found (SARIF).",
}

SCHEMA_KEYS: Schema = {
    "schemas": {
        "title": "Schemas",
        "description": "Media type of a layer -> JSON Schema that it must have the form of: `file:///NAME`, a document "
        "of the same configuration.",
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "propertyNames": {"minLength": 1, "maxLength": 255, "x-expected": "a media type"},
        "additionalProperties": text("Schema", "Where the schema is.", maxLength=2048),
        "x-expected": "1 to 16 schemas by media type",
        "examples": [{"application/vnd.example.review+json": "file:///review.schema.json"}],
    }
}
"""The options of a verifier `schemavalidator`."""

SCHEMA_VALIDATOR: Schema = {
    "title": "Schema validator",
    "description": "Checks whether documents that refer to an image have the form of a JSON Schema.",
    "required": ["schemas"],
}

SIGNED_BY_KEY: Schema = {
    "title": "Signed by",
    "description": "Names of verifiers of the rule, one of which must have verified something that refers to the "
    "report: who may say what is in an image.",
    "type": "array",
    "minItems": 1,
    "maxItems": 16,
    "uniqueItems": True,
    "items": text("Name", "Name of a verifier of signatures.", maxLength=128),
    "x-expected": "a list of 1 to 16 different names of verifiers",
    "examples": [["shop-key"]],
}

REPORT_VERIFIERS = (
    ("sbom", SBOM, SBOM_KEYS),
    ("vulnerabilityreport", VULNERABILITY, VULNERABILITY_KEYS),
    ("schemavalidator", SCHEMA_VALIDATOR, SCHEMA_KEYS),
)
"""Verifiers of reports: type, what holds for one, its options."""

OWN_REPORT_VERIFIERS = tuple(
    (
        kind,
        {**verifier, "required": [*cast("list[str]", verifier.get("required", [])), "signedBy", *more]},
        {**keys, "signedBy": SIGNED_BY_KEY},
    )
    for (kind, verifier, keys), more in zip(REPORT_VERIFIERS, ((), (), ("artifactTypes",)), strict=True)
)
"""The same in our own section, where each says who must have signed what it reads."""
