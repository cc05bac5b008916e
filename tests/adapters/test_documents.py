"""Documents: what counts as one, which path names which, and whose files are never read."""

import os
from pathlib import Path

import pytest

from agent.adapters import documents
from agent.adapters.documents import DocumentSet
from agent.config import documentset
from agent.errors import ConfigurationError, HostError, UsageError


def _write(folder: Path, **contents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _write(tmp_path / "set", config_json="{}", ca_crt="one", other_PEM="two", policy_rego="three")


def _found(found: DocumentSet, path: str) -> list[str]:
    return [document.content.decode() for document in found.find(path)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/root/.ratify/certs/ca.crt", ["one"]),
        ("ca.crt", ["one"]),
        ("../../ca.crt", ["one"]),
        ("~/ca.crt", ["one"]),
        ("/x/policy.rego", ["three"]),
        ("/root/.ratify/ratify-certs/notation/truststore", ["one", "two"]),
        ("certs/", ["one", "two"]),
        ("/etc/certs///", ["one", "two"]),
        (".", ["one", "two"]),
        ("/", ["one", "two"]),
        ("/x/missing.crt", []),
        ("missing.pem", []),
        ("CA.CRT", []),
    ],
)
def test_a_path_names_a_document_by_its_last_component(folder: Path, path: str, expected: list[str]) -> None:
    assert _found(DocumentSet.read(str(folder)), path) == expected


def test_without_certificates_a_folder_names_nothing(tmp_path: Path) -> None:
    assert _found(DocumentSet.read(str(_write(tmp_path, config_json="{}"))), "/certs") == []


def test_documents_that_nobody_names_are_told(folder: Path) -> None:
    found = DocumentSet.read(str(folder))
    found.find("ca.crt")
    assert [(problem.path, problem.fatal) for problem in found.problems()] == [
        ("other.PEM", False),
        ("policy.rego", False),
    ]


def test_hidden_files_and_folders_are_no_documents(folder: Path) -> None:
    _write(folder, _hidden="x")
    (folder / ".hidden.crt").write_text("x")
    (folder / "nested.crt").mkdir()
    assert _found(DocumentSet.read(str(folder)), "/certs") == ["one", "two"]


# ConfigMaps as the kubelet mounts them


def _mount(folder: Path, version: str, **contents: str) -> None:
    """What the kubelet's atomic writer does."""
    _write(folder / f"..{version}", **contents)
    (folder / "..tmp").symlink_to(f"..{version}")
    (folder / "..tmp").rename(folder / "..data")
    for name in contents:
        visible = folder / name.replace("_", ".")
        if not visible.is_symlink():
            visible.symlink_to(f"..data/{visible.name}")


def test_a_mounted_configmap_is_read(tmp_path: Path) -> None:
    _mount(tmp_path, "1", config_json="{}", ca_crt="one")
    found = DocumentSet.read(str(tmp_path))
    assert found.configuration.content == b"{}"
    assert found.configuration.origin == f"{tmp_path}/config.json"
    assert _found(found, "/etc/ca.crt") == ["one"]


def test_an_update_of_a_mount_never_mixes_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mount(tmp_path, "1", config_json="1", ca_crt="1")
    content = documents._Reader.content

    def updated(reader: documents._Reader, path: str) -> bytes:
        monkeypatch.undo()
        first = content(reader, path)
        _mount(tmp_path, "2", config_json="2", ca_crt="2")
        for name in ("ca.crt", "config.json"):
            (tmp_path / "..1" / name).unlink()
        (tmp_path / "..1").rmdir()
        return first

    monkeypatch.setattr(documents._Reader, "content", updated)
    found = DocumentSet.read(str(tmp_path))
    assert found.configuration.content == b"2"
    assert _found(found, "ca.crt") == ["2"]


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.crt").symlink_to("policy.rego")
    assert _found(DocumentSet.read(str(folder)), "link.crt") == ["three"]


@pytest.mark.parametrize("target", ["../outside.crt", "{}/outside.crt", "nowhere", "../nowhere"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, target: str) -> None:
    (folder.parent / "outside.crt").write_text("secret")
    (folder / "link.crt").symlink_to(target.format(folder.parent))
    found = DocumentSet.read(str(folder))
    assert found.find("link.crt") == ()
    assert [problem.path for problem in found.problems() if problem.fatal] == ["link.crt"]


def test_a_folder_whose_name_begins_alike_is_outside(folder: Path) -> None:
    _write(folder.parent / "set2", ca_crt="x")
    (folder / "link.crt").symlink_to("../set2/ca.crt")
    assert DocumentSet.read(str(folder)).find("link.crt") == ()


def test_a_mount_that_leads_out_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "out", config_json="{}")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "..data").symlink_to("../out")
    with pytest.raises(ConfigurationError) as caught:
        DocumentSet.read(str(tmp_path / "set"))
    assert [problem.path for problem in caught.value.problems] == ["config.json"]


def test_a_pipe_does_not_hold_us_up(folder: Path) -> None:
    os.mkfifo(folder / "pipe.crt")
    found = DocumentSet.read(str(folder))
    assert [(problem.path, problem.fatal) for problem in found.problems()][:1] == [("pipe.crt", True)]
    with pytest.raises(HostError, match="regular"):
        DocumentSet.read(str(folder / "pipe.crt"))


# Bounds


def test_a_large_document_is_refused(folder: Path) -> None:
    (folder / "ca.crt").write_bytes(b"x" * (documentset.MAX_SIZE + 1))
    found = DocumentSet.read(str(folder))
    assert found.find("ca.crt") == ()
    assert [problem.path for problem in found.problems() if problem.fatal] == ["ca.crt"]


@pytest.mark.parametrize(("bound", "value"), [("MAX_DOCUMENTS", 2), ("MAX_TOTAL", 6)])
def test_many_documents_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(documents, bound, value)
    fatal = [problem for problem in DocumentSet.read(str(folder)).problems() if problem.fatal]
    assert len(fatal) == 1
    assert str(value) in fatal[0].got


# One file, and the host's paths


def test_one_file_of_any_name_is_a_set_of_one(folder: Path) -> None:
    (folder / "mine.json").write_text("7")
    found = DocumentSet.read(str(folder / "mine.json"))
    assert (found.configuration.name, found.configuration.content) == ("mine.json", b"7")
    assert found.find("ca.crt") == ()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ca.crt", ["one"]),
        ("./ca.crt", ["one"]),
        ("~/home.crt", ["home"]),
        ("~/deep", ["deep", "deeper"]),
        ("nowhere", []),
        ("nowhere.crt", []),
        ("\0", []),
    ],
)
def test_a_persons_command_may_read_the_hosts_files(folder: Path, path: str, expected: list[str]) -> None:
    home = _write(folder.parent / "home", home_crt="home")
    _write(home / "deep", a="deep", _hidden="x")
    _write(home / "deep" / "er", b_crt="deeper")
    found = DocumentSet.read(str(folder / "config.json"), home=str(home))
    assert _found(found, path) == expected


def test_the_set_comes_before_the_host(folder: Path, tmp_path: Path) -> None:
    host = _write(tmp_path / "host", ca_crt="host", new_crt="host")
    found = DocumentSet.read(str(folder), home="/")
    assert _found(found, f"{host}/ca.crt") == ["one"]
    assert _found(found, str(host)) == ["one", "two"]
    assert _found(found, f"{host}/new.crt") == ["host"]


def test_without_a_home_nothing_of_the_host_is_read(folder: Path, tmp_path: Path) -> None:
    host = _write(tmp_path / "host", new_crt="host")
    assert DocumentSet.read(str(folder)).find(f"{host}/new.crt") == ()
    assert DocumentSet.read(str(folder / "config.json")).find(str(host)) == ()


def test_a_mounted_folder_of_the_host_is_read_through_its_link(tmp_path: Path) -> None:
    _mount(tmp_path / "certs", "1", a_crt="a")
    _write(tmp_path, config_json="{}")
    (found,) = DocumentSet.read(str(tmp_path / "config.json"), home="/").find("certs")
    assert (found.content, found.origin) == (b"a", f"{tmp_path}/certs/..1/a.crt")


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, config_json="{}")
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "again").symlink_to(".")
    found = DocumentSet.read(str(tmp_path / "config.json"), home="/")
    assert found.find("certs") == ()
    assert [(problem.got, problem.fatal) for problem in found.problems()] == [("folders more than 8 deep", True)]


# Nothing to read


def test_what_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing there"):
        DocumentSet.read(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"expected config\.json or nodeseal\.yaml in this folder"):
        DocumentSet.read(str(tmp_path))


def test_what_can_not_be_read_is_an_error_of_the_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HostError, match="Permission denied"):
        DocumentSet.read(str(folder))


@pytest.mark.parametrize("name", ["config.json", "config.yaml", "nodeseal.yaml", "nodeseal.json"])
def test_one_configuration_of_any_known_name_is_the_configuration(tmp_path: Path, name: str) -> None:
    found = DocumentSet.read(str(_write(tmp_path / "set", **{name: "{}", "other.txt": "x"})))
    assert found.configuration.name == name
    assert found.beside is None


@pytest.mark.parametrize("main", ["config.json", "config.yaml"])
@pytest.mark.parametrize("own", ["nodeseal.yaml", "nodeseal.json"])
def test_our_own_document_lies_beside_ratifys(tmp_path: Path, main: str, own: str) -> None:
    found = DocumentSet.read(str(_write(tmp_path / "set", **{main: "{}", own: "own"})))
    assert found.configuration.name == main
    assert found.beside is not None
    assert (found.beside.name, found.beside.content) == (own, b"own")
    assert found.problems() == ()


@pytest.mark.parametrize("names", [["config.json", "config.yaml"], ["nodeseal.yaml", "nodeseal.json"]])
def test_two_configurations_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        DocumentSet.read(str(_write(tmp_path / "set", **dict.fromkeys(names, "{}"))))
    assert caught.value.problems[0].got == " and ".join(names)


@pytest.mark.parametrize("path", ["policy.rego", "/root/.ratify/policy.rego", "~/policy.rego"])
def test_a_path_of_a_file_names_one_document_whatever_it_holds(folder: Path, path: str) -> None:
    found = DocumentSet.read(str(folder))
    document = found.file(path)
    assert document is not None
    assert document.content == b"three"
    assert "policy.rego" not in [problem.path for problem in found.problems()]


@pytest.mark.parametrize("path", ["other.rego", "", "/", "certs/"])
def test_a_path_that_names_no_document_is_none(folder: Path, path: str) -> None:
    assert DocumentSet.read(str(folder)).file(path) is None


def test_a_persons_command_may_read_a_file_of_the_host(folder: Path, tmp_path: Path) -> None:
    elsewhere = _write(tmp_path / "elsewhere", p_rego="four")
    mine = DocumentSet.read(str(folder), home=str(elsewhere))
    for path in (f"{elsewhere}/p.rego", "../elsewhere/p.rego", "~/p.rego"):
        document = mine.file(path)
        assert document is not None
        assert document.content == b"four"
    assert mine.file(str(elsewhere)) is None
    assert mine.file("~/nothing.rego") is None
    assert DocumentSet.read(str(folder)).file(f"{elsewhere}/p.rego") is None


# Signatures, and paths that lead out of the set


def test_the_signatures_are_beside_the_set_and_no_path_leads_to_them(tmp_path: Path) -> None:
    folder = _write(tmp_path, config_json="{}")
    (folder / "nodeseal.sig").write_text("QUJD")
    found = DocumentSet.read(str(folder))
    assert found.signatures is not None
    assert found.signatures.content == b"QUJD"
    assert found.find("nodeseal.sig") == ()
    assert found.file("/etc/nodeseal.sig") is None
    assert "nodeseal.sig" not in found.contents
    assert found.problems() == ()


def test_every_document_of_the_set_is_among_its_contents(folder: Path) -> None:
    (folder / "notes.txt").write_text("read by nobody")
    (folder / ".hidden").touch()
    (folder / "below").mkdir()
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    contents = DocumentSet.read(str(folder)).contents
    assert sorted(contents) == names
    assert contents["notes.txt"] == b"read by nobody"


def test_paths_that_only_the_host_could_have_are_told_where_it_does_not_count(folder: Path) -> None:
    found, asked = DocumentSet.read(str(folder)), ("/etc/nowhere.crt", "other.rego", "/root/.config/notation")
    found.find(asked[0])
    found.find("/etc/certs")
    found.file(asked[1])
    found.tree(asked[2], ("trustpolicy.json",))
    assert found.outside == asked
    persons = DocumentSet.read(str(folder), home="/")
    persons.find(asked[0])
    assert persons.outside == ()
