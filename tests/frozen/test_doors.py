"""All three doors of containerd's child give the same answer: alone, from what was kept, and from the daemon.

One daemon serves them all, and the node changes under it.
"""

from collections.abc import Iterator

import pytest

from agent.adapters import answers
from tests.commands import Done
from tests.frozen.conftest import Setting
from tests.frozen.daemon import Daemon
from tests.frozen.program import descriptor, plugin_words
from tests.frozen.scenarios import SCENARIOS, Scenario
from tests.frozen.test_plugin import BAD_REQUESTS, bad_requests
from tests.frozen.world import ANSWER, PLUGIN, SIGNED, UNSIGNED, Pull, World, world_in
from tests.observed import until
from tests.starvation import Pressure

pytestmark = pytest.mark.frozen


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The node, configured."""
    with world_in(tmp_path_factory.mktemp("doors")) as world:
        yield world


@pytest.fixture(scope="module")
def daemon(world: World) -> Iterator[Daemon]:
    """Its daemon."""
    with Daemon(world.program) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def images(world: World) -> Setting:
    """Two images on it, as `tests.frozen.test_plugin` has them."""
    signed, unsigned = (world.image(f"team/{kind}", kind) for kind in (SIGNED, UNSIGNED))
    return Setting(world.program, world.registry, world.trusted, signed, unsigned)


Asked = tuple[list[Done], list[dict[str, object]]]
"""Answers, and what was spooled of them."""


def kept(world: World) -> set[str]:
    """The answers that are kept, by the names of their files."""
    folder = world.root / answers.FOLDER
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_door_says_the_same(world: World, daemon: Daemon, scenario: Scenario) -> None:
    pull = scenario.pull(world)

    def ask() -> Asked:
        world.program.forget()
        scenario.before(world, pull)
        world.spooled()
        before, given = kept(world), list[Done]()
        for number in range(scenario.times):
            if number and scenario.kept:
                until(lambda: bool(kept(world) - before))  # a moment after it was given
            given.append(pull.run(world))
        return given, world.spooled()

    with scenario.arranged(world):
        with daemon.hidden():
            alone = ask()
        asked = [alone, daemon.unhindered(ask, lambda found: bool(found[1]) and found[1][0]["door"] == scenario.door)]
    cold, told = asked[0][0][0], asked[0][1]
    assert cold.code == scenario.exit, cold
    assert f" {scenario.code} " in cold.out, cold
    assert [(each.code, scenario.constant(each.out), each.err) for given, _ in asked for each in given] == [
        (scenario.exit, scenario.constant(cold.out), "")
    ] * (2 * scenario.times)
    doors = [[record.pop("door") for record in records] for _, records in asked]
    again = ANSWER if scenario.kept else None
    if not scenario.door:
        assert doors == [[], []]
        return
    expected = [[door, again or door][: scenario.times] for door in (PLUGIN, scenario.door)]
    assert doors == expected
    records = [record for _, told in asked for record in told]
    assert all(record.pop("time") for record in records)
    for record in records:
        record["message"] = scenario.constant(f"{record['message']}; see").removesuffix("; see")
    assert records == [records[0]] * (2 * scenario.times)
    assert told
    assert daemon.is_alive()


@pytest.mark.parametrize("defect", BAD_REQUESTS)
def test_request_that_does_not_fit_together_is_refused_with_the_same_words(
    world: World, daemon: Daemon, images: Setting, defect: str
) -> None:
    words, stdin = bad_requests(images)[defect]
    pull = Pull(words, descriptor(str(images.signed.digest), images.signed.size) if stdin is None else stdin)
    with daemon.hidden():
        cold = pull.run(world)
    warm = pull.run(world)
    assert (warm.code, warm.out, warm.err) == (cold.code, cold.out, "")
    assert cold.code == 2


def test_canary_is_refused_without_asking_the_daemon(world: World, daemon: Daemon) -> None:
    with daemon.stopped():
        pressure = Pressure()
        answer = Pull(plugin_words("127.0.0.1:1/nodeseal-canary:nonce", str(world.allowed.digest)), b"").run(world)
    assert answer.code == 10
    assert answer.seconds < 1 + pressure.slack()
    assert answer.out.startswith("deny NS-1001 ")
