"""The part of the schema that a verifier's type decides: so far the options of `notation`.

The trust policy is the Notary Project's OCI trust policy, version 1.0 (trust store and trust policy specification).
What needs more than form - scopes that overlap, identities, stores - is checked by `agent.trust.trustpolicy_document`.
"""

from agent.config.words import Schema, strict_obj, text

_ENFORCE_OR_LOG: Schema = {"enum": ["enforce", "log"]}

_OVERRIDE = strict_obj(
    "Override",
    "Single checks that are done otherwise than the level says.",
    {
        "authenticity": {"title": "Authenticity", "description": "Is the signer trusted?", **_ENFORCE_OR_LOG},
        "authenticTimestamp": {
            "title": "Authentic timestamp",
            "description": "Was it signed while the certificates were valid?",
            **_ENFORCE_OR_LOG,
        },
        "expiry": {"title": "Expiry", "description": "Has the signature expired?", **_ENFORCE_OR_LOG},
        "revocation": {
            "title": "Revocation",
            "description": "Was a certificate revoked?",
            "enum": ["enforce", "log", "skip"],
        },
    },
)

_SIGNATURE_VERIFICATION = strict_obj(
    "Signature verification",
    "How strictly signatures are verified.",
    {
        "level": {
            "title": "Level",
            "description": "`strict` enforces every check, `permissive` and `audit` only report some of them, `skip` "
            "verifies nothing.",
            "enum": ["strict", "permissive", "audit", "skip"],
        },
        "override": _OVERRIDE,
        "verifyTimestamp": {
            "title": "Verify timestamp",
            "description": "Whether timestamps are always verified, or only once a certificate has expired.",
            "enum": ["always", "afterCertExpiry"],
            "default": "always",
        },
    },
    required=("level",),
)

_STATEMENT = strict_obj(
    "Trust policy statement",
    "Who must have signed the images of some repositories, and how that is verified.",
    {
        "name": text("Name", "Name of the statement; unique.", maxLength=256),
        "registryScopes": {
            "title": "Scopes",
            "description": "The repositories that the statement is for, as `HOST/REPOSITORY`; `*` alone means all.",
            "type": "array",
            "minItems": 1,
            "maxItems": 2000,
            "items": {"type": "string", "minLength": 1},
            "examples": [["registry.example.com/shop/web"], ["*"]],
        },
        "signatureVerification": _SIGNATURE_VERIFICATION,
        "trustStores": {
            "title": "Trust stores",
            "description": "Where the signers' certificates are, as `TYPE:NAME`.",
            "type": "array",
            "maxItems": 100,
            "items": {"type": "string", "minLength": 1},
            "examples": [["ca:certs"]],
        },
        "trustedIdentities": {
            "title": "Trusted identities",
            "description": "The signers, as `x509.subject: C=..., ST=..., O=...`; `*` alone means anyone that the "
            "trust stores vouch for.",
            "type": "array",
            "maxItems": 200,
            "items": {"type": "string", "minLength": 1},
            "examples": [["*"]],
        },
    },
    required=("name", "registryScopes", "signatureVerification"),
)

_TRUST_POLICY = strict_obj(
    "Trust policy",
    "The Notary Project's OCI trust policy, version 1.0.",
    {
        "version": {"title": "Version", "description": "Version of the trust policy's form.", "const": "1.0"},
        "trustPolicies": {
            "title": "Statements",
            "description": "One statement per group of repositories.",
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": _STATEMENT,
        },
    },
    required=("version", "trustPolicies"),
)

_STORE_NAME: Schema = {
    "pattern": r"^[a-zA-Z0-9_.-]+$",
    "maxLength": 128,
    "x-expected": "a name of letters, digits, '_', '.' and '-'",
}
_PROVIDER_NAMES: Schema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 100,
    "items": {"type": "string", "minLength": 1, "maxLength": 256},
}

NOTATION_VERIFIER_KEYS: Schema = {
    "verificationCerts": {
        "title": "Certificates",
        "description": "Certificates that signers are checked against: paths of files (.crt, .pem, .cer, .der) or "
        "folders.  A path names a document of the same configuration by its last component, a folder all certificates "
        "of it.",
        "type": "array",
        "maxItems": 100,
        "items": {"type": "string", "minLength": 1, "maxLength": 4096},
        "examples": [["certs/"]],
    },
    "trustPolicyDoc": _TRUST_POLICY,
    "verificationCertStores": {
        "title": "Named certificates",
        "description": "Trust stores that key providers fill: type (`ca`, `signingAuthority`, `tsa`) -> name of the "
        "store -> names of key providers.  Old form: name of the store -> names of key providers, all of type `ca`.  A "
        "store that is here has none of the certificates of verificationCerts.",
        "type": "object",
        "maxProperties": 100,
        "propertyNames": _STORE_NAME,
        "additionalProperties": {
            "anyOf": [
                _PROVIDER_NAMES,
                {
                    "type": "object",
                    "maxProperties": 100,
                    "propertyNames": _STORE_NAME,
                    "additionalProperties": _PROVIDER_NAMES,
                },
            ],
            "x-expected": "names of key providers, as a list that is not empty, or such lists by name of the store",
        },
        "x-expected": "stores by type and name, at most 100",
        "examples": [{"ca": {"shop": ["shop-certificates"]}}],
    },
    "notationDirectory": text(
        "Folder of notation",
        "Folder of this host as the `notation` command keeps it, with its trust policy and its trust stores; instead "
        "of the trust policy and the certificates here.  It counts for a person's command alone.",
        maxLength=4096,
        examples=["~/.config/notation"],
    ),
}
"""The options of `notation`: every key that is not the verifier's own."""

_POLICY_DEMANDED: Schema = {
    "required": ["trustPolicyDoc"],
    "properties": {
        "trustPolicyDoc": {
            "title": "Trust policy",
            "description": "The Notary Project's OCI trust policy, version 1.0, or a notationDirectory that holds one.",
        }
    },
}

NOTATION_VERIFIER: Schema = {
    "title": "Notation verifier",
    "description": "Verifies the Notary Project's signatures.",
    "if": {"required": ["notationDirectory"]},
    "else": _POLICY_DEMANDED,
    "x-unknownKeys": "warn",
}
"""What holds for a verifier of type `notation` beside its keys."""
