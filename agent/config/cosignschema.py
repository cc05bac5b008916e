"""The part of the schema that is the options of `cosign`: our own, and Ratify's.

What needs more than form - scopes that overlap, keys, what of Ratify's is not supported - is checked by
`agent.formats.cosign_options`.
"""

from agent.config.words import Schema, strict_obj, text

_SCOPE = r"^[a-z0-9.\-:@\/_]*\*?$"

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
    "required": ["keys"],
}
"""What holds for such a verifier beside its keys."""

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

_IDENTITY = text("Identity", "Who signed.", maxLength=2048)
_KEYLESS = strict_obj(
    "Keyless",
    "Signers by identity.  Not supported.",
    {
        "ctLogVerify": {"title": "Certificate log", "description": "Whether it is verified.", "type": "boolean"},
        **dict.fromkeys(
            (
                "certificateIdentity",
                "certificateIdentityRegExp",
                "certificateOIDCIssuer",
                "certificateOIDCIssuerRegExp",
            ),
            _IDENTITY,
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
            "description": "Whether a transparency log must have the signature.  Only `false` is supported, and "
            "Ratify's default is `true`.",
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
        "Where Ratify asks a transparency log for the signature, beside `key`.  Not supported.",
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
