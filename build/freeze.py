"""Builds the program: `python build/freeze.py [OUTPUT]` writes OUTPUT/nodeseal/ (default: out).

Steps: compile the fast path; run PyInstaller; add licence texts; check what came out (the fast path stands first, no
test code within, nobody else may write); say the oldest glibc that it runs on.
"""

import importlib.metadata
import os
import pathlib
import py_compile
import shutil
import stat
import subprocess
import sys
import sysconfig

import glibc
import libpython
from PyInstaller.archive.readers import CArchiveReader, ZlibArchiveReader

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "pyinstaller"
_PYTHON_LICENCES = ("LICENSE.txt", "LICENSE")


def main(output: pathlib.Path) -> None:
    """Build, check, report."""
    folder = output / "nodeseal"
    fastpath = WORK / "fastpath.pyc"
    WORK.mkdir(parents=True, exist_ok=True)
    py_compile.compile(
        str(ROOT / "agent" / "fastpath.py"), str(fastpath), dfile="fastpath.py", doraise=True, optimize=2
    )
    freeze(output, fastpath)
    licences = add_licences(folder / "_internal" / "licenses")
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWGRP | stat.S_IWOTH))
    problems = defects(folder)
    if problems:
        raise SystemExit("build: " + "; ".join(problems))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{folder}: {size / 1e6:.1f} MB, licence texts of {licences} components")
    print(glibc.sentence(folder))


def freeze(output: pathlib.Path, fastpath: pathlib.Path) -> None:
    """Run PyInstaller; its output is shown only if it fails."""
    library = libpython.folder()
    environment = dict(os.environ, NODESEAL_FASTPATH=str(fastpath), PYTHONHASHSEED="0")
    if library is not None:
        environment["LD_LIBRARY_PATH"] = f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
    command = [
        sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN",
        "--distpath", str(output), "--workpath", str(WORK / "work"), str(ROOT / "build" / "nodeseal.spec"),
    ]  # fmt: skip
    print("build: freezing (about half a minute) ...", flush=True)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"build: PyInstaller ended with {done.returncode}")


def add_licences(folder: pathlib.Path) -> int:
    """Write the licence texts of everything that may be inside, and an index; returns how many components there are."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for distribution in sorted(bundled(), key=lambda each: each.name.lower()):
        texts = [
            file
            for file in distribution.files or []
            if any(word in file.name.upper() for word in ("LICEN", "COPYING", "NOTICE"))
        ]
        for file in texts:
            source = pathlib.Path(str(distribution.locate_file(file)))
            if source.is_file():
                shutil.copyfile(source, folder / f"{distribution.name}-{distribution.version}-{file.name}")
        said = distribution.metadata.json
        licence = str(said.get("license_expression") or said.get("license") or "see text")
        index.append(f"{distribution.name} {distribution.version}: {licence.splitlines()[0]}")
    shutil.copyfile(ROOT / "LICENSE", folder / "nodeseal-LICENSE")
    index.append("nodeseal: Apache-2.0")
    for place in (sysconfig.get_path("stdlib"), sys.base_prefix, "/usr/share/doc/python3"):
        found = next((pathlib.Path(place) / n for n in _PYTHON_LICENCES if (pathlib.Path(place) / n).is_file()), None)
        if found:
            shutil.copyfile(found, folder / "CPython-LICENSE.txt")
            break
    index.append(
        f"CPython {sys.version.split()[0]}: PSF-2.0 (OpenSSL, zlib and others within, under their own licences)"
    )
    (folder / "INDEX.txt").write_text("\n".join(index) + "\n")
    return len(index)


def bundled() -> list[importlib.metadata.Distribution]:
    """The distributions whose code may be inside: the runtime requirements as locked, and PyInstaller's loader."""
    lines = (ROOT / "requirements" / "runtime.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line and not line.startswith(" ")]
    found = []
    for name in [*names, "pyinstaller"]:
        try:
            found.append(importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            continue  # locked for another platform
    return found


def archive_order(program: pathlib.Path) -> list[str]:
    """The names of the modules and scripts in the executable's archive, in the order in which they run."""
    reader = CArchiveReader(str(program))
    return [name for name, entry in reader.toc.items() if entry[-1] in ("m", "M", "s")]


def frozen_modules(program: pathlib.Path) -> list[str]:
    """The names of all Python modules inside."""
    reader: ZlibArchiveReader = CArchiveReader(str(program)).open_embedded_archive("PYZ.pyz")
    return list(reader.toc)


def defects(folder: pathlib.Path) -> list[str]:
    """What is wrong with a built program; empty if nothing is."""
    program = folder / "nodeseal"
    found = []
    order = archive_order(program)
    if order[:1] != ["fastpath"]:
        found.append(f"the archive begins with {order[:1]}; expected the fast path")
    if any(name.startswith("pyi_rth_") for name in order):
        found.append(f"run-time hooks in the archive: {order}")
    found += [
        f"test code inside: {name}" for name in frozen_modules(program) if name.split(".")[0] in ("tests", "pytest")
    ]
    licences = folder / "_internal" / "licenses"
    if not (licences / "nodeseal-LICENSE").is_file() or not (licences / "INDEX.txt").is_file():
        found.append("licence texts are missing")
    return found


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "out"))
