"""Trusted roots that a configuration has fetched: put in force with it, fetched anew, never given up for a failure."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent.adapters import rootnotes
from agent.adapters.nodestate import BOOTSTRAP, NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.config.documentset import NamedDocuments
from agent.config.trustroots import TrustRootSource
from agent.errors import Cause, HostError, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.modes import keys
from agent.modes.clustering import ClusterPublisher
from agent.modes.keys import FIRST_WITHIN, Keys
from agent.modes.publishing import Publisher
from agent.registry.urls import Url
from tests import signing_sigstore as sigstore
from tests.modes.clustered import Given, platform
from tests.modes.fetching import Command, command, root
from tests.signing_sigstore import Instance
from tests.simulators.certificates import Authority
from tests.simulators.keyserver import KeyServer
from tests.simulators.registry import RegistrySimulator
from tests.simulators.tufrepository import TufMirror, TufRepository, in_days
from tests.warm import Told

__all__ = ["command", "root"]

OLD, NEW = sigstore.instance(0), sigstore.instance(1)


def root_of(*instances: Instance) -> bytes:
    """One trusted root with the authorities and logs of all."""
    values = [each.trusted_root() for each in instances]
    merged = {key: [member for value in values for member in value[key]] for key in values[0] if key != "mediaType"}
    return json.dumps({"mediaType": values[0]["mediaType"], **merged}).encode()


@pytest.fixture
def mirror() -> Iterator[TufMirror]:
    """A private repository with the old trusted root, served."""
    with TufMirror(TufRepository(root_of(OLD))) as mirror:
        yield mirror


@pytest.fixture
def registry() -> Iterator[RegistrySimulator]:
    """A registry."""
    with RegistrySimulator() as registry:
        yield registry


def write(root: Path, served: TufMirror, *, until: bytes | None = None, **entry: object) -> Path:
    """A configuration whose trusted root is fetched; `until` is the document that counts until then."""
    folder = root / "config"
    folder.mkdir(exist_ok=True)
    (folder / "root.json").write_bytes(served.repository.first_root)
    if until is not None:
        (folder / "trusted_root.json").write_bytes(until)
    identity = {"issuer": sigstore.ISSUER, "subject": sigstore.SUBJECT}
    section = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "trustRoots": [{"mirror": served.url, "root": "root.json", **entry}],
        "verifiers": [{"name": "release", "type": "cosign", "identities": [identity]}],
        "rules": [{"name": "all", "match": ["**"], "verifiers": ["release"], "policy": {"any": ["release"]}}],
    }
    value = {"store": {"plugins": [{"name": "oras", "useHttp": True}]}, "nodeseal": section}
    (folder / "config.json").write_text(json.dumps(value))
    return folder


def push(registry: RegistrySimulator, repository: str, instance: Instance) -> str:
    """An image that somebody signed under an instance; its reference."""
    subject = registry.push_image(repository, "1", salt=repository)
    made = sigstore.signed_envelope(instance.leaf(), sigstore.statement(str(subject.digest)))
    content = json.dumps(sigstore.bundle(made, [instance.first_entry(made.first_body())])).encode()
    blob = registry.push_blob(repository, content, sigstore.V03)
    empty = registry.push_blob(repository, b"{}", "application/vnd.oci.empty.v1+json")

    def told(descriptor: Descriptor) -> dict[str, object]:
        return {
            "mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size,
        }  # fmt: skip

    manifest = {
        "schemaVersion": 2, "mediaType": subject.media_type, "artifactType": sigstore.V03,
        "config": told(empty), "layers": [told(blob)], "subject": told(subject),
    }  # fmt: skip
    registry.push_manifest(repository, json.dumps(manifest).encode())
    return f"{registry.host}/{repository}:1"


def logs_in_force(root: Path) -> int:
    """How many transparency logs the snapshot trusts."""
    (snapshot,) = root.glob("var/lib/nodeseal/current/snapshot.json")
    (listed,) = re.findall(r'"transparencyLogs":(\[.*?\}\])', snapshot.read_text())
    return len(json.loads(listed))


def test_it_is_fetched_when_a_configuration_is_put_in_force(
    root: Path, mirror: TufMirror, registry: RegistrySimulator, command: Command
) -> None:
    image, other = push(registry, "team/old", OLD), push(registry, "team/new", NEW)
    code, said = command("config", "apply", str(write(root, mirror)))
    assert code == 0, said
    assert command("verify", image)[0] == 0
    asked = len(mirror.asked)
    code, said = command("verify", other)
    assert (code, len(mirror.asked)) == (10, asked), said  # a verification fetches nothing
    generation = SnapshotStore(str(root)).load().generation
    mirror.repository.publish(root_of(OLD, NEW))
    assert command("config", "apply", str(root / "config"))[0] == 0
    assert SnapshotStore(str(root)).load().generation != generation
    assert command("verify", other)[0] == command("verify", image)[0] == 0


def test_who_only_checks_is_told_that_it_is_fetched_later(root: Path, mirror: TufMirror, command: Command) -> None:
    folder = write(root, mirror)
    code, said = command("config", "check", str(folder))
    assert (code, mirror.asked) == (0, [])
    assert f"got a trusted root at {mirror.url}, which is fetched when this is put in force" in said
    assert "the configuration can be used once what it names is fetched" in said
    code, said = command("config", "check", str(write(root, mirror, until=root_of(OLD))))
    assert f"{folder}/trusted_root.json counts until then" in said
    assert "the configuration can be used.\n" in said


@pytest.mark.parametrize("until", [None, root_of(NEW)])
def test_where_nothing_was_fetched_yet_the_document_of_that_name_counts_if_there_is_one(
    root: Path, mirror: TufMirror, registry: RegistrySimulator, command: Command, until: bytes | None
) -> None:
    image = push(registry, "team/new", NEW)
    mirror.down = True
    folder = write(root, mirror, until=until)
    code, said = command("config", "apply", str(folder))
    assert "the connection was closed before the end of the response" in said
    if until is None:
        assert code == 3
        return
    assert code == 0
    assert "a document that nothing refers to" not in said
    assert command("verify", image)[0] == 0
    mirror.down = False
    assert command("config", "apply", str(folder))[0] == 0
    assert command("verify", image)[0] == 10  # what was fetched takes the document's place: they are never merged
    mirror.down = True
    assert command("config", "apply", str(folder))[0] == 0
    assert command("verify", image)[0] == 10


def test_what_was_fetched_is_not_rolled_back(root: Path, mirror: TufMirror, command: Command) -> None:
    before = dict(mirror.repository.files)
    mirror.repository.publish(root_of(OLD, NEW))
    folder = write(root, mirror)
    assert command("config", "apply", str(folder))[0] == 0
    mirror.repository.files = before
    code, said = command("config", "apply", str(folder))
    assert (code, logs_in_force(root)) == (0, 4), said
    assert "WARNING: trusted_root.json: not fetched, what was fetched before counts: " in said
    (note,) = rootnotes.read(str(root))
    assert "none below one that was seen before" in note.trouble


def test_a_mirror_on_this_node_is_refused_where_the_floor_does_not_say_so(
    root: Path, mirror: TufMirror, command: Command
) -> None:
    (root / BOOTSTRAP).unlink()
    code, said = command("config", "apply", str(write(root, mirror)))
    assert (code, mirror.asked) == (3, [])
    assert "a loopback address; expected one elsewhere" in said


def test_a_mirror_whose_ca_stands_in_the_configuration(
    root: Path, mirror: TufMirror, command: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ca = Authority(tmp_path_factory.mktemp("ca"))
    with KeyServer(ca) as server:
        for name, content in mirror.repository.files.items():
            server.serve(f"/tuf/{name}", content)
        folder = write(root, mirror, mirror=f"{server.url}/tuf")
        code, said = command("config", "apply", str(folder))
        assert (code, server.asked) == (3, [])
        assert "TLS failed" in said
        write(root, mirror, mirror=f"{server.url}/tuf", caBundle="tuf-ca.pem")
        (folder / "tuf-ca.pem").write_bytes(Path(ca.bundle).read_bytes())
        code, said = command("config", "apply", str(folder))
        assert code == 0, said
        assert logs_in_force(root) == 2


def test_another_first_root_is_another_source_of_which_nothing_is_kept(
    root: Path, mirror: TufMirror, command: Command
) -> None:
    folder = write(root, mirror)
    assert command("config", "apply", str(folder))[0] == 0
    (folder / "root.json").write_bytes(TufRepository(root_of(OLD)).first_root)
    code, said = command("config", "apply", str(folder))
    assert code == 3
    assert "expected signatures by as many of the keys" in said


def test_a_kept_file_that_is_damaged_is_none(root: Path, mirror: TufMirror, command: Command) -> None:
    folder = write(root, mirror)
    assert command("config", "apply", str(folder))[0] == 0
    (kept,) = (root / "var/lib/nodeseal/keys").iterdir()
    kept.write_bytes(b"torn")
    mirror.down = True
    assert command("config", "apply", str(folder))[0] == 3
    mirror.down = False
    assert command("config", "apply", str(folder))[0] == 0
    assert kept.read_bytes() == root_of(OLD)


# ---- fetched anew ---------------------------------------------------------------------------------------------------


class World:
    """A clock, and what is fetched."""

    def __init__(self, root: Path, random: float = 0.0) -> None:
        """Nothing was fetched."""
        self.now = 1000.0
        self.content: bytes | Exception = root_of(OLD)
        self.log = Told()
        self.keys = Keys(str(root), {}, self.log, fetch_root=self.fetch, clock=lambda: self.now, random=lambda: random)

    def fetch(self, source: TrustRootSource, **_: object) -> bytes:
        """See `keys.fetch_root`."""
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    def events(self) -> list[str]:
        """What was told."""
        return [event for _, event, _ in self.log.events]


SOURCE = TrustRootSource("a" * 64, "trusted_root.json", Url.parse("https://tuf.example", "mirror"), b"", 86400.0)


@pytest.mark.parametrize(
    "failure",
    [Malformed("expired"), Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE), HostError("full")],
)
def test_a_failure_keeps_the_last_one_for_good_and_is_told_once(root: Path, failure: Exception) -> None:
    world = World(root)
    world.keys.use([SOURCE], local=False)
    assert world.keys.contents() == {SOURCE.source: "nothing fetched yet"}
    assert world.keys.refresh()
    world.content = failure
    for days in range(400):
        world.now += 86400
        assert not world.keys.refresh()
        assert world.keys.contents() == {SOURCE.source: root_of(OLD)}
        if days == 0:
            (first,) = rootnotes.read(str(root))
    assert world.events() == ["trusted root fetched", "trusted root not fetched"]
    assert world.log.of("trusted root not fetched")[0]["meanwhile"] == "the last one counts"
    (note,) = rootnotes.read(str(root))
    assert note.trouble == str(failure)
    assert (note.since, note.fetched) == (first.since, first.fetched)
    assert note.since is not None
    world.content, world.now = root_of(OLD), world.now + 86400
    assert not world.keys.refresh()
    assert world.events()[-1] == "trusted root fetched again"
    (note,) = rootnotes.read(str(root))
    assert (note.trouble, note.since) == ("", None)


def test_who_names_the_same_mirror_without_its_ca_keeps_nobody_from_reaching_it(root: Path) -> None:
    asked: list[TrustRootSource] = []

    def fetch_root(source: TrustRootSource, **_: object) -> bytes:
        asked.append(source)
        return root_of(OLD)

    world = Keys(str(root), {}, fetch_root=fetch_root, by_hand=True)
    often = SOURCE._replace(interval=3600.0, cas=(b"another",))
    for sources in ([SOURCE._replace(cas=(b"its own",)), often], [often, SOURCE._replace(cas=(b"its own",))]):
        world.use(sources, local=False)
        world.refresh()
    assert [(each.interval, each.cas) for each in asked] == [(3600.0, (b"another", b"its own"))] * 2


def test_configuration_that_names_more_than_it_may_has_no_more_followed() -> None:
    entries = [{"name": f"n{i}", "mirror": f"https://m{i}.example/", "root": "root.json"} for i in range(500)]
    documents = {
        "config.json": json.dumps({"nodeseal": {"trustRoots": entries}}).encode(),
        "root.json": TufRepository(root_of(OLD)).first_root,
    }
    assert len(keys.sources_of(NamedDocuments.of(documents, "x"))) == keys.MOST_OF_ONE


def test_a_configuration_that_reaches_all_nodes_does_not_send_them_all_at_once(root: Path) -> None:
    world = World(root, random=0.5)
    world.keys.use([SOURCE], local=False)
    assert not world.keys.is_due()
    world.now += FIRST_WITHIN / 2
    assert world.keys.is_due()
    world.keys.refresh()
    world.now += 0.9 * 86400 - 1
    assert not world.keys.is_due()
    world.now += 2
    assert world.keys.is_due()


def test_who_has_no_such_key_asks_nobody_and_notes_nothing(root: Path) -> None:
    world = World(root)
    world.keys.use([], local=False)
    assert not world.keys.is_due()
    assert not world.keys.refresh()
    assert not (root / "var/lib").exists()


def test_a_note_that_can_not_be_written_holds_up_nobody(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise HostError("full")

    monkeypatch.setattr("agent.adapters.rootnotes.write", full)
    world = World(root)
    world.keys.use([SOURCE], local=False)
    assert world.keys.refresh()
    assert world.keys.contents() == {SOURCE.source: root_of(OLD)}


def test_what_is_followed_no_more_is_noted_no_more_and_its_mirror_forgotten(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(root)
    world.keys.use([SOURCE], local=False)
    world.keys.refresh()
    (root / "var/lib/nodeseal/tuf" / SOURCE.source).mkdir(parents=True)
    world.keys.use([], local=False)
    assert rootnotes.read(str(root)) == ()
    monkeypatch.setattr("agent.adapters.keystore.MAX_KEPT", 0)
    world.keys.forget()
    assert not (root / "var/lib/nodeseal/tuf" / SOURCE.source).exists()
    assert NodeState(str(root)).fetched() == {}


def test_mirrors_that_never_give_anything_fill_no_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a configuration may name another one each time; what is followed stays, and what came last."""
    monkeypatch.setattr("agent.adapters.keystore.MAX_MIRRORS_SIZE", 100_000)
    mirrors = root / "var/lib/nodeseal/tuf"
    world = World(root)

    def fetches(source: TrustRootSource, **_: object) -> bytes:
        kept = mirrors / source.source / "metadata" / "root_history"
        kept.mkdir(parents=True)
        (kept / "2.root.json").write_bytes(bytes(40_000))
        raise Malformed("no target")

    monkeypatch.setattr(world.keys, "_fetch_root", fetches)
    for i in range(8):
        world.keys.use([SOURCE._replace(source=f"{i:064}")], local=False)
        world.now += 3600
        assert not world.keys.refresh()
    kept = sorted(int(each.name) for each in mirrors.iterdir())
    assert kept[-1] == 7
    assert len(kept) <= 3


def test_a_folder_that_is_followed_trusts_a_new_log_and_authority_once_they_were_fetched(
    root: Path, mirror: TufMirror, registry: RegistrySimulator, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FIRST_WITHIN", 0.0)
    image, other = push(registry, "team/old", OLD), push(registry, "team/new", NEW)
    folder, log, bugs = write(root, mirror, until=root_of(OLD)), Told(), list[Exception]()
    publisher = Publisher(str(folder), str(root), log, bugs.append, {})

    async def until(reached: Callable[[], bool]) -> None:
        with anyio.fail_after(60):
            while not reached():
                hurry()  # again and again: who has just fetched may plan the next time only now
                await anyio.sleep(0.05)

    def hurry() -> None:
        plans: Mapping[str, Any] = publisher._keys._plans
        publisher._keys._plans = {source: plan._replace(due=0.0) for source, plan in plans.items()}

    async def follow() -> None:
        await publisher.publish()
        assert logs_in_force(root) == 2
        async with anyio.create_task_group() as group:
            group.start_soon(publisher.run)
            mirror.down = True
            hurry()
            await until(lambda: bool(log.of("trusted root not fetched")))
            assert logs_in_force(root) == 2
            assert command("verify", image)[0] == 0  # nobody waits for a mirror
            assert command("verify", other)[0] == 10
            mirror.repository.rotate("root")
            mirror.repository.publish(root_of(OLD, NEW))
            mirror.down = False
            hurry()
            await until(lambda: logs_in_force(root) == 4)
            assert command("verify", other)[0] == command("verify", image)[0] == 0
            mirror.repository.timestamp.expires = in_days(-1)
            mirror.repository.publish(root_of(OLD))
            hurry()
            await until(lambda: len(log.of("trusted root not fetched")) == 2)
            assert logs_in_force(root) == 4
            group.cancel_scope.cancel()

    anyio.run(follow)
    assert bugs == []
    assert "is expired" in str(log.of("trusted root not fetched")[1]["reason"])


def test_a_configmap_follows_its_trusted_root_and_outlives_the_mirror(root: Path, mirror: TufMirror) -> None:
    given, folder = Given(root), write(root, mirror)
    value = json.loads((folder / "config.json").read_text())
    value["nodeseal"]["rules"][0]["match"] = ["r.example/shop/**"]
    del value["nodeseal"]["default"]
    given.put("platform", {name: text.encode() for name, text in platform().items()})
    given.put("shop", {"config.json": json.dumps(value).encode(), "root.json": mirror.repository.first_root})
    publisher = given.publisher(random=lambda: 0.0)

    def published(by: ClusterPublisher) -> set[str]:
        return {each.name.rpartition("/")[2] for each in by._published(given.state, None)[1].merge.accepted}

    assert published(publisher) == {"platform"}
    assert mirror.asked == []  # that is not what publishing waits for
    mirror.down = True
    assert not publisher._refreshed()
    assert published(publisher) == {"platform"}
    mirror.down = False
    publisher._keys._plans = {source: each._replace(due=0.0) for source, each in publisher._keys._plans.items()}
    assert publisher._refreshed()
    assert published(publisher) == {"platform", "shop"}
    assert logs_in_force(root) == 2
    mirror.down = True
    again = given.publisher(random=lambda: 0.0)
    assert published(again) == {"platform", "shop"}
    assert not again._keys.is_due()
