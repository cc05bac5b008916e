"""Schemas that a configuration names: documents beside it.  Read when it is published, never on a pull.

Ratify fetches a schema by its URL whenever it verifies.  Nothing is fetched on a pull here, so that a URL is an error
that says where to put the schema.  A large one takes seconds to look through: that is done where it can be ended.
"""

from functools import partial
from typing import cast

from agent.codec import instances
from agent.errors import Malformed, Problem
from agent.model.documents import Examination, Sources

FILE = "file:///"


def read(location: str, sources: Sources, where: str, problems: list[Problem]) -> instances.Schema | None:
    """The schema that `location` names, None if there is none; `problems` gets why."""
    if not location.lower().startswith(FILE):
        expected = (
            f"{FILE}NAME, the name of a document beside the configuration: nothing is fetched when an image is pulled"
        )
        problems.append(Problem(where, ascii(location)[1:-1][:120], expected))
        return None
    document = sources.file(location[len(FILE) - 1 :])
    if document is None:
        got = f"{ascii(location)[1:-1][:120]}, which is no document here"
        problems.append(Problem(where, got, "a JSON Schema beside the configuration, under this name"))
        return None
    try:
        return cast("instances.Schema", sources.examined(document, _begun))
    except Malformed as error:
        got, _, expected = error.message.removeprefix("schema: ").partition("; expected ")
        problems.append(Problem(where, f"{document.name}: {got.removeprefix('got ')}", expected or "a JSON Schema"))
        return None


def _begun(content: bytes) -> Examination:
    """What can be seen at once, and the rest.  Raises `Malformed`."""
    schema = instances.schema(content, "schema")
    return Examination(schema, instances.work(schema), partial(_flaw, schema))


def _flaw(schema: instances.Schema) -> bytes:
    """What is wrong with a schema, empty if nothing is."""
    try:
        instances.look_through(schema, "schema")
    except Malformed as error:
        return error.message.encode()
    return b""
