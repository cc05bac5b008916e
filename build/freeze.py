"""Builds the program: `python build/freeze.py [OUTPUT [--portable]]` writes OUTPUT/nodeseal/ (default: out).

Steps: compile the fast path; run PyInstaller; add licence texts and the list of components; check what came out (the
fast path stands first, no test code within, nothing of unknown origin, nobody else may write); say the oldest glibc
that it runs on.  The same sources, locked distributions and machine give the same bytes, in whatever folder; see
docs/building.md.
"""

import datetime
import os
import pathlib
import py_compile
import re
import stat
import subprocess
import sys

import components
import glibc
import libpython
import licences
import portable
import sbom
from PyInstaller.archive.readers import CArchiveReader, ZlibArchiveReader

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "pyinstaller"
COMPILING = {"PYTHONHASHSEED": "0", "PYTHONNODEBUGRANGES": "1", "PYINSTALLER_ZLIB_COMPRESSION_LEVEL": "0"}
"""How modules are compiled and kept: sets in one order, places without columns, and nothing packed.

Each import would have to read columns, and to unpack.
"""


def main(output: pathlib.Path, *, for_older: bool = False) -> None:
    """Build, check, report."""
    folder = output / "nodeseal"
    fastpath = WORK / "fastpath.pyc"
    WORK.mkdir(parents=True, exist_ok=True)
    py_compile.compile(
        str(ROOT / "agent" / "fastpath.py"),
        str(fastpath),
        dfile="fastpath.py",
        doraise=True,
        optimize=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,  # the other one has the file's time in it
    )
    freeze(output, fastpath)
    replaced = portable.make(folder / "_internal") if for_older else []
    inside = components.of_program(folder, frozen_modules(folder / "nodeseal"), replaced)
    licences.collect(folder, inside)
    listed = sbom.document(inside, inside[-1], epoch())
    (folder / "_internal" / sbom.NAME).write_bytes(listed)
    (output / f"nodeseal.{sbom.NAME}").write_bytes(listed)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        os.utime(path, (epoch(), epoch()), follow_symlinks=False)
    problems = defects(folder)
    demanded = glibc.demands(folder)[0]
    if for_older and demanded.version > portable.GLIBC:
        problems.append(f"{demanded.file} needs a glibc newer than {portable.GLIBC}: {demanded.symbol}")
    if problems:
        raise SystemExit("build: " + "; ".join(problems))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{folder}: {size / 1e6:.1f} MB, {len(inside)} components")
    print(glibc.sentence(folder))


def epoch() -> int:
    """The time of what is built, in seconds since 1970: SOURCE_DATE_EPOCH, else the day of the release."""
    text = (ROOT / "agent" / "__init__.py").read_text()
    released = datetime.date.fromisoformat(re.findall(r'^RELEASED = "(.+)"$', text, re.MULTILINE)[0])
    day = datetime.datetime(released.year, released.month, released.day, tzinfo=datetime.UTC)
    return int(os.environ.get("SOURCE_DATE_EPOCH") or day.timestamp())


def freeze(output: pathlib.Path, fastpath: pathlib.Path) -> None:
    """Run PyInstaller; its output is shown only if it fails."""
    library = libpython.folder()
    environment = dict(os.environ | COMPILING, NODESEAL_FASTPATH=str(fastpath))
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


def archive_order(program: pathlib.Path) -> list[str]:
    """The names of the modules and scripts in the executable's archive, in the order in which they run."""
    reader = CArchiveReader(str(program))
    return [name for name, entry in reader.toc.items() if entry[-1] in ("m", "M", "s")]


def runtime_options(program: pathlib.Path) -> list[str]:
    """The interpreter's options that are in the executable's archive."""
    return list(CArchiveReader(str(program)).options)


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
    if (folder / "_internal" / "base_library.zip").exists():
        found.append("base_library.zip is inside: every process would read its list")
    if "X utf8" not in runtime_options(program):
        found.append("the encoding would be the locale's, whose codec can't be imported at the start")
    if not (folder / licences.FOLDER / licences.INDEX).is_file():
        found.append("licence texts are missing")
    if not (folder / "_internal" / sbom.NAME).is_file():
        found.append("the list of components is missing")
    unknown = components.strangers(folder / "_internal", frozen_modules(program))
    if unknown:
        found.append(f"code inside that no component accounts for: {', '.join(unknown)}")
    return found


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in COMPILING.items()):
        again = subprocess.run([sys.executable, *sys.argv], env=os.environ | COMPILING, check=False)
        raise SystemExit(again.returncode)
    words = [word for word in sys.argv[1:] if word != "--portable"]
    main(pathlib.Path(words[0]) if words else ROOT / "out", for_older="--portable" in sys.argv)
