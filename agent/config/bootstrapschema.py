"""The JSON Schema (2020-12) of the bootstrap document, for checking, editors and the docs.  Plain data.

`agent.config.bootstrap` reads the same form without it, on a pull; a test holds the two together.
"""

from collections.abc import Mapping

from agent.config.bootstrap import (
    API_VERSION,
    LONGEST_DEADLINE,
    MAX_CANDIDATES,
    MAX_FOLDERS,
    MAX_NEEDS,
    MAX_PRIORITY,
    MAX_PROXY,
    PROXY_VARIABLES,
)
from agent.config.dialectschema import ENFORCEMENT, FAILURE_POLICY, length_of_time
from agent.config.words import Schema, strict_obj, text
from agent.model.reference import MAX_LENGTH
from agent.rules import lists


def _texts(title: str, description: str, **keywords: object) -> Schema:
    return {
        "title": title,
        "description": description,
        "type": "array",
        "maxItems": 1_000,
        "items": {"type": "string", "minLength": 1, "maxLength": 16_384},
        "x-expected": "a list of texts",
        **keywords,
    }


_FLOOR = strict_obj(
    "Floor",
    "How little a configuration may ask for on this node, whoever wrote it.",
    {
        "enforcement": ENFORCEMENT
        | {
            "title": "Lowest enforcement",
            "description": "The weakest enforcement that a rule or the default may have.",
            "default": "Disabled",
        },
        "failurePolicy": FAILURE_POLICY
        | {
            "title": "Lowest failure policy",
            "description": "The weakest action that a failure policy may have, for every cause or by cause.  Unless "
            "they are named here, `revocationUnknown` and `configurationInvalid` are `Fail`, all others `Ignore`.",
        },
        "breakGlass": strict_obj(
            "Break-glass",
            "How far break-glass may go.",
            {
                "longest": length_of_time("Longest", "How long it may last; `0s` allows none.", default="4h"),
                "allImages": {
                    "title": "All images",
                    "description": "Whether it may be for all images (`**`).",
                    "type": "boolean",
                    "default": False,
                },
            },
        ),
        "exemptWithoutDigest": _texts(
            "Exempt without digest",
            "Patterns of repositories whose exemptions may lack digests, built-in ones too.",
            default=["**"],
            examples=[["registry.k8s.io/**"]],
        ),
        "configMaps": {
            "title": "ConfigMaps",
            "description": "ConfigMaps that count, each by its name alone or with the highest priority that it may "
            "have, which is 0 for a name alone.  If this is missing, all of them count, with any priority.",
            "type": "array",
            "maxItems": 1_000,
            "items": {
                "anyOf": [
                    {"type": "string", "minLength": 1, "maxLength": 253},
                    strict_obj(
                        "ConfigMap",
                        "A ConfigMap that counts.",
                        {
                            "name": text("Name", "Its name.", maxLength=253),
                            "priority": {
                                "title": "Priority",
                                "description": "The highest that it may have.",
                                "type": "integer",
                                "minimum": -MAX_PRIORITY,
                                "maximum": MAX_PRIORITY,
                                "default": 0,
                            },
                        },
                        required=("name",),
                    ),
                ],
                "x-expected": "a name, or an object with name and priority",
            },
            "x-expected": "a list of names, or of objects with name and priority",
            "examples": [["nodeseal", {"name": "platform", "priority": 100}]],
        },
        "programs": _texts(
            "Programs",
            "Folders whose programs Nodeseal may run; none if it is missing.",
            default=[],
            examples=[["/usr/libexec/kubernetes/credential-providers"]],
        ),
        "localKeys": {
            "title": "Local keys",
            "description": "Whether key providers may have keys fetched from addresses of the node itself: loopback, "
            "link-local.",
            "type": "boolean",
            "default": False,
        },
        "signedBy": _texts(
            "Signed by",
            "Public keys (PEM).  If there are any, a configuration counts only if one of them signed it, and its "
            "serial never goes down.",
            default=[],
        ),
    },
)

_PROXY = strict_obj(
    "Proxy",
    "The proxy variables of containerd's service; none of them is no proxy.  They may hold passwords.",
    {
        name: {"title": name, "description": f"As containerd has {name}.", "type": "string", "maxLength": MAX_PROXY,
               "pattern": "^[ -~]*$"}
        for name in PROXY_VARIABLES
    },
)  # fmt: skip

_PLACE = strict_obj(
    "Place",
    "A host that is asked for a registry's images, as a `hosts.toml` of containerd's has it.",
    {
        "url": text("URL", "Where its API is, with `/v2`; the registry itself if it is missing."),
        "resolves": {"title": "Resolves", "description": "Whether it is asked what a tag means.", "type": "boolean",
                     "default": True},
        "ca": {"title": "CA", "description": "CA certificates (PEM) for its TLS, on top of the bundle.",
               "type": "string"},
        "client": _texts("Client certificates", "PEM: each with its key behind it."),
        "skipVerify": {"title": "Skip verify", "description": "Whether its certificate is not looked at.",
                       "type": "boolean", "default": False},
        "headers": {
            "title": "Headers",
            "description": "Names and values that are sent to it.",
            "type": "array",
            "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}},
            "x-expected": "a list of pairs, name and value",
        },
    },
)  # fmt: skip

_HOST_KEYS: dict[str, Schema] = {
    "caBundleFrom": text(
        "CA bundle from", "The host's file that an installation copies, so that daemons in containers see it.",
        pattern="^/",
    ),
    "caBundle": text("CA bundle", "Path of the CA certificates (PEM) that registries' TLS is verified against.",
                     pattern="^/"),
    "proxy": _PROXY,
    "deadline": text(
        "Deadline",
        f"Within which a pull is answered, in whole seconds: less than containerd waits, {LONGEST_DEADLINE} s at most.",
        enum=[f"{seconds}s" for seconds in range(1, LONGEST_DEADLINE + 1)],
    ) | {"x-expected": f"1s to {LONGEST_DEADLINE}s"},
    "registries": {
        "title": "Registries",
        "description": "By the name of their folder in `certs.d`: the hosts that are asked for them, in order.",
        "type": "object",
        "maxProperties": MAX_FOLDERS,
        "additionalProperties": {
            "type": "array", "minItems": 1, "maxItems": MAX_CANDIDATES, "items": _PLACE,
            "x-expected": "a list of hosts",
        },
        "x-expected": "an object with folders of certs.d",
    },
}  # fmt: skip

_FOUND = strict_obj(
    "Found",
    "What `nodeseal install` found on the host.  Each installation writes it anew: write under `host` what shall stay.",
    {
        "version": {"title": "Version", "description": "Version of this form.", "type": "integer"},
        **_HOST_KEYS,
        "verifierTimeout": text("Verifier timeout", "containerd's `per_verifier_timeout`."),
        "certsFolders": _texts("certs.d", "containerd's `config_path`, folder by folder."),
    },
    required=("version",),
)

BOOTSTRAP_SCHEMA: Mapping[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **strict_obj(
        "Nodeseal bootstrap document",
        "What a node's owner says once and no configuration changes: `/etc/nodeseal/bootstrap.json`.",
        {
            "$schema": {"title": "Schema", "description": "For editors; ignored.", "type": "string"},
            "apiVersion": text("Version", f"Version of this form: `{API_VERSION}`.", const=API_VERSION),
            "node": strict_obj(
                "Node",
                "What is known of the node.",
                {
                    "name": text("Name", "The node's name in the cluster; the host's if it is missing.", maxLength=253),
                    "needs": {
                        "title": "Needs",
                        "description": "Images without which the node does not come up, by digest where it is known.  "
                        "No configuration is put in force that would refuse one of them, unless it says "
                        "`allowLockout`.",
                        "type": "array",
                        "maxItems": MAX_NEEDS,
                        "items": {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH},
                        "x-expected": "a list of image references",
                        "default": [lists.USUAL_SANDBOX],
                    },
                },
            ),
            "untilFirstSnapshot": ENFORCEMENT
            | {
                "title": "Until the first snapshot",
                "description": "What holds until a configuration is published on the node for the first time.",
            },
            "floor": _FLOOR,
            "host": strict_obj(
                "Host",
                "What of the host's own settings counts instead of what an installation found, key by key.",
                _HOST_KEYS,
            ),
            "found": _FOUND,
        },
        required=("apiVersion",),
    ),
}
