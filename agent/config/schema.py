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
from agent.config.verifierschema import NOTATION_VERIFIER, NOTATION_VERIFIER_KEYS
from agent.config.words import Schema, not_supported, obj, server_only, text

MAX_VERIFIERS = 64
"""Most verifiers of one configuration."""

DURATION = r"^([0-9]{1,6}(\.[0-9]{1,3})?(h|ms|m|s)){1,4}$"
"""A length of time as Go writes it."""

MAX_STORES = 8
"""Most stores of one configuration."""

MAX_SECRETS = 8
"""Most Secrets of one store: each is followed by a connection of its own."""

MAX_KEY_PROVIDERS = 64
"""Most key providers of one configuration."""

_VERSION = text("Version", 'Version of this section\'s form, for example "1.0.0".')
_PLUGIN_DIRECTORIES: Schema = {
    "title": "Plugin folders",
    "description": "Folders with external plugins.  Not supported: nothing but an empty list is taken.",
    "type": "array",
    "maxItems": 0,
    "x-expected": "an empty list or no such key: this version runs no external plugins",
}
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
        "version": _VERSION,
        "source": _SOURCE,
    },
    required=("name",),
)

_STORE = obj(
    "Stores",
    "Where signatures are looked for.",
    {
        "version": _VERSION,
        "pluginBinDirs": _PLUGIN_DIRECTORIES,
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
        "version": _VERSION,
        "source": _SOURCE,
    },
    required=("name",),
)

_POLICY = obj(
    "Policy",
    "Which policy decides over what the verifiers found.",
    {"version": _VERSION, "pluginBinDirs": _PLUGIN_DIRECTORIES, "plugin": _POLICY_PLUGIN},
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
        "Type", "Kind of the verifier: `notation` or `cosign`.  `name` if it is missing.", examples=["notation"]
    ),
    "artifactTypes": text(
        "Artifact types",
        "The artifact types that this verifier looks at, separated by commas; `*` means all.",
        maxLength=4096,
        examples=["application/vnd.cncf.notary.signature"],
    ),
    "version": _VERSION,
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
        for kind in ("notation", "cosign")
    ],
}

_VERIFIER = obj(
    "Verifiers",
    "Who looks at the signatures.",
    {
        "version": _VERSION,
        "pluginBinDirs": _PLUGIN_DIRECTORIES,
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


def _duration(title: str, description: str, example: str) -> Schema:
    """A length of time as Go writes it, which Ratify takes."""
    return text(title, description, pattern=DURATION, maxLength=32, examples=[example]) | {
        "x-expected": 'a length of time like "12h" or "1h30m"'
    }


_KEY_PROVIDER = obj(
    "Key provider",
    "A source of certificates or public keys, under a name that verifiers refer to.",
    {
        "name": text("Name", "Name of the key provider; unique.", maxLength=256, examples=["shop-certificates"]),
        "type": text("Type", "Kind of the key provider: `inline` or `url`.", enum=["inline", "url"])
        | {"x-expected": '"inline" or "url": this version fetches certificates from nowhere else'},
        "contentType": text(
            "Content type",
            "What the value is: `certificate`, or `key` for public keys without certificates.",
            enum=["certificate", "key"],
        ),
        "value": text("Value", "The certificates or public keys, as PEM; several may stand one after another."),
        "url": text("URL", "Where the certificates are, as PEM or DER: an https URL.", maxLength=2048),
        "refreshInterval": _duration("Refresh interval", "How often they are fetched anew, from 1m to 720h.", "12h"),
        "keepFor": _duration(
            "Keep for",
            "How long they count after they were last fetched, from the refresh interval to 2160h; three intervals, "
            "but at least 24h, if it is missing.",
            "36h",
        ),
        "caBundle": text("CA bundle", "The document with the CA certificates that the URL's TLS is verified against."),
        "sha256": text("SHA-256", "What the content must be, in hexadecimal.", pattern="^[0-9a-f]{64}$"),
    },
    required=("name", "type"),
) | {
    "if": {"properties": {"type": {"const": "inline"}}},
    "then": {"required": ["contentType", "value"]},
    "else": {
        "if": {"properties": {"type": {"const": "url"}}},
        "then": {
            "required": ["url"],
            "properties": {
                "url": {"title": "URL", "description": "Where the certificates are, an https URL"},
                "contentType": {
                    "title": "Content type",
                    "description": "What is there: certificates.",
                    "const": "certificate",
                    "x-expected": '"certificate": public keys stand here or in a document',
                },
            },
        },
    },
}

_KEY_PROVIDERS = obj(
    "Key providers",
    "Where certificates come from that are no documents.  In Ratify these are resources of a cluster.",
    {
        "version": _VERSION,
        "pluginBinDirs": _PLUGIN_DIRECTORIES,
        "plugins": {
            "title": "Key provider plugins",
            "description": "The key providers, each with a name of its own.",
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_KEY_PROVIDERS,
            "items": _KEY_PROVIDER,
            "x-expected": f"a list of 1 to {MAX_KEY_PROVIDERS} key providers",
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
            "keyManagementProvider": _KEY_PROVIDERS,
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
        "ownVerifier": {
            "title": "Verifier",
            "description": "One verifier: what it is called, what kind it is, whom it trusts.",
            "type": "object",
            "properties": {
                "name": _VERIFIER_PROPERTIES["name"],
                "type": text(
                    "Type", "Kind of the verifier: `notation`, `cosign` or `attestation`.", examples=["cosign"]
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
                for kind, verifier, keys in (("notation", NOTATION_VERIFIER, NOTATION_VERIFIER_KEYS), *OWN_VERIFIERS)
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
