"""How a node and its registry are while a pull is asked: away, closed, damaged, too old, or other since."""

import contextlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from hashlib import sha256

from agent.adapters import answers, nodestate
from agent.adapters.credentials import NODE_FILE
from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.rules.breakglass import Moment
from agent.rules.rule import KeysUsed
from tests.frozen.world import Pull, World
from tests.signing_cosign import public_der
from tests.simulators import misbehaviour
from tests.simulators.authentication import USER, Gate, pair
from tests.simulators.misbehaviour import Behaviour

DENIED = [{"key": f"sha256:{sha256(public_der()).hexdigest()}"}]
"""`denySigners` with the key that cosign's signatures are made with."""

_STATE = "var/lib/nodeseal"

Arranged = Callable[[World], AbstractContextManager[object]]
Before = Callable[[World, Pull], object]


def answering(behaviour: Behaviour, kind: str = "*") -> Arranged:
    """The registry answers so."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        world.registry.misbehave(kind, behaviour)
        try:
            yield
        finally:
            world.registry.behave()

    return arranged


def configured(**section: object) -> Arranged:
    """Another configuration is in force."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        world.program.apply(world.configuration("other", **section))
        try:
            yield
        finally:
            world.program.apply(world.configuration("usual"))

    return arranged


forgetful = configured(cache={"allow": "0s", "deny": {"first": "0s", "max": "0s"}, "cannotTell": "0s"})
"""Nothing is said again, so that what was verified before is all that is known."""


@contextlib.contextmanager
def asking_for_a_token(world: World) -> Iterator[None]:
    """The registry is open to all who ask for a token first."""
    world.registry.asks_for_token = True
    try:
        yield
    finally:
        world.registry.asks_for_token = False


def down_after_it_was_verified(world: World, pull: Pull) -> None:
    """The registry goes away once the image was verified."""
    world.registry.behave()
    assert pull.run(world).out.startswith("allow NS-0001 ")
    world.registry.misbehave("*", misbehaviour.status(503))


@contextlib.contextmanager
def forgetful_while_it_goes(world: World) -> Iterator[None]:
    """See `down_after_it_was_verified`."""
    with forgetful(world), answering(misbehaviour.as_usual)(world):
        yield


def forgetful_without_staleness(world: World) -> AbstractContextManager[object]:
    """The same, where nothing passes as stale."""
    cache = {"allow": "0s", "deny": {"first": "0s", "max": "0s"}, "cannotTell": "0s"}
    stack = contextlib.ExitStack()
    stack.enter_context(configured(cache=cache | {"staleIfError": {"registry": "0s"}})(world))
    stack.enter_context(answering(misbehaviour.as_usual)(world))
    return stack


def with_file(path: str, content: str | bytes, mode: int = 0o600) -> Arranged:
    """A file of the node's has this content."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        file = world.root / path
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        before = file.read_bytes() if file.exists() else None
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        try:
            yield
        finally:
            file.unlink()
            if before is not None:
                file.write_bytes(before)
                file.chmod(0o600)

    return arranged


def credentials(password: str) -> Arranged:
    """The registry is closed, and the node has this password to it."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        auths = {world.registry.host: {"auth": pair(USER, password)}}
        with with_file(NODE_FILE, json.dumps({"auths": auths}))(world), answering(Gate(world.registry))(world):
            yield

    return arranged


def bootstrap(**said: object) -> Arranged:
    """The node's bootstrap document says so."""
    return with_file(nodestate.BOOTSTRAP, json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", **said}))


def together(*all_of: Arranged) -> Arranged:
    """All of these at once."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for each in all_of:
                stack.enter_context(each(world))
            yield

    return arranged


@contextlib.contextmanager
def without_configuration(world: World) -> Iterator[None]:
    """Nothing was ever published."""
    state = world.root / _STATE
    state.rename(state.with_name("elsewhere"))
    try:
        yield
    finally:
        shutil.rmtree(state, ignore_errors=True)
        state.with_name("elsewhere").rename(state)


@contextlib.contextmanager
def damaged(world: World) -> Iterator[None]:
    """The snapshot is not what was published."""
    with with_file(f"{_STATE}/current/snapshot.json", "{}")(world):
        yield


@contextlib.contextmanager
def writable(world: World) -> Iterator[None]:
    """Others may write to the snapshots."""
    folder = world.root / _STATE / "snapshots"
    mode = folder.stat().st_mode
    folder.chmod(0o777)
    try:
        yield
    finally:
        folder.chmod(mode)


@contextlib.contextmanager
def unsafe_program(world: World) -> Iterator[None]:
    """Others may write to the program's folder."""
    folder = world.program.path.parent
    mode = folder.stat().st_mode
    folder.chmod(0o777)
    try:
        yield
    finally:
        folder.chmod(mode)


def out_of_date(left: float) -> Arranged:
    """The configuration came from a cluster, and counts for so many seconds more."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        age(world.root, left)
        try:
            yield
        finally:
            (world.root / nodestate.COMPLETE).unlink()
            world.program.apply(world.configuration("usual"))

    return arranged


def age(root: pathlib.Path, left: float) -> None:
    """Let what is in force be a cluster's, and count for so many seconds more."""
    store = SnapshotStore(str(root))
    config, now = store.load(), nodestate.moment()
    complete = now.wall - timedelta(seconds=config.ruleset.greatest_age - left)
    NodeState(str(root)).note_complete(Moment(complete, 0.0, ""))
    store.publish(config._replace(ruleset=config.ruleset._replace(from_cluster=True)))


def out_of_date_after_it_was_verified(world: World, pull: Pull) -> None:
    """The image is verified while the configuration counts, and then that ends."""
    age(world.root, 1000)
    assert pull.run(world).out.startswith("allow NS-0001 ")
    age(world.root, 0)
    shutil.rmtree(world.root / answers.FOLDER)  # its answer ends with the configuration: see `test_again`


def denied_after_it_was_verified(world: World, pull: Pull) -> None:
    """The image is verified, and kept as that, and then its signer is denied."""
    world.program.apply(world.configuration("usual"))
    assert pull.run(world).out.startswith("allow NS-0001 ")
    assert pull.run(world).out.startswith("allow NS-0001 ")
    world.program.apply(world.configuration("other", denySigners=DENIED))


@contextlib.contextmanager
def with_old_keys(world: World) -> Iterator[None]:
    """All rules rest on keys that were fetched too long ago."""
    store, now = SnapshotStore(str(world.root)), nodestate.moment()
    config, keys = store.load(), KeysUsed("f" * 64, "corp", 3600.0)
    rules = tuple(rule._replace(keys=(keys,)) for rule in config.rules)
    NodeState(str(world.root)).note_fetched({keys.source: Moment(now.wall - timedelta(hours=1), 0.0, "")})
    store.publish(config._replace(ruleset=config.ruleset._replace(rules=rules)))
    try:
        yield
    finally:
        (world.root / nodestate.FETCHED).unlink()
        world.program.apply(world.configuration("usual"))


def break_glass(pattern: str) -> Arranged:
    """Break-glass is on, on this node."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        words = ("--for", "1h", "--image", f"{world.registry.host}/{pattern}", "--reason", "INC-3")
        root = ("--root", str(world.root))
        done = world.program.person("break-glass", "on", *words, *root)
        assert done.code == 0, done
        try:
            yield
        finally:
            done = world.program.person("break-glass", "off", "--no-verify", *root)
            assert done.code == 0, done

    return arranged
