"""Sigstore's public good instance: the root that its TUF repository is trusted by at first.

`publicgood.root.json` beside this file is version 15 of that repository's root: key material and who must sign, no
more.  It is the one that the distribution `sigstore` 4.5.1 carries (`sigstore/_store`), byte for byte, SHA-256 below;
https://github.com/sigstore/root-signing makes it, in the open.  It need not be the newest: newer ones are signed by
those before them.  Who renews it takes a later distribution's file, and changes version and hash here.
"""

import os
from hashlib import sha256

from agent.errors import HostError

ROOT_SHA256 = "73747011d0857ada15479a16c4cae0f3ed03aac698b523b97e1de314ac9d9ca8"

_PATH = os.path.join(os.path.dirname(__file__), "publicgood.root.json")


def first_root() -> bytes:
    """The root, unless it is another one than was built in.  Raises `HostError`."""
    try:
        with open(_PATH, "rb") as file:
            content = file.read()
    except OSError as error:
        raise HostError(
            f"{_PATH}: got {error.strerror}; expected to read it", hint="install the program again"
        ) from None
    found = sha256(content).hexdigest()
    if found != ROOT_SHA256:
        raise HostError(f"{_PATH}: got SHA-256 {found}; expected {ROOT_SHA256}", hint="install the program again")
    return content
