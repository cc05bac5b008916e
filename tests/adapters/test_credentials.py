"""Docker configurations on disk: which files are believed, when they are read."""

import base64
import json
import os
import pathlib
from typing import Any

import pytest

from agent.adapters import credentials
from agent.adapters.credentials import CredentialFile, CredentialFiles
from agent.model.reference import Repository

SHOP = Repository("registry.example.com", "shop/cart")


def content(word: str = "hunter2", host: str = SHOP.host) -> str:
    """A docker configuration."""
    return json.dumps({"auths": {host: {"auth": base64.b64encode(f"jo:{word}".encode()).decode()}}})


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    """A good one."""
    path = tmp_path / "docker-config.json"
    path.write_text(content())
    path.chmod(0o600)
    return path


def passwords(*files: CredentialFile) -> list[str]:
    """What the files hold for the shop."""
    keyring = CredentialFiles(files)()
    return [] if keyring is None else [each.password.reveal() for each in keyring.credentials(SHOP)]


def complaint(path: pathlib.Path, *, personal: bool = False) -> str:
    """Why a file gives nothing."""
    keyring = CredentialFiles([CredentialFile(str(path), personal)])()
    assert keyring is not None
    assert keyring.credentials(SHOP) == ()
    told = keyring.complaint(SHOP)
    assert str(path) in told
    assert "hunter2" not in told
    return told


def test_a_file_is_read(file: pathlib.Path) -> None:
    assert passwords(CredentialFile(str(file))) == ["hunter2"]


def test_no_file_is_no_keyring(tmp_path: pathlib.Path, file: pathlib.Path) -> None:
    for missing in (tmp_path / "none", tmp_path / "none" / "config.json", file / "config.json"):
        assert CredentialFiles([CredentialFile(str(missing))])() is None
    assert passwords(CredentialFile(str(tmp_path / "none")), CredentialFile(str(file))) == ["hunter2"]
    assert CredentialFiles([])() is None


def test_a_symbolic_link_is_not_followed_on_a_node(tmp_path: pathlib.Path, file: pathlib.Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert "is a symbolic link" in complaint(link)
    assert passwords(CredentialFile(str(link), personal=True)) == ["hunter2"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_believed(file: pathlib.Path, mode: int) -> None:
    file.chmod(mode)
    for personal in (False, True):
        assert f"others may write to (mode {mode:04o})" in complaint(file, personal=personal)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_node_file_that_others_may_read_is_refused(file: pathlib.Path, mode: int) -> None:
    file.chmod(mode)
    assert f"others may read (mode {mode:04o})" in complaint(file)
    assert passwords(CredentialFile(str(file), personal=True)) == ["hunter2"]


def test_a_file_of_somebody_else_is_not_believed(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat

    def of_another_user(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[4] = 12345
        return os.stat_result(found)

    monkeypatch.setattr("agent.adapters.credentials.os.fstat", of_another_user)
    for personal in (False, True):
        assert "belongs to uid 12345" in complaint(file, personal=personal)


def test_what_is_no_file_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is no regular file" in complaint(tmp_path / "pipe")
    assert "is no regular file" in complaint(tmp_path)


def test_a_file_that_can_not_be_opened_is_told(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("agent.adapters.credentials.os.open", refuse)
    assert "can't be opened (Permission denied)" in complaint(file)


def test_a_file_that_can_not_be_read_is_told(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("agent.adapters.credentials.os.read", fail)
    assert "can't be read (Input/output error)" in complaint(file)


@pytest.mark.parametrize("text", ["", "hunter2", "[]", '{"auths": "hunter2"}', "{" + " " * (1024 * 1024) + "}"])
def test_a_file_of_another_form_is_told(file: pathlib.Path, text: str) -> None:
    file.write_text(text)
    complaint(file)


def test_the_largest_file(file: pathlib.Path) -> None:
    file.write_text(content() + " " * (1024 * 1024 - len(content())))
    assert passwords(CredentialFile(str(file))) == ["hunter2"]


def test_the_first_file_comes_first(tmp_path: pathlib.Path, file: pathlib.Path) -> None:
    other = tmp_path / "config.json"
    other.write_text(content("other"))
    node, person = CredentialFile(str(file)), CredentialFile(str(other), personal=True)
    assert passwords(node, person) == ["hunter2", "other"]
    file.chmod(0o644)
    assert passwords(node, person) == ["other"]


def test_a_file_is_read_again_only_if_it_changed(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    real = credentials._content

    def counted(descriptor: int) -> bytes:
        reads.append("read")
        return real(descriptor)

    monkeypatch.setattr(credentials, "_content", counted)
    files = CredentialFiles([CredentialFile(str(file))])
    first, second = files(), files()
    assert first is not None
    assert second is not None
    assert first.credentials(SHOP) == second.credentials(SHOP)
    assert reads == ["read"]
    replacement = file.with_name("new")
    replacement.write_text(content("new"))
    replacement.chmod(0o600)
    replacement.rename(file)
    third = files()
    assert third is not None
    assert [each.password.reveal() for each in third.credentials(SHOP)] == ["new"]
    file.unlink()
    assert files() is None
