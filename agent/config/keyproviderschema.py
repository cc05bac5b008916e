"""The part of the schema that is key providers: the section `keyManagementProvider`.

What needs more than form is checked by `agent.config.sources` and `agent.config.keysources`.
"""

from agent.config.words import PLUGIN_DIRECTORIES, VERSION, duration, obj, text

_MOST = 64
"""Most key providers of one configuration."""

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
        "refreshInterval": duration("Refresh interval", "How often they are fetched anew, from 1m to 720h.", "12h"),
        "keepFor": duration(
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

KEY_PROVIDERS = obj(
    "Key providers",
    "Where certificates come from that are no documents.  In Ratify these are resources of a cluster.",
    {
        "version": VERSION,
        "pluginBinDirs": PLUGIN_DIRECTORIES,
        "plugins": {
            "title": "Key provider plugins",
            "description": "The key providers, each with a name of its own.",
            "type": "array",
            "minItems": 1,
            "maxItems": _MOST,
            "items": _KEY_PROVIDER,
            "x-expected": f"a list of 1 to {_MOST} key providers",
        },
    },
    required=("plugins",),
)
