"""What a built program needs of the system that it runs on: the loader, and the libraries that are not inside it.

`python build/runtime.py FOLDER` prints them.
"""

import os
import pathlib
import re
import subprocess
import sys

import glibc

_FOUND = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def libraries(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Where each of them is looked for, and which file that is here.  Raises `SystemExit` if one is missing."""
    internal = (folder / "_internal").resolve()
    found = {}
    for path in glibc.programs(folder):
        # The executable begins without its own libraries; it starts itself again with them.
        own = {} if path.parent == folder else {"LD_LIBRARY_PATH": str(internal)}
        said = subprocess.run(
            ["ldd", str(path.resolve())], capture_output=True, text=True, check=False, env={**os.environ, **own}
        ).stdout
        if "not found" in said:
            raise SystemExit(f"build: {path}: a library that it needs is not here: {said.strip()}")
        for _, place in _FOUND.findall(said):
            if not pathlib.Path(place).is_relative_to(internal):
                found[place] = pathlib.Path(place).resolve()
    return dict(sorted(found.items()))


if __name__ == "__main__":
    print("\n".join(libraries(pathlib.Path(sys.argv[1]))))
