"""Makes a built program run on older systems than the one that it was built on: on glibc 2.34, from Debian 12's 2.36.

Three files ask for more than that.  libgcc and libstdc++ are replaced by Debian 11's, which are only older; the C++
inside needs nothing newer.  libpython asks for `hypot` in the version of glibc 2.35, which differs from the one before
in how errors are told alone: that one is asked for instead.  OpenSSL stays the build host's own, which Debian still
mends.

`build/freeze.py OUTPUT --portable` does this before components are listed; what comes out is checked by glibc.py.
"""

import pathlib
import platform
import shutil
import struct
import subprocess
import sys
import tempfile

import components
import libpython

GLIBC = (2, 34)
"""The newest glibc that a portable program may ask for: that of RHEL 9 and Amazon Linux 2023."""

SUITE = "bullseye"
_LIBRARIES = {"libgcc_s.so.1": "libgcc-s1", "libstdc++.so.6": "libstdc++6"}
_SYMBOL, _LIBRARY, _NEW = "hypot", "libm.so.6", "GLIBC_2.35"
_OLD = {"x86_64": "GLIBC_2.2.5", "aarch64": "GLIBC_2.17"}
"""The version of `hypot` before that: the first that glibc had on this architecture."""

_VERSIONS, _NEEDS, _SYMBOLS = 0x6FFFFFFF, 0x6FFFFFFE, 11  # SHT_GNU_versym, SHT_GNU_verneed, SHT_DYNSYM
_HIDDEN = 0x7FFF


def make(internal: pathlib.Path) -> list[components.Component]:
    """Change the program's libraries in place; returns the components that were put in.  Raises `SystemExit`."""
    for path in internal.glob(f"{libpython.NAME}*"):
        path.write_bytes(older_symbol(path.read_bytes(), _OLD[platform.machine()]))
    return _replaced(internal)


def _replaced(internal: pathlib.Path) -> list[components.Component]:
    sys.path.insert(0, str(components.ROOT))
    from tests.testbed.tools import ToolsMissing, download

    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            download(folder, SUITE, tuple(_LIBRARIES.values()), folder / "root")
        except ToolsMissing as error:
            raise SystemExit(f"build: no libraries of Debian {SUITE} are to be had: {error}") from error
        for library, package in _LIBRARIES.items():
            source = next(path for path in (folder / "root").rglob(library) if "/lib" in str(path))
            shutil.copyfile(source.resolve(), internal / library)
            subprocess.run(["strip", str(internal / library)], check=True)
            (archive,) = (folder / f"archives-{SUITE}").glob(f"{package}_*.deb")
            fields = ["dpkg-deb", "-f", str(archive), "Version", "Architecture"]
            said = subprocess.run(fields, capture_output=True, text=True, check=True).stdout.splitlines()
            version, architecture = (line.partition(": ")[2] for line in said)
            # libgcc's and libstdc++'s texts are one, in the package of the compiler's base; the host's has the same.
            text = pathlib.Path("/usr/share/doc") / package / "copyright"
            found.append(
                components.Component(
                    package,
                    version,
                    "see text",
                    False,
                    f"pkg:deb/debian/{package}@{version}?arch={architecture}&distro=debian-11".replace("+", "%2B"),
                    components.digest(internal / library),
                    library,
                    {f"{package}-copyright": text} if text.is_file() else {},
                    (library,),
                )
            )
    return found


def older_symbol(content: bytes, version: str) -> bytes:
    """A library (ELF, 64 bits, little-endian) that asks for the older version of one symbol.

    In the list of what it needs (`.gnu.version_r`) the entry of the new version gets the name of the old one, which
    other symbols need already.  Unchanged if it does not ask for the new one.  Raises `SystemExit` if anything but that
    symbol would change with it.
    """
    sections = _sections(content)
    needs, versions = sections[_NEEDS], sections[_VERSIONS]
    texts = _texts(content, sections, needs)
    entry = _entry(content, needs, texts)
    if entry is None:
        return content
    offset, index = entry
    users = _users(content, sections, versions, index)
    place = content.find(b"\0" + version.encode() + b"\0", texts[0], texts[0] + texts[1])
    if users != {_SYMBOL} or place < 0:
        raise SystemExit(f"build: {', '.join(sorted(users))} of {_NEW}: expected {_SYMBOL} alone, beside {version}")
    changed = bytearray(content)
    struct.pack_into("<I", changed, offset, _hash(version))
    struct.pack_into("<I", changed, offset + 8, place + 1 - texts[0])
    return bytes(changed)


def _sections(content: bytes) -> dict[int, tuple[int, int, int]]:
    """Offset, size and linked section of each kind of section; the key -N is the section of number N."""
    if content[:6] != b"\x7fELF\x02\x01":
        raise SystemExit("build: got no 64-bit little-endian ELF file")
    begin = struct.unpack_from("<Q", content, 0x28)[0]
    size, number = struct.unpack_from("<HH", content, 0x3A)
    found = {}
    for i in range(number):
        kind, _, _, offset, length, link = struct.unpack_from("<IQQQQI", content, begin + i * size + 4)
        found[kind] = found[-i] = (offset, length, link)
    return found


def _texts(content: bytes, sections: dict[int, tuple[int, int, int]], of: tuple[int, int, int]) -> tuple[int, int]:
    offset, length, _ = sections[-of[2]]
    return offset, length


def _text(content: bytes, at: int) -> str:
    return content[at : content.index(b"\0", at)].decode("ascii")


def _entry(content: bytes, needs: tuple[int, int, int], texts: tuple[int, int]) -> tuple[int, int] | None:
    """Where the entry of the new version is, and its index; None if there is none."""
    at = needs[0]
    while True:
        _, number, file, first, following = struct.unpack_from("<HHIII", content, at)
        inner = at + first
        for _ in range(number):
            _, _, index, name, step = struct.unpack_from("<IHHII", content, inner)
            if _text(content, texts[0] + file) == _LIBRARY and _text(content, texts[0] + name) == _NEW:
                return inner, index
            inner += step
        if not following:
            return None
        at += following


def _users(
    content: bytes, sections: dict[int, tuple[int, int, int]], versions: tuple[int, int, int], index: int
) -> set[str]:
    """The names of the symbols that are asked for in the version of this index."""
    symbols = sections[_SYMBOLS]
    texts = _texts(content, sections, symbols)
    found = set()
    for i in range(versions[1] // 2):
        if struct.unpack_from("<H", content, versions[0] + 2 * i)[0] & _HIDDEN == index:
            name = struct.unpack_from("<I", content, symbols[0] + 24 * i)[0]
            found.add(_text(content, texts[0] + name))
    return found


def _hash(name: str) -> int:
    """The hash of a version's name: System V ABI, "Hash Table"."""
    value = 0
    for character in name.encode():
        value = (value << 4) + character
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value & 0xFFFFFFFF
