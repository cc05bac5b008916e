"""The container image: what is in it, what it says of itself, and that nothing else is."""

import gzip
import hashlib
import io
import json
import pathlib
import re
import subprocess
import tarfile
from typing import Any

import glibc
import image
import pytest
import runtime
import sbom

from agent import __version__
from tests.frozen.program import BUILT

pytestmark = [pytest.mark.frozen, pytest.mark.unmeasured]

EPOCH = 1_700_000_000
DOCKERFILE = pathlib.Path(__file__).resolve().parents[2] / "container" / "Dockerfile"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The image of the built program."""
    folder = tmp_path_factory.mktemp("image") / "layout"
    image.main(BUILT, folder)
    return folder


def blob(layout: pathlib.Path, descriptor: Any) -> bytes:
    """A blob, checked against its descriptor."""
    content: bytes = (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
    assert len(content) == descriptor["size"]
    return content


def manifest(layout: pathlib.Path) -> Any:
    """The one manifest."""
    (described,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert described["annotations"]["org.opencontainers.image.ref.name"] == __version__
    return json.loads(blob(layout, described))


def members(layout: pathlib.Path) -> dict[str, tarfile.TarInfo]:
    """Everything in the layers, by name."""
    found: dict[str, tarfile.TarInfo] = {}
    for layer in manifest(layout)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layout, layer)))) as archive:
            found |= {member.name: member for member in archive}
    return found


def test_the_layout_is_whole_and_its_digests_are_right(layout: pathlib.Path) -> None:
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    described = manifest(layout)
    settings = json.loads(blob(layout, described["config"]))
    unpacked = [hashlib.sha256(gzip.decompress(blob(layout, layer))).hexdigest() for layer in described["layers"]]
    assert settings["rootfs"]["diff_ids"] == [f"sha256:{each}" for each in unpacked]
    assert len(list((layout / "blobs" / "sha256").iterdir())) == 2 + len(described["layers"])


def test_it_says_what_it_is(layout: pathlib.Path) -> None:
    annotations = manifest(layout)["annotations"]
    assert annotations["org.opencontainers.image.version"] == __version__
    assert annotations["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", annotations["org.opencontainers.image.created"])


def test_it_holds_the_program_and_what_that_needs_and_nothing_that_runs_besides(layout: pathlib.Path) -> None:
    outside = {
        name
        for name, member in members(layout).items()
        if member.isreg() and member.mode & 0o111 and not name.startswith(f"opt/nodeseal/{__version__}/")
    }
    assert outside == {place.lstrip("/") for place in runtime.libraries(BUILT)}
    assert {place.rsplit("/", 1)[1].split(".")[0] for place in outside} >= {"libc", "libz", "libm"}
    assert not {"libssl", "libcrypto", "libpython3"} & {place.rsplit("/", 1)[1].split(".")[0] for place in outside}


def test_the_program_in_it_is_the_built_one(layout: pathlib.Path) -> None:
    found = members(layout)
    folder = f"opt/nodeseal/{__version__}"
    for path in (BUILT / "nodeseal", *(BUILT / "_internal").rglob("*"), *(BUILT / "licenses").iterdir()):
        member = found[f"{folder}/{path.relative_to(BUILT)}"]
        assert member.isdir() == path.is_dir()
        assert member.size == (path.stat().st_size if path.is_file() else 0)
    assert found["opt/nodeseal/current"].linkname == __version__


def test_everything_belongs_to_root_and_nobody_else_may_write(layout: pathlib.Path) -> None:
    for name, member in members(layout).items():
        assert (member.uid, member.gid) == (0, 0)
        assert member.issym() or name == "tmp" or not member.mode & 0o022, name
        assert not member.mode & 0o6000, name


def test_names_are_sorted_and_each_folder_comes_before_what_is_in_it(layout: pathlib.Path) -> None:
    for layer in manifest(layout)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layout, layer)))) as archive:
            names = archive.getnames()
        assert names == sorted(names)
        assert {str(pathlib.PurePosixPath(name).parent) for name in names} <= {".", *names}


def test_licence_texts_of_the_systems_part_are_in_it_and_a_list_of_all(layout: pathlib.Path) -> None:
    found = members(layout)
    assert {f"usr/share/doc/{name}/copyright" for name in ("libc6", "zlib1g", "ca-certificates")} <= set(found)
    inside = (BUILT / "_internal" / sbom.NAME).read_bytes()
    entries = image.base_entries(runtime.libraries(BUILT), inside, EPOCH)
    listed = json.loads(entries[f"usr/share/doc/nodeseal/image.{sbom.NAME}"].content or b"")
    names = [each["name"] for each in listed["components"]]
    assert {"libc6", "ca-certificates", "CPython"} <= set(names)
    references = [each["bom-ref"] for each in listed["components"]]
    assert len(set(references)) == len(references)
    assert [each for each in json.loads(inside)["components"] if each not in listed["components"]] == []


def test_the_dockerfile_says_the_same(layout: pathlib.Path) -> None:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    settings = image.config(__version__, EPOCH)["config"]
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["scratch"]
    assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0]) == settings["Entrypoint"]
    assert re.findall(r"^ENV (.*)$", text, re.MULTILINE) == settings["Env"]
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == [settings["User"]]
    assert re.findall(r"^WORKDIR (.*)$", text, re.MULTILINE) == [settings["WorkingDir"]]
    assert dict(re.findall(r'([\w.]+)="([^"]*)"', text)) == settings["Labels"]
    with tarfile.open(layout.with_name("rootfs") / "rootfs.tar") as archive:
        assert {member.name for member in archive} == set(members(layout))


def test_a_library_that_is_missing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glibc, "programs", lambda folder: [folder / "nodeseal"])
    monkeypatch.setattr(
        subprocess, "run",
        lambda *_, **__: type("Said", (), {"stdout": "\tlibz.so.1 => not found\n"})(),
    )  # fmt: skip
    with pytest.raises(SystemExit, match="not here"):
        runtime.libraries(BUILT)
