"""What people hear of the ConfigMaps of a cluster: each thing once, of the one that it is about, and no flood."""

import json
import pathlib
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, cast

import pytest

from agent.adapters import files
from agent.adapters.kube import ApiServer
from agent.adapters.kube_events import Events
from agent.adapters.snapshots import SnapshotStore
from agent.cluster.notices import BURST_OF_ONE, MAX_MESSAGE, REFILL_OF_ONE, Notice, Reason
from agent.config.discovery import LABEL, PREVIEW
from agent.config.inforce import InForce
from agent.errors import HostError
from agent.modes.clustertelling import REMINDED, ClusterTelling
from tests.modes.clustered import DEFAULT, Given, platform, section, tenant
from tests.simulators.kube import NAMESPACE
from tests.warm import Told

AT = datetime(2026, 11, 27, 20, tzinfo=timezone.utc)
JUNK = {"nodeseal.yaml": "rules: ["}


class Heard(Events):
    """Events that are kept, those alone that would be written; `clock` is moved by the test."""

    def __init__(self) -> None:
        """Nothing was told."""
        self.clock = 1000.0
        self.notices: list[Notice] = []
        super().__init__(cast("ApiServer", None), "n1", clock=lambda: self.clock)

    def tell(self, notice: Notice) -> bool:
        """See `Events.tell`."""
        told = super().tell(notice)
        if self._tasks:
            self._tasks.clear()
            self.notices.append(notice)
        return told

    def of(self, reason: Reason) -> list[tuple[str, str]]:
        """ConfigMap and message of each."""
        return [(each.name, each.message) for each in self.notices if each.reason is reason]


class World:
    """A publisher, and what is heard of it."""

    def __init__(self, root: pathlib.Path) -> None:
        """No ConfigMaps yet."""
        self.given = Given(root)
        self.events, self.log = Heard(), Told()
        self.telling = ClusterTelling(self.log)
        self.publisher = self.given.publisher()

    def put(self, name: str, documents: Mapping[str, str]) -> None:
        """A ConfigMap, new or changed."""
        self.given.put(name, {key: text.encode() for key, text in documents.items()})

    def publish(self) -> str:
        """Publish all; the generation."""
        discovery, published = self.publisher._published(self.given.state, None)
        clock = self.events.clock
        self.telling.published(self.given.state, discovery, published, self.events, at=AT, clock=clock)
        return published.generation


@pytest.fixture
def world(tmp_path: pathlib.Path) -> World:
    """Nothing is in force."""
    return World(tmp_path)


def test_acceptance_names_the_generation_and_only_what_changed_is_told(world: World) -> None:
    world.put("platform", platform())
    world.put("shop", tenant("shop", "r.example/shop/**"))
    first = world.publish()
    text = f"accepted with generation {first}"
    assert world.events.of(Reason.ACCEPTED) == [("platform", text), ("shop", text)]
    world.put("shop", tenant("shop", "r.example/other/**"))
    second = world.publish()
    assert world.events.of(Reason.ACCEPTED)[2:] == [("shop", f"accepted with generation {second}")]
    assert [each["configmap"] for each in world.log.of("ConfigurationAccepted")][2:] == [f"{NAMESPACE}/shop"]


def test_a_daemon_that_begins_anew_says_nothing_anew(world: World) -> None:
    world.put("platform", platform())
    world.publish()
    world.publisher._note_trust(world.publisher._in_force or InForce())
    again = World(world.given.root)
    again.given = world.given
    again.publisher = world.given.publisher()
    again.publish()
    assert again.events.notices == []


def test_that_not_all_denials_count_is_logged_once(world: World) -> None:
    host = ".".join(["h" * 60] * 4)
    for name in "ab":
        much = [f"{name}{i:05d}.{host}.example/{'x' * 200}" for i in range(1000)]
        world.put(name, {"nodeseal.yaml": section(deny=much)})
    world.put("platform", platform())
    world.publish()
    world.publish()
    (told,) = world.log.of("configuration cut")
    assert "more in all documents together" in str(told["problem"])


def test_trust_that_grows_is_told_once_of_the_configmap_that_brings_it(world: World) -> None:
    world.put("platform", platform())
    world.put("shop", tenant("shop", "r.example/shop/**"))
    world.publish()
    grew = dict(world.events.of(Reason.TRUST_GREW))
    assert grew.keys() == {"platform", "shop"}
    for text in grew.values():
        assert text.startswith("trusted from now on: ")
        assert "certificate sha256:" in text
    world.put("platform", platform(deny=["bad.example/x"]))
    world.put("shop", tenant("shop", "r.example/shop/**", exempt=[{"match": "r.example/shop/tools"}]))
    world.publish()
    assert world.events.of(Reason.TRUST_GREW)[2:] == [
        ("shop", "trusted from now on: exemption of r.example/shop/tools")
    ]
    world.put("shop", tenant("shop", "r.example/shop/**", exempt=[{"match": "r.example/shop/tools"}], deny=["a.b/c"]))
    world.publish()
    assert len(world.events.of(Reason.TRUST_GREW)) == 3
    assert [each["what"] for each in world.log.of("TrustGrew")][2:] == [["exemption of r.example/shop/tools"]]


def test_trust_that_was_put_in_force_and_not_told_is_told_by_the_next_process(world: World) -> None:
    world.put("platform", platform())
    world.publisher._published(world.given.state, None)  # and it dies
    again = World(world.given.root)
    again.given = world.given
    again.publisher = world.given.publisher()
    again.publish()
    assert [name for name, _ in again.events.of(Reason.TRUST_GREW)] == ["platform"]


def test_rejection_says_why_and_what_stays_within_the_apis_limit_and_is_said_again(world: World) -> None:
    world.put("platform", platform())
    world.put("shop", tenant("shop", "r.example/shop/**"))
    world.publish()
    rules = [{"name": f"r{i}", "match": ["x" * 300 + "\n"], "verifiers": ["none"]} for i in range(60)]
    world.put("shop", {"nodeseal.yaml": section(rules=rules)})
    world.put("new", JUNK)
    for _ in range(3):
        world.publish()
    told = dict(world.events.of(Reason.REJECTED))
    assert len(world.events.of(Reason.REJECTED)) == 2
    assert told["shop"].startswith("its last good version stays in force: ")
    assert told["new"].startswith("not in force: nodeseal.yaml")
    assert len(told["shop"].encode()) <= MAX_MESSAGE
    assert told["shop"].isprintable()
    world.telling.remind(world.events, world.events.clock + REMINDED - 1)
    assert len(world.events.of(Reason.REJECTED)) == 2
    world.events.clock += REMINDED
    world.telling.remind(world.events, world.events.clock)
    assert len(world.events.of(Reason.REJECTED)) == 4


def test_one_that_flips_a_hundred_times_a_minute_is_no_flood_and_silences_nobody(world: World) -> None:
    world.put("platform", platform())
    world.publish()
    begun = len(world.events.notices)
    for i in range(100):
        world.events.clock += 0.6
        world.put("flips", JUNK if i % 2 else tenant("flips", f"r.example/{i}/**"))
        world.publish()
    assert len([each for each in world.events.notices if each.name == "flips"]) <= BURST_OF_ONE + 60 / REFILL_OF_ONE + 1
    world.put("shop", tenant("shop", "r.example/shop/**"))
    world.publish()
    assert {each.name for each in world.events.notices[begun:]} == {"flips", "shop"}
    assert world.telling.as_json()["quarantined"] == 1


def test_counts_and_times_stand_in_the_status(world: World) -> None:
    world.put("platform", platform())
    world.put("junk", JUNK)
    generation = world.publish()
    said = world.telling.as_json()
    assert said == {
        "accepted": 1, "quarantined": 1, "ignored": 0, "generation": generation, "published": 1,
        "lastPublished": "2026-11-27T20:00:00+00:00", "publishFailures": 0, "lastFailure": None,
    }  # fmt: skip
    assert json.dumps(said)
    world.telling.failed("disk full", world.given.state, InForce(), world.events, AT)
    said = world.telling.as_json()
    assert (said["publishFailures"], said["lastFailure"]) == (1, {"at": said["lastPublished"], "message": "disk full"})


def test_a_disk_that_fails_leaves_what_is_in_force_and_is_told_once_of_what_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("platform", platform())
    before = world.publish()
    world.put("shop", tenant("shop", "r.example/shop/**"))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "replace_symlink", full)
        for _ in range(3):
            with pytest.raises(HostError) as raised:
                world.publish()
            in_force = world.publisher._in_force or InForce()
            world.telling.failed(raised.value.message, world.given.state, in_force, world.events, AT)
    assert SnapshotStore(str(world.given.root)).load().generation == before
    ((name, text),) = world.events.of(Reason.NOT_APPLIED)
    assert name == "shop"
    assert "No space left on device" in text
    world.publish()
    assert [each for each, _ in world.events.of(Reason.TRUST_GREW)] == ["platform", "shop"]
    assert [each for each, _ in world.events.of(Reason.ACCEPTED)] == ["platform", "shop"]


def test_another_value_of_the_label_is_told_and_preview_is_not(world: World) -> None:
    world.put("platform", platform())
    for name, value in (("other", "yes"), ("later", PREVIEW)):
        world.put(name, {"nodeseal.yaml": section(default=DEFAULT)})
        world.given._maps[name] = world.given._maps[name]._replace(labels={LABEL: value})
    world.publish()
    assert [name for name, _ in world.events.of(Reason.LABEL_IGNORED)] == ["other"]
    assert {each.name for each in world.events.notices} == {"platform", "other"}
