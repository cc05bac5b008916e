"""Brings every row of `tests.rules.matrix` about, and asks it at each door.

A *setting* is what a node has in common for many rows: situation, floor, failure policy, enforcement.  One snapshot
has two rules, for the images of one host and for everything; lists, break-glass and memory differ by repository, so
that all images of a setting are asked under one root.
"""

import argparse
import io
import itertools
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, NoReturn, cast

from agent import RELEASED
from agent.adapters import inline, nodestate
from agent.adapters.inline import NoTrace, OneByOne, run
from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.verdicts import VerdictFolder
from agent.config.bootstrap import API_VERSION
from agent.config.canonical import with_grounds
from agent.config.config import Config, VerifierSettings
from agent.engine import Engine
from agent.errors import Cause, Code, Unavailable
from agent.formats.notation import NotationFormat
from agent.judgement import Judgement, judge, opened
from agent.model.answer import Answer
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository
from agent.model.request import STDIN_MEDIA_TYPE, PullRequest
from agent.model.verdict import NOTHING, Decision, Memory, Remembered, Verdict
from agent.modes import place, plugin, registry_access, revocation_access, verify
from agent.ports import Registry
from agent.rules import precedence
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.floor import Floor
from agent.rules.precedence import Standing
from agent.rules.rule import Enforcement, FailureAction, FailurePolicy, PolicySettings
from agent.rules.ruleset import Allowed, Denied, Exemption, RuleSet
from tests.engines import OnTheSpot, one_rule
from tests.formats.support import SUBJECT, Answers, GivenDocuments
from tests.frozen.program import plugin_words
from tests.rules import matrix
from tests.rules.matrix import Expected, Row
from tests.signing import ARTIFACT_TYPE, descriptor_json, trust_policy, usual_signer
from tests.test_engine import FixedClock, MemoryRegistry
from tests.trust.answers import OCSP_URL, asked_at, chain_with

NOW = datetime.now(timezone.utc)
BEFORE_RELEASE = datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc) - timedelta(days=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

HOSTS = {matrix.EXACT: "registry.example.com", matrix.ANY: "other.example.net"}
DIGEST = str(SUBJECT.digest)

_TRUSTED = usual_signer()
_ASKS = chain_with(asked_at(OCSP_URL.format("leaf")))
"""A signer about whose certificate a responder has to be asked; nobody answers."""

_BOOT = "11111111-2222-3333-4444-555555555555"

Replace = Callable[[object, str, object], None]
"""`setattr`, or a test's that takes it back."""


class Setting(NamedTuple):
    """What rows have in common that are asked under one root; names as in `Row`."""

    situation: str
    floor: str
    action: str
    enforcement: str

    def rows(self) -> Iterator[Row]:
        """Its rows."""
        for others in itertools.product(matrix.LISTS, matrix.GLASS, matrix.BEFORE, matrix.HOSTS):
            yield Row(*self, *others)

    @property
    def cause(self) -> Cause | None:
        """The situation, if it is a cause."""
        return Cause(self.situation) if self.situation in matrix.CAUSES else None

    @property
    def now(self) -> datetime:
        """What the node's clock says."""
        return BEFORE_RELEASE if self.cause is Cause.CLOCK_IMPLAUSIBLE else NOW

    @property
    def moment(self) -> Moment:
        """The same, on both clocks."""
        return Moment(self.now, 1000.0, _BOOT)


def settings_of(situation: str, floor: str) -> tuple[Setting, ...]:
    """All settings of a situation."""
    return tuple(
        Setting(situation, floor, *others) for others in itertools.product(matrix.ACTIONS, matrix.ENFORCEMENTS)
    )


def request_of(row: Row) -> PullRequest:
    """A pull of a row's image, which is nobody else's."""
    name = f"{HOSTS[row.host]}/glass-{row.glass}/{row.listed}/{row.before}@{DIGEST}"
    return PullRequest(name, Reference.parse(name), SUBJECT)


def config_of(setting: Setting) -> Config:
    """The configuration of a setting."""
    options = {"verificationCerts": ["x"], "trustPolicyDoc": trust_policy()}
    parsed = NotationFormat.parse(options, GivenDocuments(_TRUSTED.root_pem, _ASKS.root_pem), "v")
    verifier = VerifierSettings("notation", "notation", (ARTIFACT_TYPE,), parsed.settings)
    policy = PolicySettings("configpolicy", {"artifactVerificationPolicies": {ARTIFACT_TYPE: "any"}})
    config = one_rule(policy, (verifier,), parsed.certificates)
    rule = config.rules[0]._replace(
        enforcement=Enforcement(setting.enforcement), failure_policy=_failure_policy(setting)
    )
    rules = (rule._replace(name="exact", match=(f"{HOSTS[matrix.EXACT]}/**",)), rule._replace(name="any"))
    return with_grounds(config._replace(ruleset=_lists(RuleSet(rules), setting)))


def memory_of(setting: Setting, row: Row) -> Remembered | None:
    """What is remembered of a row's image."""
    now = setting.now
    return {
        matrix.NOTHING: None,
        matrix.WITHIN: Remembered(now - HOUR, now + DAY),
        matrix.BEYOND: Remembered(now - 2 * DAY, now + DAY),
        matrix.ENDED: Remembered(now - HOUR, now - HOUR / 2),
    }[row.before]


def standing_of(setting: Setting, config: Config) -> Standing:
    """What holds on the node of a setting, without its files."""
    floor = Floor()
    if setting.floor == matrix.LENIENT:
        floor = Floor(failure_policy=FailurePolicy(FailureAction.IGNORE))
    return Standing(config.ruleset, floor, setting.moment, "node-1", tuple(_glass(setting)))


def _failure_policy(setting: Setting) -> FailurePolicy:
    """The setting's action for its cause, and another one for all others: who looks at the wrong one is found out."""
    action = FailureAction(setting.action)
    if setting.cause is None:
        return FailurePolicy(action)
    other = FailureAction.IGNORE if action is FailureAction.FAIL else FailureAction.FAIL
    return FailurePolicy(other, {setting.cause: action})


def _lists(ruleset: RuleSet, setting: Setting) -> RuleSet:
    allowed = tuple(
        Allowed(f"{host}/glass-{glass}/{matrix.ON_ALLOW}/{before}", DIGEST, setting.now + HOUR, "why")
        for host, glass, before in itertools.product(HOSTS.values(), matrix.GLASS, matrix.BEFORE)
    )
    return ruleset._replace(
        deny=tuple(Denied(f"{host}/*/{matrix.ON_DENY}/*", DIGEST) for host in HOSTS.values()),
        allow=allowed,
        exempt=tuple(Exemption(f"{host}/*/{matrix.EXEMPT}/*") for host in HOSTS.values()),
    )


def _glass(setting: Setting) -> Iterator[BreakGlass]:
    for i, host in enumerate(HOSTS.values()):
        yield BreakGlass(f"{i:04}", f"{host}/glass-on/**", "why", setting.moment, setting.now + HOUR)


# ---- what answers, or doesn't -------------------------------------------------------------------------------------


class Situated(MemoryRegistry):
    """A registry as a situation has it; `before_listing` comes before its list, and is where time runs out."""

    def __init__(self, setting: Setting, before_listing: Callable[[], None], *, resolves: bool) -> None:
        """`resolves`: what can't be had is the list; otherwise it is the image itself already."""
        super().__init__()
        self._before_listing = before_listing
        if setting.situation == Cause.REVOCATION_UNKNOWN:
            self.sign(_ASKS)
        elif setting.situation != matrix.DENIED:
            self.sign(_TRUSTED)
        if setting.situation in SAID_BY_THE_REGISTRY:
            self.broken["listing" if resolves else "resolve"] = Unavailable("said", cause=Cause(setting.situation))

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
        revocation_access.LateRevocation: lambda *_: Answers(),
        inline.SystemClock: lambda: clock,
    }
    for module in [module for name, module in sys.modules.items() if name.startswith("agent.")]:
        for name, value in list(vars(module).items()):
            if callable(value) and value in ours:
                replace(module, name, ours[value])


def lay_out(root: pathlib.Path, setting: Setting) -> str:
    """Lay a setting's files under `root`, as installing, publishing, break-glass and pulls do; returns the program."""
    program = root / "opt" / "nodeseal" / "1" / "nodeseal"
    (program.parent / "_internal").mkdir(parents=True)
    program.touch()
    (root / "etc" / "nodeseal").mkdir(parents=True)
    words = {"apiVersion": API_VERSION, "node": {"name": "node-1"}, "floor": {}}
    if setting.floor == matrix.LENIENT:
        words["floor"] = {"failurePolicy": dict.fromkeys(matrix.ONLY_BY_FLOOR, "Ignore")}
    (root / nodestate.BOOTSTRAP).write_text(json.dumps(words))
    NodeState(str(root)).write_break_glass(_glass(setting))
    store, config = SnapshotStore(str(root)), config_of(setting)
    store.publish(config)
    for row in setting.rows():
        remembered = memory_of(setting, row)
        if remembered:
            memory = Memory(remembered)
            run(VerdictFolder(str(root)).remember(config.rules[0].ground, request_of(row).identity, memory))
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
            before = memory_of(setting, row)
            early = precedence.conclude(_verdict(setting), terms, request.name, standing, before)
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
            judgement = Judgement(case.answer(_verdict(setting)), None)
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
    program = lay_out(root, setting)
    pull = plugin._Pull()

    def out_of_time() -> NoReturn:
        raise TimeUp(pull.out_of_time())

    is_late = setting.cause is Cause.DEADLINE
    registry = Situated(setting, out_of_time if is_late else _nothing, resolves=True)
    replace_ports(setting, replace, registry)
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


IN_A_PROCESS = """
import pathlib, sys, time
from agent.modes import place, plugin
from tests.rules import doors
setting = doors.Setting(*sys.argv[2:6])
program = doors.lay_out(pathlib.Path(sys.argv[1]), setting)
place.running_program = lambda: program
late = setting.situation == "deadline"
doors.replace_ports(setting, setattr, doors.Situated(setting, lambda: time.sleep(60 * late), resolves=True))
if late:
    plugin.DEADLINE = 1.0
plugin.run(sys.argv, {}, frozen=True)
"""
"""Plugin mode in a process of its own, which signs for itself; its input, its deadline and its end are real."""


def in_a_process(row: Row, root: pathlib.Path) -> tuple[int, str]:
    """What containerd gets for a row: exit code and line."""
    words = [sys.executable, "-c", IN_A_PROCESS, str(root), *row[:4], *plugin_words(request_of(row).name, DIGEST)]
    done = subprocess.run(
        words, input=json.dumps(descriptor_json(SUBJECT)).encode(), capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def at_verify(
    setting: Setting, rows: list[Row], root: pathlib.Path, replace: Replace, *, resolves: bool = True
) -> Iterator[Expected]:
    """`nodeseal verify --format json`, from its options to its report and exit code.

    `resolves`: see `Situated`.
    """
    lay_out(root, setting)
    registry = Situated(setting, _nothing, resolves=resolves)
    replace_ports(setting, replace, registry)
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
