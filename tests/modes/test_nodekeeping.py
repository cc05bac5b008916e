"""What the cluster is told of a node: by a keeper in the test's own event loop, and a simulated API server."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import anyio
import pytest

from agent.adapters.kube import ApiServer
from agent.cluster.nodes import CONDITION
from agent.modes.nodekeeping import NodeKeeper
from agent.modes.proofs import Looked, Proofs
from agent.modes.tasks import Proving, Taint
from agent.wiring.proof import NOTHING_KNOWN, Known, Proof, Reason, State
from tests.adapters.kube import Given, until
from tests.simulators.kube import ADMIN, READER, Handler, KubeSimulator, Object
from tests.warm import Told

GOOD = Proof(State.ENFORCING, Reason.ENFORCING, "good")
BAD = Proof(State.BYPASSED, Reason.LOCAL_PULL, "bad")
SILENT = Proof(State.UNKNOWN, Reason.SILENT, "silent")
BROKEN = Proof(State.UNKNOWN, Reason.BROKEN, "broken")
UNSUPPORTED = ("RuntimeNotContainerd", "DistributionUnsupported")
KEY = "nodeseal.dev/agent-not-ready"
OURS, OTHER = {"key": KEY, "effect": "NoSchedule"}, {"key": "other", "effect": "NoSchedule"}


@pytest.fixture
def server() -> Iterator[KubeSimulator]:
    """An API server with a node."""
    with KubeSimulator() as found:
        found.objects["nodes", "", "n1"] = {"metadata": {"name": "n1"}, "spec": {"taints": [OTHER, OURS]}, "status": {}}
        yield found


class Stage:
    """A keeper, and what it lives by."""

    def __init__(self, server: KubeSimulator, *, limit: float | None = None, taint: bool = False) -> None:
        """Time passes a hundred times as fast for whoever waits."""
        self.server = server
        self.log = Told()
        self.sweeps, self.wiring = 0, ""
        self.slept: list[float] = []
        self.found: Mapping[str, int] = {"allowed": 2}
        self.sweeping: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint
        self._given = GOOD
        self.proofs = Proofs("/nowhere", Proving("/nowhere/s"), self.log, prove=self._prove)
        self.keeper = NodeKeeper(
            "n1",
            self.proofs,
            self.log,
            taint=Taint(KEY, limit) if taint else None,
            sweep=self._sweep,
            wiring=lambda: self.wiring,
            random=lambda: 0.0,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.sleep(seconds / 100)

    async def _prove(self, socket: str, known: Known, *, program: str, port: int) -> Proof:
        return self._given

    async def _sweep(self) -> Mapping[str, int]:
        self.sweeps += 1
        await self.sweeping()
        return self.found

    async def prove(self, proof: Proof) -> None:
        """One canary."""
        self._given = proof
        await self.proofs.once(Looked(NOTHING_KNOWN, ()), anew=False)

    @property
    def node(self) -> Object:
        """As the server has it."""
        return self.server.objects["nodes", "", "n1"]

    @property
    def condition(self) -> tuple[str, str] | None:
        """Status and reason of ours."""
        conditions = self.node["status"].get("conditions", [])
        return next(((each["status"], each["reason"]) for each in conditions if each["type"] == CONDITION), None)

    def play(self, body: Callable[[], Awaitable[None]], *, token: str = ADMIN) -> None:
        """Run `body` beside the keeper."""

        async def run() -> None:
            with anyio.fail_after(120):
                async with ApiServer(Given(self.server.url, token)) as api, anyio.create_task_group() as group:
                    group.start_soon(self.keeper.run, api)
                    await body()
                    group.cancel_scope.cancel()

        anyio.run(run)

    def events(self) -> list[Any]:
        """Those that were written."""
        return [json.loads(each.body) for each in self.server.seen if each.verb == "create"]


def test_condition_says_what_was_proved(server: KubeSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cluster.nodes.SHORTEST", 0.01)
    stage = Stage(server)

    async def body() -> None:
        await anyio.sleep(0.2)
        assert stage.condition is None  # nothing is said before the first canary
        for proof, expected in (
            (GOOD, ("True", "Enforcing")),
            (BAD, ("False", "LocalPullFallback")),
            (SILENT, ("Unknown", "RuntimeSilent")),
            (GOOD._replace(state=State.OFF), ("False", "Enforcing")),
            (GOOD._replace(state=State.UNSUPPORTED), ("False", "Enforcing")),
            (GOOD, ("True", "Enforcing")),
        ):
            await stage.prove(proof)
            await until(lambda expected=expected: stage.condition == expected, lambda: str(stage.node))  # type: ignore[misc]
        await until(lambda: len(stage.events()) == 5)

    stage.play(body)
    assert stage.keeper.as_json()["condition"] == {"status": "True", "reason": "Enforcing", "message": "good"}
    said = [(each["reason"], each["type"]) for each in stage.events()]
    assert said == [("Enforcing", "Normal"), ("LocalPullFallback", "Warning"), ("RuntimeSilent", "Warning"),
                    ("Enforcing", "Warning"), ("Enforcing", "Normal")]  # fmt: skip
    assert not stage.log.of("startup taint")


def test_condition_says_too_who_undoes_the_wiring(server: KubeSimulator) -> None:
    stage = Stage(server)
    stage.wiring = "somebody else writes /a again and again"

    async def body() -> None:
        await stage.prove(GOOD)
        await until(lambda: stage.condition == ("True", "Enforcing"), lambda: str(stage.node))

    stage.play(body)
    (said,) = stage.node["status"]["conditions"]
    assert said["message"] == "good; somebody else writes /a again and again"


@pytest.mark.parametrize(
    ("info", "proof", "expected", "says"),
    [
        (("cri-o://1.33.0", "Fedora"), SILENT, ("False", "RuntimeNotContainerd"), "ClusterImagePolicy"),
        (("cri-o://1.33.0", "Fedora"), BAD, ("False", "LocalPullFallback"), "bad"),
        (("containerd://1.7.30", "Ubuntu"), SILENT, ("Unknown", "RuntimeSilent"), "silent"),
        (("containerd://2.1.4", "Talos (v1.13.0)"), BAD, ("False", "DistributionUnsupported"), "--print talos"),
        (("containerd://2.1.4", "Talos (v1.13.0)"), BROKEN, ("Unknown", "VerifierFailed"), "broken"),
        (("containerd://2.1.4", "Talos (v1.13.0)"), GOOD, ("True", "Enforcing"), "good"),
        (("containerd://2.1.4", "Ubuntu"), BAD, ("False", "LocalPullFallback"), "bad"),
    ],
)
def test_node_that_can_not_verify_says_what_to_use_instead(
    server: KubeSimulator, info: tuple[str, str], proof: Proof, expected: tuple[str, str], says: str
) -> None:
    stage = Stage(server)
    stage.node["status"]["nodeInfo"] = {"containerRuntimeVersion": info[0], "osImage": info[1]}

    async def body() -> None:
        await stage.prove(proof)
        await until(lambda: stage.condition == expected, lambda: str(stage.node))

    stage.play(body)
    assert says in stage.node["status"]["conditions"][0]["message"]
    state = "unsupported" if expected[1] in UNSUPPORTED else proof.state.value
    assert stage.proofs.as_json()["state"] == state, "status and metrics say the same"


def test_what_the_node_is_is_asked_again_while_nothing_is_proved(
    server: KubeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cluster.nodes.HEARTBEAT", 0.1)
    stage = Stage(server)
    stage.node["status"]["nodeInfo"] = {"containerRuntimeVersion": "cri-o://1.33.0"}
    server.behave("get", *[lambda handler: handler.refuse(503, "away")] * 2)

    async def body() -> None:
        await anyio.sleep(0.1)
        await stage.prove(SILENT)
        await until(lambda: stage.condition == ("False", "RuntimeNotContainerd"), lambda: str(stage.node))

    stage.play(body)


def test_what_is_not_granted_is_said_once_and_everything_else_goes_on(server: KubeSimulator) -> None:
    stage = Stage(server, taint=True, limit=300)
    stage.keeper._sleep = anyio.sleep  # it asks again after minutes

    async def body() -> None:
        await stage.prove(GOOD)
        await until(lambda: len(stage.log.events) >= 3, lambda: str(stage.log.events))
        await anyio.sleep(0.5)

    stage.play(body, token=READER)
    assert len(server.seen) == 3
    assert stage.condition is None
    assert len(stage.log.of("node condition not written")) == 1
    assert len(stage.log.of("startup taint can't be read")) == 1
    assert "is forbidden" in str(stage.log.of("node condition not written"))
    assert stage.node["spec"]["taints"] == [OTHER, OURS]


def test_heartbeat_goes_on_and_costs_one_request(server: KubeSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cluster.nodes.HEARTBEAT", 0.2)
    stage = Stage(server)

    async def body() -> None:
        await stage.prove(GOOD)
        await until(lambda: sum(each.verb == "patch" for each in server.seen) >= 4, lambda: str(server.seen))

    stage.play(body)
    assert [each.verb for each in server.seen][:5] == ["get", "patch", "create", "patch", "patch"]


def test_startup_taint_goes_after_the_first_proof_and_a_sweep(server: KubeSimulator) -> None:
    stage = Stage(server, taint=True)
    swept = anyio.Event()
    stage.found = {"allowed": 2, "denied": 1}

    async def body() -> None:
        stage.sweeping = swept.wait
        for proof in (SILENT, BAD):
            await stage.prove(proof)
            await anyio.sleep(0.2)
            assert (stage.keeper.taint, stage.sweeps) == ("waiting", 0)
        await stage.prove(GOOD)
        await until(lambda: stage.keeper.taint == "sweeping")
        assert stage.node["spec"]["taints"] == [OTHER, OURS]
        swept.set()
        await until(lambda: stage.keeper.taint == "removed")

    stage.play(body)
    assert stage.node["spec"]["taints"] == [OTHER]
    assert stage.keeper.as_json()["swept"] == {"allowed": 2, "denied": 1}
    assert ("warning", "images present before", {"allowed": 2, "denied": 1}) in stage.log.events
    assert stage.sweeps == 1


def test_node_that_never_proves_is_released_when_it_is_time_and_its_condition_is_false(
    server: KubeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cluster.nodes.SHORTEST", 0.01)
    stage, seen = Stage(server, taint=True, limit=0.5), anyio.Event()
    limited = stage.keeper._until

    async def late(deadline: float | None, work: Callable[[], Awaitable[None]]) -> bool:
        await seen.wait()  # nothing is over before the test has seen what comes first
        return await limited(deadline, work)

    monkeypatch.setattr(stage.keeper, "_until", late)

    async def body() -> None:
        await stage.prove(SILENT)
        await until(lambda: stage.condition == ("Unknown", "RuntimeSilent"))
        seen.set()
        await until(lambda: stage.keeper.taint == "released")
        await stage.prove(SILENT)
        await until(lambda: stage.condition == ("False", "RuntimeSilent"))
        await stage.prove(GOOD)
        await until(lambda: stage.condition == ("True", "Enforcing"))
        await stage.prove(SILENT)
        await until(lambda: stage.condition == ("Unknown", "RuntimeSilent"))

    stage.play(body)
    assert stage.node["spec"]["taints"] == [OTHER]
    assert stage.sweeps == 0
    assert stage.log.of("startup taint released without a proof") == [{"key": KEY, "reason": "silent"}]


def test_sweep_that_does_not_end_keeps_the_taint_no_longer_than_its_time(
    server: KubeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.modes.nodekeeping.SWEEPING", 0.3)
    stage = Stage(server, taint=True, limit=0.3)
    stage.sweeping = anyio.sleep_forever

    async def body() -> None:
        await stage.prove(GOOD)
        await until(lambda: stage.keeper.taint == "released")
        await until(lambda: stage.condition == ("True", "Enforcing"))

    stage.play(body)


def test_taints_of_others_are_never_lost(server: KubeSimulator) -> None:
    """Somebody adds one each time between our looking and our removing, three times."""
    stage = Stage(server, taint=True)
    added = [{"key": f"new-{number}", "effect": "NoSchedule"} for number in range(3)]
    left = list(added)

    def interfere(handler: Handler) -> bool:
        if handler.headers["Content-Type"] == "application/json-patch+json" and left:
            server.objects["nodes", "", "n1"]["spec"]["taints"].insert(0, left.pop())
        return False

    server.behave("patch", *[interfere] * 10)

    async def body() -> None:
        await stage.prove(GOOD)
        await until(lambda: stage.keeper.taint == "removed")

    stage.play(body)
    assert stage.node["spec"]["taints"] == [*added, OTHER]
    assert len(stage.log.of("startup taint not removed yet")) == 1


def test_node_without_the_taint_is_left_alone(server: KubeSimulator) -> None:
    server.objects["nodes", "", "n1"]["spec"] = {"taints": [OTHER]}
    stage = Stage(server, taint=True, limit=0.2)

    async def body() -> None:
        await stage.prove(SILENT)
        await until(lambda: stage.condition == ("Unknown", "RuntimeSilent"))
        await anyio.sleep(0.5)

    stage.play(body)
    assert stage.keeper.taint == "none"
    assert stage.condition == ("Unknown", "RuntimeSilent")
    assert stage.node["spec"]["taints"] == [OTHER]


def test_taint_that_was_removed_is_not_looked_for_when_the_keeper_begins_anew(server: KubeSimulator) -> None:
    stage = Stage(server, taint=True)

    async def body() -> None:
        await stage.prove(GOOD)
        await until(lambda: stage.keeper.taint == "removed")
        stage.node["spec"]["taints"].append(OURS)
        async with ApiServer(Given(server.url, ADMIN)) as api, anyio.create_task_group() as group:
            before = len(server.seen)
            group.start_soon(stage.keeper.run, api)
            await until(lambda: len(server.seen) >= before + 2)
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()

    stage.play(body)
    assert stage.node["spec"]["taints"] == [OTHER, OURS]
    assert stage.sweeps == 1


def test_api_server_that_is_away_is_asked_again_more_and_more_rarely(server: KubeSimulator) -> None:
    stage = Stage(server, taint=True)
    server.behave("get", *[lambda handler: handler.refuse(503, "away")] * 4)
    server.behave("patch", *[lambda handler: handler.refuse(503, "away")] * 3)

    async def body() -> None:
        await stage.prove(GOOD)
        await until(lambda: stage.keeper.taint == "removed")

    stage.play(body)
    assert stage.node["spec"]["taints"] == [OTHER]
    assert stage.slept[:3] == [2.5, 5, 10]
