"""The JSON Schema (2020-12) of the bootstrap document, for checking, editors and the docs.  Plain data.

`agent.config.bootstrap` reads the same form without it, on a pull; a test holds the two together.
"""

from collections.abc import Mapping

from agent.config.bootstrap import API_VERSION, MAX_NEEDS, MAX_PRIORITY
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
        },
        required=("apiVersion",),
    ),
}
