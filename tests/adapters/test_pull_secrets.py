"""Credentials of Secrets on a node: who may read them, what is left of them, and what is believed."""

import os
import pathlib

import pytest

from agent.adapters import pull_secrets
from agent.adapters.credentials import CredentialFiles
from agent.adapters.pull_secrets import FOLDER, PullSecretFiles, credential_files
from agent.model.reference import Repository

CONTENT = b'{"auths": {"r.example": {"username": "u", "password": "p"}}}'
REPOSITORY = Repository("r.example", "team/app")
LONGEST = "a" * 253


@pytest.mark.parametrize("name", ["pull", "a.b", LONGEST])
def test_what_is_written_is_read_by_nobody_else_and_found_by_its_name(tmp_path: pathlib.Path, name: str) -> None:
    PullSecretFiles(str(tmp_path)).write(name, CONTENT)
    for path in (tmp_path / "run/nodeseal").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    keyring = CredentialFiles(credential_files(str(tmp_path), [name]))()
    assert keyring is not None
    (found,) = keyring.credentials(REPOSITORY)
    assert found.password.reveal() == "p"


def test_what_is_written_again_counts_at_once(tmp_path: pathlib.Path) -> None:
    files, read = PullSecretFiles(str(tmp_path)), CredentialFiles(credential_files(str(tmp_path), ["pull"]))
    files.write("pull", CONTENT)
    read()
    files.write("pull", CONTENT.replace(b'"p"', b'"new"'))
    keyring = read()
    assert keyring is not None
    assert keyring.credentials(REPOSITORY)[0].password.reveal() == "new"
    files.drop("pull")
    keyring = read()
    assert keyring is not None
    assert (keyring.credentials(REPOSITORY), keyring.complaint(REPOSITORY)[:12]) == ((), "Secret pull:")


def test_all_others_are_removed_and_nothing_is_made(tmp_path: pathlib.Path) -> None:
    files = PullSecretFiles(str(tmp_path))
    files.keep_only(())
    files.drop("none")
    assert list(tmp_path.iterdir()) == []
    for name in ("a", "b", "c"):
        files.write(name, CONTENT)
    files.keep_only(["b", "d"])
    assert os.listdir(tmp_path / FOLDER) == ["b"]


def test_what_others_could_have_put_there_is_not_believed_and_not_followed(tmp_path: pathlib.Path) -> None:
    files = PullSecretFiles(str(tmp_path))
    files.write("pull", CONTENT)
    path = tmp_path / FOLDER / "pull/config.json"
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    keyring = CredentialFiles(credential_files(str(tmp_path), ["pull"]))()
    assert keyring is not None
    assert "symbolic link" in keyring.complaint(REPOSITORY)
    files.drop("pull")
    assert (tmp_path / "elsewhere").exists()
    path.parent.mkdir(mode=0o777)
    path.parent.chmod(0o777)
    with pytest.raises(PermissionError):
        files.write("pull", CONTENT)


@pytest.mark.parametrize(
    ("kind", "expected"), [("tmpfs", True), ("ramfs", True), ("ext4", False), ("overlay", False), (None, False)]
)
def test_whether_a_disk_is_reached_is_told_by_the_file_system(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, expected: bool
) -> None:
    files = PullSecretFiles(str(tmp_path))
    assert not files.in_memory()
    files.write("pull", CONTENT)
    device = os.stat(tmp_path / FOLDER).st_dev
    mine = f"25 1 {os.major(device)}:{os.minor(device)} / /run rw shared:5 - {kind} run rw\n" if kind else ""
    (tmp_path / "mounts").write_text(f"24 1 0:9999 / / rw - tmpfs x rw\n{mine}")
    monkeypatch.setattr(pull_secrets, "_MOUNTS", str(tmp_path / "mounts"))
    assert files.in_memory() is expected
