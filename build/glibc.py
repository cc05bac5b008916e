"""The oldest glibc that a built program runs on, computed from the symbol versions its files demand.

`python build/glibc.py FOLDER` prints it, with the file and a symbol that demand it.
"""

import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

_SYMBOL = re.compile(r"\(?GLIBC_([0-9]+(?:\.[0-9]+)+)\)?\s+(\S+)")


class Demand(NamedTuple):
    """A glibc version, and the file and symbol that demand it."""

    version: tuple[int, ...]
    file: str
    symbol: str


def demands(folder: pathlib.Path) -> list[Demand]:
    """The highest demand of every ELF file in `folder`, highest first."""
    found = []
    for path in programs(folder):
        table = subprocess.run(["objdump", "-T", str(path)], capture_output=True, text=True, check=True).stdout
        versions = [
            Demand(tuple(int(part) for part in match[1].split(".")), str(path.relative_to(folder)), match[2])
            for line in table.splitlines()
            if "*UND*" in line and (match := _SYMBOL.search(line))
        ]
        if versions:
            found.append(max(versions))
    return sorted(found, reverse=True)


def programs(folder: pathlib.Path) -> list[pathlib.Path]:
    """Every ELF file in `folder`: executables and libraries."""
    files = (path for path in sorted(folder.rglob("*")) if not path.is_symlink() and path.is_file())
    return [path for path in files if _is_elf(path)]


def _is_elf(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def sentence(folder: pathlib.Path) -> str:
    """The result as a sentence for people."""
    found = demands(folder)
    if not found:
        raise SystemExit(f"{folder}: found no file that needs glibc; expected a built program")
    first = found[0]
    version = ".".join(str(part) for part in first.version)
    return f"runs on glibc {version} and newer (because of {first.file}: {first.symbol})"


if __name__ == "__main__":
    print(sentence(pathlib.Path(sys.argv[1])))
