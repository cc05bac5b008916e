"""The part of the schema that is our own dialect: the section `nodeseal`.

Unknown keys are errors here, with the nearest known name: nobody else's words stand in this section.  What needs more
than form is checked by `agent.config.dialect`.
"""

from agent.config import times
from agent.config.times import END_PATTERN, LENGTH_PATTERN
from agent.config.words import Schema, strict_obj, text
from agent.errors import Cause
from agent.rules.rule import Enforcement, FailureAction
from agent.rules.ruleset import WhenMissing

API_VERSION = "nodeseal.dev/v1alpha1"

MAX_RULES = 500
"""Most rules of one configuration."""

MAX_PATTERNS = 1_000
"""Most patterns of all rules together: each is compared with each, and on a pull with the image's repository."""

MAX_SEGMENTS = 10_000
"""Most segments of all patterns together: that is how long it takes to compare them."""

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

MAX_LISTED = 1_000
"""Most entries of one list of images."""

MAX_LISTED_LENGTH = 700
"""Longest entry of the deny list, in characters."""

LEAST_AGE = 3600.0
"""Seconds that `maxSnapshotAge` is at least: one API server that is restarted must not make a cluster stand still."""

MAX_DENIED_SIGNERS = 200
"""Most entries of `denySigners`: each is compared with each signature."""

MAX_TRUST_ROOTS = 4
"""Most trusted roots that one configuration has fetched; as many as one verifier may name."""

PUBLIC_GOOD = "https://tuf-repo-cdn.sigstore.dev"
"""The TUF repository of Sigstore's public good instance, whose first root is built in."""

USUAL_INTERVAL = 24 * 3600.0
LEAST_INTERVAL = 3600.0
GREATEST_INTERVAL = 30 * 24 * 3600.0
"""How often a trusted root is fetched anew, in seconds."""

_DIGEST = r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"

ENFORCEMENT: Schema = {
    "title": "Enforcement",
    "description": "What a denial means: `Enforce`, the pull is refused; `Audit`, the image is verified and passes, "
    "and the line says what would have been; `Disabled`, it passes unverified.",
    "enum": [each.value for each in Enforcement],
    "default": "Enforce",
}

_ACTION: Schema = {
    "title": "Action",
    "description": "`Fail`: the pull is refused.  `Ignore`: the image passes.  `IgnoreIfVerifiedBefore`: it passes if "
    "it was verified before on the same ground.",
    "enum": [each.value for each in FailureAction],
}

FAILURE_POLICY: Schema = {
    "title": "Failure policy",
    "description": 'What "cannot tell" means: one word for every cause, or a word for each.',
    "anyOf": [
        _ACTION,
        strict_obj(
            "By cause",
            'What "cannot tell" means, by its cause.',
            {
                "default": _ACTION
                | {"title": "Default", "description": "For every cause without a word of its own.", "default": "Fail"},
                **{
                    cause.value: _ACTION | {"title": cause.value, "description": f"For the cause `{cause.value}`."}
                    for cause in Cause
                },
            },
        ),
    ],
    "x-expected": f"Fail, Ignore or IgnoreIfVerifiedBefore; or one of them for default or each of "
    f"{', '.join(cause.value for cause in Cause)}",
    "examples": [{"default": "Fail", "registryUnavailable": "IgnoreIfVerifiedBefore"}],
}

_PATTERN = text(
    "Pattern",
    "Pattern over repositories, as under `match` of a rule.",
    maxLength=512,
    examples=["registry.example.com/shop/**"],
)
_UNTIL = text(
    "End", "When it ends: RFC 3339, with seconds and zone.", pattern=END_PATTERN, examples=["2026-12-01T12:00:00Z"]
) | {"x-expected": 'a time like "2026-12-01T12:00:00Z"'}
_REASON = text("Reason", "Why: it stands in every message.", maxLength=200, examples=["INC-4711"])

LENGTH_EXPECTED = 'a length of time like "24h": a number and s, m, h or d'


def length_of_time(title: str, description: str, **keywords: object) -> Schema:
    """A length of time."""
    return text(title, description, pattern=LENGTH_PATTERN, **keywords) | {"x-expected": LENGTH_EXPECTED}


def _list(title: str, description: str, items: Schema, **keywords: object) -> Schema:
    return {
        "title": title,
        "description": description,
        "type": "array",
        "maxItems": MAX_LISTED,
        "items": items,
        "x-expected": f"a list of at most {MAX_LISTED}",
        **keywords,
    }


_LISTS: Schema = {
    "deny": _list(
        "Denied images",
        "Images that are always refused, before anything else: patterns, each with a digest or without.",
        text(
            "Image",
            "`PATTERN` or `PATTERN@DIGEST`.",
            maxLength=MAX_LISTED_LENGTH,
            examples=["registry.example.com/x@sha256:..."],
        ),
    ),
    "allow": _list(
        "Allowed images",
        "Images that pass unverified until an end, each by its digest.",
        strict_obj(
            "Allowed image",
            "One image that passes.",
            {
                "image": text("Image", "`HOST/REPOSITORY@DIGEST`.", maxLength=1024),
                "until": _UNTIL,
                "reason": _REASON,
            },
            required=("image", "until", "reason"),
        ),
    ),
    "exempt": _list(
        "Exemptions",
        "Repositories whose images are not verified.  They cost no network.",
        strict_obj(
            "Exemption",
            "Repositories that are not verified.",
            {
                "match": _PATTERN,
                "digests": {
                    "title": "Digests",
                    "description": "The contents that are exempt; without it all of the repositories' images are.",
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1_000,
                    "items": {"type": "string", "pattern": f"^{_DIGEST}$", "x-expected": "a digest like sha256:..."},
                },
                "insecure": {
                    "title": "Insecure",
                    "description": "Needed if the registry is on loopback or spoken to over plain HTTP: whoever is on "
                    "the way chooses what the image is.",
                    "type": "boolean",
                    "default": False,
                },
            },
            required=("match",),
        ),
    ),
    "breakGlass": _list(
        "Break-glass",
        "Images that pass unverified for a while; `nodeseal break-glass` does the same on one node.",
        strict_obj(
            "Break-glass",
            "For which images, until when, and why.",
            {"match": _PATTERN, "until": _UNTIL, "reason": _REASON},
            required=("match", "until", "reason"),
        ),
    ),
}

_FINGERPRINT = {"pattern": "^sha256:[0-9a-f]{64}$", "x-expected": "sha256: and 64 digits or letters from a to f"}

DENIED_SIGNER = strict_obj(
    "Denied signer",
    "A signer whose signatures never count: a key, a certificate, or an identity.",
    {
        "key": text("Key", "SHA-256 of the public key as DER (SubjectPublicKeyInfo).", **_FINGERPRINT),
        "certificate": text(
            "Certificate",
            "SHA-256 of a certificate as DER: the signer's, or one of its chain.",
            **_FINGERPRINT,
        ),
        "issuer": text("Issuer", "The identity provider's address, exactly.", maxLength=2048),
        "issuerRegExp": text("Issuer", "The same as a regular expression (RE2) for the whole text.", maxLength=1000),
        "subject": text("Subject", "The certificate's one name, exactly.", maxLength=2048),
        "subjectRegExp": text(
            "Subject",
            "The same as a regular expression (RE2) for the whole text.",
            maxLength=1000,
            examples=["https://github[.]com/acme/app/.*"],
        ),
    },
)

_STALE = strict_obj(
    "Stale if error",
    "For how long an earlier verification counts while it can't be repeated.",
    {
        "registry": length_of_time("Registry", "Because the registry does not answer.", default="24h"),
        "revocation": length_of_time("Revocation", "Because revocation is not known.", default="0s"),
    },
)

_DENY = strict_obj(
    "Denials",
    "How long an image that was refused is not asked about: each repeat doubles it.",
    {
        "first": length_of_time("First", "After the first refusal.", default="10s"),
        "max": length_of_time("Most", "However often it was refused.", default="5m"),
    },
)

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
        "enforcement": ENFORCEMENT,
        "failurePolicy": FAILURE_POLICY,
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
        "rollout": strict_obj(
            "Rollout",
            "Enforce on a share of nodes; the others audit.  Which ones is decided by the node's name, and stays.",
            {
                "percent": {
                    "title": "Percent",
                    "description": "Share of nodes that enforce.",
                    "type": "integer",
                    "minimum": 0,
                    "maximum": 100,
                }
            },
            required=("percent",),
        ),
    },
    required=("name", "match", "verifiers", "policy"),
)

_TRUST_ROOT = strict_obj(
    "Trusted root",
    "A trusted root that is fetched from a TUF repository.",
    {
        "name": text(
            "Name",
            "What verifiers call it under `trustRoot`: as if it were a document of that name.",
            pattern=r"^[-._a-zA-Z0-9]{1,253}$",
            default="trusted_root.json",
        )
        | {"x-expected": "a name as documents have: letters, digits, '-', '_' and '.'"},
        "mirror": text(
            "Mirror",
            "URL of the TUF repository, whose targets are below `targets/`.",
            maxLength=2048,
            default=PUBLIC_GOOD,
        ),
        "root": text(
            "First root",
            "The document with the `root.json` that the repository is trusted by at first.  That of the public good "
            "instance is built in.",
            maxLength=253,
            examples=["root.json"],
        ),
        "refreshInterval": length_of_time(
            "Interval", "How often it is fetched anew: from `1h` to `30d`.", default=times.length(USUAL_INTERVAL)
        ),
        "caBundle": text(
            "CA bundle",
            "The document with CA certificates for the mirror's TLS, on top of the host's own.",
            maxLength=253,
            examples=["tuf-ca.pem"],
        ),
    },
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
            "What holds where no rule matches; without rules, for every image.",
            {"enforcement": ENFORCEMENT, "failurePolicy": FAILURE_POLICY},
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
        "trustRoots": {
            "title": "Trusted roots",
            "description": "Trusted roots of Sigstore instances that are fetched, and fetched anew, by whoever puts "
            "the configuration in force; never on a pull.  Without this key none ever is.",
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_TRUST_ROOTS,
            "items": _TRUST_ROOT,
            "x-expected": f"a list of 1 to {MAX_TRUST_ROOTS} trusted roots",
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
        "serial": {
            "title": "Serial",
            "description": "Number of a signed configuration: it never goes down.  Only where the node's floor asks "
            "for a signature.",
            "type": "integer",
            "minimum": 0,
            "maximum": 2**53,
        },
        **_LISTS,
        "denySigners": {
            "title": "Denied signers",
            "description": "Signers whose signatures and attestations never count, under whatever rule: each a `key`, "
            "a `certificate`, or an identity, which is an issuer, a subject, or both.",
            "type": "array",
            "maxItems": MAX_DENIED_SIGNERS,
            "items": DENIED_SIGNER,
            "x-expected": f"a list of at most {MAX_DENIED_SIGNERS}",
        },
        "cache": strict_obj(
            "Memory",
            "How long what was found counts.",
            {
                "allow": length_of_time(
                    "Allowances", "How long an image that passed is not asked about.", default="24h"
                ),
                "deny": _DENY,
                "cannotTell": length_of_time(
                    "Cannot tell", "How long nobody is asked again after nobody could tell.", default="5s"
                ),
                "staleIfError": _STALE,
            },
        ),
        "whenMissing": {
            "title": "When missing",
            "description": "What holds once no ConfigMap of the cluster is a configuration any more.  `KeepLast`: the "
            "last one.  `FailurePolicy`: nobody can tell, and its failure policies decide.",
            "enum": [each.value for each in WhenMissing],
            "default": "KeepLast",
        },
        "allowLockout": {
            "title": "Allow lock-out",
            "description": "Whether it counts although it refuses images that the node needs to come up (`node.needs` "
            "of the bootstrap document): who says so insists on it.",
            "type": "boolean",
            "default": False,
        },
        "maxSnapshotAge": length_of_time(
            "Greatest age",
            "For how long a configuration from a cluster counts after the cluster was last asked for all of it; at "
            f"least `{times.length(LEAST_AGE)}`.",
            default="7d",
        ),
    },
    required=("apiVersion",),
) | {"dependentRequired": {"rules": ["default"]}}
