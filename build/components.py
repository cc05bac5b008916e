"""What a built program is made of: distributions, shared libraries of the system, Python, the loader, itself.

The one source of the licence texts, the list of components, and `nodeseal version --components`.  What counts is what
is inside: a locked distribution of which nothing was frozen is none, and code that no component accounts for is a
defect.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TEXTS = ("LICEN", "COPYING", "NOTICE")
_PYTHON_TEXTS = ("LICENSE.txt", "LICENSE")
_OURS = ("agent", "fastpath")
_LONGEST_LICENCE = 60
_RECORDED = re.compile(r"(?P<path>[^,]+),sha256=(?P<digest>[\w-]+),\d+")
_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json")
"""What an installer adds beside a wheel's own files."""


class Component(NamedTuple):
    """Something that is inside.

    `licence` is a licence expression (SPDX) if `is_expression`.  `digest` is a SHA-256 in hexadecimal of what `hashed`
    says.  `texts` is where its licence's texts are (file name to path).  `inside` are what it holds in turn, as objects
    of CycloneDX: what the authors of a wheel list in it.
    """

    name: str
    version: str
    licence: str
    is_expression: bool
    purl: str
    digest: str
    hashed: str
    texts: dict[str, pathlib.Path]
    files: tuple[str, ...] = ()
    inside: tuple[dict[str, Any], ...] = ()

    @property
    def title(self) -> str:
        """The name that the index of licences has for it."""
        return f"{', '.join(self.files)} of Debian's {self.name}" if self.files else f"{self.name} {self.version}"


def of_program(folder: pathlib.Path, modules: Iterable[str], replaced: Sequence[Component] = ()) -> list[Component]:
    """The components of the program in `folder`, of whose Python code `modules` are the names.

    `replaced` are libraries that are not this host's own.
    """
    internal = folder / "_internal"
    return [*distributions(internal, set(modules)), *libraries(internal, replaced), python(internal), nodeseal()]


def distributions(internal: pathlib.Path, modules: set[str]) -> list[Component]:
    """The distributions of which something is inside, and PyInstaller, whose loader is."""
    found = [
        _distribution(each)
        for name in _locked()
        if (each := _installed(name)) is not None
        and any(_is_inside(str(file), internal, modules) for file in _of(each))
    ]
    return [*found, _distribution(importlib.metadata.distribution("pyinstaller"))]


def strangers(internal: pathlib.Path, modules: Iterable[str]) -> list[str]:
    """The names of top-level modules inside that no component accounts for."""
    known = {*_OURS, *sys.stdlib_module_names}
    for name in _locked():
        each = _installed(name)
        known |= {str(file).split("/")[0].removesuffix(".py") for file in _of(each)} if each else set()
    inside = {name.split(".")[0] for name in modules}
    inside |= {path.parent.relative_to(internal).parts[0] for path in internal.glob("*/**/*.so")} - {_dynamic()}
    return sorted(name for name in inside - known if not name.startswith("pyi"))


def _dynamic() -> str:
    """The folder of the standard library's own extension modules."""
    return f"python{sys.version_info[0]}.{sys.version_info[1]}"


def _locked() -> list[str]:
    """The names of all runtime requirements."""
    lines = (ROOT / "requirements" / "runtime.txt").read_text().splitlines()
    return sorted({line.split("==")[0] for line in lines if "==" in line and not line.startswith(" ")})


def _installed(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # locked for another platform


def _of(distribution: importlib.metadata.Distribution) -> list[importlib.metadata.PackagePath]:
    return [file for file in distribution.files or () if not str(file).startswith(("..", "/"))]


def _is_inside(file: str, internal: pathlib.Path, modules: set[str]) -> bool:
    """Whether a distribution's file was frozen.  Its own description does not count."""
    if ".dist-info/" in file:
        return False
    if file.endswith(".py"):
        return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") in modules
    return (internal / file).is_file()


def _distribution(distribution: importlib.metadata.Distribution) -> Component:
    said = distribution.metadata.json
    expression = str(said.get("license_expression") or "")
    licence = expression or str(said.get("license") or "see text").splitlines()[0]
    if not expression and len(licence) > _LONGEST_LICENCE:
        licence = licence[:_LONGEST_LICENCE].rsplit(" ", 1)[0] + " ..."
    full_name = f"{distribution.name}-{distribution.version}"
    texts = {
        f"{full_name}-{file.name}": pathlib.Path(str(distribution.locate_file(file)))
        for file in _of(distribution)
        if any(word in file.name.upper() for word in _TEXTS)
    }
    return Component(
        distribution.name,
        distribution.version,
        licence,
        bool(expression),
        f"pkg:pypi/{re.sub('[-_.]+', '-', distribution.name).lower()}@{distribution.version}",
        _digest_of_record(distribution.read_text("RECORD") or ""),
        "RECORD of the wheel: the lines of its files, sorted",
        {name: path for name, path in texts.items() if path.is_file()},
        inside=tuple(_listed_within(distribution)),
    )


def _digest_of_record(record: str) -> str:
    """A hash of a wheel's files by their hashes, the same wherever and by whatever it was installed."""
    lines = [match for match in map(_RECORDED.fullmatch, record.splitlines()) if match]
    kept = sorted(
        f"{match['path']},{match['digest']}\n"
        for match in lines
        if not match["path"].startswith(("..", "/")) and match["path"].rsplit("/", 1)[-1] not in _INSTALLERS
    )
    return hashlib.sha256("".join(kept).encode()).hexdigest()


def _listed_within(distribution: importlib.metadata.Distribution) -> Iterable[dict[str, Any]]:
    """What a wheel's own lists (PEP 770) say is compiled into it, such as OpenSSL and Rust crates."""
    for file in sorted(map(str, _of(distribution))):
        if ".dist-info/sboms/" in file and file.endswith(".json"):
            listed = json.loads(pathlib.Path(str(distribution.locate_file(file))).read_text())
            for each in listed.get("components", ()):
                kept = {
                    key: each[key] for key in ("type", "name", "version", "licenses", "hashes", "purl") if key in each
                }
                # What was built from a folder of the wheel's own names that folder, as a file.
                kept["purl"] = kept.get("purl", "").split("?download_url=file:")[0]
                yield {key: value for key, value in kept.items() if value}


def libraries(internal: pathlib.Path, replaced: Sequence[Component] = ()) -> list[Component]:
    """The host's shared libraries that PyInstaller took along; Debian keeps a text for each of its packages."""
    others = {name for each in replaced for name in each.files}
    found = (path.name for path in internal.glob("*.so*") if re.match(r"lib(?!python)[\w+-]+\.so", path.name))
    names = sorted(set(found) - others)
    if not names:
        return []
    if shutil.which("dpkg") is None:
        what = "a library of the system that this was built on; see there"
        return [
            Component(name, "unknown", what, False, f"pkg:generic/{name}", digest(internal / name), name, {})
            for name in names
        ]
    return sorted([*packages([internal / name for name in names]), *replaced], key=lambda each: each.name)


def packages(paths: list[pathlib.Path]) -> list[Component]:
    """The Debian packages that these files, or files of the same names, came in."""
    named = {path.name: path for path in paths}
    listed = _said(["dpkg", "-S", *(f"*/{name}" for name in named)])
    owners: dict[str, list[str]] = {}
    for package, name in re.findall(r"^([^:\s]+)(?::\w+)?: .*/(\S+)$", listed, re.MULTILINE):
        if name in named and name not in owners.setdefault(package, []):
            owners[package].append(name)
    if "ca-certificates.crt" in named:  # put together when the package was installed
        owners["ca-certificates"] = ["ca-certificates.crt"]
    return [
        debian(package, tuple(inside), [named[name] for name in inside]) for package, inside in sorted(owners.items())
    ]


def debian(package: str, names: tuple[str, ...], paths: list[pathlib.Path]) -> Component:
    """A Debian package of which these files were taken."""
    version, architecture = _said(["dpkg-query", "-W", "-f", "${Version} ${Architecture}\n", package]).split()[:2]
    text = pathlib.Path("/usr/share/doc") / package / "copyright"
    content = text.read_text("utf-8", "replace") if text.is_file() else ""
    # The machine-readable form: what the paragraph of all files says, in Debian's short names.
    licence = re.search(r"^Files: \*\n(?:(?!\n\n).)*?^License: (\S+)$", content, re.MULTILINE | re.DOTALL)
    return Component(
        package,
        version,
        f"{licence[1]} and others, see text" if licence else "see text",
        False,
        f"pkg:deb/debian/{package}@{version}?arch={architecture}&distro={_release()}".replace("+", "%2B"),
        digest(*paths),
        ", ".join(names),
        {f"{package}-copyright": text} if text.is_file() else {},
        names,
    )


def _release() -> str:
    """This host's release, such as debian-12."""
    said = platform.freedesktop_os_release()
    return f"{said.get('ID', 'linux')}-{said.get('VERSION_ID', 'unknown')}"


def python(internal: pathlib.Path) -> Component:
    """The interpreter and its standard library."""
    places = (sysconfig.get_path("stdlib"), sys.base_prefix)
    texts = (pathlib.Path(place) / name for place in places for name in _PYTHON_TEXTS)
    text = next((path for path in texts if path.is_file()), None)
    if text is None:
        raise SystemExit(f"build: found no licence text of Python in {' or '.join(places)}; expected LICENSE.txt there")
    version = sys.version.split()[0]
    library = next(internal.glob("libpython*.so*"))
    purl = f"pkg:generic/cpython@{version}"
    named = {"CPython-LICENSE.txt": text}
    return Component("CPython", version, "PSF-2.0", True, purl, digest(library), library.name, named)


def nodeseal() -> Component:
    """This program: what was written for it."""
    text = (ROOT / "agent" / "__init__.py").read_text()
    version = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]
    sources = sorted((ROOT / "agent").rglob("*.py"))
    named = {"nodeseal-LICENSE": ROOT / "LICENSE"}
    purl = f"pkg:generic/nodeseal@{version}"
    return Component("nodeseal", version, "Apache-2.0", True, purl, digest(*sources), "agent/**/*.py, by name", named)


def digest(*paths: pathlib.Path) -> str:
    """One file's hash; of several, that of their contents one after another."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
