"""Brings every row of `tests.rules.matrix` about (`tests.rules.settings`), and asks it at each door."""

import argparse
import io
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import NoReturn, cast

import anyio

from agent.adapters import inline, ipc, nodestate
from agent.adapters.inline import NoTrace, OneByOne, run
from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.verdicts import VerdictFolder
from agent.config.bootstrap import API_VERSION
from agent.engine import Engine
from agent.errors import Cause, Code, Unavailable
from agent.formats.cosign import BUNDLE_TYPE
from agent.judgement import Judgement, judge, opened
from agent.model.answer import Answer
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.manifest import IMAGE_MANIFEST
from agent.model.reference import Reference, Repository
from agent.model.request import STDIN_MEDIA_TYPE
from agent.model.verdict import NOTHING, Decision, Memory, Remembered, Verdict
from agent.modes import place, plugin, registry_access, revocation_access, verify, warm
from agent.modes.warm_access import Connections
from agent.ports import Registry
from agent.rules import precedence
from tests.engines import OnTheSpot
from tests.formats.support import SUBJECT, Answers
from tests.frozen.program import plugin_words
from tests.rules import matrix
from tests.rules.matrix import Expected, Row
from tests.rules.settings import (
    ASKS,
    DIGEST,
    TRUSTED,
    Setting,
    begun_of,
    complete_of,
    config_of,
    fetched_of,
    glass_of,
    in_a_newer_log,
    memory_of,
    request_of,
    standing_of,
)
from tests.signing import descriptor_json
from tests.signing_cosign import bundle_manifest
from tests.test_engine import FixedClock, MemoryRegistry

Replace = Callable[[object, str, object], None]
"""`setattr`, or a test's that takes it back."""


# ---- what answers, or doesn't -------------------------------------------------------------------------------------


class Situated(MemoryRegistry):
    """A registry as a situation has it; `before_listing` comes before its list, and is where time runs out."""

    def __init__(self, setting: Setting, before_listing: Callable[[], None], *, resolves: bool) -> None:
        """`resolves`: what can't be had is the list; otherwise it is the image itself already."""
        super().__init__()
        self._before_listing = before_listing
        if setting.situation == Cause.REVOCATION_UNKNOWN:
            self.sign(ASKS)
        elif setting.situation == Cause.TRUST_ROOT_STALE:
            self._sign_with_cosign()
        elif setting.situation != matrix.DENIED:
            self.sign(TRUSTED)
        if setting.situation in SAID_BY_THE_REGISTRY:
            self.broken["listing" if resolves else "resolve"] = Unavailable("said", cause=Cause(setting.situation))

    def _sign_with_cosign(self) -> None:
        """Add a bundle that an old trusted root can't know."""
        layer = in_a_newer_log()
        raw = bundle_manifest(layer, SUBJECT)
        self.content |= {str(Digest.of(each)): each for each in (raw, layer.content)}
        self.listed.append(Descriptor(IMAGE_MANIFEST, Digest.of(raw), len(raw), BUNDLE_TYPE))

    async def resolve(self, reference: Reference) -> object:  # type: ignore[override]
        """The one image."""
        self._answer("resolve")
        return SUBJECT

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: object) -> Listing:
        """See `MemoryRegistry.referrers`."""
        self._before_listing()
        return await super().referrers(repository, subject, ("x",))


SAID_BY_THE_REGISTRY = (
    Cause.REGISTRY_UNAVAILABLE, Cause.UNAUTHORIZED, Cause.CREDENTIALS_UNAVAILABLE, Cause.THROTTLED, Cause.DEADLINE,
)  # fmt: skip
"""Causes that the registry's port raises.  The plugin's own deadline may come first: see `at_plugin`."""


def _nothing() -> None:
    """Nothing happens."""


def replace_ports(setting: Setting, replace: Replace, registry: Situated) -> None:
    """Put the node's clocks, its registry and its revocation source in place of what the modes would build.

    Whichever module it is that builds them: some import them when they begin, some when they need them.
    """

    @contextmanager
    def open_registry(*_: object, **__: object) -> Iterator[Registry]:
        yield cast("Registry", registry)

    clock = FixedClock(setting.now)
    ours: dict[object, object] = {
        nodestate.moment: lambda: setting.moment,
        registry_access.open_registry: open_registry,
        revocation_access.LateRevocation: lambda *_, **__: Answers(),
        inline.SystemClock: lambda: clock,
    }
    for module in [module for name, module in sys.modules.items() if name.startswith("agent.")]:
        for name, value in list(vars(module).items()):
            if callable(value) and value in ours:
                replace(module, name, ours[value])


def lay_out(root: pathlib.Path, setting: Setting) -> str:
    """Lay a setting's files under `root`, as installing, publishing, break-glass and pulls do; returns the program.

    After `replace_ports`, for what begins does so by the node's clocks.
    """
    program = root / "opt" / "nodeseal" / "1" / "nodeseal"
    (program.parent / "_internal").mkdir(parents=True)
    program.touch()
    (root / "etc" / "nodeseal").mkdir(parents=True)
    words = {"apiVersion": API_VERSION, "node": {"name": "node-1"}, "floor": {}}
    if setting.floor == matrix.LENIENT:
        words["floor"] = {"failurePolicy": dict.fromkeys(matrix.ONLY_BY_FLOOR, "Ignore")}
    (root / nodestate.BOOTSTRAP).write_text("{" if setting.floor == matrix.STRICT else json.dumps(words))
    NodeState(str(root)).write_break_glass(glass_of(setting))
    NodeState(str(root)).begin(begun_of(setting))
    store, config = SnapshotStore(str(root)), config_of(setting)
    store.publish(config)
    for row in setting.rows():
        remembered = memory_of(setting, row)
        if remembered:
            memory = Memory(remembered)
            run(VerdictFolder(str(root)).remember(config.rules[0].ground, request_of(row).described, memory))
    if setting.cause is Cause.CONFIGURATION_STALE:
        NodeState(str(root)).note_complete(complete_of(setting))
    if setting.cause is Cause.KEY_PROVIDER:
        NodeState(str(root)).note_fetched(fetched_of(setting))
    if setting.cause is Cause.CONFIGURATION_MISSING:
        os.unlink(f"{store.state}/current")
    if setting.cause is Cause.CONFIGURATION_INVALID:
        os.chmod(f"{store.state}/snapshots", 0o777)  # noqa: S103 - that is the defect
    return str(program)


# ---- the doors ----------------------------------------------------------------------------------------------------


def at_precedence(setting: Setting, rows: list[Row]) -> Iterator[Expected]:
    """`agent.rules.precedence` alone."""
    config = config_of(setting)
    standing = standing_of(setting, config)
    for row in rows:
        request = request_of(row)
        early = precedence.before_verification(request.repository, DIGEST, request.name, standing)
        if early is None:
            terms = precedence.terms_for(request.repository, standing)
            verdict = _verdict(setting) if terms.rule else precedence.no_rule(request.repository)
            early = precedence.conclude(verdict, terms, request.name, standing, memory_of(setting, row))
        yield _told(early)


def _verdict(setting: Setting) -> Verdict:
    if setting.cause:
        return precedence.cannot_tell(setting.cause, "said")
    if setting.situation == matrix.VERIFIED:
        return Verdict(Decision.ALLOW, Code.VERIFIED, "said")
    return Verdict(Decision.DENY, Code.NO_EVIDENCE, "said")


class OneMemory:
    """`ports.VerdictStore` that remembers one image."""

    def __init__(self, remembered: Remembered | None) -> None:
        """What is remembered of it."""
        self.memory = Memory(remembered)

    async def recall(self, ground: str, image: str) -> Memory:
        """See `ports.VerdictStore.recall`."""
        return self.memory

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """See `ports.VerdictStore.remember`."""
        self.memory = memory

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """See `ports.VerdictStore.doubt`."""
        self.memory = NOTHING


def at_judgement(setting: Setting, rows: list[Row]) -> Iterator[Expected]:
    """`agent.judgement` with an engine over a registry in memory.

    Without a configuration there is no engine; what a door says then is the case's own answer.
    """
    config = config_of(setting)
    standing = standing_of(setting, config)
    for row in rows:
        memory, registry = OneMemory(memory_of(setting, row)), Situated(setting, _nothing, resolves=True)
        engine = Engine(
            config,
            registry=cast("Registry", registry),
            revocation=Answers(),
            concurrent=OneByOne(),
            policies=OnTheSpot(),
            clock=FixedClock(setting.now),
            trace=NoTrace(),
        )
        case = run(opened(request_of(row), standing, memory))
        if isinstance(case, Answer):
            judgement = Judgement(case, None)
        elif setting.cause in (Cause.CONFIGURATION_MISSING, Cause.CONFIGURATION_INVALID):
            judgement = Judgement(case.unverified(setting.cause, "said"), None)
        else:
            judgement = run(judge(case, engine, memory))
        _asks_only_to_verify(judgement.answer.precedence, registry)
        yield _told(judgement.answer)


class TimeUp(Exception):
    """The watchdog's thread has answered, and the process would be gone."""

    def __init__(self, answer: Answer) -> None:
        """Keep what it said."""
        super().__init__()
        self.answer = answer


def at_plugin(setting: Setting, rows: list[Row], root: pathlib.Path, replace: Replace) -> Iterator[Expected]:
    """Plugin mode, from containerd's words to the answer; a deadline is its own watchdog's."""
    pull = plugin._Pull()

    def out_of_time() -> NoReturn:
        raise TimeUp(pull.out_of_time())

    is_late = setting.cause is Cause.DEADLINE
    registry = Situated(setting, out_of_time if is_late else _nothing, resolves=True)
    replace_ports(setting, replace, registry)
    program = lay_out(root, setting)
    replace(place, "running_program", lambda: program)
    replace(plugin, "read_descriptor", lambda **_: (descriptor_json(SUBJECT), b"{}"))
    for row in rows:
        name = request_of(row).name
        pull = plugin._Pull()
        pull.name = name
        registry.asked.clear()
        arguments = plugin.Arguments(name, DIGEST, STDIN_MEDIA_TYPE)
        try:
            answer = pull.told(plugin._judge(pull, arguments, plugin.Call(plugin_words(name, DIGEST), {}, True), 0.0))
        except TimeUp as up:
            answer = up.answer
        _asks_only_to_verify(answer.precedence, registry)
        yield _told(answer)


def at_daemon(setting: Setting, rows: list[Row], root: pathlib.Path, replace: Replace) -> Iterator[Expected]:
    """The daemon's door, from containerd's words to the answer; a deadline is that of whoever asks."""
    is_late = setting.cause is Cause.DEADLINE
    registry = Situated(setting, _nothing, resolves=True)
    replace_ports(setting, replace, registry)
    replace(warm, "SystemClock", lambda: FixedClock(setting.now))
    replace(warm, "ThreadedWorker", lambda **_: OnTheSpot())
    lay_out(root, setting)
    if is_late:

        async def silence() -> NoReturn:
            await anyio.sleep_forever()
            raise AssertionError

        replace(registry, "referrers", lambda *_: silence())

    class Given:
        """`warm_access.Connections` of this situation."""

        def reach(self, host: object) -> None:
            """As it is."""

        def registry(self, *_: object) -> Registry:
            return cast("Registry", registry)

        def revocation(self, *_: object) -> Answers:
            return Answers()

        async def keep_only(self, *_: object) -> None:
            return None

        def write_by(self, *_: object) -> None:
            return None

    async def ask() -> list[Expected]:
        found = []
        async with anyio.create_task_group() as group:
            door = warm.WarmDoor(str(root), cast("Connections", Given()), group, _bug)
            for row in rows:
                registry.asked.clear()
                state = await door.state()
                question = ipc.Question(ipc.PULL, "", 0.001 if is_late else 60.0, b"", b"")
                reply = await warm.Pull(door, question)._reply(request_of(row), state)
                _asks_only_to_verify(reply.answer.precedence, registry)
                found.append(_told(reply.answer))
            group.cancel_scope.cancel()
        return found

    yield from anyio.run(ask)


def _bug(error: Exception) -> NoReturn:
    raise error


IN_A_PROCESS = """
import pathlib, sys, time
from agent.modes import place, plugin
from tests.rules import doors, settings
row = doors.Row(*sys.argv[2:10])
setting = settings.Setting.of(row)
late = setting.situation == "deadline"
doors.replace_ports(setting, setattr, doors.Situated(setting, lambda: time.sleep(60 * late), resolves=True))
program = doors.lay_out(pathlib.Path(sys.argv[1]), setting)
place.running_program = lambda: program
if late:
    plugin.DEADLINE = 1.0
plugin.run(sys.argv, {}, frozen=True)
"""
"""Plugin mode in a process of its own, which signs for itself; its input, its deadline and its end are real."""


def in_a_process(row: Row, root: pathlib.Path) -> tuple[int, str]:
    """What containerd gets for a row: exit code and line."""
    words = [sys.executable, "-c", IN_A_PROCESS, str(root), *row, *plugin_words(request_of(row).name, DIGEST)]
    # Measured by others: here it would take longer than all else.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        words, input=json.dumps(descriptor_json(SUBJECT)).encode(), env=environment, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def at_verify(
    setting: Setting, rows: list[Row], root: pathlib.Path, replace: Replace, *, resolves: bool = True
) -> Iterator[Expected]:
    """`nodeseal verify --format json`, from its options to its report and exit code.

    `resolves`: see `Situated`.
    """
    registry = Situated(setting, _nothing, resolves=resolves)
    replace_ports(setting, replace, registry)
    lay_out(root, setting)
    for row in rows:
        registry.asked.clear()
        options = argparse.Namespace(
            image=request_of(row).name, config=None, root=str(root), format="json", explain=False, timeout=30.0
        )
        stdout = io.StringIO()
        code = verify.handle(options, {}, stdout, io.StringIO())
        said: Mapping[str, object] = json.loads(stdout.getvalue())["nodeseal"]
        assert said["exitCode"] == code
        found = Expected(
            code,
            cast("str", said["code"]),
            cast("int", said["precedence"]),
            cast("str", said["ground"] or ""),
            cast("int | None", said["wouldExitCode"]),
        )
        _asks_only_to_verify(found.precedence, registry)
        yield found


def _told(answer: Answer) -> Expected:
    """An answer, which must be one that can be written as a line."""
    assert answer.line()
    ground = answer.ground.value if answer.ground else ""
    would = None if answer.would is None else int(answer.would)
    return Expected(int(answer.exit), answer.code.value, answer.precedence, ground, would)


def _asks_only_to_verify(number: int, registry: Situated) -> None:
    """1 to 6 are decided without asking anybody."""
    assert number in (precedence.VERIFICATION, precedence.CANNOT_TELL) or registry.asked == []
