"""The part of the schema that is our own dialect: the section `nodeseal`.

Unknown keys are errors here, with the nearest known name: nobody else's words stand in this section.  What later
versions will take is listed and refused by name.  What needs more than form is checked by `agent.config.dialect`.
"""

from agent.config.words import Schema, not_supported, strict_obj, text

API_VERSION = "nodeseal.dev/v1alpha1"

MAX_RULES = 500
"""Most rules of one configuration."""

MAX_PATTERNS = 1_000
"""Most patterns of all rules together: each is compared with each, and on a pull with the image's repository."""

_NAME = {"pattern": r"^[^/\x00-\x1f\x7f]+$", "maxLength": 128, "x-expected": "1 to 128 characters without '/'"}

_NAMES: Schema = {
    "title": "Names",
    "description": "Names of verifiers of the rule.",
    "type": "array",
    "minItems": 1,
    "maxItems": 64,
    "uniqueItems": True,
    "items": text("Name", "Name of a verifier.", maxLength=128),
    "x-expected": "a list of 1 to 64 different names of verifiers",
}

_ENFORCEMENT: Schema = {
    "title": "Enforcement",
    "description": "What a denial means: `Enforce`, the pull is refused.",
    "const": "Enforce",
    "x-expected": '"Enforce": this version always enforces',
}

_FAILURE_POLICY: Schema = {
    "title": "Failure policy",
    "description": 'What "cannot tell" means: `Fail`, the pull is refused.',
    "anyOf": [
        {"const": "Fail"},
        {
            "type": "object",
            "properties": {
                "default": {
                    "title": "Default",
                    "description": "For every cause without a word of its own.",
                    "const": "Fail",
                }
            },
            "required": ["default"],
            "additionalProperties": False,
        },
    ],
    "x-expected": '"Fail": this version never lets an image pass that it could not verify',
}

_POLICY: Schema = {
    "title": "Policy",
    "description": "What is enough: `{any: [NAMES]}`, `{all: [NAMES]}`, `{threshold: N, of: [NAMES]}`, or the "
    "name of a Rego document beside the configuration.",
    "anyOf": [
        {"type": "string", "pattern": r"\.rego$", "maxLength": 253},
        strict_obj("Any", "One of these verifiers is enough.", {"any": _NAMES}, required=("any",)),
        strict_obj("All", "Each of these verifiers.", {"all": _NAMES}, required=("all",)),
        strict_obj(
            "Threshold",
            "A number of these verifiers.",
            {
                "threshold": {
                    "title": "Threshold",
                    "description": "How many of them must have verified something.",
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 64,
                },
                "of": _NAMES,
            },
            required=("threshold", "of"),
        ),
    ],
    "x-expected": "{any: [NAMES]}, {all: [NAMES]}, {threshold: N, of: [NAMES]} or the name of a *.rego document",
    "examples": [{"any": ["shop-key"]}],
}

_RULE = strict_obj(
    "Rule",
    "What holds for the images of some repositories.",
    {
        "name": text("Name", "Name of the rule; unique, and in every message.", **_NAME),
        "match": {
            "title": "Match",
            "description": "Patterns over repositories, `HOST/PATH`: the host exact, `*` one segment, a last `**` the "
            "rest; `**` alone is everything.  Without tag and digest.  The most specific pattern wins.",
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": {"type": "string", "minLength": 1, "maxLength": 512},
            "examples": [["registry.example.com/payments/**"]],
            "x-expected": "a list of 1 to 100 patterns",
        },
        "verifiers": _NAMES
        | {"title": "Verifiers", "description": "Names of the verifiers that look at these images' evidence."},
        "policy": _POLICY,
        "enforcement": _ENFORCEMENT,
        "failurePolicy": _FAILURE_POLICY,
        "allowWithoutEvidence": {
            "title": "Allow without evidence",
            "description": "Let images pass that nothing refers to; a Rego policy alone says then what is enough.",
            "type": "boolean",
            "default": False,
        },
        "evidenceRepository": text(
            "Evidence repository",
            "Repository that the evidence of these images lies in, instead of each image's own: `HOST/PATH`.",
            maxLength=512,
            examples=["registry.example.com/signatures"],
        ),
        "rollout": not_supported("Rollout", "Share of nodes that enforce.", "enforcing on a share of nodes"),
    },
    required=("name", "match", "verifiers", "policy"),
)

DIALECT = strict_obj(
    "Nodeseal's own section",
    "What Ratify has no word for.  Ratify ignores it.",
    {
        "apiVersion": text("Version", f"Version of this section's form: `{API_VERSION}`.", const=API_VERSION),
        "requires": text(
            "Required version",
            "The oldest version of this program that may use the configuration.",
            pattern=r"^>=[0-9]{1,9}(\.[0-9]{1,9}){0,2}$",
            examples=[">=0.1"],
        )
        | {"x-expected": 'a text like ">=0.1"'},
        "default": strict_obj(
            "Default",
            "What holds where no rule matches: the pull is refused.",
            {"enforcement": _ENFORCEMENT, "failurePolicy": _FAILURE_POLICY},
            required=("enforcement", "failurePolicy"),
        ),
        "verifiers": {
            "title": "Verifiers",
            "description": "Verifiers that rules refer to by name.",
            "type": "array",
            "minItems": 1,
            "maxItems": 64,
            "items": {"$ref": "#/$defs/ownVerifier"},
            "x-expected": "a list of 1 to 64 verifiers",
        },
        "rules": {
            "title": "Rules",
            "description": "Rules for repositories.  Where there are any, they alone decide.",
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_RULES,
            "items": _RULE,
            "x-expected": f"a list of 1 to {MAX_RULES} rules",
        },
        **{
            key: not_supported(key, description, what)
            for key, description, what in (
                ("serial", "Number of a signed configuration.", "signed configurations"),
                ("whenMissing", "What holds while there is no configuration.", "choosing that: the last one stays"),
                ("maxSnapshotAge", "How old a configuration may become.", "configurations that grow old"),
                ("breakGlass", "Letting images pass for a while.", "break-glass"),
                ("deny", "Images that are always refused.", "lists of images"),
                ("allow", "Images that always pass.", "lists of images"),
                ("exempt", "Repositories that are not verified.", "exemptions"),
                ("cache", "How long answers are kept.", "a cache"),
            )
        },
    },
    required=("apiVersion",),
) | {"dependentRequired": {"rules": ["default"]}}
