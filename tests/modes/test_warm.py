"""The daemon's door: the child's answers, and one verification for many who wait."""

import json
import math
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timezone

import anyio
import pytest

from agent import __version__, fastpath, judgement
from agent.adapters import answers, ipc, nodestate, turns
from agent.adapters.flights import Flights
from agent.adapters.http_pooled_dial import PooledHostNetwork
from agent.adapters.ipc import Question
from agent.adapters.policy_thread import ThreadedWorker
from agent.adapters.room import RoomOfOne
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.turns import Crowded, Turns
from agent.model.answer import Answer
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.modes import plugin, warm
from agent.modes.warmstate import Declined
from agent.rego.builtins import FAMILIES
from agent.rules import precedence
from agent.rules.rule import Default
from tests.frozen.program import descriptor, plugin_words
from tests.modes.glass import Node
from tests.modes.warmdoor import Asker, Said, asking, door_of
from tests.simulators import misbehaviour
from tests.simulators.registry import Handler


class Caught:
    """Holds the registry's answers back until it is let go."""

    def __init__(self, node: Node) -> None:
        """From now on."""
        self.came = threading.Event()
        self.go = threading.Event()
        node.registry.misbehave("*", self)

    def __call__(self, handler: Handler) -> bool:
        """A behaviour of the registry."""
        self.came.set()
        self.go.wait(60)
        return False


async def until(is_so: Callable[[], bool]) -> None:
    """Wait."""
    with anyio.fail_after(60):
        while not is_so():
            await anyio.sleep(0.01)


def requests(node: Node) -> int:
    """How many the registry got."""
    return len(node.registry.seen)


def test_policies_end_before_the_child_that_asked_first_has_to_be_answered(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, within = list[float](), ThreadedWorker.within

    def recorded(self: ThreadedWorker, seconds: float, room: RoomOfOne, until: float = math.inf) -> ThreadedWorker:
        ends.append(until - time.monotonic())
        return within(self, seconds, room, until)

    monkeypatch.setattr(ThreadedWorker, "within", recorded)

    async def body(asker: Asker) -> None:
        await asker("team/signed", seconds=5.0)
        await asker("team/unsigned", seconds=100.0)

    asking(node, body)
    assert 3 < ends[0] <= 5
    assert 6 < ends[1] <= plugin.DEADLINE


# ---- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["team/signed", "team/unsigned", "team/denied"])
def test_answer_is_the_childs_byte_for_byte(node: Node, name: str) -> None:
    said = asking(node, lambda asker: asker(name))
    shutil.rmtree(node.root / "var/cache", ignore_errors=True)
    assert node.pull(name) == (said.code, said.line)
    assert said.final
    record = json.loads(said.around[0] + b"now" + said.around[1])
    assert (record["door"], record["exit"], record["time"]) == ("daemon", said.code, "now")


def test_without_a_configuration_the_child_looks_for_itself(node: Node) -> None:
    shutil.rmtree(node.root / "var/lib")
    said = asking(node, lambda asker: asker("team/signed"))
    assert (said.code, said.final, said.line[:19]) == (11, False, "cannot tell NS-3006")


def test_image_that_no_rule_is_for_needs_no_turn(node: Node) -> None:
    store = SnapshotStore(str(node.root))
    config = store.load()
    rule = config.rules[0]._replace(match=("elsewhere.example.com/**",))
    store.publish(config._replace(ruleset=config.ruleset._replace(rules=(rule,), default=Default())))
    said = asking(node, lambda asker: asker("team/signed"))
    assert (said.code, said.line[:12]) == (10, "deny NS-2007")
    assert requests(node) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"2\0-name\0", b"1\0{}", b"4\0-name\0r.example/a:1\0-digest\0{}", b"2\0-name\0{"],
    ids=["nothing", "no count", "too few", "no name", "no digest", "no JSON"],
)
def test_words_that_do_not_fit_together_are_the_childs_to_refuse(node: Node, body: bytes) -> None:
    async def ask(asker: Asker) -> bytes:
        return await asker.door.pull(Question(ipc.PULL, __version__, 7, b"", body)).message()

    assert asking(node, ask) == b"cold words\n"


def test_child_of_another_version_is_sent_away(node: Node) -> None:
    async def ask(asker: Asker) -> bytes:
        return await asker.pull("team/signed", program="0.0.9").message()

    assert asking(node, ask) == ipc.other()


# ---- what it could not tell ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "final"), [(503, False), (401, False), (429, True)])
def test_cannot_tell_is_the_childs_to_try_unless_nobody_should(node: Node, status: int, final: bool) -> None:
    node.registry.misbehave("*", misbehaviour.status(status))

    async def ask(asker: Asker) -> list[Said]:
        return [await asker("team/signed"), await asker("team/signed", key=b"key")]

    first, again = asking(node, ask)
    assert (first.code, first.final, again) == (11, final, first)
    assert not list(node.root.glob("var/cache/nodeseal/verdicts/**/*"))
    assert len(list(node.root.glob("var/cache/nodeseal/answers/*"))) == int(final)


def test_cannot_tell_of_a_child_is_everybodys(node: Node) -> None:
    node.registry.misbehave("*", misbehaviour.status(503))

    async def ask(asker: Asker) -> Said:
        assert not (await asker("team/signed")).final
        code, _ = await anyio.to_thread.run_sync(node.pull, "team/signed")
        assert code == 11
        before = requests(node)
        said = await asker("team/signed")
        assert requests(node) == before
        return said

    said = asking(node, ask)
    assert (said.code, said.final) == (11, True)


# ---- one verification for all -------------------------------------------------------------------------------------


def test_many_who_ask_for_one_image_are_one_verification_each_with_its_own_name(node: Node) -> None:
    found = asking(node, lambda asker: asker.at_once(*["team/unsigned"] * 20, tags=True))
    assert Counter(seen.target for seen in node.registry.seen).most_common(1)[0][1] == 1
    for i, said in enumerate(found):
        assert said.code == 10
        assert said.line.endswith(f"nodeseal verify --explain {node.registry.host}/team/unsigned:t{i}\n")


def test_who_asks_later_asks_nobody(node: Node) -> None:
    async def ask(asker: Asker) -> list[Said]:
        return [await asker("team/signed") for _ in range(5)]

    assert len(set(asking(node, ask))) == 1
    assert requests(node) == 3


def test_who_waits_gives_up_at_his_own_time_while_the_verification_goes_on(node: Node) -> None:
    caught = Caught(node)

    async def ask(asker: Asker) -> list[Said]:
        late = await asker("team/signed", seconds=0.2)
        caught.go.set()
        return [late, await asker("team/signed")]

    late, said = asking(node, ask)
    assert (late.code, late.final, late.line[:42]) == (11, True, "cannot tell NS-3005 rule=default: deadline")
    assert (said.code, said.final) == (0, True)
    assert requests(node) == 3


def test_repository_that_hangs_does_not_keep_its_neighbours_waiting(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same host, more images at once than there are turns."""
    host, go = node.registry.host, threading.Event()
    hanging = [node.registry.push_image("hanging/image", str(i), salt=str(i)) for i in range(turns.AT_ONCE + 4)]

    def hang(handler: Handler) -> bool:
        if "/hanging/" in handler.path:
            go.wait(60)
        return False

    node.registry.misbehave("*", hang)
    monkeypatch.setattr(warm, "DEADLINE", 60.0)

    async def ask(asker: Asker) -> None:
        asker.door.turns = Turns(patience=0.3)
        answered: list[int] = []

        async def one(i: int) -> None:
            image = hanging[i]
            words = ["nodeseal", *plugin_words(f"{host}/hanging/image:{i}", str(image.digest))]
            body = answers._words(words, descriptor(str(image.digest), image.size))
            message = await asker.door.pull(Question(ipc.PULL, __version__, 60, b"", body)).message()
            if message.startswith(b"answer "):  # or it is left to the child
                answered.append(i)

        async with anyio.create_task_group() as group:
            for i in range(len(hanging)):
                group.start_soon(one, i)
            await until(lambda: asker.door.turns.running >= turns.AT_ONCE)
            assert (await asker("team/signed", seconds=60)).code == 0
            assert answered == []
            go.set()

    try:
        asking(node, ask)
    finally:
        go.set()


def test_busy_is_who_waits_for_his_turn(node: Node) -> None:
    caught = Caught(node)

    async def ask(asker: Asker) -> None:
        asker.door.turns = Turns(1)
        first, second = asker.pull("team/signed"), asker.pull("team/unsigned")
        assert not second.is_busy()
        async with anyio.create_task_group() as group:
            group.start_soon(first.message)
            await until(caught.came.is_set)
            group.start_soon(second.message)
            await until(second.is_busy)
            assert not first.is_busy()
            caught.go.set()
        assert not second.is_busy()

    asking(node, ask)


def test_crowd_does_without(node: Node) -> None:
    caught = Caught(node)

    async def ask(asker: Asker) -> bytes:
        asker.door.turns = Turns(1, 0)
        async with anyio.create_task_group() as group:
            group.start_soon(asker, "team/signed")
            await until(caught.came.is_set)
            message = await asker.pull("team/unsigned").message()
            caught.go.set()
        return message

    assert asking(node, ask) == b"cold alone\n"


def test_where_there_is_no_room_the_child_does_without(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """For memory, names, policies alike: it is no answer, no bug, and nothing is remembered of it."""

    async def crowded(*_: object) -> None:
        raise Crowded

    async def ask(asker: Asker) -> tuple[bytes, Said]:
        door, reference = asker.door, Reference.parse(f"{node.registry.host}/team/signed:1")
        with monkeypatch.context() as patched:
            patched.setattr(PooledHostNetwork, "resolve", crowded)
            message = await asker.pull("team/signed").message()
            state = await door.state()
            with pytest.raises(Declined):  # work ahead of pulls
                await door.resolve(reference, state)
            request = PullRequest(str(reference), reference, node.images["team/signed"])
            case = await judgement.opened(request, door.now(state.node.standing), door.verdicts)
            assert not isinstance(case, Answer)
            with pytest.raises(Declined):
                await door.judged_from_store(case, state, datetime.now(timezone.utc))
        return message, await asker("team/signed")

    message, said = asking(node, ask)
    assert message == b"cold alone\n"
    assert (said.code, said.final) == (0, True)


def test_bug_in_a_verification_is_told_and_the_child_does_without(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(warm, "Engine", broken)

    async def run() -> tuple[list[bytes], list[Exception]]:
        async with door_of(node) as asker:
            return [await asker.pull("team/signed").message() for _ in range(2)], asker.bugs

    messages, bugs = anyio.run(run)
    assert messages == [b"cold alone\n"] * 2
    assert list(map(type, bugs)) == [KeyError] * 2


def test_verification_ends_with_the_daemon(node: Node) -> None:
    caught = Caught(node)

    async def run() -> None:
        async with door_of(node) as asker, anyio.create_task_group() as group:
            group.start_soon(asker.pull("team/signed").message)
            await until(caught.came.is_set)
            group.cancel_scope.cancel()
        assert asker.door._flights == {}
        assert asker.bugs == []

    begun = time.monotonic()
    try:
        anyio.run(run)
    finally:
        caught.go.set()
    assert time.monotonic() - begun < 30


def test_what_was_verified_is_no_verdict_on_another_descriptor(node: Node) -> None:
    """A registry that says another type or size than was signed is refused, whatever was said of the digest before."""
    image = node.images["team/signed"]
    words = ["nodeseal", *plugin_words(f"{node.registry.host}/team/signed:1", str(image.digest))]
    others = [(image.size, "application/vnd.oci.image.index.v1+json"), (image.size + 1, image.media_type)]

    async def ask(asker: Asker) -> list[str]:
        found = [(await asker("team/signed")).line]
        for size, media_type in others:
            body = answers._words(words, descriptor(str(image.digest), size, media_type))
            pull = asker.door.pull(Question(ipc.PULL, __version__, 7, b"", body))
            found.append(Said.of(await pull.message()).line)
        return [*found, (await asker("team/signed")).line]

    assert [line[:13] for line in asking(node, ask)] == [
        "allow NS-0001",
        "deny NS-2102 ",
        "deny NS-2102 ",
        "allow NS-0001",
    ]


def test_policies_processes_import_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are copies of one with threads: what another thread was importing would never be there."""
    modules = [f"agent.rego.builtins.{family}" for family in FAMILIES]
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)

    async def ask(asker: Asker) -> None:
        asker.door.warm_up(await asker.door.state())

    asking(node, ask)
    assert set(modules) <= set(sys.modules)


# ---- with children beside it --------------------------------------------------------------------------------------


def held(node: Node) -> ExitStack:
    """The lock of the signed image, as a child has it."""
    image = f"{node.registry.host}/team/signed@{node.images['team/signed'].digest}"
    lock = Flights(str(node.root), slots=1).try_alone(image)
    assert lock is not None
    return lock


def test_child_that_is_at_it_already_is_waited_for(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_SHORTEST", 0.001)
    monkeypatch.setattr(warm, "DEADLINE", 60.0)

    async def ask(asker: Asker) -> tuple[Said, int]:
        lock = held(node)
        found: list[Said] = []

        async def wait() -> None:
            found.append(await asker("team/signed", seconds=60))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.3)
            assert requests(node) == 0
            code, _ = await anyio.to_thread.run_sync(child_without_locks, node)
            assert code == 0
            before = requests(node)
            lock.close()
        return found[0], requests(node) - before

    said, more = asking(node, ask)
    assert (said.code, said.final, more) == (0, True, 0)


def child_without_locks(node: Node) -> tuple[int, str]:
    """A child that finds its image's lock free."""
    return node.pull("team/signed", before="from agent.adapters import flights\nflights.FOLDER = 'elsewhere'\n")


def test_child_that_never_ends_is_waited_for_until_there_is_time_for_one_more(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "DEADLINE", 60.0)
    monkeypatch.setattr(warm, "PATIENCE", 59.5)  # half a second is left
    with held(node):
        said = asking(node, lambda asker: asker("team/signed", seconds=60))
    assert said.code == 0
    assert requests(node) == 3


def test_child_waits_half_a_second_for_what_a_hung_daemon_holds(node: Node) -> None:
    with held(node):
        begun = time.monotonic()
        code, _ = node.pull("team/signed", before="sys.nodeseal_hung = True")
        took = time.monotonic() - begun
    assert code == 0
    assert plugin.HUNG < took < 45  # of the minute that it has; for a daemon that lives it waits all but three seconds


def test_what_is_decided_meanwhile_is_not_verified(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    async def changed(*words: object) -> object:
        calls.append(words)
        return precedence.CANARY_ANSWER if len(calls) > 1 else await judgement.opened(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(warm, "opened", changed)
    monkeypatch.setattr(warm, "DEADLINE", 60.0)
    monkeypatch.setattr(warm, "PATIENCE", 59.8)
    with held(node):
        said = asking(node, lambda asker: asker("team/signed", seconds=60))
    assert said.line.startswith("deny NS-1001")
    assert requests(node) == 0


def bootstrapped(node: Node) -> None:
    """The bootstrap document is damaged."""
    path = node.root / nodestate.BOOTSTRAP
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("{")


# ---- what is kept for the fast path -------------------------------------------------------------------------------


def test_answer_is_kept_under_the_childs_key(node: Node) -> None:
    said = asking(node, lambda asker: asker("team/signed", key=b"the key"))
    found = fastpath.answer(str(node.root), b"the key", time.time())
    assert found is not None
    assert (found[0], found[1].decode()) == (said.code, said.line)
    assert b'"door":"answer"' in found[2]
    with pytest.raises(FileNotFoundError):
        fastpath.answer(str(node.root), b"another", time.time())


@pytest.mark.parametrize("key", [b"", b"key"])
def test_answer_to_a_node_that_has_changed_since_is_not_kept(node: Node, key: bytes) -> None:
    def change(handler: Handler) -> bool:
        bootstrapped(node)
        return False

    if key:
        node.registry.misbehave("referrers", change)
    said = asking(node, lambda asker: asker("team/signed", key=key))
    assert said.code == 0
    assert not (node.root / answers.FOLDER).exists()
