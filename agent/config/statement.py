"""The statement about a configuration: what is signed of a set of documents.

One line of canonical JSON (sorted keys, no white space, ASCII) and a line feed::

    {"documents":{"config.json":"sha256:<64 digits>",...},"nodeseal":"configuration","version":1}

Every document of the folder is in it, named by the configuration or not, so that none can be changed, added or taken
away; the signatures' own document alone is not.  Statements are only ever made and compared, never read.  Pure.
"""

from collections.abc import Mapping
from hashlib import sha256

from agent.codec import strictjson

SIGNATURES = "nodeseal.sig"
"""Name of the document with the signatures."""

VERSION = 1


def of(documents: Mapping[str, bytes]) -> bytes:
    """The statement about documents, name -> content."""
    digests = {name: f"sha256:{sha256(content).hexdigest()}" for name, content in documents.items()}
    return strictjson.canonical({"nodeseal": "configuration", "version": VERSION, "documents": digests}) + b"\n"
