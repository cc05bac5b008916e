"""Images that the node's pods wait for are verified ahead: a daemon in its own process, an API server, a registry."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import pytest

from agent.adapters.kube import ApiServer
from agent.modes.podimages import FORBIDDEN_REST, PodsImages
from tests.adapters.kube import Given
from tests.modes.clustered import daemon, put, tenant, until
from tests.modes.test_secrets import Setting, becomes, by_daemon, following, in_force_names, setting
from tests.simulators.kube import READER, KubeSimulator
from tests.warm import Told

__all__ = ["setting"]


def pod(server: KubeSimulator, name: str, *images: object, node: str = "n1", phase: str = "Pending") -> None:
    """A pod of a node."""
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    spec = {"nodeName": node, "containers": containers}
    server.put_object("Pod", "pods", "shop", {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}})


@contextlib.contextmanager
def watching(setting: Setting) -> Iterator[pathlib.Path]:
    """A daemon that follows pods as well, over an open registry; its log."""
    setting.registry.behave()
    put(setting.server, "team", setting.documents())
    with daemon(setting.root, setting.server, "--pods", token=READER) as log:
        until(lambda: in_force_names(setting) == ["team"], log)
        yield log


def told(log: pathlib.Path) -> list[dict[str, Any]]:
    """What was verified ahead."""
    whole, _, _ = log.read_text().rpartition("\n")
    found = [json.loads(line) for line in whole.splitlines()]
    return [each for each in found if each["event"] == "verified ahead"]


def test_what_a_pod_waits_for_has_its_verdict_before_the_pull(setting: Setting) -> None:
    setting.server.grant("pods")
    with watching(setting) as log:
        pod(setting.server, "elsewhere", f"{setting.registry.host}/team/other:1", node="n2")
        pod(setting.server, "done", f"{setting.registry.host}/team/other:1", phase="Succeeded")
        pod(setting.server, "app", setting.name, "registry.k8s.io/pause:3.9")
        until(lambda: len(told(log)) == 1, log)
        assert (told(log)[0]["why"], told(log)[0]["exit"]) == ("pod", 0)
        before = len(setting.registry.seen)
        assert by_daemon(setting).startswith("(0, b'allow NS-0001 ")
        assert len(setting.registry.seen) == before
        assert setting.said()["pods"] == {"pods": 1, "queued": 2, "trouble": ""}
        pod(setting.server, "app", setting.name, phase="Failed")
        until(lambda: setting.said()["pods"]["pods"] == 0, log)
    asked = {each.query["fieldSelector"] for each in setting.server.seen if each.kind == "pods"}
    assert asked == {"spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed"}


def test_without_the_grant_nothing_breaks_and_it_is_told_once(setting: Setting) -> None:
    with watching(setting) as log:
        pod(setting.server, "app", setting.name)
        until(lambda: "pods not followed" in log.read_text(), log)
        put(setting.server, "more", tenant("more", "r.example/**"))
        until(lambda: set(in_force_names(setting)) == {"team", "more"}, log)
        assert "status 403" in setting.said()["pods"]["trouble"]
        assert by_daemon(setting).startswith("(0, b'allow NS-0001 ")
        assert log.read_text().count("pods not followed") == 1
    assert len([each for each in setting.server.seen if each.kind == "pods"]) == 1
    assert told(log) == []


def test_nobody_asks_for_pods_who_was_not_told_to(setting: Setting) -> None:
    setting.server.grant("pods")
    setting.secret()
    put(setting.server, "team", setting.documents("pull"))
    pod(setting.server, "app", setting.name)
    with following(setting) as log:
        becomes(setting, log, "ready")
        assert setting.said()["pods"] is None
    assert not [each for each in setting.server.seen if each.kind == "pods"]


def test_hostile_pods_hurt_nobody_and_are_no_lines_of_the_log(setting: Setting) -> None:
    setting.server.grant("pods")
    with watching(setting) as log:
        forged = 'x\n{"event": "forged", "level": "info"}'
        many = [f"{setting.registry.host}/team/none{number}:1" for number in range(2000)]
        pod(setting.server, "many", forged, "\x1b[2J", "UPPER/..//x@@", "a" * 5000, {"image": 1}, *many)
        for number in range(20):
            pod(setting.server, f"broken{number}", *[f"h{number}.invalid/team/x:{each}" for each in range(100)])
        pod(setting.server, "app", setting.name)
        until(lambda: setting.said()["pods"]["pods"] == 22, log)
        assert by_daemon(setting).startswith("(0, b'allow NS-0001 ")
        assert setting.said()["trouble"] == setting.said()["pods"]["trouble"] == ""
        assert setting.said()["pods"]["queued"] <= 2200
    lines = log.read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert "forged" not in log.read_text()


def test_what_waits_is_queued_once_as_long_as_somebody_waits_for_it() -> None:
    queued: list[str] = []

    def queue(images: Sequence[str]) -> int:
        queued.extend(images)
        return len(images)

    async def body() -> None:
        pods = PodsImages(Told(), queue)
        async with ApiServer(Given(server.url, READER)) as api, anyio.create_task_group() as group:
            group.start_soon(pods.run, api, "n1")
            with anyio.fail_after(60):
                pod(server, "a", "r.example/x:1", "r.example/y:1")
                await queued_are(["r.example/x:1", "r.example/y:1"])
                pod(server, "b", "r.example/y:1", "r.example/z:1")
                await queued_are(["r.example/z:1"])
                for name in ("a", "b"):
                    server.delete("shop", name, "pods")
                while pods.as_json()["pods"] != 0:
                    await anyio.sleep(0.01)
                await anyio.sleep(0.3)
                pod(server, "c", "r.example/y:1")
                await queued_are(["r.example/y:1"])
            group.cancel_scope.cancel()

    async def queued_are(images: list[str]) -> None:
        while queued != images:
            await anyio.sleep(0.01)
        queued.clear()

    with KubeSimulator() as server:
        server.grant("pods")
        anyio.run(body)


def test_who_may_not_see_pods_asks_again_seldom_and_goes_on_when_he_may(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = anyio.sleep

    async def counted(seconds: float) -> None:
        if seconds > 20:
            waits.append(seconds)
            server.grant("pods")
        await sleep(min(seconds, 0.05))

    async def body() -> None:
        log = Told()
        pods = PodsImages(log, len)
        monkeypatch.setattr("agent.modes.podimages.anyio.sleep", counted)
        async with ApiServer(Given(server.url, READER)) as api, anyio.create_task_group() as group:
            group.start_soon(pods.run, api, "n1")
            with anyio.fail_after(60):
                while pods.as_json()["pods"] != 1:
                    await sleep(0.01)
            group.cancel_scope.cancel()

    with KubeSimulator() as server:
        pod(server, "a", "r.example/x:1")
        anyio.run(body)
    assert len(waits) == 1
    assert FORBIDDEN_REST / 2 <= waits[0] <= FORBIDDEN_REST * 1.5
