"""What a publisher makes of ConfigMaps: when it asks, what it notes, and what a host that fails makes of it."""

import json
import pathlib
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent import cli
from agent.adapters.kube import ApiServer
from agent.adapters.kube_events import Events
from agent.adapters.kube_follow import Follower
from agent.adapters.nodestate import BOOTSTRAP, COMPLETE, NodeState, moment
from agent.adapters.policy_worker import Trials
from agent.adapters.snapshots import SnapshotStore
from agent.config.discovery import ACTIVE, NODE_SELECTOR
from agent.errors import Cause, LimitExceeded, Unavailable
from agent.model.configmap import ConfigMap
from agent.modes import clustering, node
from agent.rules import age
from agent.rules.age import Stage
from agent.rules.ruleset import Denied
from tests.modes import signed
from tests.modes.clustered import (
    PEM,
    Given,
    contents,
    daemon,
    encoded,
    in_force,
    names,
    platform,
    publishing,
    put,
    root,
    server,
    soon,
    tenant,
    until,
)
from tests.simulators import kube_misbehaviour as does
from tests.simulators.certificates import Authority
from tests.simulators.keyserver import KeyServer
from tests.simulators.kube import NAMESPACE, KubeSimulator
from tests.trust.test_signedconfiguration import public

__all__ = ["root", "server"]


def label_node(server: KubeSimulator, **labels: str) -> None:
    """The node, with these labels."""
    with server.condition:
        server.objects["nodes", "", "n1"] = {"kind": "Node", "metadata": {"name": "n1", "labels": labels}}


def test_labels_of_the_node_are_asked_for_only_if_a_selector_does_and_a_change_takes_effect(
    server: KubeSimulator, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "LOOK", 0.2)
    given = Given(root)
    put(server, "platform", platform())
    label_node(server, pool="blue")

    async def body() -> None:
        async with publishing(given, server):
            await soon(lambda: names(root) == {"platform"})
            await anyio.sleep(0.5)
            assert server.counts["get"] == 0
            put(server, "shop", tenant("shop", "r.example/shop/**"), **{NODE_SELECTOR: "pool=green"})
            await soon(lambda: server.counts["get"] > 2)
            assert names(root) == {"platform"}
            label_node(server, pool="green")
            await soon(lambda: names(root) == {"platform", "shop"})
            server.behave("get", *[does.status(503)] * 3)  # nobody says: nothing changes
            seen = server.counts["get"]
            await soon(lambda: server.counts["get"] > seen + 4)
            assert names(root) == {"platform", "shop"}
            label_node(server)
            await soon(lambda: names(root) == {"platform"})

    anyio.run(body)


def test_a_node_that_nobody_tells_of_takes_nothing_out_of_force(
    server: KubeSimulator, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "RETRY", 0.1)
    given = Given(root)
    selector = {NODE_SELECTOR: "pool=blue"}
    put(server, "platform", platform(), **selector)
    label_node(server, pool="blue")

    async def body() -> None:
        async with publishing(given, server):
            await soon(lambda: names(root) == {"platform"})
        server.behave("get", *[does.status(503)] * 3)
        async with publishing(given, server) as publisher:
            await soon(lambda: publisher.as_json()["publishFailures"] == 3)
            assert names(root) == {"platform"}
            await soon(lambda: publisher.as_json()["accepted"] == 1)
        assert names(root) == {"platform"}

    anyio.run(body)


def test_a_floor_that_is_changed_counts_without_a_change_of_a_configmap(
    server: KubeSimulator, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "LOOK", 0.1)
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))

    async def body() -> None:
        async with publishing(Given(root), server):
            await soon(lambda: names(root) == {"platform", "shop"})
            folder = root / "etc/nodeseal"
            folder.mkdir(parents=True)
            floor = {"configMaps": [{"name": "platform"}]}
            (folder / "bootstrap.json").write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "floor": floor}))
            await soon(lambda: names(root) == {"platform"})

    anyio.run(body)


def test_another_label_may_say_which_configmaps_count(server: KubeSimulator, root: pathlib.Path) -> None:
    mine = "example.com/trust"
    server.put(NAMESPACE, "platform", {mine: ACTIVE}, platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))

    async def body() -> None:
        async with publishing(Given(root), server, label=mine):
            await soon(lambda: names(root) == {"platform"})

    anyio.run(body)
    assert server.seen[0].query["labelSelector"] == mine


def test_a_withdrawn_configuration_is_missing_and_its_rules_hold(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    for name, content in platform().items():
        (folder / name).write_text(content)
    with pytest.raises(SystemExit):
        cli.main(["nodeseal", "config", "apply", str(folder), "--root", str(root)])
    store = SnapshotStore(str(root))
    store.withdraw()
    store.withdraw()
    with pytest.raises(Unavailable) as told:
        store.load()
    assert told.value.cause is Cause.CONFIGURATION_MISSING
    assert store.last_rules() is not None


def test_it_is_noted_when_the_api_server_last_told_everything_though_nothing_changes(
    server: KubeSimulator, root: pathlib.Path
) -> None:
    put(server, "platform", platform(maxSnapshotAge="2h"))
    begun = moment()
    with daemon(root, server) as log:
        until(lambda: (root / COMPLETE).exists(), log)
        config = in_force(root)
        assert config is not None
        assert (config.ruleset.from_cluster, config.ruleset.greatest_age) == (True, 7200)
    first = NodeState(str(root)).complete()
    assert first.boot_id == begun.boot_id
    assert first.boot_seconds >= begun.boot_seconds
    old = first._replace(wall=first.wall - timedelta(hours=2), boot_seconds=0.0, boot_id="")
    NodeState(str(root)).note_complete(old)
    assert age.stage(node.opened(str(root)).standing) is Stage.STALE
    generation = config.generation
    with daemon(root, server) as log:
        until(lambda: age.stage(node.opened(str(root)).standing) is Stage.CURRENT, log)
        until(lambda: "configuration stale" in log.read_text(), log)
    config = in_force(root)
    assert config is not None
    assert config.generation == generation


def test_keys_are_fetched_beside_publishing_and_the_document_follows(
    server: KubeSimulator, root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    bootstrap = root / BOOTSTRAP
    bootstrap.parent.mkdir(parents=True)
    bootstrap.write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "floor": {"localKeys": True}}))
    ca = Authority(tmp_path)
    with KeyServer(ca) as pki:
        documents = dict(tenant("shop", "r.example/shop/**"))
        value = json.loads(documents.pop("nodeseal.yaml"))
        (verifier,) = value["nodeseal"]["verifiers"]
        del verifier["verificationCerts"]
        verifier["verificationCertStores"] = {"certs": ["corp"]}
        given = {"name": "corp", "type": "url", "url": f"{pki.url}/roots", "caBundle": "root.pem"}
        documents["root.pem"] = pathlib.Path(ca.bundle).read_text()
        section, rest = value.pop("nodeseal"), {"keyManagementProvider": {"plugins": [given]}}
        documents["config.json"] = json.dumps(rest | {"nodeseal": section})
        put(server, "platform", platform())
        put(server, "shop", documents)
        with daemon(root, server) as log:
            until(lambda: names(root) == {"platform"}, log)
            until(lambda: "keys not fetched" in log.read_text(), log)
        assert names(root) == {"platform"}
        pki.serve("/roots", PEM.encode())
        with daemon(root, server) as log:
            until(lambda: names(root) == {"platform", "shop"}, log)
    config = in_force(root)
    assert config is not None
    assert {rule.name: [used.name for used in rule.keys] for rule in config.rules} == {
        "platform/platform": [],
        "shop/shop": ["corp"],
    }


def test_an_api_server_that_does_not_answer_proves_nothing(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: (root / COMPLETE).exists(), log)
    (root / COMPLETE).unlink()
    server.behave("list", *[does.status(500)] * 50)
    with daemon(root, server) as log:
        until(lambda: len([each for each in server.seen if each.verb == "list"]) >= 3, log)
        assert not (root / COMPLETE).exists()


def test_what_this_host_does_not_take_is_not_noted(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: (root / COMPLETE).exists(), log)
    (root / COMPLETE).unlink()
    (root / "var/lib/nodeseal/rules.json").unlink()
    (root / "var/lib/nodeseal/rules.json").mkdir()
    with daemon(root, server) as log:
        until(lambda: "configuration refused" in log.read_text(), log)
        time.sleep(2.5)
        assert not (root / COMPLETE).exists()


def test_a_host_that_takes_no_snapshot_is_tried_again(server: KubeSimulator, root: pathlib.Path) -> None:
    state = root / "var/lib/nodeseal"
    state.parent.mkdir(parents=True)
    state.write_text("in the way")
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: "configuration refused" in log.read_text(), log)
        state.unlink()
        until(lambda: in_force(root) is not None, log)


def test_who_writes_anothers_serial_stops_nobody_and_a_last_good_version_needs_no_new_admission(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    key, given = ec.generate_private_key(ec.SECP256R1()), Given(root)
    signed.ask(root, public(key))
    given.put("platform", contents(signed.sign(signed.write(tmp_path / "good", 7), key)))
    given.put("tenant", contents(signed.write(tmp_path / "unsigned", 7, extra="junk")))
    assert [each.name for each in given.publish().accepted] == [f"{NAMESPACE}/platform"]
    noted = signed.serial_in_force(root)
    assert noted == 7
    given.put("platform", contents(signed.write(tmp_path / "broken", 8)))
    merge = given.publish()
    assert {each.name: each.kept for each in merge.quarantined}[f"{NAMESPACE}/platform"]
    assert (signed.serial_in_force(root), in_force(root) is not None) == (7, True)


def test_where_signatures_are_asked_for_one_document_has_a_place_and_its_serial_goes_on(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    key, given = ec.generate_private_key(ec.SECP256R1()), Given(root)
    signed.ask(root, public(key))

    def put_signed(name: str, serial: int) -> None:
        folder = tmp_path / f"{name}-{serial}"
        folder.mkdir(exist_ok=True)
        for document, text in tenant(name, f"r.example/{name}/**", serial=serial).items():
            (folder / document).write_text(text)
        given.put(name, contents(signed.sign(folder, key)))

    put_signed("shop", 7)
    put_signed("cart", 8)
    merge = given.publish()
    assert [each.name for each in merge.accepted] == [f"{NAMESPACE}/cart"]  # of new ones, the name decides
    (refused,) = merge.quarantined
    assert "another serial than nodeseal/cart" in str(refused.problems[-1])
    put_signed("cart", 9)
    assert [each.name for each in given.publish().accepted] == [f"{NAMESPACE}/cart"]
    given.drop("cart")
    assert given.publish().config is None  # 7 is behind 9: a replay
    put_signed("shop", 10)
    assert [each.name for each in given.publish().accepted] == [f"{NAMESPACE}/shop"]
    assert (names(root), signed.serial_in_force(root)) == ({"shop"}, 10)
    given.put("loose", {name: text.encode() for name, text in tenant("loose", "r.example/loose/**").items()})
    assert [each.name for each in given.publish().quarantined] == [f"{NAMESPACE}/loose"]
    assert names(root) == {"shop"}


def test_what_was_deleted_does_not_come_back_under_its_name(root: pathlib.Path) -> None:
    given = Given(root)
    given.put("shop", {name: text.encode() for name, text in platform().items()})
    assert given.publish().config is not None
    given.drop("shop")
    assert given.publish().config is None
    given.put("shop", {"nodeseal.yaml": b"rules: ["})
    merge = given.publish()
    assert (merge.config, [each.kept for each in merge.quarantined]) == (None, [False])


def test_a_state_that_waited_is_not_put_in_force_once_there_is_a_newer_one(root: pathlib.Path) -> None:
    given = Given(root)
    given.put("shop", {name: text.encode() for name, text in platform().items()})
    before, publisher = given.state, given.publisher()
    given.put("shop", {name: text.encode() for name, text in platform(deny=["r.example/bad"]).items()})
    follower = SimpleNamespace(state=given.state, last_complete=moment())
    publisher._follower = cast("Follower[ConfigMap]", follower)
    server = cast("ApiServer", None)

    async def both() -> None:
        """The newer one, and the one that waited meanwhile: because of other keys, say."""
        for state in (follower.state, before):
            await publisher._apply(state, server, Events(server, "n1"))

    anyio.run(both)
    config = in_force(root)
    assert config is not None
    assert config.ruleset.deny == (Denied("r.example/bad"),)
    assert publisher._applied is follower.state


def test_changes_that_never_end_do_not_make_a_configuration_old(root: pathlib.Path) -> None:
    given = Given(root)
    given.put("shop", {name: text.encode() for name, text in platform().items()})
    follower = SimpleNamespace(state=given.state, last_complete=moment())
    publisher = given.publisher(published=lambda: setattr(follower, "state", given.state))  # another one by then
    publisher._follower = cast("Follower[ConfigMap]", follower)
    server = cast("ApiServer", None)
    assert publisher._complete_now() is None
    anyio.run(publisher._apply, follower.state, server, Events(server, "n1"))
    first = follower.last_complete
    follower.last_complete = moment()
    assert publisher._complete_now() == first
    follower.state = publisher._applied
    assert publisher._complete_now() == follower.last_complete


def test_schemas_of_all_documents_share_the_time_to_be_looked_through_and_nobody_is_quarantined_for_it(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validator = {
        "name": "review", "type": "schemavalidator", "artifactTypes": "a/b", "signedBy": ["signer"],
        "schemas": {"c/d": "file:///review.json"},
    }  # fmt: skip
    given = Given(root)
    given.put("platform", encoded(platform()))
    for name in ("one", "two", "three"):
        documents = json.loads(tenant(name, f"r.example/{name}/**")["nodeseal.yaml"])
        documents["nodeseal"]["verifiers"].append(validator)
        documents["nodeseal"]["rules"][0]["verifiers"].append("review")
        texts = {"nodeseal.yaml": json.dumps(documents), "root.pem": PEM, "review.json": json.dumps({"title": name})}
        given.put(name, encoded(texts))
    left = [2]

    def labour(trials: Trials, work: Callable[[], bytes]) -> bytes:
        del trials
        left[0] -= 1
        if left[0] < 0:
            raise LimitExceeded("no time is left")
        return work()

    monkeypatch.setattr(Trials, "labour", labour)
    merge = given.publish()
    assert merge.quarantined == ()
    assert left == [-1]
    assert names(root) == {"platform", "one", "two", "three"}
    told = [problem for _, problem in merge.problems if "not looked through" in problem.got]
    assert len(told) == 1


def test_whoever_changes_his_configmap_all_the_time_leaves_time_for_others(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rests as long as it took; the newest state is what it goes on with."""
    given = Given(root)
    given.put("shop", {name: text.encode() for name, text in platform().items()})
    follower = SimpleNamespace(state=given.state, last_complete=moment())
    publisher = given.publisher()
    publisher._follower = cast("Follower[ConfigMap]", follower)
    server = cast("ApiServer", None)
    merges: list[tuple[float, float]] = []
    publish = publisher._published

    def slow(*arguments: Any) -> Any:
        begun = time.monotonic()
        time.sleep(0.2)
        found = publish(*arguments)
        merges.append((begun, time.monotonic()))
        return found

    monkeypatch.setattr(publisher, "_published", slow)

    async def changes() -> None:
        for _ in range(3):
            await publisher._apply(follower.state, server, Events(server, "n1"))

    anyio.run(changes)
    took = [(end - begun, following - end) for (begun, end), (following, _) in zip(merges, merges[1:], strict=False)]
    assert all(rest > 0.9 * spent for spent, rest in took), took
