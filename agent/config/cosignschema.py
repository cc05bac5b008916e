"""The part of the schema that is the options of `cosign`: our own, and Ratify's.

What needs more than form - scopes that overlap, keys, what of Ratify's is not supported - is checked by
`agent.formats.cosign_options`.
"""

from agent.config.times import LENGTH_PATTERN
from agent.config.words import Schema, strict_obj, text

_SCOPE = r"^[a-z0-9.\-:@\/_]*\*?$"


def _number(title: str, description: str, default: int) -> Schema:
    return {
        "title": title,
        "description": description,
        "type": "integer",
        "minimum": 0,
        "maximum": 8,
        "default": default,
        "x-expected": "a whole number from 0 to 8",
    }


_ROOT_PATH: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}

_CLAIMS = (
    "buildSignerURI", "buildSignerDigest", "runnerEnvironment", "sourceRepositoryURI", "sourceRepositoryDigest",
    "sourceRepositoryRef", "sourceRepositoryIdentifier", "sourceRepositoryOwnerURI", "sourceRepositoryOwnerIdentifier",
    "buildConfigURI", "buildConfigDigest", "buildTrigger", "runInvocationURI", "sourceRepositoryVisibilityAtSigning",
    "deploymentEnvironment", "tokenSubject",
)  # fmt: skip

_IDENTITY_OF_OURS = strict_obj(
    "Identity",
    "Who signed, and who said so: an issuer and a subject, each exact or as a regular expression (RE2) for the whole "
    "text.",
    {
        "issuer": text("Issuer", "The identity provider's address, exactly.", maxLength=2048,
                       examples=["https://token.actions.githubusercontent.com"]),
        "issuerRegExp": text("Issuer", "The same as a regular expression.", maxLength=1000),
        "subject": text("Subject", "The certificate's one name: an address, an e-mail address.", maxLength=2048,
                        examples=["https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"]),
        "subjectRegExp": text("Subject", "The same as a regular expression.", maxLength=1000,
                              examples=["https://github.com/acme/.*"]),
        "claims": strict_obj(
            "Claims",
            "What the certificate must say of the build, word for word, beside its subject.",
            {name: text(name, "The claim's value.", maxLength=2048) for name in _CLAIMS},
        ),
    },
)  # fmt: skip

OWN_COSIGN_KEYS: Schema = {
    "keys": {
        "title": "Keys",
        "description": "Public keys, one of which must have signed: paths of PEM files, each naming a document of the "
        "same configuration by its last component and holding one key or several; or `{provider: NAME}`, a key "
        "provider.",
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "items": {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 4096},
                strict_obj(
                    "Key provider",
                    "A key provider, whose keys all count.",
                    {"provider": text("Key provider", "Its name.", maxLength=256)},
                    required=("provider",),
                ),
            ],
            "x-expected": "the path of a public key, or an object with the name of a provider",
        },
        "x-expected": "a list of 1 to 16 public keys",
        "examples": [["shop.pub"]],
    },
    "identities": {
        "title": "Identities",
        "description": "Signers by identity (keyless), one of which must have signed; instead of keys.",
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "items": _IDENTITY_OF_OURS,
        "x-expected": "a list of 1 to 32 identities",
    },
    "trustRoot": {
        "title": "Trusted root",
        "description": "The Sigstore instance that vouches for identities, or whose logs keep what keys signed: the "
        "path of its `trusted_root.json`, which names a document of the same configuration, or an entry of "
        "`nodeseal.trustRoots`, by its last component; or several.  A signature is verified wholly within one of "
        "them.  `trusted_root.json` if it is missing beside identities; beside keys, no log is looked at then.",
        "anyOf": [_ROOT_PATH, {"type": "array", "minItems": 1, "maxItems": 4, "items": _ROOT_PATH}],
        "x-expected": "the path of a trusted root, or a list of 1 to 4",
        "examples": ["trusted_root.json"],
    },
    "threshold": {
        "title": "Threshold",
        "description": "How many different ones of them must have signed: different keys, or different pairs of issuer "
        "and subject.",
        "type": "integer",
        "minimum": 1,
        "maximum": 16,
        "default": 1,
        "x-expected": "a whole number from 1 to 16",
    },
    "transparencyLogs": _number("Transparency logs", "How many different logs must have the signature.", 1),
    "timestamps": _number("Timestamps", "Of how many different authorities there must be a timestamp (RFC 3161).", 0),
    "certificateLogs": _number("Certificate logs", "In how many different logs the certificate must be (SCT).", 1),
    "currentTime": {
        "title": "Current time",
        "description": "Whether a certificate that is valid now is enough where nothing proves when the image was "
        "signed.",
        "type": "boolean",
        "default": False,
    },
    "annotations": {
        "title": "Annotations",
        "description": "What must stand in the signature beside the image's digest: name -> value, as `cosign sign -a` "
        "writes them.  All of them; others may stand there too.",
        "type": "object",
        "maxProperties": 16,
        "propertyNames": {"minLength": 1, "maxLength": 256, "x-expected": "a name of 1 to 256 characters"},
        "additionalProperties": {"type": "string", "maxLength": 1024},
        "x-expected": "at most 16 texts by name",
        "examples": [{"env": "prod"}],
    },
}
"""The options of a verifier `cosign` of our own."""

OWN_COSIGN: Schema = {
    "title": "Cosign verifier",
    "description": "Verifies cosign's signatures, in every layout.",
    "anyOf": [{"required": ["keys"]}, {"required": ["identities"]}],
    "x-expected": "keys or identities",
}
"""What holds for such a verifier beside its keys."""

_TYPES = (
    "custom", "cyclonedx", "link", "openvex", "slsaprovenance", "slsaprovenance02", "slsaprovenance1", "spdx",
    "spdxjson", "vuln",
)  # fmt: skip

ATTESTATION_KEYS: Schema = {
    **{name: value for name, value in OWN_COSIGN_KEYS.items() if name != "annotations"},
    "predicateType": text(
        "Predicate type",
        "What the attestation must be: a short name of `cosign attest --type`, or a URI, which counts to the letter.",
        pattern=rf"^({'|'.join(_TYPES)}|[A-Za-z][A-Za-z0-9+.-]*:[!-~]+)$",
        maxLength=1024,
        examples=["slsaprovenance1", "https://example.com/tested/v1"],
    )
    | {"x-expected": f"a URI, or one of {', '.join(_TYPES)}"},
    "maximumAge": text(
        "Greatest age",
        "How long an attestation counts, from the earliest time that a log's promise or an RFC 3161 timestamp proves.  "
        "What nothing proves the time of does not count.  As long as it likes if it is missing.",
        pattern=LENGTH_PATTERN,
        examples=["30d"],
    )
    | {"x-expected": 'a length of time like "30d": a number and s, m, h or d'},
}
"""The options of a verifier `attestation`."""

ATTESTATION: Schema = {
    "title": "Attestation verifier",
    "description": "Verifies attestations of one predicate type, in every layout.",
    "required": ["predicateType"],
    "anyOf": OWN_COSIGN["anyOf"],
    "x-expected": "keys or identities",
}
"""What holds for such a verifier beside its keys."""

OWN_VERIFIERS = (("cosign", OWN_COSIGN, OWN_COSIGN_KEYS), ("attestation", ATTESTATION, ATTESTATION_KEYS))
"""Verifiers of our own: type, what holds for one, its options."""

_KEY = strict_obj(
    "Key",
    "Public keys: of a file, or of a key provider.",
    {
        "file": text(
            "File",
            "Path of a PEM file with public keys.  It names a document of the same configuration by its last "
            "component.",
            maxLength=4096,
            examples=["keys/shop.pub"],
        ),
        "provider": text("Key provider", "Name of a key provider; all its keys count.", maxLength=256),
        "name": text("Name", "Name of one key of the provider.  Not supported.", maxLength=256),
        "version": text("Version", "Version of that key.  Not supported.", maxLength=256),
    },
)

_KEYLESS = strict_obj(
    "Keyless",
    "A signer by identity, whom the Sigstore instance of the document `trusted_root.json` vouches for.",
    {
        "ctLogVerify": {
            "title": "Certificate log",
            "description": "Whether the certificate must be in a log.",
            "type": "boolean",
            "default": True,
        },
        "certificateIdentity": text("Identity", "The certificate's one name, exactly.", maxLength=2048),
        "certificateIdentityRegExp": text(
            "Identity", "A regular expression (RE2) for any part of it, as in Ratify.", maxLength=1000
        ),
        "certificateOIDCIssuer": text("Issuer", "The identity provider's address, exactly.", maxLength=2048),
        "certificateOIDCIssuerRegExp": text(
            "Issuer", "A regular expression (RE2) for any part of it, as in Ratify.", maxLength=1000
        ),
    },
)

_TRUST_POLICY = strict_obj(
    "Trust policy",
    "Which keys count for which images.",
    {
        "version": {"title": "Version", "description": "Version of the trust policy's form.", "const": "1.0.0"},
        "name": text("Name", "Name of the trust policy; unique.", maxLength=256),
        "scopes": {
            "title": "Scopes",
            "description": "The images that the trust policy is for: `*` alone for those of no other one, a beginning "
            "with `*` behind it, `HOST/REPOSITORY`, or that with `@DIGEST`.  No tag.",
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": {
                "type": "string",
                "minLength": 1,
                "maxLength": 512,
                "pattern": _SCOPE,
                "x-expected": "a reference without a tag in lower case, or a beginning of one with * behind it",
            },
            "examples": [["registry.example.com/shop/*"], ["*"]],
        },
        "keys": {
            "title": "Keys",
            "description": "Public keys, one of which must have signed.",
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": _KEY,
            "x-expected": "a list of 1 to 16 keys",
        },
        "keyless": _KEYLESS,
        "tLogVerify": {
            "title": "Transparency log",
            "description": "Whether a transparency log of the document `trusted_root.json` must have the signature.",
            "type": "boolean",
            "default": True,
        },
        "rekorURL": text("Transparency log's address", "Where Ratify asks the log.  No effect here.", maxLength=2048),
    },
    required=("name", "scopes"),
)

COSIGN_VERIFIER_KEYS: Schema = {
    "key": text(
        "Key",
        "Path of a PEM file with the public key that must have signed every image.  It names a document of the same "
        "configuration by its last component.  Old form, instead of trustPolicies.",
        maxLength=4096,
        examples=["cosign.pub"],
    ),
    "rekorURL": text(
        "Transparency log's address",
        "Beside `key`: a transparency log must have the signature, as of the document `trusted_root.json`.  None is "
        "asked.",
        maxLength=2048,
    ),
    "trustPolicies": {
        "title": "Trust policies",
        "description": "Which keys count for which images: Ratify's trust policies of its cosign verifier.",
        "type": "array",
        "minItems": 1,
        "maxItems": 100,
        "items": _TRUST_POLICY,
        "x-expected": "a list of 1 to 100 trust policies",
    },
}
"""The options of Ratify's verifier `cosign`: every key that is not the verifier's own."""

COSIGN_VERIFIER: Schema = {
    "title": "Cosign verifier",
    "description": "Verifies cosign's signatures, as Ratify's verifier `cosign` is configured.",
    "x-unknownKeys": "warn",
}
"""What holds for a verifier of type `cosign` in Ratify's form beside its keys."""
