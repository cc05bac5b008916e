"""Fetching a trusted root out of a TUF repository: what is taken, and what is refused, each named after its defect."""

import json
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from agent.adapters import publicgood, tufmirror, tufrepository
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.tufmirror import FolderMirror, HttpMirror, Mirror
from agent.config import trustroots
from agent.errors import Cause, HostError, LimitExceeded, Malformed, NodesealError, Unavailable
from agent.registry.urls import Url
from tests.signing_sigstore import instance
from tests.simulators import tufrepository as simulated
from tests.simulators.tufrepository import TufMirror, TufRepository, in_days

FIRST, SECOND = (json.dumps(instance(number).trusted_root()).encode() for number in (0, 1))


class World:
    """A repository, its mirror, and who fetches."""

    def __init__(self, folder: Path, mirror: TufMirror) -> None:
        """Nothing was fetched."""
        self.folder = folder
        self.mirror = mirror
        self.repository = mirror.repository

    def fetch(self, *, seconds: float = 60.0, first_root: bytes = b"") -> bytes:
        """Fetch over HTTP."""
        mirror = HttpMirror(Url.parse(self.mirror.url, "mirror"), proxies=ProxySettings(), local=True, seconds=seconds)
        return self.from_mirror(mirror, first_root)

    def from_mirror(self, mirror: Mirror, first_root: bytes = b"") -> bytes:
        """Fetch from any mirror."""
        try:
            return tufrepository.fetch(
                mirror, first_root=first_root or self.repository.first_root, folder=str(self.folder / "kept")
            )
        finally:
            mirror.close()

    def refused(self, kind: type[NodesealError] = Malformed, **options: float) -> str:
        """What is said of a fetch that comes to nothing."""
        with pytest.raises(kind) as caught:
            self.fetch(**options)  # type: ignore[arg-type]
        return caught.value.message


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A good repository, served."""
    with TufMirror(TufRepository(FIRST)) as mirror:
        yield World(tmp_path, mirror)


def test_the_target_is_fetched_and_asked_for_again_only_when_it_is_another(world: World) -> None:
    assert world.fetch() == FIRST
    asked = list(world.mirror.asked)
    assert [name.partition(".")[2] for name in asked[:1]] == ["root.json"]
    world.mirror.asked.clear()
    assert world.fetch() == FIRST
    assert world.mirror.asked == ["2.root.json", "timestamp.json"]
    world.repository.publish(SECOND)
    assert world.fetch() == SECOND


def test_what_was_seen_is_kept_for_nobody_else(world: World) -> None:
    world.fetch()
    assert {os.stat(world.folder / "kept" / name).st_mode & 0o777 for name in (".", "metadata", "targets")} == {0o700}


def test_a_folder_is_a_mirror_too(world: World, tmp_path: Path) -> None:
    folder = FolderMirror(str(world.repository.write(tmp_path / "mirror")))
    assert world.from_mirror(folder) == FIRST


def test_roots_rotate_all_keys_and_the_first_one_still_leads_to_the_last(world: World) -> None:
    for role in ("root", "timestamp", "root", "snapshot", "targets", "root"):
        world.repository.rotate(role)
    world.repository.publish(SECOND)
    assert world.fetch() == SECOND
    world.mirror.asked.clear()
    assert world.fetch() == SECOND
    assert world.mirror.asked == ["8.root.json", "timestamp.json"]  # the others are kept


def test_an_expired_root_on_the_way_is_only_one_on_the_way(world: World) -> None:
    world.repository.root.expires = in_days(-1)
    world.repository.rotate()
    assert "Final root.json is expired" in world.refused()
    world.repository.root.expires = in_days(10)
    world.repository.rotate()
    assert world.fetch() == FIRST


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_expired(world: World, role: str) -> None:
    world.fetch()
    getattr(world.repository, role).expires = in_days(-1)
    world.repository.publish(SECOND)
    said = world.refused()
    assert f"{role}" in said
    assert "is expired; expected metadata that holds now" in said


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_rolled_back_version(world: World, role: str) -> None:
    world.repository.publish(SECOND)
    assert world.fetch() == SECOND
    old = TufRepository(FIRST)
    old.signers, old.root = world.repository.signers, world.repository.root  # the same keys, at another time
    if role != "timestamp":
        old.timestamp.version = 50
    if role == "targets":
        old.snapshot.version = 50
    old.sign()
    world.repository.files |= {name: content for name, content in old.files.items() if "root.json" not in name[:11]}
    assert "expected the version that follows, and none below one that was seen before" in world.refused()


def test_rolled_back_after_a_restart_of_the_clock_and_the_process(world: World) -> None:
    before = dict(world.repository.files)
    world.repository.publish(SECOND)
    assert world.fetch() == SECOND
    world.repository.files = before
    assert "version" in world.refused()


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_signed_by_nobody_who_is_trusted(world: World, role: str) -> None:
    world.repository.signers[role] = TufRepository(FIRST).signers[role]
    world.repository.publish(SECOND)
    assert "expected signatures by as many of the keys as the root before it demands" in world.refused()


def test_signed_by_fewer_than_the_threshold(world: World) -> None:
    world.repository.signers["targets"].pop()
    world.repository.publish(SECOND)
    assert "1/2 keys" in world.refused()


def test_a_signature_twice_is_one(world: World) -> None:
    world.repository.signers["targets"][1] = world.repository.signers["targets"][0]
    world.repository.publish(SECOND)
    assert "1/2 keys" in world.refused()


def test_a_root_that_the_one_before_did_not_sign(world: World) -> None:
    stranger = TufRepository(SECOND)
    stranger.root.version = 2
    stranger.publish_root()
    world.repository.files |= {"2.root.json": stranger.files["2.root.json"]}
    assert "keys" in world.refused()


def test_missing_intermediate_root(world: World) -> None:
    world.repository.rotate("timestamp")
    world.repository.rotate("root")
    world.repository.publish(SECOND)
    del world.repository.files["2.root.json"]
    assert "has it all roots since" in _hint(world)


def _hint(world: World) -> str:
    with pytest.raises(Malformed) as caught:
        world.fetch()
    return caught.value.hint


def test_a_root_of_another_version_than_its_name(world: World) -> None:
    world.repository.rotate()
    world.repository.rotate()
    world.repository.files["2.root.json"] = world.repository.files["3.root.json"]
    assert world.refused()


def test_too_many_roots(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tufrepository, "MAX_ROTATIONS", 3)
    monkeypatch.setattr(tufrepository._LIMITS, "max_root_rotations", 4)
    for _ in range(3):
        world.repository.rotate()
    assert world.fetch() == FIRST
    world.repository.rotate()
    assert "got more than 3 roots after the one that is trusted at first" in world.refused(LimitExceeded)


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_oversized_metadata(world: World, name: str) -> None:
    world.repository.files[name] = b" " * (2 * 1024 * 1024 + 1)
    assert f"{name}: got 2097153 bytes announced; expected at most" in world.refused(LimitExceeded)


@pytest.mark.parametrize("name", ["2.root.json", "2.snapshot.json"])
def test_metadata_of_so_many_values_that_memory_ends(world: World, name: str) -> None:
    world.repository.files[name] = b"[" + b",".join([b"{}"] * 40_000) + b"]"
    said = world.refused(LimitExceeded)
    assert f"got {name} of 80000 values; expected at most 20000" in said


def test_oversized_target(world: World) -> None:
    world.repository.publish(b" " * (1024 * 1024 + 1))
    assert "got trusted_root.json of 1048577 bytes; expected at most 1048576" in world.refused(LimitExceeded)


def test_too_much_in_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tufrepository, "MAX_TOTAL", 2000)
    assert "expected at most" in world.refused(LimitExceeded)


@pytest.mark.parametrize("name", ["timestamp.json", "2.root.json"])
def test_endless_stream(world: World, name: str) -> None:
    world.mirror.misbehaving[name] = simulated.endless
    assert f"{name}: got more than" in world.refused(LimitExceeded)


def test_slow_server(world: World) -> None:
    world.mirror.misbehaving["timestamp.json"] = simulated.slow
    with pytest.raises(Unavailable) as caught:
        world.fetch(seconds=0.5)
    assert caught.value.cause is Cause.DEADLINE


def test_nobody_answers(world: World) -> None:
    world.mirror.down = True
    assert world.refused(Unavailable)


@pytest.mark.parametrize("name", ["timestamp.json", "2.root.json"])
def test_a_server_that_fails_is_no_server_without_a_newer_root(world: World, name: str) -> None:
    world.mirror.misbehaving[name] = lambda handler: simulated.respond(handler, 500, b"")
    assert f"{name}: got status 500; expected 200" in world.refused()


def test_redirect_to_elsewhere(world: World) -> None:
    world.mirror.misbehaving["timestamp.json"] = simulated.redirected("http://evil.example/timestamp.json")
    assert f"redirect: got http://evil.example; expected {world.mirror.url}, as before it" in world.refused()


def test_redirect_within_is_followed_but_not_for_ever(world: World) -> None:
    world.repository.files["now.json"] = world.repository.files["timestamp.json"]
    world.mirror.misbehaving["timestamp.json"] = simulated.redirected("/now.json")
    assert world.fetch() == FIRST
    world.mirror.misbehaving["timestamp.json"] = simulated.redirected("/timestamp.json")
    assert "got more than 3 redirects" in world.refused(LimitExceeded)


def test_redirect_to_two_places(world: World) -> None:
    def two(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/a.json")
        handler.send_header("Location", "/b.json")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    world.mirror.misbehaving["timestamp.json"] = two
    assert "redirect: got 2 Location headers; expected one" in world.refused()


def test_whatever_python_tuf_calls_it_reads_through_the_mirror(world: World, tmp_path: Path) -> None:
    mirror = FolderMirror(str(world.repository.write(tmp_path / "mirror")))
    reader = tufrepository._Reader(mirror, 1)
    assert b"".join(reader.fetch("mirror:/1.root.json")) == world.repository.first_root


def test_target_hash_mismatch(world: World) -> None:
    name = next(each for each in world.repository.files if each.startswith("targets/"))
    world.repository.files[name] = FIRST.replace(b"2", b"3", 1)
    assert "expected length and hashes as signed" in world.refused()
    world.repository.files[name] = FIRST[:-1]
    assert "expected length and hashes as signed" in world.refused()


def test_target_that_is_no_trusted_root(world: World) -> None:
    world.repository.publish(b'{"mediaType": "text/plain"}')
    assert "trusted_root.json: got mediaType 'text/plain'" in world.refused()


def test_no_such_target(world: World) -> None:
    del world.repository.targets.targets["trusted_root.json"]
    world.repository.publish()
    assert "got no trusted_root.json among its targets" in world.refused()


def test_a_target_hash_that_is_a_path_is_not_asked_for(world: World) -> None:
    target = world.repository.targets.targets["trusted_root.json"]
    hashes = {"blake2b": "../../x", **target.hashes}
    world.repository.targets.targets["trusted_root.json"] = TargetFile(target.length, hashes, target.path)
    world.repository.publish()
    assert "got the file name 'targets/../../x.trusted_root.json'; expected one of a TUF repository" in world.refused()
    assert not any("x.trusted" in name for name in world.mirror.asked)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 200_000, b'{"signed": {}}', b"\xff", b"<html>"])
@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json"])
def test_metadata_that_is_none(world: World, name: str, content: bytes) -> None:
    world.repository.files[name] = content[: 16 * 1024]
    said = world.refused()
    assert "expected metadata of a TUF repository" in said
    assert said.isprintable()
    assert len(said) < 500


def test_metadata_of_another_role(world: World) -> None:
    world.repository.files["timestamp.json"] = world.repository.files["2.snapshot.json"]
    assert "Expected 'timestamp', got 'snapshot'" in world.refused()


def test_a_mirror_of_something_else(world: World) -> None:
    del world.repository.files["timestamp.json"]
    assert "got nothing at timestamp.json; expected a file of a TUF repository" in world.refused()


@pytest.mark.parametrize("content", [b"", b"{}", SECOND])
def test_a_first_root_that_is_none(world: World, content: bytes) -> None:
    with pytest.raises(Malformed, match=r"expected root\.json of a TUF repository"):
        tufrepository.check_root(content, "root.json")
    with pytest.raises(Malformed, match=r"another role; expected root\.json"):
        tufrepository.check_root(world.repository.files["timestamp.json"], "root.json")
    with pytest.raises(LimitExceeded):
        tufrepository.check_root(b" " * (trustroots.MAX_ROOT + 1), "root.json")


def test_a_first_root_of_another_repository(world: World) -> None:
    with pytest.raises(Malformed) as caught:
        world.fetch(first_root=TufRepository(FIRST).first_root)
    assert "is it the mirror that this root.json is of" in caught.value.hint


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: (kept / "metadata/timestamp.json").write_bytes(b"{"),
        lambda kept: (kept / "metadata/snapshot.json").unlink(),
        lambda kept: (kept / "metadata/root_history/2.root.json").write_bytes(b"torn"),
        lambda kept: (kept / "targets/trusted_root.json").write_bytes(b"torn"),
        lambda kept: (kept / "metadata/tmpabcdef").write_bytes(b"left by who was killed"),
    ],
)
def test_what_is_kept_and_damaged_is_as_if_it_were_not_there(world: World, damage: Damage) -> None:
    world.repository.rotate()
    world.fetch()
    damage(world.folder / "kept")
    assert world.fetch() == FIRST
    assert not (world.folder / "kept/metadata/tmpabcdef").exists()


def test_a_folder_that_others_can_write_to_is_not_used(world: World) -> None:
    world.fetch()
    (world.folder / "kept").chmod(0o777)
    assert "expected to keep there what was seen of" in world.refused(HostError)


def test_a_mirror_on_this_node_only_if_that_is_allowed(world: World) -> None:
    with pytest.raises(Malformed, match="loopback"):
        HttpMirror(Url.parse(world.mirror.url, "mirror"), proxies=ProxySettings())


def test_a_folder_of_a_mirror_that_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "timestamp.json").mkdir()
    with pytest.raises(HostError):
        FolderMirror(str(tmp_path)).read("timestamp.json", 10)
    (tmp_path / "1.root.json").write_bytes(b"12345")
    with pytest.raises(LimitExceeded):
        FolderMirror(str(tmp_path)).read("1.root.json", 4)


def test_a_mirror_has_a_folder_of_its_own_for_each_first_root() -> None:
    places = {trustroots.source_of(mirror, root) for mirror in ("https://a", "https://b") for root in (b"", b"1")}
    assert len(places) == 4
    assert trustroots.source_of("https://a/", b"") in places


def test_the_root_that_is_built_in_is_that_of_the_public_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tufrepository.check_root(publicgood.first_root(), "built in") == 15
    monkeypatch.setattr(publicgood, "_PATH", str(tmp_path / "root.json"))
    with pytest.raises(HostError):
        publicgood.first_root()
    (tmp_path / "root.json").write_bytes(b"{}")
    with pytest.raises(HostError, match="expected 7374"):
        publicgood.first_root()


def test_one_mirror_is_asked_for_half_a_minute_at_most() -> None:
    assert tufmirror.SECONDS == 30.0
