"""Plugin mode: one pull, one process, one line (docs/contract.md).

containerd runs this before each pull of an image.  The process gets no option; its configuration is the current
snapshot under its own root, and how registries are reached stands in the bootstrap document there.  It believes no
environment but, where that records no proxy, the proxy variables, which it shares with containerd.  Whatever happens,
it ends within `DEADLINE` seconds of its start, or what that document says instead, with an exit code and one line on
standard output.
"""

import os
import select
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Callable, Mapping, NamedTuple, Sequence

from agent.codec import strictjson
from agent.errors import Cause, HostError, LimitExceeded, Malformed, Unavailable, UsageError
from agent.model.answer import Answer, printable
from agent.model.record import Record
from agent.model.request import PullRequest
from agent.modes.watchdog import Watchdog
from agent.rules import precedence

if TYPE_CHECKING:
    from agent.adapters.spool import Spool
    from agent.config.config import Config
    from agent.judgement import Case
    from agent.ports import VerdictStore
    from agent.rules.floor import HostFacts

DEADLINE = 8.0
"""Seconds from our start to our answer, unless the bootstrap document says otherwise.

containerd's default limit is 10; past it, our reason is lost.
"""

PATIENCE = 3.0
"""Seconds before our deadline at which waiting for others ends: what is left is for verifying alone."""

TURN = 2.0
"""Seconds after which nobody waits for a turn any longer: eight images of a slow registry must not stop all others."""

HUNG = 0.5
"""Seconds for which others are waited for once the daemon says nothing any more: it may be they, and never end."""

SLOTS = 8
"""How many processes verify at once on a node; the others wait for their turn, and not for ever."""

STDIN_LIMIT = 64 * 1024
"""Most bytes of standard input."""

_LAST_WORD = 0.1  # seconds that are left whatever was spent before
_STDIN_SECONDS = 2.0  # containerd writes at once; a busy node may be slow
_FLAGS = ("name", "digest", "stdin-media-type")


class Arguments(NamedTuple):
    """containerd's three flags, as given."""

    name: str
    digest: str
    stdin_media_type: str


class Call(NamedTuple):
    """How this process was called, and what the fast path has found.

    `begun` is what it has read of standard input; `is_daemon_hung` is whether there is one that says nothing any more.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    frozen: bool
    begun: bytes = b""
    is_daemon_hung: bool = False


def is_plugin(argv: Sequence[str]) -> bool:
    """Whether this is containerd calling: argv holds `-name` or `--name`, with or without `=VALUE`."""
    return any(word.split("=", 1)[0] in ("-name", "--name") for word in argv[1:])


def run(argv: Sequence[str], environment: Mapping[str, str], *, frozen: bool) -> None:
    """Judge one pull and end the process.  Does not return.

    `frozen` is whether this is the frozen program, whose place decides where its configuration is.
    """
    pull = _Pull(DEADLINE)
    spent = time.monotonic() - getattr(sys, "nodeseal_begun", time.monotonic())  # by the fast path
    watchdog = Watchdog(max(DEADLINE - spent, _LAST_WORD), lambda: rendered(pull.out_of_time()))
    pull.watchdog = watchdog
    try:
        watchdog.start()
        arguments = parse_arguments(argv)
        pull.name = arguments.name
        begun, is_hung = getattr(sys, "nodeseal_stdin", b""), getattr(sys, "nodeseal_hung", False)
        call = Call(argv, environment, frozen, begun, is_hung)
        code, line = rendered(pull.told(_judge(pull, arguments, call, watchdog.deadline)))
    except UsageError as error:
        code, line = rendered(precedence.bad_request(error.message))
    except BaseException as error:  # noqa: BLE001 - deny by default: a bug blocks, with a line that says so
        code, line = rendered(precedence.internal_error(type(error).__name__))
    watchdog.finish(code, line)


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read containerd's flags, in any order, with one dash or two, the value behind a space or `=`.

    A flag that we don't know takes the next word unless that begins with "-", and is ignored: a newer containerd may
    say more.  Raises `UsageError` for a flag that is missing, has no value, or stands twice.
    """
    found: dict[str, str] = {}
    words = iter(argv[1:])
    waiting = next(words, None)
    while waiting is not None:
        word, waiting = waiting, next(words, None)
        if not word.startswith("-"):
            continue
        flag, equals, value = word.lstrip("-").partition("=")
        has_value = bool(equals)
        if not has_value and waiting is not None and not waiting.startswith("-"):
            value, has_value, waiting = waiting, True, next(words, None)
        if flag not in _FLAGS:
            continue
        if not has_value:
            raise UsageError(f"-{flag}: got no value; expected one")
        if flag in found:
            raise UsageError(f"-{flag}: got it twice; expected it once")
        found[flag] = value
    missing = [flag for flag in _FLAGS if flag not in found]
    if missing:
        raise UsageError(f"got no -{missing[0]}; expected -name REF -digest DIGEST -stdin-media-type TYPE")
    return Arguments(found["name"], found["digest"], found["stdin-media-type"])


def read_descriptor(stdin: int = 0, begun: bytes = b"") -> tuple[object, bytes]:
    """Read one JSON object from standard input, to its end, and its bytes; the caller may leave the pipe open.

    `begun` is what the fast path has read of it.  Raises `UsageError` if there is none within `_STDIN_SECONDS` or
    `STDIN_LIMIT` bytes.
    """
    data, at_end = begun, False
    end = time.monotonic() + _STDIN_SECONDS
    poll = select.poll()
    poll.register(stdin, select.POLLIN | select.POLLHUP)
    while True:
        if at_end or len(data) > STDIN_LIMIT or data.rstrip().endswith(b"}"):
            try:
                return strictjson.decode(data[: STDIN_LIMIT + 1], "standard input", limit=STDIN_LIMIT), data
            except LimitExceeded as error:
                raise UsageError(error.message) from error
            except Malformed as error:
                if at_end:
                    raise UsageError(error.message) from error
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise UsageError(f"standard input: got {len(data)} bytes in {_STDIN_SECONDS:g} s; expected a descriptor")
        try:
            chunk = os.read(stdin, STDIN_LIMIT)
        except OSError as error:
            raise UsageError(f"standard input: can't be read ({error.strerror}); expected a descriptor") from error
        data, at_end = data + chunk, not chunk


class _Pull:
    """What is known of the pull so far, for whoever has to answer when time is up, and for the spool."""

    __slots__ = ("case", "image", "name", "seconds", "spool", "watchdog")

    def __init__(self, seconds: float = DEADLINE) -> None:
        self.seconds = seconds
        self.watchdog: Watchdog | None = None
        self.name = ""
        self.image = ""
        self.spool: Spool | None = None
        self.case: Case | None = None

    def out_of_time(self) -> Answer:
        """The answer if our own deadline passed before anything was decided.  Runs in the watchdog's thread."""
        if self.case is None:
            return precedence.blocked(Cause.DEADLINE, out_of_time(self.seconds), self.name)
        return self.told(self.case.unverified(Cause.DEADLINE, out_of_time(self.seconds)))

    def end_within(self, seconds: float | None, deadline: float) -> float:
        """What `deadline` is if all has to be over within `seconds` of our start; None leaves it."""
        if seconds is None:
            return deadline
        deadline += seconds - self.seconds
        self.seconds = seconds
        if self.watchdog is not None:
            self.watchdog.move(max(deadline, time.monotonic() + _LAST_WORD))
        return deadline

    def told(self, answer: Answer) -> Answer:
        """The answer, once the spool was told."""
        if self.spool is not None:
            self.spool.append(self.record(answer))
        return answer

    def record(self, answer: Answer) -> Record:
        """What the spool is told."""
        return Record.of(answer, now=datetime.now(timezone.utc), door="plugin", image=self.image, name=self.name)


def _judge(pull: _Pull, arguments: Arguments, call: Call, deadline: float) -> Answer:
    """From containerd's words to the answer.  Imports what a verification needs only when it is needed.

    Raises `UsageError` if containerd's words don't fit together.
    """
    value, stdin = read_descriptor(begun=call.begun)
    request = PullRequest.agreed(arguments.name, arguments.digest, arguments.stdin_media_type, value)
    if precedence.is_canary(request.repository):
        return precedence.canary_answer(request.reference.tag or "")

    from agent.modes import place

    root = "/"
    if call.frozen:
        program = place.running_program()
        danger = place.unsafe(program)
        if danger:
            return precedence.blocked(Cause.CONFIGURATION_INVALID, danger, request.name)
        try:
            root = place.root_of(program)
        except HostError as error:
            return precedence.blocked(Cause.CONFIGURATION_INVALID, error.message, request.name)

    from agent.adapters.answers import AnswerFolder, Given
    from agent.adapters.spool import Spool

    pull.spool, pull.image = Spool(root), request.identity
    answers = AnswerFolder(root, call.argv, stdin) if call.frozen else None  # nobody else has a fast path
    begin = datetime.now(timezone.utc)
    answer, until = _judged(pull, request, root, call, deadline)
    if answers is not None and until is not None:
        code, line = rendered(answer)
        answers.keep(Given(code, line, pull.record(answer)), begin, until)
    return answer


def _judged(
    pull: _Pull, request: PullRequest, root: str, call: Call, deadline: float
) -> tuple[Answer, datetime | None]:
    """The answer, and until when it may be given again."""
    from agent.adapters.inline import run
    from agent.adapters.verdicts import VerdictFolder
    from agent.judgement import early_until, opened
    from agent.modes import node

    found, verdicts = node.opened(root), VerdictFolder(root)
    standing = found.standing
    deadline = pull.end_within(found.host.deadline, deadline)
    case = run(opened(request, standing, verdicts))
    if isinstance(case, Answer):
        return case, early_until(case, request, standing)
    pull.case = case
    config = found.config
    if isinstance(config, Unavailable):
        return case.unverified(config.cause, config.message), None
    known = case.known()
    if known is not None:
        return known.answer, known.until

    from agent.adapters.flights import Flights
    from agent.adapters.nodestate import NodeState

    flights = Flights(root, slots=SLOTS)
    patience = min(deadline - PATIENCE, time.monotonic() + HUNG) if call.is_daemon_hung else deadline - PATIENCE
    with flights.alone(request.identity, patience) as waited:
        if waited:
            case = run(opened(request, NodeState(root).now(standing), verdicts))
            if isinstance(case, Answer):
                return case, None
            pull.case = case
            known = case.known()
            if known is not None:
                return known.answer, known.until
        with flights.slot(min(deadline - PATIENCE, time.monotonic() + TURN)):
            place = _Place(root, call.environment, found.host)
            return _verified(case, config, place, verdicts, deadline)


class _Place(NamedTuple):
    """From where registries are asked."""

    root: str
    environment: Mapping[str, str]
    host: "HostFacts"


def _verified(
    case: "Case", config: "Config", place: _Place, verdicts: "VerdictStore", deadline: float
) -> tuple[Answer, datetime | None]:
    from agent.modes.lean import load_less

    load_less()
    from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
    from agent.adapters.policy_worker import ForkedWorker, longest
    from agent.engine import Engine
    from agent.judgement import judge
    from agent.modes.registry_access import open_registry
    from agent.modes.revocation_access import LateRevocation

    seen, (root, environment, host) = config.seen_by(case.terms.owner), place
    insist: list[Callable[[], bool]] = []
    with open_registry(seen, environment, deadline, root=root, host=host, insist=insist) as registry:
        engine = Engine(
            config,
            registry=registry,
            revocation=LateRevocation(environment, deadline, root, host=host),
            concurrent=OneByOne(),
            policies=ForkedWorker(seconds=longest(host.deadline), until=deadline),
            clock=SystemClock(),
            trace=NoTrace(),
            deadline=deadline,
            insist=insist,
        )
        judgement = run(judge(case, engine, verdicts))
    return judgement.answer, judgement.until


def out_of_time(seconds: float) -> str:
    """What is said when our deadline has passed."""
    return f"no answer within {seconds:g} s"


def rendered(answer: Answer) -> tuple[int, bytes]:
    """Exit code and line, as containerd gets them."""
    return int(answer.exit), (printable(answer.line()) + "\n").encode("ascii")
