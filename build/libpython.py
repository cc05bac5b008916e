"""Prints the folder of the interpreter's shared library, which a frozen program takes along.

Exit code 1 if there is none: neither beside the interpreter, nor in the host's library folders, nor where
`bootstrap.sh` unpacks Debian's package.
"""

import os
import pathlib
import sys
import sysconfig

NAME = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"


def folder() -> pathlib.Path | None:
    """The folder that holds libpythonX.Y.so.1.0, or None."""
    triplet = sysconfig.get_config_var("MULTIARCH") or ""
    cache = pathlib.Path(os.environ.get("NODESEAL_BUILD_CACHE", ".cache/build")).resolve()
    places = [
        pathlib.Path(sysconfig.get_config_var("LIBDIR") or "/"),
        pathlib.Path("/usr/lib") / triplet,
        pathlib.Path("/usr/lib64"),
        cache / "libpython" / "usr" / "lib" / triplet,
    ]
    return next((place for place in places if (place / NAME).exists()), None)


if __name__ == "__main__":
    found = folder()
    if found is None:
        sys.exit(1)
    print(found)
