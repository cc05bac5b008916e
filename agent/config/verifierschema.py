"""The part of the schema that a verifier's type decides: so far the options of `notation`.

The trust policy is the Notary Project's OCI trust policy, version 1.0 (trust store and trust policy specification).
What needs more than form - scopes that overlap, identities, stores - is checked by `agent.trust.trustpolicy`.
"""

from agent.config.words import Schema, not_supported, strict_obj, text

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
    "verificationCertStores": not_supported(
        "Named certificates", "Certificates by key provider.", "key providers; use verificationCerts"
    ),
}
"""The options of `notation`: every key that is not the verifier's own."""

NOTATION_VERIFIER: Schema = {
    "title": "Notation verifier",
    "description": "Verifies the Notary Project's signatures.",
    "required": ["trustPolicyDoc"],
    "x-unknownKeys": "warn",
}
"""What holds for a verifier of type `notation` beside its keys."""
