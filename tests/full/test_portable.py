"""The program for older systems: what it asks for, and that all of it still works here."""

import ctypes
import json
import math
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import glibc
import portable
import pytest

from tests.commands import run

ROOT = pathlib.Path(__file__).resolve().parents[2]

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


def test_pulls_and_policies_are_answered_as_by_the_other_build(program: pathlib.Path) -> None:
    # One of these policies uses regular expressions, which are the C++ inside.
    words = ["-q", "-p", "no:cacheprovider", "tests/frozen/test_policies.py", "tests/frozen/test_supporting.py"]
    environment = {**os.environ, "NODESEAL_PROGRAM": str(program)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, f"--basetemp={program.parent}/tests"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


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
