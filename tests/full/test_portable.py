"""The program for older systems: what it asks for, and that all of it still works here."""

import ctypes
import json
import math
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import glibc
import portable
import pytest

from tests.commands import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
GLIBC = {
    f"lib{name}"
    for name in ("c.so.6", "m.so.6", "pthread.so.0", "dl.so.2", "rt.so.1", "util.so.1", "resolv.so.2")
    + ("nss_files.so.2", "nss_dns.so.2")
}
"""Files of glibc's that a program may load."""

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The program's folder."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get on this machine")
    output = tmp_path_factory.mktemp("portable")
    command = [sys.executable, "build/freeze.py", str(output), "--portable"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "nodeseal"


def test_no_file_asks_for_a_newer_glibc_than_promised(program: pathlib.Path) -> None:
    assert glibc.demands(program)[0].version <= portable.GLIBC


def test_it_says_which_libraries_were_put_in(program: pathlib.Path) -> None:
    done = run([str(program / "nodeseal"), "version", "--components", "--format", "json"])
    purls = {each["name"]: each["purl"] for each in json.loads(done.out)["components"]}
    for package in ("libgcc-s1", "libstdc++6"):
        assert purls[package].endswith("distro=debian-11")
    assert purls["libssl3"].endswith("distro=debian-12")


class Older(NamedTuple):
    """A glibc as old as promised, by the versions of its symbols: its loader, and a program's folder that it runs."""

    loader: pathlib.Path
    program: pathlib.Path


@pytest.fixture(scope="module")
def older(program: pathlib.Path) -> Iterator[Older]:
    """This host's glibc without whatever came after the promised one, and a copy of the program that is run by it.

    No archive that tests may use has a glibc between 2.31 and 2.36.  So the versions of this host's that are newer than
    promised get other names, in all of its files alike: they go on fitting together, and who asks for a newer symbol,
    when it starts or ever after, gets none.  How the functions behave is still this host's.
    """
    with tempfile.TemporaryDirectory(prefix="glibc-34", dir="/tmp") as name:
        folder = pathlib.Path(name)
        (interpreter,) = re.findall(rb"/lib[^\0]*/ld-linux[^\0]*(?=\0)", (program / "nodeseal").read_bytes())
        libraries = pathlib.Path(os.fsdecode(interpreter)).resolve().parent
        for path in libraries.iterdir():
            if path.name in GLIBC or path.name.startswith("ld-linux"):
                (folder / path.name).write_bytes(_without_newer(path.read_bytes()))
        loader = folder / "ld.so"
        # What it has built in is as long as what takes its place; the cache of the host's libraries is not looked at.
        content = _put(
            (folder / os.path.basename(interpreter).decode()).read_bytes(), f"/lib/{libraries.name}/", f"{folder}/"
        )
        loader.write_bytes(_put(content, "/etc/ld.so.cache", "/etc/ld.so.none!"))
        loader.chmod(0o755)
        copy = folder / "nodeseal"
        shutil.copytree(program, copy, symlinks=True)
        executable = copy / "nodeseal"
        executable.write_bytes(_put(executable.read_bytes(), os.fsdecode(interpreter), str(loader)))
        yield Older(loader, copy)


def _without_newer(content: bytes) -> bytes:
    names = {*re.findall(rb"(?<=\0)GLIBC_2\.([0-9]+)(?=\0)", content)}
    for name in (b"GLIBC_2." + each for each in names if int(each) > portable.GLIBC[1]):
        content = content.replace(b"\0" + name + b"\0", b"\0N" + name[1:] + b"\0")
    return content.replace(b"\0GLIBC_ABI_DT_RELR\0", b"\0NLIBC_ABI_DT_RELR\0")


def _put(content: bytes, old: str, new: str) -> bytes:
    """Another text in place of a text of a program's; a shorter one is padded."""
    assert len(new) <= len(old)
    found = b"\0" + old.encode() + b"\0"
    assert content.count(found) == 1, (old, content.count(found))
    return content.replace(found, b"\0" + new.encode().ljust(len(old) + 1, b"\0"))


def test_who_asks_for_a_newer_symbol_does_not_start_with_the_older_glibc(older: Older, tmp_path: pathlib.Path) -> None:
    source = "#include <math.h>\nint main(int c, char **v) { return hypot(3 * c, 4) == 5 ? 0 : v == 0; }\n"
    (tmp_path / "x.c").write_text(source)
    subprocess.run(["gcc", "-fno-builtin", "-o", tmp_path / "x", tmp_path / "x.c", "-lm"], check=True)
    (needs,) = glibc.demands(tmp_path)
    if needs.version <= portable.GLIBC:
        pytest.skip(f"this host's glibc has {needs}")
    assert run([str(tmp_path / "x")]).code == 0
    done = run([str(older.loader), str(tmp_path / "x")])
    assert (done.code, "not found (required by" in done.err) == (1, True), done


def test_every_door_is_answered_with_the_older_glibc(older: Older) -> None:
    # One of these policies uses regular expressions, which are the C++ inside; the others are network, event loop, API
    # server and processes of its own.
    doors = "tests/frozen/test_doors.py::test_every_door_says_the_same"
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", f"--basetemp={older.program.parent}/tests"]
    words += [
        f"{doors}[{name}]" for name in ("signed", "certificate that is revoked", "registry that asks for a token")
    ]
    words += [f"tests/frozen/test_{name}.py" for name in ("policies", "supporting", "configmaps", "metrics")]
    environment = {**os.environ, "NODESEAL_PROGRAM": str(older.program)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout


def test_only_that_one_symbol_is_changed() -> None:
    with pytest.raises(SystemExit, match="no 64-bit"):
        portable.older_symbol(b"\x7fELF\x01\x01" + bytes(100), "GLIBC_2.2.5")


@pytest.mark.parametrize(
    ("calls", "asked_for"),
    [("hypot(c, 2.5)", (2, 35)), ("sin(c)", (2, 2, 5))],
    ids=["it is used", "it is not used"],
)
def test_a_library_asks_for_the_older_version_and_computes_the_same(
    tmp_path: pathlib.Path, calls: str, asked_for: tuple[int, ...]
) -> None:
    source = f"#include <math.h>\ndouble f(double c) {{ return {calls}; }} double g(double c) {{ return cos(c); }}\n"
    (tmp_path / "x.c").write_text(source)
    library = tmp_path / "x.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "x.c", "-lm"], check=True)
    (before,) = glibc.demands(tmp_path)
    if before.version != asked_for:
        pytest.skip(f"this host's glibc has {before}")
    library.write_bytes(portable.older_symbol(library.read_bytes(), portable._OLD[platform.machine()]))
    (after,) = glibc.demands(tmp_path)
    assert after.version <= (2, 34)
    loaded = ctypes.CDLL(str(library))
    loaded.f.restype, loaded.f.argtypes = ctypes.c_double, [ctypes.c_double]
    assert loaded.f(6.0) == pytest.approx(eval(calls, {"hypot": math.hypot, "sin": math.sin, "c": 6.0}))  # noqa: S307
