"""`nodeseal trust-root`: a person fetches a trusted root, and looks at one."""

import argparse
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.errors import HostError
from agent.modes import trustroot
from agent.trust import trustedroot_document
from tests.adapters.test_tufrepository import FIRST, SECOND
from tests.commands import Said
from tests.signing_sigstore import instance
from tests.simulators.certificates import Authority
from tests.simulators.keyserver import KeyServer
from tests.simulators.tufrepository import TufMirror, TufRepository, in_days, slow


class World:
    """A private repository, and a person in a folder."""

    def __init__(self, folder: Path, mirror: TufMirror, run: Callable[..., Said]) -> None:
        """The person has its first root."""
        self.folder = folder
        self.mirror = mirror
        self.repository = mirror.repository
        self.run = run
        self.out = folder / "trusted_root.json"
        (folder / "root.json").write_bytes(self.repository.first_root)

    def update(self, *words: str, mirror: str = "") -> Said:
        """`trust-root update` of it."""
        usual = ("--mirror", mirror or self.mirror.url, "--root", "root.json", "--state", "state")
        return self.run("trust-root", "update", *usual, *words)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", *words])
        found = capsys.readouterr()
        return Said(int(str(ended.value.code)), found.out, found.err)

    return call


@pytest.fixture
def world(tmp_path: Path, run: Callable[..., Said]) -> Iterator[World]:
    """A good repository, served."""
    with TufMirror(TufRepository(FIRST)) as mirror:
        yield World(tmp_path, mirror, run)


def test_a_trusted_root_is_fetched_and_what_it_says_is_told(world: World) -> None:
    said = world.update()
    assert said.code == 0, said.err
    assert world.out.read_bytes() == FIRST
    assert f"trusted_root.json: updated, from {world.mirror.url}\n" in said.out
    assert re.search(r"certificate authorities\n  CN=Sigstore,\S+, [0-9a-f]{12}: \S+ to \S+ \(counts\)\n", said.out)
    assert "transparency logs\n  rekor.example.test, " in said.out
    assert "new signatures can count until " in said.out
    assert said.err == ""
    assert world.out.stat().st_mode & 0o777 == 0o644
    assert (world.folder / "state").stat().st_mode & 0o777 == 0o700


def test_the_same_again_changes_nothing_and_a_newer_one_takes_its_place(world: World) -> None:
    world.update()
    inode = world.out.stat().st_ino
    assert "trusted_root.json: unchanged" in world.update().out
    assert world.out.stat().st_ino == inode
    world.repository.publish(SECOND)
    assert "trusted_root.json: updated" in world.update().out
    assert world.out.read_bytes() == SECOND
    assert sorted(os.listdir(world.folder)) == ["root.json", "state", "trusted_root.json"]


def test_a_folder_of_files_is_a_mirror(world: World) -> None:
    folder = world.repository.write(world.folder / "a mirror")
    said = world.update(mirror=f"file://{str(folder).replace(' ', '%20')}")
    assert said.code == 0, said.err
    assert world.out.read_bytes() == FIRST
    assert world.mirror.asked == []


def test_a_mirror_is_believed_to_be_itself_by_the_cas_that_are_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    ca = Authority(tmp_path / "ca")
    with KeyServer(ca) as server:
        for name, content in world.repository.files.items():
            server.serve(f"/{name}", content)
        said = world.update(mirror=server.url)
        assert said.code == 11
        assert "TLS failed" in said.err
        said = world.update("--ca-bundle", str(ca.bundle), mirror=server.url)
        assert said.code == 0, said.err
    assert world.out.read_bytes() == FIRST


def test_standard_output_has_the_file_and_nothing_else(world: World) -> None:
    said = world.update("--out", "-")
    assert said.out.encode() == FIRST
    assert "transparency logs" in said.err
    assert not world.out.exists()


def test_for_programs_it_is_json(world: World) -> None:
    world.update()
    told = json.loads(world.update("--format", "json").out)
    assert (told["schemaVersion"], told["result"], told["mirror"]) == ("1", "unchanged", world.mirror.url)
    assert told["stale"] is False
    assert {each["kind"] for each in told["members"]} == set(trustroot._KINDS)
    assert all(each["counts"] for each in told["members"])


def _expired(world: World) -> None:
    world.repository.timestamp.expires = in_days(-1)
    world.repository.publish(SECOND)


def _nobody(world: World) -> None:
    world.mirror.down = True


def _slow(world: World) -> None:
    world.mirror.misbehaving["timestamp.json"] = slow


@pytest.mark.parametrize(
    ("spoil", "code", "text"), [(_expired, 10, "is expired"), (_nobody, 11, "closed"), (_slow, 11, "in time")]
)
def test_whatever_goes_wrong_the_file_that_was_there_stays(
    world: World, spoil: Callable[[World], None], code: int, text: str
) -> None:
    world.update()
    spoil(world)
    said = world.update("--timeout", "1")
    assert said.code == code
    assert text in said.err
    assert "nothing was changed: trusted_root.json is as it was" in said.err
    assert ("next step: check name, network and proxy; " in said.err) == (code == 11)
    assert world.out.read_bytes() == FIRST


def test_a_first_failure_leaves_no_file(world: World) -> None:
    _expired(world)
    said = world.update()
    assert "nothing was changed" not in said.err
    assert "next step: whoever keeps the repository has to sign it anew" in said.err
    assert not world.out.exists()


def test_a_private_repository_needs_a_first_root(world: World) -> None:
    said = world.run("trust-root", "update", "--mirror", world.mirror.url)
    assert (said.code, world.mirror.asked) == (2, [])
    assert "got no root.json for it; expected --root FILE" in said.err


def test_the_root_that_is_built_in_is_for_the_public_instance(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.modes.trustroot.PUBLIC_GOOD", world.mirror.url)
    said = world.run("trust-root", "update", "--mirror", f"{world.mirror.url}/", "--state", "state")
    assert said.code == 10, said.err  # this mirror is not the public instance's
    assert world.mirror.asked[0] == "16.root.json"
    assert "got Final root.json is expired" in said.err or "expected signatures" in said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--mirror", "ftp://x"), "expected an absolute http or https URL, or file:/// and a folder"),
        (("--mirror", "/media/tuf"), "expected an absolute http or https URL, or file:/// and a folder"),
        (("--mirror", "https://x/?a=b"), "got a URL with a query; expected none"),
        (("--mirror", "file:///not/there"), "expected file:/// and a folder that is there"),
        (("--mirror", "file://host/x"), "expected file:/// and a folder that is there"),
        (("--root", "missing.json"), "missing.json: got nothing there; expected root.json of a TUF repository"),
        (("--out", "state"), "--out: got the folder state; expected a file, or -"),
        (("--out", "no/where.json"), "whose folder is not there"),
        (("--out", "/dev/null"), "no regular file; expected one, or -"),
        (("--timeout", "0"), "expected a number of seconds above 0"),
    ],
)
def test_what_is_not_meant_is_a_usage_error(world: World, words: tuple[str, str], text: str) -> None:
    world.update()
    said = world.update(*words)
    assert said.code == 2
    assert text in said.err
    assert world.out.read_bytes() == FIRST


def test_a_first_root_that_is_none_is_refused_before_anybody_is_asked(world: World) -> None:
    (world.folder / "root.json").write_bytes(b"{}")
    said = world.update()
    assert (said.code, world.mirror.asked) == (10, [])
    assert "root.json: got" in said.err


def test_what_can_not_be_written_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.adapters.files.replace", full)
    said = world.update()
    assert said.code == 5
    assert "No space left on device; expected to write the trusted root there" in said.err


def test_what_can_not_be_read_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.out.write_bytes(SECOND)

    def refusing(path: object, mode: str = "r", *_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refusing)
    with pytest.raises(HostError, match=r"trusted_root\.json: got Permission denied; expected to read and replace it"):
        trustroot._replaceable("trusted_root.json")


def test_a_link_that_somebody_else_put_there_is_not_followed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root in a folder of everybody's, where the kernel would not follow it either (`fs.protected_symlinks`)."""
    other = world.folder / "passwd"
    other.write_text("root")
    world.out.symlink_to("between")
    (world.folder / "between").symlink_to(other)
    found = os.lstat

    def foreign(path: str, **options: Any) -> os.stat_result:
        """Whose the second link is."""
        told = list(found(path, **options))
        told[4] += 1 if str(path).endswith("between") else 0
        return os.stat_result(told)

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", foreign)
        said = world.update()
    assert said.code == 5
    assert "got a link of somebody else; expected to write the trusted root there" in said.err
    assert other.read_text() == "root"
    (world.folder / "between").unlink()
    (world.folder / "between").symlink_to("trusted_root.json")
    assert world.update().code == 5


def test_a_link_stays_a_link_to_what_is_replaced(world: World) -> None:
    (world.folder / "real.json").write_bytes(SECOND)
    world.out.symlink_to("real.json")
    world.update()
    assert world.out.is_symlink()
    assert (world.folder / "real.json").read_bytes() == FIRST


@pytest.mark.parametrize("uid", [0, 1000])
def test_who_names_no_state_has_one_of_his_own(tmp_path: Path, uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setattr("agent.modes.place.usual_root", lambda: str(tmp_path))
    options = argparse.Namespace(state=None)
    expected = f"{tmp_path}/var/lib/nodeseal/tuf" if uid == 0 else "/home/x/.local/state/nodeseal/tuf"
    assert trustroot._state(options, {"HOME": "/home/x"}) == expected
    if uid:
        assert trustroot._state(options, {"HOME": "/home/x", "XDG_STATE_HOME": "/s"}) == "/s/nodeseal/tuf"
        return
    assert (tmp_path / "var/lib/nodeseal").stat().st_mode & 0o777 == 0o700
    (tmp_path / "var/lib/nodeseal").chmod(0o777)
    with pytest.raises(HostError, match="expected to keep there what was seen of mirrors"):
        trustroot._state(options, {})


def test_show_tells_what_counts_and_what_is_over(tmp_path: Path, run: Callable[..., Said]) -> None:
    over = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
    later = {"start": "2120-01-01T00:00:00Z"}
    (tmp_path / "old.json").write_text(json.dumps(instance(0).trusted_root(rekor1=over, rekor2=over, ct=later)))
    said = run("trust-root", "show", "old.json")
    assert said.code == 0, said.err
    assert "2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z (is over)" in said.out
    assert "from 2120-01-01T00:00:00Z on (not yet)" in said.out
    assert "STALE since 2021-01-01T00:00:00Z: of one kind all has ended; expected a newer trusted root" in said.out
    assert json.loads(run("trust-root", "show", "old.json", "--format", "json").out)["stale"] is True


def test_show_reads_standard_input_and_refuses_what_is_none(
    tmp_path: Path, run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    said = run("trust-root", "show", "-")
    assert said.code == 10
    assert "got mediaType none; expected one of application/vnd.dev.sigstore.trustedroot" in said.err
    assert "next step: name a trusted_root.json: nodeseal trust-root update fetches one" in said.err
    assert run("trust-root", "show", "nothing.json").code == 2
    assert run("trust-root", "show", ".").code == 5
    (tmp_path / "large.json").write_bytes(b" " * (trustedroot_document.MAX_SIZE + 1))
    assert run("trust-root", "show", "large.json").code == 10


def test_a_trusted_root_without_ends_and_with_one_kind_says_so(tmp_path: Path, run: Callable[..., Said]) -> None:
    value = instance(0).trusted_root()
    value["certificateAuthorities"] = value["timestampAuthorities"] = []
    value["tlogs"][0]["publicKey"]["rawBytes"] = "MAA="
    (tmp_path / "some.json").write_text(json.dumps(value))
    said = run("trust-root", "show", "some.json")
    assert "certificate authorities: none" in said.out
    assert "left out: some.json.tlogs[0]: got" in said.out
    assert "nothing in it is known to end" in said.out


def test_nothing_of_tuf_is_loaded_before_something_is_fetched() -> None:
    """By the daemon, by what publishes, or by a command that only shows."""
    code = (
        "import sys, agent.modes.daemon, agent.modes.clustering, agent.modes.keys, agent.modes.trustroot\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('tuf', 'securesystemslib')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
