"""The JSON Schema (2020-12) of configurations: Ratify's `config.json`, and our own section in it or beside it.

One schema for everything: checking (`agent.config.checking`), `config schema`, completion in editors, the docs.  What
is standard in it says what is valid.  Three keywords are ours, and editors pass over them:

- `x-expected`: what a person is told to write instead, for any check of that schema that fails;
- `x-warning`: the key is taken, and a person is told this;
- `x-unknownKeys: "warn"`: keys that are not listed are told and ignored, as Ratify ignores them.

Plain data: nothing is checked here.
"""

from collections.abc import Mapping
from typing import cast

from agent.config.cosignschema import COSIGN_VERIFIER, COSIGN_VERIFIER_KEYS, OWN_VERIFIERS
from agent.config.dialectschema import DIALECT
from agent.config.keyproviderschema import KEY_PROVIDERS
from agent.config.reportschema import OWN_REPORT_VERIFIERS, REPORT_VERIFIERS
from agent.config.verifierschema import NOTATION_VERIFIER, NOTATION_VERIFIER_KEYS
from agent.config.words import PLUGIN_DIRECTORIES, VERSION, Schema, not_supported, obj, server_only, text

MAX_VERIFIERS = 64
"""Most verifiers of one configuration."""

MAX_STORES = 8
"""Most stores of one configuration."""

MAX_SECRETS = 8
"""Most Secrets of one store: each is followed by a connection of its own."""

_SOURCE = not_supported("Plugin source", "Where Ratify downloads a plugin from.", "plugins that are downloaded")
_MILLISECONDS: Schema = {"type": "integer", "minimum": 0}


def _text_or_nothing(title: str, description: str, **keywords: object) -> Schema:
    """A text that may be empty, which is what Ratify takes for no such key."""
    return text(title, f"{description}  Empty means no such key.", **keywords) | {"minLength": 0}


_SECRET = obj(
    "Secret",
    "One Secret with credentials for registries.",
    {
        "secretName": text(
            "Name",
            "The Secret's name.",
            pattern=r"^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$",
            maxLength=253,
            examples=["pull"],
        )
        | {"x-expected": "the name of a Secret: at most 253 of a-z, 0-9, '-' and '.'"},
        "namespace": {
            "title": "Namespace",
            "description": "Where Ratify looks for the Secret.  Not supported.",
            "not": {},
            "x-expected": "no such key: Secrets are read in the namespace of the ConfigMaps alone",
        },
    },
    required=("secretName",),
)

_AUTH_PROVIDER = obj(
    "Registry credentials",
    "Where credentials for registries come from: `dockerConfig`, which is what happens without this key too, or "
    "`k8Secrets`, Secrets that the daemon reads.",
    {
        "name": text("Name", "Kind of the provider: `dockerConfig` or `k8Secrets`.", enum=["dockerConfig", "k8Secrets"])
        | {
            "x-expected": 'one of "dockerConfig", a docker configuration on the node, and "k8Secrets", Secrets that '
            "the daemon reads: this version has no credentials of clouds or from helpers"
        },
        "configPath": _text_or_nothing("File", "Ratify's path of the docker configuration.  No effect here.")
        | {
            "if": {"minLength": 1},
            "then": {
                "x-warning": "no such key: read are /etc/nodeseal/docker-config.json and, by verify --config alone, "
                "also $DOCKER_CONFIG/config.json or ~/.docker/config.json"
            },
        },
        "secrets": {
            "title": "Secrets",
            "description": "The Secrets, for `k8Secrets`: of the ConfigMaps' namespace, with the label "
            "`nodeseal.dev/config: active` and the type `kubernetes.io/dockerconfigjson`.  The earlier count first.",
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_SECRETS,
            "items": _SECRET,
            "x-expected": f"a list of 1 to {MAX_SECRETS} Secrets",
        },
        "serviceAccountName": {
            "title": "Service account",
            "description": "A service account whose pull secrets Ratify uses.  Not supported.",
            "not": {},
            "x-expected": "no such key: Secrets are named one by one, so that a Role can grant these and no others",
        },
        "secretTimeout": server_only("Lifetime", "How long Ratify keeps a Secret (s).", {"type": "integer"}),
    },
    required=("name",),
) | {
    "if": {"properties": {"name": {"const": "k8Secrets"}}, "required": ["name"]},
    "then": {
        "required": ["secrets"],
        "properties": {"secrets": {"title": "Secrets", "description": "The Secrets, one by one"}},
    },
    "else": {
        "properties": {"secrets": not_supported("Secrets", "They are for `k8Secrets`.", "Secrets beside dockerConfig")},
    },
}

_STORE_PLUGIN = obj(
    "Store",
    "A place where signatures are looked for: the image's own registry (`oras`).",
    {
        "name": text("Name", "Name of the store plugin: `oras`.", const="oras")
        | {"x-expected": '"oras", the only store that this version supports'},
        "useHttp": {
            "title": "Plain HTTP",
            "description": "Speak plain HTTP to registries.  Whoever is on the way can then hide signatures and read "
            "credentials: for tests only.",
            "type": "boolean",
            "default": False,
        },
        "cosignEnabled": {
            "title": "Cosign tags",
            "description": "What cosign's tag of an image names counts as a referrer too.  Verifiers and Rego policies "
            "see it under the type `application/vnd.dev.cosign.artifact.sig.v1+json`.",
            "type": "boolean",
            "default": False,
        },
        "caCertificates": {
            "title": "Certificates of CAs",
            "description": "Certificates that the TLS of registries is verified against, on top of the host's own: "
            "paths, as under verificationCerts.  Ratify has no such key and ignores it.",
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": {"type": "string", "minLength": 1, "maxLength": 4096},
            "examples": [["registry-ca.crt"]],
        },
        "authProvider": _AUTH_PROVIDER,
        "auth-provider": _AUTH_PROVIDER
        | {"title": "Registry credentials (old form)", "description": "Old form of authProvider."},
        "localCachePath": server_only("Cache folder", "Ratify's folder of fetched content.", {"type": "string"}),
        "cacheEnabled": server_only("Cache of listings", "Whether Ratify caches listings.", {"type": "boolean"}),
        "ttl": server_only("Cache lifetime", "How long Ratify's cache of listings lasts (s).", {"type": "integer"}),
        "version": VERSION,
        "source": _SOURCE,
    },
    required=("name",),
)

_STORE = obj(
    "Stores",
    "Where signatures are looked for.",
    {
        "version": VERSION,
        "pluginBinDirs": PLUGIN_DIRECTORIES,
        "plugins": {
            "title": "Store plugins",
            "description": "The stores.  An image is resolved by the first that can; its referrers are those of all.",
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_STORES,
            "items": _STORE_PLUGIN,
            "x-expected": f"a list of 1 to {MAX_STORES} stores",
        },
    },
    required=("plugins",),
)

_POLICY_PLUGIN = obj(
    "Policy plugin",
    "What is enough to let an image pass.",
    {
        "name": text(
            "Name",
            "Which policy decides: `configPolicy` or `regoPolicy`.  Compared in lower case and without '-'.",
            examples=["configPolicy"],
        ),
        "artifactVerificationPolicies": {
            "title": "Requirement per artifact type",
            "description": "Artifact type -> `any` (one verified artifact of the type is enough) or `all` (every one "
            "must be verified).  A type that is listed must be there.  The key `default`, itself `all` if it is "
            "missing or empty, is for types that are not listed.",
            "type": ["object", "null"],
            "x-expected": "an object",
            "properties": {
                "default": {
                    "title": "Types not listed",
                    "description": "Requirement for all other types.",
                    "enum": ["any", "all", ""],
                    "default": "all",
                    "x-expected": 'one of "any", "all"',
                }
            },
            "propertyNames": {"pattern": r"^[^\s]+$", "maxLength": 255, "x-expected": "an artifact type or default"},
            "additionalProperties": {"title": "Requirement", "enum": ["any", "all"]},
            "examples": [{"application/vnd.cncf.notary.signature": "any"}],
        },
        "policy": _text_or_nothing(
            "Rego policy", "Text of a Rego policy, for `regoPolicy`.  It goes before `policyPath`."
        ),
        "policyPath": _text_or_nothing(
            "Rego policy file",
            "Path of a Rego policy, for `regoPolicy`.  It names a document of the same configuration by its last "
            "component.",
            maxLength=4096,
            examples=["policy.rego"],
        ),
        "passthroughEnabled": {
            "title": "Pass-through",
            "description": "Report without deciding: every image is denied.",
            "type": "boolean",
            "default": False,
        },
        "version": VERSION,
        "source": _SOURCE,
    },
    required=("name",),
)

_POLICY = obj(
    "Policy",
    "Which policy decides over what the verifiers found.",
    {"version": VERSION, "pluginBinDirs": PLUGIN_DIRECTORIES, "plugin": _POLICY_PLUGIN},
    required=("plugin",),
)

_VERIFIER_KEYS = (
    "name", "type", "artifactTypes", "version", "nestedReferences", "nestedArtifactTypes", "source", "address",
)  # fmt: skip

_VERIFIER_PROPERTIES: Schema = {
    "name": text(
        "Name",
        "The verifier's name in messages and reports; also its type if there is no `type`.  Unique.",
        pattern=r"^[^/\x00-\x1f\x7f]+$",
        maxLength=128,
        examples=["notation"],
    )
    | {"x-expected": "1 to 128 characters without '/'"},
    "type": text(
        "Type",
        "Kind of the verifier: `notation`, `cosign`, `sbom`, `vulnerabilityreport` or `schemavalidator`.  `name` if it "
        "is missing.",
        examples=["notation"],
    ),
    "artifactTypes": text(
        "Artifact types",
        "The artifact types that this verifier looks at, separated by commas; `*` means all.",
        maxLength=4096,
        examples=["application/vnd.cncf.notary.signature"],
    ),
    "version": VERSION,
    "nestedReferences": {
        "title": "Nested references",
        "description": "If this is no empty text, what refers to this verifier's evidence is verified too, under the "
        "same policy.",
        "type": "string",
        "maxLength": 4096,
    },
    "nestedArtifactTypes": not_supported(
        "Nested artifact types", "Types of what refers to signatures.", "verifying what refers to signatures"
    ),
    "source": _SOURCE,
    "address": not_supported("Plugin address", "Where an external plugin listens.", "external plugins"),
}

_VERIFIER_PLUGIN: Schema = {
    "title": "Verifier",
    "description": "One verifier: what it is called, what it looks at, whom it trusts.",
    "type": "object",
    "properties": _VERIFIER_PROPERTIES,
    "required": ["name", "artifactTypes"],
    "allOf": [
        {
            "if": {
                "anyOf": [
                    {"properties": {"type": {"const": kind}}, "required": ["type"]},
                    {"properties": {"name": {"const": kind}, "type": False}, "required": ["name"]},
                ]
            },
            "then": {"$ref": f"#/$defs/{kind}Verifier"},
        }
        for kind in ("notation", "cosign", *(kind for kind, _, _ in REPORT_VERIFIERS))
    ],
}

_VERIFIER = obj(
    "Verifiers",
    "Who looks at the signatures.",
    {
        "version": VERSION,
        "pluginBinDirs": PLUGIN_DIRECTORIES,
        "plugins": {
            "title": "Verifier plugins",
            "description": "The verifiers, in order: the first one whose artifact types match takes an artifact.",
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_VERIFIERS,
            "items": {"$ref": "#/$defs/verifier"},
            "x-expected": f"a list of 1 to {MAX_VERIFIERS} verifiers",
        },
    },
    required=("plugins",),
)


_EXECUTOR = obj(
    "Executor",
    "How Ratify's server waits.  No effect here.",
    {
        "verificationRequestTimeout": server_only("Timeout", "The server's timeout (ms).", _MILLISECONDS),
        "mutationRequestTimeout": server_only("Mutation timeout", "Its timeout for changes (ms).", _MILLISECONDS),
    },
)

_CRL = obj(
    "Revocation lists",
    "How Ratify caches revocation lists.  No effect here.",
    {
        "cache": obj(
            "Cache",
            "Cache of revocation lists.",
            {
                "enabled": server_only("Enabled", "Whether Ratify caches revocation lists.", {"type": "boolean"}),
            },
        )
    },
)

_LOGGER = obj(
    "Logger",
    "How Ratify's server logs.  No effect here.",
    {
        "formatter": server_only("Formatter", "Form of the log.", {"enum": ["text", "json", "logstash"]}),
        "requestHeaders": server_only("Request headers", "HTTP headers that are logged.", {"type": "object"}),
    },
)

SCHEMA: Mapping[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **obj(
        "Nodeseal configuration (Ratify's form)",
        "What Ratify's command line reads from `config.json`, as far as this version supports it.",
        {
            "$schema": {"title": "Schema", "description": "For editors; ignored.", "type": "string"},
            "store": _STORE,
            "policy": _POLICY,
            "verifier": _VERIFIER,
            "executor": _EXECUTOR,
            "crl": _CRL,
            "logger": _LOGGER,
            "keyManagementProvider": KEY_PROVIDERS,
            "nodeseal": DIALECT,
        },
    ),
    "if": {"properties": {"nodeseal": {"required": ["rules"]}}, "required": ["nodeseal"]},
    "else": {
        "required": ["store", "policy", "verifier"],
        "properties": {
            key: {"title": section["title"], "description": section["description"]}
            for key, section in (("store", _STORE), ("policy", _POLICY), ("verifier", _VERIFIER))
        },
    },
    "$defs": {
        "verifier": _VERIFIER_PLUGIN,
        # Listed keys of the verifier itself are true here: they are checked above, and known.
        "notationVerifier": {
            **NOTATION_VERIFIER,
            "properties": {**dict.fromkeys(_VERIFIER_KEYS, True), **NOTATION_VERIFIER_KEYS},
        },
        "cosignVerifier": {
            **COSIGN_VERIFIER,
            "properties": {**dict.fromkeys(_VERIFIER_KEYS, True), **COSIGN_VERIFIER_KEYS},
        },
        **{
            f"{kind}Verifier": {
                **verifier,
                "properties": {**dict.fromkeys(_VERIFIER_KEYS, True), **keys},
                "x-unknownKeys": "warn",
            }
            for kind, verifier, keys in REPORT_VERIFIERS
        },
        "ownVerifier": {
            "title": "Verifier",
            "description": "One verifier: what it is called, what kind it is, whom it trusts.",
            "type": "object",
            "properties": {
                "name": _VERIFIER_PROPERTIES["name"],
                "type": text(
                    "Type",
                    "Kind of the verifier: `notation`, `cosign`, `attestation`, `sbom`, `vulnerabilityreport` or "
                    "`schemavalidator`.",
                    examples=["cosign"],
                ),
                "artifactTypes": _VERIFIER_PROPERTIES["artifactTypes"],
            },
            "required": ["name", "type"],
            "allOf": [
                {
                    "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
                    "then": {
                        **{key: value for key, value in verifier.items() if key != "x-unknownKeys"},
                        "properties": {**dict.fromkeys(("name", "type", "artifactTypes"), True), **keys},
                        "additionalProperties": False,
                    },
                }
                for kind, verifier, keys in (
                    ("notation", NOTATION_VERIFIER, NOTATION_VERIFIER_KEYS),
                    *OWN_VERIFIERS,
                    *OWN_REPORT_VERIFIERS,
                )
            ],
        },
    },
}

PART_SCHEMA: Mapping[str, object] = {
    **SCHEMA,
    "properties": {
        **cast("Schema", SCHEMA["properties"]),
        "nodeseal": {key: value for key, value in DIALECT.items() if key != "dependentRequired"},
    },
}
"""The same for one document of several: what holds where no rule matches may be another's to say."""
