"""What the daemon verifies though nobody waits for it."""

import json
import pathlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import anyio
import pytest

from agent.adapters.verdicts import VerdictCatalogue
from agent.errors import Cause
from agent.model.descriptor import Descriptor
from agent.model.verdict import Decision
from agent.modes import warm
from agent.modes.ahead import MOST_OF_PODS, MOST_QUEUED, Ahead, Why
from agent.modes.warm import WarmDoor
from tests.signing import Signer, attach_signature, envelope, usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.registry import RegistrySimulator
from tests.warm import Told, asked, publish, pulled, warm_door


class Setting(NamedTuple):
    """A root in which `trusted` is trusted, and a signed and an unsigned image."""

    root: pathlib.Path
    registry: RegistrySimulator
    trusted: Signer
    signed: Descriptor
    unsigned: Descriptor

    def identity(self, repository: str, subject: Descriptor) -> str:
        """`repository@digest`."""
        return f"{self.registry.host}/{repository}@{subject.digest}"

    @property
    def requests(self) -> int:
        """How many the registry has got."""
        return sum(self.registry.counts.values())

    def reconfigure(self, folder: pathlib.Path, **nodeseal: object) -> None:
        """Put another configuration in force: the same trust, under rules of our own."""
        write_config(folder, self.trusted.root_pem)
        value = json.loads((folder / "config.json").read_text())
        default = {"enforcement": "Enforce", "failurePolicy": "Fail"}
        value["nodeseal"] = {"apiVersion": "nodeseal.dev/v1alpha1", "default": default, **nodeseal}
        (folder / "config.json").write_text(json.dumps(value))
        publish(folder, self.root)


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Iterator[Setting]:
    """All of it."""
    trusted, root = usual_signer(), tmp_path / "host"
    root.mkdir()
    with RegistrySimulator() as registry:
        signed = registry.push_image("team/signed", "1", salt="signed")
        unsigned = registry.push_image("team/unsigned", "1", salt="unsigned")
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        publish(write_config(tmp_path / "config", trusted.root_pem), root)
        yield Setting(root, registry, trusted, signed, unsigned)


class Working(NamedTuple):
    """A door, what verifies ahead, and its log."""

    door: WarmDoor
    ahead: Ahead
    told: Told

    async def idle(self, done: int) -> None:
        """Wait until so many images are done."""
        with anyio.fail_after(60):
            while self.ahead.done < done:
                await anyio.sleep(0.01)


@asynccontextmanager
async def working(root: pathlib.Path) -> AsyncIterator[Working]:
    """All of it at work."""
    told = Told()
    async with warm_door(root) as door, anyio.create_task_group() as group:
        ahead = Ahead(door, told)
        group.start_soon(ahead.run)
        yield Working(door, ahead, told)
        group.cancel_scope.cancel()


def within(setting: Setting, test: Callable[[Working], Awaitable[None]]) -> None:
    """Run a test in an event loop."""

    async def body() -> None:
        async with working(setting.root) as found:
            await test(found)

    anyio.run(body)


def test_a_named_image_is_verified_and_its_pull_costs_no_request(setting: Setting) -> None:
    async def test(found: Working) -> None:
        names = [f"{setting.registry.host}/team/signed:1", setting.identity("team/unsigned", setting.unsigned)]
        assert found.ahead.queue(Why.NAMED, names) == 2
        await found.idle(2)
        told = {each["image"]: (each["why"], each["exit"]) for each in found.told.of("verified ahead")}
        assert told == {
            setting.identity("team/signed", setting.signed): ("named", 0),
            setting.identity("team/unsigned", setting.unsigned): ("named", 10),
        }
        before = setting.requests
        assert (await pulled(found.door, asked(setting.registry, "team/signed", setting.signed))).exit == 0
        assert (await pulled(found.door, asked(setting.registry, "team/unsigned", setting.unsigned))).exit == 10
        assert setting.requests == before

    within(setting, test)


def test_an_image_is_queued_once_and_the_queue_ends(setting: Setting) -> None:
    async def test() -> None:
        async with warm_door(setting.root) as door:
            ahead = Ahead(door, Told())
            assert ahead.queue(Why.NAMED, ["a.example/x:1", "a.example/x:1"]) == 1
            assert ahead.queue(Why.NAMED, (f"a.example/x:{n}" for n in range(MOST_QUEUED + 5))) == MOST_QUEUED - 1
            assert (ahead.waiting, ahead.dropped) == (MOST_QUEUED, 5)

    anyio.run(test)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that is silent is waited for as long as it is: for longer than any of these tests takes."""
    monkeypatch.setattr(warm, "DEADLINE", 60.0)


async def hangs(setting: Setting) -> None:
    """Wait until somebody waits for the silent registry."""
    with anyio.fail_after(20):
        while not any("/slow/" in each.target for each in setting.registry.seen):
            await anyio.sleep(0.01)


@pytest.mark.usefixtures("patient")
def test_each_reason_has_its_turn_and_its_room_and_pods_one_worker(setting: Setting) -> None:
    async def test(found: Working) -> None:
        setting.registry.misbehave("*", lambda handler: "slow/" in handler.path and misbehaviour.silence(handler))
        setting.reconfigure(setting.root.parent / "more", rules=[rule(setting) | {"match": ["**"]}])
        slow = [f"{setting.registry.host}/slow/image{number}:1" for number in range(MOST_OF_PODS + 7)]
        assert found.ahead.queue(Why.POD, slow) == MOST_OF_PODS
        assert found.ahead.dropped == 7
        await hangs(setting)
        for number in range(3):  # all of them while a pod's image is waited for
            found.ahead.queue(Why.NAMED, [setting.identity("team/signed", setting.signed), f"NO NAME {number}"])
            with anyio.fail_after(25):
                while found.ahead.waiting > MOST_OF_PODS - 1:
                    await anyio.sleep(0.01)
        with anyio.fail_after(25):
            assert (await pulled(found.door, asked(setting.registry, "team/signed", setting.signed))).exit == 0
        assert found.ahead.waiting == MOST_OF_PODS - 1

    within(setting, test)


def test_images_of_pods_are_asked_for_only_where_a_pull_would_be(setting: Setting) -> None:
    async def test(found: Working) -> None:
        setting.reconfigure(
            setting.root.parent / "more",
            rules=[rule(setting)],
            deny=[f"{setting.registry.host}/team/unsigned"],
            exempt=[{"match": f"{setting.registry.host}/team/exempt", "insecure": True}],
        )
        before = setting.requests
        names = [f"{setting.registry.host}/{path}:1" for path in ("team/unsigned", "team/exempt", "other/image")]
        found.ahead.queue(Why.POD, [*names, "registry.k8s.io/pause:3.9"])
        await found.idle(4)
        assert setting.requests == before
        found.ahead.queue(Why.POD, [f"{setting.registry.host}/team/signed:1"])
        await found.idle(5)
        assert [(each["why"], each["exit"]) for each in found.told.of("verified ahead")] == [("pod", 0)]
        before = setting.requests
        assert (await pulled(found.door, asked(setting.registry, "team/signed", setting.signed))).exit == 0
        assert setting.requests == before
        found.ahead.queue(Why.POD, [f"{setting.registry.host}/team/signed:1"])
        await found.idle(6)
        assert len(found.told.of("verified ahead")) == 1

    within(setting, test)


def test_what_names_no_image_or_no_image_that_is_there_is_told_and_ends_nothing(setting: Setting) -> None:
    async def test(found: Working) -> None:
        missing = f"{setting.registry.host}/team/missing:1"
        found.ahead.queue(Why.NAMED, ["NO NAME", missing, f"{setting.registry.host}/team/signed:1"])
        await found.idle(3)
        assert {each["image"] for each in found.told.of("not verified ahead")} == {"NO NAME", missing}
        assert len(found.told.of("verified ahead")) == 1

    within(setting, test)


def test_after_a_change_the_images_judged_before_are_judged_from_what_is_kept(
    setting: Setting, tmp_path: pathlib.Path
) -> None:
    async def test(found: Working) -> None:
        question = asked(setting.registry, "team/signed", setting.signed)
        assert (await pulled(found.door, question)).exit == 0
        setting.reconfigure(tmp_path / "other", cache={"allow": "1h"})
        setting.reconfigure(tmp_path / "third", rules=[rule(setting)])
        setting.registry.misbehave("*", misbehaviour.status(503))
        before = setting.requests
        await found.ahead.changed(await found.door.state())
        await found.idle(1)
        told = found.told.of("verified ahead")
        assert [(each["why"], each["exit"], each["rule"]) for each in told] == [("changed", 0, "team")]
        again = await pulled(found.door, question)
        assert (again.exit, setting.requests) == (0, before)
        assert "rule=team ground=verified" in again.line

    within(setting, test)


def rule(setting: Setting, **more: object) -> dict[str, object]:
    """A rule for the team's images, with the verifier of the usual configuration."""
    return {
        "name": "team",
        "match": [f"{setting.registry.host}/team/**"],
        "verifiers": ["notation"],
        "policy": {"any": ["notation"]},
        **more,
    }


def test_what_kept_lists_do_not_allow_is_asked_for_anew(setting: Setting, tmp_path: pathlib.Path) -> None:
    async def test(found: Working) -> None:
        assert (await pulled(found.door, asked(setting.registry, "team/unsigned", setting.unsigned))).exit == 10
        attach_signature(
            setting.registry, "team/unsigned", setting.unsigned, envelope(setting.trusted, setting.unsigned)
        )
        setting.reconfigure(tmp_path / "other", rules=[rule(setting)])
        await found.ahead.changed(await found.door.state())
        await found.idle(1)
        assert [each["exit"] for each in found.told.of("verified ahead")] == [0]

    within(setting, test)


def test_an_allowance_from_kept_lists_ends_when_they_do(setting: Setting, tmp_path: pathlib.Path) -> None:
    async def test(found: Working) -> None:
        begun = datetime.now(timezone.utc)
        assert (await pulled(found.door, asked(setting.registry, "team/signed", setting.signed))).exit == 0
        first = known_until(setting, None)
        kept = datetime.now(timezone.utc)
        await anyio.sleep(1.1)  # ends are in whole seconds
        setting.reconfigure(tmp_path / "other", rules=[rule(setting)])
        await found.ahead.changed(await found.door.state())
        await found.idle(1)
        second = known_until(setting, first[0])
        asked_at = datetime.fromtimestamp(second[1], timezone.utc) - timedelta(hours=24)
        assert begun - timedelta(seconds=1) < asked_at <= kept
        (entry,) = (each for each in VerdictCatalogue(str(setting.root)).entries() if each.ground != first[0])
        assert entry.memory.verified is not None
        assert begun <= entry.memory.verified.verified_at <= kept  # what may be stale is so from then on

    within(setting, test)


def known_until(setting: Setting, other_than: str | None) -> tuple[str, float]:
    """The ground of the allowance that is remembered (other than a ground), and its end."""
    entries = [each for each in VerdictCatalogue(str(setting.root)).entries() if each.ground != other_than]
    (entry,) = entries
    assert entry.memory.last is not None
    assert entry.memory.last.verdict.decision is Decision.ALLOW
    return entry.ground, entry.memory.last.fresh_until.timestamp()


def test_a_change_that_is_none_for_an_image_costs_nothing(setting: Setting, tmp_path: pathlib.Path) -> None:
    async def test(found: Working) -> None:
        assert (await pulled(found.door, asked(setting.registry, "team/signed", setting.signed))).exit == 0
        setting.reconfigure(tmp_path / "other", cache={"cannotTell": "7s"})
        before = setting.requests
        await found.ahead.changed(await found.door.state())
        await found.idle(1)
        assert setting.requests == before
        assert found.told.of("verified ahead") == []

    within(setting, test)


def test_without_anything_kept_images_are_asked_for_again(setting: Setting, tmp_path: pathlib.Path) -> None:
    async def test(found: Working) -> None:
        assert (await pulled(found.door, asked(setting.registry, "team/signed", setting.signed))).exit == 0
        for store in ("content", "listings"):
            shutil.rmtree(setting.root / "var/cache/nodeseal" / store)
        setting.reconfigure(tmp_path / "other", rules=[rule(setting)])
        await found.ahead.changed(await found.door.state())
        await found.idle(1)
        assert [each["exit"] for each in found.told.of("verified ahead")] == [0]

    within(setting, test)


def test_what_break_glass_let_in_is_verified_as_if_there_were_none(setting: Setting, tmp_path: pathlib.Path) -> None:
    async def test(found: Working) -> None:
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        glass = {"match": f"{setting.registry.host}/**", "until": f"{soon:%Y-%m-%dT%H:%M:%SZ}", "reason": "INC-1"}
        setting.reconfigure(tmp_path / "glass", breakGlass=[glass])
        question = asked(setting.registry, "team/unsigned", setting.unsigned)
        assert "ground=breakGlass" in (await pulled(found.door, question)).line
        found.ahead.queue(Why.LET_IN, [setting.identity("team/unsigned", setting.unsigned)])
        await found.idle(1)
        assert [(each["why"], each["exit"]) for each in found.told.of("verified ahead")] == [("letIn", 10)]
        assert "ground=breakGlass" in (await pulled(found.door, question)).line

    within(setting, test)


@pytest.mark.usefixtures("patient")
def test_a_registry_that_hangs_holds_up_no_pull(setting: Setting) -> None:
    async def test(found: Working) -> None:
        slow = setting.registry.push_image("slow/image", "1", salt="slow")
        setting.registry.misbehave(
            "referrers", lambda handler: "slow/" in handler.path and misbehaviour.silence(handler)
        )
        found.ahead.queue(Why.NAMED, [f"{setting.registry.host}/slow/image@{slow.digest}"])
        await hangs(setting)
        with anyio.fail_after(25):
            assert (await pulled(found.door, asked(setting.registry, "team/signed", setting.signed))).exit == 0
        assert found.ahead.done == 0

    within(setting, test)


def test_nobody_can_tell_is_told_with_its_cause(setting: Setting) -> None:
    async def test(found: Working) -> None:
        setting.registry.misbehave("*", misbehaviour.status(401))
        found.ahead.queue(Why.NAMED, [setting.identity("team/signed", setting.signed)])
        await found.idle(1)
        assert [each["cause"] for each in found.told.of("not verified ahead")] == [Cause.UNAUTHORIZED.value]

    within(setting, test)
