"""ConfigMaps of an API server become the configuration in force: a daemon in a process of its own, and a simulator."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from agent import cli
from agent.adapters import ipc
from agent.adapters.inforce import InForceFile
from agent.adapters.nodestate import BOOTSTRAP
from agent.adapters.snapshots import SnapshotStore
from agent.config import canonical, inforce
from agent.config.discovery import LABEL, NODE_SELECTOR
from agent.rules.ruleset import Denied
from tests.modes.clustered import (
    DEFAULT,
    daemon,
    events,
    in_force,
    names,
    platform,
    put,
    root,
    section,
    server,
    tenant,
    until,
)
from tests.simulators import kube_misbehaviour as does
from tests.simulators.kube import NAMESPACE, KubeSimulator

__all__ = ["root", "server"]


def test_labelled_configmaps_are_in_force_together_and_each_is_told_so(
    server: KubeSimulator, root: pathlib.Path
) -> None:
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))
    server.put(NAMESPACE, "other", {LABEL: "no"}, {"nodeseal.yaml": section(default=DEFAULT)})
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform", "shop"}, log)
        put(server, "cart", tenant("cart", "r.example/cart/**"))
        until(lambda: names(root) == {"platform", "shop", "cart"}, log)
        until(lambda: len([each for each in events(server) if each[0] == "ConfigurationAccepted"]) >= 3, log)
        until(lambda: "TrustGrew" in {each[0] for each in events(server)}, log)
        said = json.loads(ipc.Client(str(root)).ask(ipc.STATUS, seconds=30) or b"")["cluster"]
    assert {each[1] for each in events(server) if each[0] == "ConfigurationAccepted"} == {"platform", "shop", "cart"}
    assert "LabelValueIgnored" in {each[0] for each in events(server) if each[1] == "other"}
    assert (said["objects"], said["trouble"]) == (4, "")


def test_what_another_version_put_in_force_is_put_in_force_again(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform"}, log)
    before = in_force(root)
    assert before is not None
    with pytest.MonkeyPatch.context() as other:
        for form in (canonical, inforce):
            other.setattr(form, "FORMAT_VERSION", 99)
        SnapshotStore(str(root)).publish(before)
        InForceFile(str(root)).save(InForceFile(str(root)).load())
    assert in_force(root) is None
    with daemon(root, server) as log:
        until(lambda: in_force(root) == before, log)


def test_junk_stops_nobody_and_its_last_good_version_stays(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform", "shop"}, log)
        put(server, "shop", {"nodeseal.yaml": "rules: ["})
        put(server, "junk", {"config.json": "{"})
        put(server, "cart", tenant("cart", "r.example/cart/**"))
        until(lambda: names(root) == {"platform", "shop", "cart"}, log)
        until(lambda: {"shop", "junk"} <= {each[1] for each in events(server) if each[0].endswith("Rejected")}, log)
    rejected = {each[1]: each[2] for each in events(server) if each[0] == "ConfigurationRejected"}
    assert rejected["shop"].startswith("its last good version stays in force: nodeseal.yaml")
    assert rejected["junk"].startswith("not in force: config.json")
    assert {each.name for each in InForceFile(str(root)).load().documents} == {
        f"{NAMESPACE}/{name}" for name in ("platform", "shop", "cart")
    }


def test_a_document_for_other_nodes_does_not_count_here(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"), **{NODE_SELECTOR: "pool=elsewhere"})
    with daemon(root, server) as log:
        until(lambda: in_force(root) is not None, log)
    assert names(root) == {"platform"}


def needing(root: pathlib.Path, *images: str) -> None:
    """A node that needs images to come up."""
    path = root / BOOTSTRAP
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "node": {"needs": images}}))
    path.chmod(0o600)


def test_what_locks_the_node_out_is_refused_alone_and_told(server: KubeSimulator, root: pathlib.Path) -> None:
    needing(root, "quay.io/cni/agent:1")
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**", deny=["quay.io/**", "r.example/bad/**"]))
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform"}, log)
        until(lambda: "shop" in {each[1] for each in events(server) if each[0] == "ConfigurationRejected"}, log)
        config = in_force(root)
        assert config is not None
        assert config.ruleset.deny == (Denied("r.example/bad/**"),)
        insisting = tenant("shop", "r.example/shop/**", deny=["quay.io/**"], allowLockout=True)
        put(server, "shop", insisting)
        until(lambda: names(root) == {"platform", "shop"}, log)
    assert any("quay.io/**, which refuses quay.io/cni/agent:1" in each[2] for each in events(server))


def test_documents_that_lock_the_node_out_together_change_nothing(server: KubeSimulator, root: pathlib.Path) -> None:
    needing(root, "quay.io/cni/agent:1")
    put(server, "shop", tenant("shop", "r.example/shop/**"))
    with daemon(root, server) as log:
        until(lambda: "all ConfigMaps together" in log.read_text(), log)
        assert in_force(root) is None
        until(lambda: any("no rule for quay.io/cni/agent:1" in each[2] for each in events(server)), log)


@pytest.mark.parametrize("when_missing", ["KeepLast", "FailurePolicy"])
def test_once_nothing_is_labelled_any_more_the_last_one_says_what_holds(
    server: KubeSimulator, root: pathlib.Path, when_missing: str
) -> None:
    put(server, "platform", platform(whenMissing=when_missing))
    with daemon(root, server) as log:
        until(lambda: in_force(root) is not None, log)
        server.put(NAMESPACE, "platform", {}, platform())
        until(lambda: "no ConfigMap counts" in log.read_text(), log)
        put(server, "late", platform(whenMissing="KeepLast"))
        if when_missing == "FailurePolicy":
            assert "configuration withdrawn" in log.read_text()
            until(lambda: in_force(root) is not None, log)
        else:
            assert "configuration kept" in log.read_text()
            assert in_force(root) is not None


@pytest.mark.parametrize("key", ["a b", "/x", "nodeseal.dev/", "a=b", "x" * 64, "é"])
def test_a_key_that_no_label_can_have_is_refused(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", "--root", str(root), "--configmaps", "--label", key])
    assert ended.value.code == 2
    assert "expected the key of a label" in capsys.readouterr().err


def test_an_api_server_that_is_away_changes_nothing_and_is_followed_again(
    server: KubeSimulator, root: pathlib.Path
) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: in_force(root) is not None, log)
        server.behave("watch", does.status(500), does.status(500))
        server.hang_up()
        put(server, "shop", tenant("shop", "r.example/shop/**"))
        until(lambda: names(root) == {"platform", "shop"}, log)


def test_words_that_need_others_beside_them_are_refused(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", "--root", str(root), "--namespace", "x"])
    assert ended.value.code == 2
    assert "expected --configmaps beside them" in capsys.readouterr().err


def test_without_credentials_the_daemon_serves_and_says_so(root: pathlib.Path) -> None:
    log = root / "log"
    command = [sys.executable, "-m", "agent", "watch", "--root", str(root), "--configmaps", "--metrics", "off"]
    with log.open("ab") as stream:
        process = subprocess.Popen([*command, "--kubeconfig", str(root / "none")], stderr=stream, env=dict(os.environ))
    try:
        until(lambda: "API server unknown" in log.read_text(), log)
        assert ipc.Client(str(root)).ask(ipc.STATUS, seconds=30)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
