"""The words that the schema is written in: small functions, each making one kind of subschema."""

from collections.abc import Mapping, Sequence

Schema = dict[str, object]

DURATION = r"^([0-9]{1,6}(\.[0-9]{1,3})?(h|ms|m|s)){1,4}$"
"""A length of time as Go writes it."""


def text(title: str, description: str, **keywords: object) -> Schema:
    """A text of at least one character; `keywords` are further keywords of JSON Schema."""
    return {"title": title, "description": description, "type": "string", "minLength": 1, **keywords}


def obj(title: str, description: str, properties: Mapping[str, object], *, required: Sequence[str] = ()) -> Schema:
    """An object whose unknown keys are told and ignored, as Ratify ignores them."""
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": dict(properties),
        **({"required": list(required)} if required else {}),
        "x-unknownKeys": "warn",
    }


def strict_obj(
    title: str, description: str, properties: Mapping[str, object], *, required: Sequence[str] = ()
) -> Schema:
    """An object whose unknown keys are errors: where a misspelt key would change who is trusted."""
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": dict(properties),
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def not_supported(title: str, description: str, what: str) -> Schema:
    """A key that Ratify has and this version does not support: whatever stands there is an error."""
    return {
        "title": title,
        "description": f"{description}  Not supported.",
        "not": {},
        "x-expected": f"no such key: this version does not support {what}",
    }


def server_only(title: str, description: str, schema: Mapping[str, object]) -> Schema:
    """A key that tunes Ratify's own process: taken, told, without effect."""
    return {
        "title": title,
        "description": f"{description}  No effect here.",
        **schema,
        "x-warning": "no such key: it tunes Ratify's own process and has no effect here",
    }


def duration(title: str, description: str, example: str) -> Schema:
    """A length of time as Go writes it, which Ratify takes."""
    return text(title, description, pattern=DURATION, maxLength=32, examples=[example]) | {
        "x-expected": 'a length of time like "12h" or "1h30m"'
    }


VERSION = text("Version", 'Version of this section\'s form, for example "1.0.0".')
PLUGIN_DIRECTORIES: Schema = {
    "title": "Plugin folders",
    "description": "Folders with external plugins.  Not supported: nothing but an empty list is taken.",
    "type": "array",
    "maxItems": 0,
    "x-expected": "an empty list or no such key: this version runs no external plugins",
}
"""What stands in every section of plugins."""
