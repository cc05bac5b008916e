"""The program as it was built: what stands in it, what does not, and in which order it starts."""

import pathlib
import re
import stat
import subprocess

import freeze
import glibc
import licences
import pytest

from agent import __version__
from tests.commands import run
from tests.frozen.program import BUILT

pytestmark = pytest.mark.frozen

PROGRAM = BUILT / "nodeseal"


def test_fast_path_is_the_first_thing_that_runs() -> None:
    order = freeze.archive_order(PROGRAM)
    assert order[0] == "fastpath"
    assert order[-1] == "__main__"


def test_no_run_time_hook_runs() -> None:
    assert [name for name in freeze.archive_order(PROGRAM) if name.startswith("pyi_rth")] == []


def test_what_the_interpreter_imports_by_itself_lies_in_files_of_its_own() -> None:
    folder = BUILT / "_internal"
    assert {path.name for path in (folder / "encodings").iterdir()} == {"__init__.pyc", "aliases.pyc", "utf_8.pyc"}
    assert {"encodings.idna", "encodings.cp1252", "re", "enum"} <= set(freeze.frozen_modules(PROGRAM))


def test_no_test_code_is_inside() -> None:
    packages = {name.split(".")[0] for name in freeze.frozen_modules(PROGRAM)}
    assert not packages & {"tests", "pytest", "_pytest", "hypothesis", "unittest", "grpc", "PyInstaller", "pip"}
    assert "agent" in packages


def test_every_module_that_a_table_names_is_inside() -> None:
    from agent.formats import FORMATS
    from agent.policies import POLICIES
    from agent.rego.builtins import FAMILIES

    named = {target.partition(":")[0] for table in (FORMATS, POLICIES) for target in table.values()}
    families = {f"agent.rego.builtins.{family}" for family in FAMILIES}
    assert named | families <= set(freeze.frozen_modules(PROGRAM))


def test_every_adapter_and_the_event_loop_behind_them_is_inside() -> None:
    inside = set(freeze.frozen_modules(PROGRAM))
    there = {f"agent.adapters.{path.stem}" for path in (freeze.ROOT / "agent" / "adapters").glob("[!_]*.py")}
    assert there <= inside
    assert {"aiohttp", "anyio._backends._asyncio", "asyncio"} <= inside


def test_licence_texts_of_everything_inside_are_there() -> None:
    folder = BUILT / licences.FOLDER
    index = (folder / licences.INDEX).read_text()
    for component in ("nodeseal", "CPython", "cryptography", "jsonschema", "pyinstaller"):
        assert component in index
        assert any(path.name.startswith(component) for path in folder.iterdir()), component
    assert "Apache License" in (folder / "nodeseal-LICENSE").read_text()


def test_every_library_of_the_system_that_is_inside_is_in_the_index() -> None:
    index = (BUILT / licences.FOLDER / licences.INDEX).read_text()
    inside = [path.name for path in (BUILT / "_internal").glob("lib*.so*") if not path.name.startswith("libpython")]
    assert "libcrypto.so.3" in inside
    assert [name for name in inside if name not in index] == []
    for name in re.findall(r"of Debian's (\S+):", index):
        assert (BUILT / licences.FOLDER / f"{name}-copyright").stat().st_size > 100


def test_nobody_but_the_owner_may_write() -> None:
    for path in [BUILT, *BUILT.rglob("*")]:
        assert path.is_symlink() or not path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH), path


def test_oldest_glibc_is_computed_from_the_files() -> None:
    demands = glibc.demands(BUILT)
    assert demands[0].version >= demands[-1].version
    assert "_internal" in glibc.sentence(BUILT) or "nodeseal" in glibc.sentence(BUILT)


def test_a_folder_without_programs_has_no_glibc(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SystemExit, match="expected a built program"):
        glibc.sentence(tmp_path)


def test_highest_symbol_version_wins(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "x.c"
    source.write_text(
        '#include <math.h>\n#include <stdio.h>\nint main(int c, char **v) { printf("%f", pow(c, 2.5)); }\n'
    )
    subprocess.run(["gcc", "-o", str(tmp_path / "x"), str(source), "-lm"], check=True)
    source.unlink()
    (found,) = glibc.demands(tmp_path)
    assert found.file == "x"
    assert found.version >= (2, 29)  # pow got a new version there


@pytest.mark.parametrize("environment", [{}, {"PYTHONHOME": "/x", "PYTHONPATH": "/x", "LD_LIBRARY_PATH": "/x:"}])
def test_runs_by_itself_in_any_environment(environment: dict[str, str]) -> None:
    done = run([str(PROGRAM), "version"], environment=environment)
    assert (done.code, done.out, done.err) == (0, f"nodeseal {__version__}\n", "")


DEFECTS = {
    "no fast path": "the archive begins with ['pyiboot01_bootstrap'",
    "no licences": "licence texts are missing",
    "an archive of modules": "base_library.zip is inside",
    "the locale's encoding": "the encoding would be the locale's",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_build_that_came_out_wrong_is_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, defect: str
) -> None:
    assert freeze.defects(BUILT) == []
    folder = tmp_path / "nodeseal"
    (folder / "_internal").mkdir(parents=True)
    for path in (PROGRAM, BUILT / licences.FOLDER, *(BUILT / "_internal").iterdir()):
        (folder / path.relative_to(BUILT)).symlink_to(path)
    if defect == "no fast path":
        monkeypatch.setattr(freeze, "archive_order", lambda _: ["pyiboot01_bootstrap", "pyi_rth_inspect"])
    elif defect == "the locale's encoding":
        monkeypatch.setattr(freeze, "runtime_options", lambda _: [])
    elif defect == "no licences":
        (folder / licences.FOLDER).unlink()
    else:
        (folder / "_internal" / "base_library.zip").write_bytes(b"")
    assert any(each.startswith(DEFECTS[defect]) for each in freeze.defects(folder))
