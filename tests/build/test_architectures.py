"""The other architecture: what can be told of it on this one.  Nothing is built across."""

import pathlib
import re

import image
import portable
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for path in (*(ROOT / "build").iterdir(), *(ROOT / "container").iterdir()) if path.is_file())
_ONE, _OTHER = re.compile(r"x86[-_]64|amd64|i386"), re.compile(r"aarch64|arm64")


@pytest.mark.parametrize("path", [*SCRIPTS, ROOT / "Makefile"], ids=lambda path: path.name)
def test_whatever_is_for_one_architecture_stands_beside_that_for_the_other(path: pathlib.Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        assert not _ONE.search(line) or _OTHER.search(line), line


def test_the_image_says_the_architecture_in_its_own_words_without_a_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, name in (("x86_64", "amd64"), ("aarch64", "arm64")):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        settings = image.config("0.1.0", 0)
        assert settings["architecture"] == name
        assert "variant" not in settings
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SystemExit, match="got a machine riscv64; expected one of x86_64, aarch64"):
        image.config("0.1.0", 0)


def test_the_platform_of_the_index_is_the_images(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    image.write_layout(tmp_path / "layout", [b"layer"], image.config("0.1.0", 0), "0.1.0")
    (described,) = yaml.safe_load((tmp_path / "layout/index.json").read_text())["manifests"]
    assert described["platform"] == {"architecture": "arm64", "os": "linux"}


def test_portable_programs_know_the_same_architectures() -> None:
    assert set(portable._OLD) == set(image.ARCHITECTURES)


def test_the_daemonset_runs_only_where_the_image_does() -> None:
    for document in yaml.safe_load_all((ROOT / "daemonset.yaml").read_text("utf-8")):
        if document["kind"] == "DaemonSet":
            assert document["spec"]["template"]["spec"]["nodeSelector"]["kubernetes.io/arch"] == "amd64"
