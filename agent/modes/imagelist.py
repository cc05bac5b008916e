"""Lists of images that people write: one name per line; empty lines and lines that begin with # don't count."""

import sys
from collections.abc import Iterator

from agent.errors import HostError, UsageError

MAX_LIST = 4 * 1024 * 1024
"""Most bytes of a file with images."""


def named(path: str) -> Iterator[tuple[str, str]]:
    """Each name, and where it stands; `-` is standard input.  Raises `UsageError`, `HostError`."""
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_LIST + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_LIST + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: got nothing there; expected a file with images") from None
    except OSError as error:
        raise HostError(f"{path}: got {error.strerror}; expected to read images") from None
    if len(content) > MAX_LIST:
        raise UsageError(f"{path}: got more than {MAX_LIST} bytes; expected a file with images")
    for number, line in enumerate(content.decode("utf-8", "backslashreplace").split("\n"), 1):
        name = line.strip()
        if name and not name.startswith("#"):
            yield f"{path}:{number}", name
