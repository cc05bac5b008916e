"""Licence texts of what a built program holds: distributions, shared libraries of the system, Python, and itself."""

import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER, INDEX = "licenses", "INDEX.txt"
_TEXTS = ("LICEN", "COPYING", "NOTICE")
_PYTHON_TEXTS = ("LICENSE.txt", "LICENSE")


class Component(NamedTuple):
    """Something that is inside: a name, what the index says of it, and where its texts are (file name -> path)."""

    name: str
    licence: str
    texts: dict[str, pathlib.Path]


def collect(internal: pathlib.Path) -> int:
    """Write the texts and an index into `internal`/licenses; returns how many components there are."""
    components = [*distributions(), *libraries(internal), python(), nodeseal()]
    folder = internal / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for component in components:
        for name, text in component.texts.items():
            shutil.copyfile(text, folder / name)
    (folder / INDEX).write_text("".join(f"{each.name}: {each.licence}\n" for each in components))
    return len(components)


def distributions() -> list[Component]:
    """The distributions whose code may be inside: the runtime requirements as locked, and PyInstaller's loader."""
    lines = (ROOT / "requirements" / "runtime.txt").read_text().splitlines()
    names = {line.split("==")[0] for line in lines if "==" in line and not line.startswith(" ")}
    found = []
    for name in sorted({*names, "pyinstaller"}, key=str.lower):
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # locked for another platform
        said = distribution.metadata.json
        licence = str(said.get("license_expression") or said.get("license") or "see text").splitlines()[0]
        full_name = f"{distribution.name}-{distribution.version}"
        texts = {
            f"{full_name}-{file.name}": pathlib.Path(str(distribution.locate_file(file)))
            for file in distribution.files or []
            if any(word in file.name.upper() for word in _TEXTS)
        }
        texts = {name: path for name, path in texts.items() if path.is_file()}
        found.append(Component(f"{distribution.name} {distribution.version}", licence, texts))
    return found


def libraries(internal: pathlib.Path) -> list[Component]:
    """The host's shared libraries that PyInstaller took along; Debian keeps a text for each of its packages."""
    names = sorted(path.name for path in internal.glob("*.so*") if re.match(r"lib(?!python)[\w+-]+\.so", path.name))
    if not names:
        return []
    if shutil.which("dpkg") is None:
        return [Component(name, "a library of the system that this was built on; see there", {}) for name in names]
    asked = ["dpkg", "-S", *(f"*/{name}" for name in names)]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    packages: dict[str, list[str]] = {}
    for package, name in re.findall(r"^([^:\s]+)(?::\w+)?: .*/(\S+)$", listed, re.MULTILINE):
        if name in names and name not in packages.setdefault(package, []):
            packages[package].append(name)
    texts = {package: pathlib.Path("/usr/share/doc") / package / "copyright" for package in packages}
    return [
        Component(
            f"{', '.join(inside)} of Debian's {package}",
            "see text",
            {f"{package}-copyright": texts[package]} if texts[package].is_file() else {},
        )
        for package, inside in sorted(packages.items())
    ]


def python() -> Component:
    """The interpreter and its standard library."""
    places = (sysconfig.get_path("stdlib"), sys.base_prefix)
    texts = (pathlib.Path(place) / name for place in places for name in _PYTHON_TEXTS)
    text = next((path for path in texts if path.is_file()), None)
    if text is None:
        raise SystemExit(f"build: found no licence text of Python in {' or '.join(places)}; expected LICENSE.txt there")
    return Component(f"CPython {sys.version.split()[0]}", "PSF-2.0", {"CPython-LICENSE.txt": text})


def nodeseal() -> Component:
    """This program."""
    return Component("nodeseal", "Apache-2.0", {"nodeseal-LICENSE": ROOT / "LICENSE"})
