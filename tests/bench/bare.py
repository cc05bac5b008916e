"""A bare program: made as ours is made, with the same fast path, and nothing behind it.

What an answer given again costs there is what the fast path costs.  What it costs more in the whole program would be
the rest of the program in its way.
"""

import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.adapters import answers
from tests.frozen.program import Program

_ROOT = Path(__file__).resolve().parents[2]
_NO_ANSWER = 99
"""Exit code of the bare program where the fast path had no answer."""

_SPEC = """\
import os
from PyInstaller.compat import PY3_BASE_MODULES
from PyInstaller.utils.hooks import collect_submodules
starting = ["encodings", "encodings.aliases", "encodings.utf_8"]
PY3_BASE_MODULES.clear()
codecs = [name for name in collect_submodules("encodings") if name not in starting]
analysis = Analysis(
    ["nothing.py"], hiddenimports=[*starting, *codecs], optimize=2,
    module_collection_mode={**dict.fromkeys(starting, "pyc"), **dict.fromkeys(codecs, "pyz")},
    excludes=["tests", "unittest", "pydoc", "tkinter", "setuptools"],
)
scripts = [entry for entry in analysis.scripts if not entry[0].startswith("pyi_rth_")]
fastpath = [("fastpath", os.environ["NODESEAL_FASTPATH"], "PYMODULE"), ("X utf8", "", "OPTION")]
exe = EXE(fastpath, PYZ(analysis.pure), scripts, [], name="nodeseal", exclude_binaries=True, strip=True, upx=False)
COLLECT(exe, analysis.binaries, analysis.datas, name="nodeseal", strip=True, upx=False)
"""


def place(root: Path) -> Path:
    """Build one, and put it under `root` beside the whole program; its executable."""
    folder = root / "opt" / "nodeseal" / "bare"
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "nothing.py").write_text(f"raise SystemExit({_NO_ANSWER})\n")
        (work / "bare.spec").write_text(_SPEC)
        fastpath = work / "fastpath.pyc"
        source = str(_ROOT / "agent" / "fastpath.py")
        py_compile.compile(source, str(fastpath), dfile="fastpath.py", doraise=True, optimize=2)
        _run([sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", "bare.spec"], work, fastpath)
        shutil.copytree(work / "dist" / "nodeseal", folder, symlinks=True)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o022)
    return folder / "nodeseal"


def give_answers(program: Program, bare: Path) -> int:
    """Let the bare program know every answer that the whole one was given under the same root; how many.

    An answer depends on the program that gives it, by its path and by what the kernel says of it and its libraries.
    """
    folder = program.root / answers.FOLDER
    given = list(folder.iterdir())
    of_whole, of_bare = _identity(program.path), _identity(bare)
    for path in given:
        head, _, body = path.read_bytes().partition(b"\n")
        lengths, _, rest = body.partition(b"\n")
        key_length, *others = lengths.split()
        key, rest = rest[: int(key_length)], rest[int(key_length) :]
        if not key.startswith(of_whole):
            raise AssertionError("an answer of another program")
        key = of_bare + key.removeprefix(of_whole)
        body = b" ".join([b"%d" % len(key), *others]) + b"\n" + key + rest
        version = head.rpartition(b" ")[0]
        path = folder / answers.number(key)
        path.write_bytes(version + b" " + answers.number(body).encode() + b"\n" + body)
        path.chmod(0o600)
    return len(given)


def _identity(program: Path) -> bytes:
    return os.fsencode(f"{program}\0{_seen(program)}\0{_seen(program.parent / '_internal')}\0")


def _seen(path: Path) -> str:
    found = path.stat()
    return f"{found.st_dev},{found.st_ino},{found.st_size},{found.st_ctime_ns},{found.st_uid},{found.st_mode}"


def _run(command: list[str], folder: Path, fastpath: Path) -> None:
    library = subprocess.run([sys.executable, str(_ROOT / "build" / "libpython.py")], capture_output=True, text=True)
    environment = os.environ | {
        "NODESEAL_FASTPATH": str(fastpath),
        "LD_LIBRARY_PATH": library.stdout.strip(),
        "PYINSTALLER_ZLIB_COMPRESSION_LEVEL": "0",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"PyInstaller ended with {done.returncode}: {done.stderr}")
