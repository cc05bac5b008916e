"""The daemon's door: the same judgement as containerd's child makes, by a process that has everything at hand.

A pull's question holds containerd's words; the answer is what the child would have said, byte for byte.  The node's
state is looked at for each question, and read again when it has changed.  One verification at a time of one image: it
belongs to the daemon, whoever asked may give up waiting.

What can't be answered here is declined, and the child does it alone: words that are not whole, a crowd, a bug of ours.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timezone
from enum import Enum
from importlib import import_module
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from agent import __version__
from agent.adapters import answers, ipc
from agent.adapters.answers import Given
from agent.adapters.beside import Beside, VerdictsBeside
from agent.adapters.budget import USUAL, Budget, divided
from agent.adapters.concurrent import SideBySide
from agent.adapters.doubtful import DoubtfulApart
from agent.adapters.flights import Flights
from agent.adapters.inline import NoTrace, SystemClock
from agent.adapters.nodestate import NodeState
from agent.adapters.policy_thread import Done, ThreadedWorker
from agent.adapters.room import RoomOfOne, Rooms
from agent.adapters.stored_registry import StoredRegistry, way_of
from agent.adapters.turns import Crowded, Turns
from agent.adapters.verdicts import VerdictFolder
from agent.codec import strictjson
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Cause, Malformed, Unavailable, UsageError
from agent.judgement import Case, Judgement, Verifies, early_until, judge, opened
from agent.model.answer import Answer
from agent.model.descriptor import Descriptor
from agent.model.metrics import Histogram
from agent.model.record import Record
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.model.verdict import Decision
from agent.modes.fromstore import AllowancesOnly, FromStore
from agent.modes.plugin import DEADLINE, PATIENCE, SLOTS, STDIN_LIMIT, out_of_time, parse_arguments, rendered
from agent.modes.warm_access import Connections
from agent.modes.warmstate import Declined, State, free, read
from agent.rego.builtins import FAMILIES
from agent.rules import precedence
from agent.rules.precedence import Standing

DOOR = "daemon"
"""What the spool calls it."""

MOST_SUBJECTS = 10_000
"""Images whose descriptors are remembered."""

_LATE = (
    "agent.formats.notation_cose",
    "agent.formats.notation_jws",
    "agent.formats.notation_steps",
    "agent.registry.credentials",
    "agent.registry.login",
    *(f"agent.rego.builtins.{family}" for family in FAMILIES),  # else each policy's process would, a copy of threads
    "agent.trust.revocation",
    "agent.trust.timestamp",
)
"""What a child imports only if it has to; a process that lives long has to one day."""

_READING = 5.0  # seconds; a snapshot as large as it may be takes one or two
_DESCRIPTORS = 8  # more than are open at once while the node's state is read
_OF_A_WORK = 3  # what a thread that writes may have open
_PLENTY = 2048  # more than all that may come while a thread reads: children's connections, registries', threads' files
_SHORTEST, _LONGEST = 0.005, 0.05
_OF_THE_CHILD = 1.0  # seconds; as `fastpath` says to a daemon by default
_SHORTEST_TURN = 0.2
_FIRST = 0.002  # seconds in which whoever waits is told, before the disk is


class How(str, Enum):
    """How the daemon came to answer a pull, or not to."""

    DECIDED = "decided"
    """By lists and rules alone."""
    REMEMBERED = "remembered"
    VERIFIED = "verified"
    """By asking a registry, alone or with others who waited for the same image."""
    DECLINED = "declined"


class Flight:
    """One verification, and who waits for it."""

    __slots__ = ("begun", "judgement", "over", "until")

    def __init__(self, until: float) -> None:
        """It has not begun yet; who asked first is answered `until` a moment of `time.monotonic()`."""
        self.until = until
        self.begun = False
        self.judgement: Judgement | None = None
        self.over = anyio.Event()


class WarmDoor:
    """Answers pulls, within one event loop.

    `group` owns the verifications; `bug` is told the exceptions that nobody foresaw.
    """

    def __init__(
        self,
        root: str,
        connections: Connections,
        group: TaskGroup,
        bug: Callable[[Exception], None],
        budget: Budget | None = None,
        done: Done | None = None,
    ) -> None:
        """`root` is what the node's folders are under; `budget` is the process's memory, the usual one if None.

        `done` has done what others chose elsewhere than in copies of this process.
        """
        self.root = root
        self.beside = Beside(group, bug)
        self.verdicts = DoubtfulApart(VerdictsBeside(VerdictFolder(root), self.beside))
        self.turns = Turns()
        self.subjects: dict[str, Descriptor] = {}
        self.bug = bug
        self.latency = Histogram()
        """Of pulls, from their question to their answer."""
        self.pulls: dict[How, int] = dict.fromkeys(How, 0)
        self._connections = connections
        connections.write_by(self.beside.later)
        self._loading = anyio.Lock()
        self._group = group
        self._node = NodeState(root)
        self.rooms = Rooms(budget or divided(USUAL))
        self._policies = ThreadedWorker(room=RoomOfOne(self.rooms, ""), done=done)
        self._locks = Flights(root, slots=SLOTS)
        self._flights: dict[tuple[str, str, bytes | None], Flight] = {}
        self._state: State | None = None

    def pull(self, question: ipc.Question) -> "Pull":
        """A pull's question, pending."""
        return Pull(self, question)

    async def state(self) -> State:
        """What holds on the node now.  Raises `Declined`."""
        stamp = answers.state(self.root)
        if self._state is not None and stamp is not None and stamp == self._state.stamp:
            return self._state
        async with self._loading:  # the next one finds what this one has read
            stamp = answers.state(self.root)
            if self._state is not None and stamp is not None and stamp == self._state.stamp:
                return self._state
            state = await self._read()
            if isinstance(state.node.config, Config):
                self._connections.reach(state.node.host)
                await self._connections.keep_only(state.node.config)
            self._state = state
            return state

    async def _read(self) -> State:
        """Beside the event loop, unless descriptors are scarce: there, nobody can take the last ones in between."""
        if free() < _PLENTY:
            return read(self.root, _DESCRIPTORS + _OF_A_WORK * self.beside.under_way)
        found: list[State] = []
        if not await self.beside.do(lambda: found.append(read(self.root, _DESCRIPTORS)), _READING):
            raise Declined("alone")
        return found[0]

    def now(self, standing: Standing) -> Standing:
        """What holds at this moment of a state that was read before."""
        return self._node.now(standing)

    def warm_up(self, state: State) -> None:
        """Load what the first pull would wait for: formats with their trust stores, and what they import when asked."""
        for module in _LATE:
            import_module(module)
        for verifier in state.verifiers.values():
            _ = verifier.format

    def note(self, request: PullRequest) -> None:
        """Remember what an image is, for verifying it again without a pull."""
        self.subjects.pop(request.identity, None)
        self.subjects[request.identity] = request.subject
        if len(self.subjects) > MOST_SUBJECTS:
            del self.subjects[next(iter(self.subjects))]

    async def resolve(self, reference: Reference, state: State) -> Descriptor:
        """What a name means at its registry.  Raises `Malformed`, `Unavailable`, `Declined`."""
        owner = precedence.terms_for(reference.repository, state.node.standing).owner
        with _uncrowded():
            async with self.rooms.of(str(reference.repository), _seconds(state)) as room:
                return await self._registry(state, owner, time.monotonic() + _seconds(state), room).resolve(reference)

    async def judged_from_store(self, case: Case, state: State, since: datetime) -> Judgement:
        """What verification says with lists that were kept `since` a moment, where there are some.

        Remembered if it allows, for as long as it would have been from when those were asked for.  Raises `Declined`.
        """
        deadline = time.monotonic() + _seconds(state)
        async with (
            self._alone(case.request.identity, deadline - PATIENCE),
            self.rooms.of(str(case.request.repository), _seconds(state)) as room,
        ):
            registry = self._registry(state, case.terms.owner, deadline, room, lists_since=since)
            verifier = FromStore(
                self._engine(state, registry, deadline, room), registry, case.standing.ruleset.lifetimes
            )
            try:
                with _uncrowded():
                    judgement = await judge(case, verifier, AllowancesOnly(self.verdicts, registry))
                if case.terms.rule is not None:
                    await self.verdicts.write(case.terms.rule.ground, case.request.described)
                await self.beside.do(registry.keep)
            finally:
                registry.forget()
            return judgement

    async def judged(self, case: Case, state: State, watch: "Pull | None" = None) -> Judgement:
        """What verification says of a case: nobody else verifies the same image meanwhile.  Raises `Declined`."""
        rule = case.terms.rule
        if rule is None:
            room = RoomOfOne(self.rooms, "")
            registry = self._registry(state, case.terms.owner, 0.0, room)  # nobody is asked
            return await judge(case, self._engine(state, registry, 0.0, room), self.verdicts)
        key = (rule.ground, case.request.described, state.stamp)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(math.inf if watch is None else watch.until)
            self._group.start_soon(self._fly, flight, key, case, state)
        if watch is not None:
            watch.flight = flight
            with anyio.move_on_after(_seconds_for_a_turn(state)):
                await flight.over.wait()
            if not (flight.begun or flight.over.is_set()):
                raise Declined("busy")
        await flight.over.wait()
        if flight.judgement is None:
            raise Declined("alone")
        return await case.shared(flight.judgement, self.verdicts)

    async def _fly(self, flight: Flight, key: tuple[str, str, bytes | None], case: Case, state: State) -> None:
        """Raises nothing: it belongs to nobody who could be told."""
        try:
            async with self.turns.turn(str(case.request.repository)):
                flight.begun = True
                async with self.rooms.of(str(case.request.repository), _seconds(state)) as room:
                    await self._flown(flight, key, case, state, room)
        except Crowded:
            pass
        except Exception as error:  # noqa: BLE001 - whoever waits does without us, and says what it is
            self.bug(error)
        finally:
            self._end(flight, key)

    async def _flown(
        self, flight: Flight, key: tuple[str, str, bytes | None], case: Case, state: State, room: RoomOfOne
    ) -> None:
        """Verify, tell whoever waits, and then write."""
        deadline, insist = time.monotonic() + _seconds(state), list[Callable[[], bool]]()
        registry = self._registry(state, case.terms.owner, deadline, room, insist=insist)
        try:
            async with self._alone(case.request.identity, deadline - PATIENCE) as waited:
                verifier = self._engine(state, registry, deadline, room, insist, min(flight.until, deadline))
                flight.judgement = await self._verified(case, verifier, waited=waited)
                self._end(flight, key)
                await anyio.sleep(_FIRST)
                await self.verdicts.write(key[0], key[1])
            await self.beside.do(registry.keep)
        finally:
            registry.forget()

    def _end(self, flight: Flight, key: tuple[str, str, bytes | None]) -> None:
        """Let everybody go who waits for it; whoever comes now begins another."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.over.set()

    async def _verified(self, case: Case, verifier: Verifies, *, waited: bool) -> Judgement:
        """`waited`: somebody else was at it, and may have found out."""
        if waited:
            again = await opened(case.request, self.now(case.standing), self.verdicts)
            if isinstance(again, Answer):
                return Judgement(again, None)
            known = again.known()
            if known is not None:
                return known
            case = again
        return await judge(case, verifier, self.verdicts)

    @asynccontextmanager
    async def _alone(self, image: str, until: float) -> AsyncIterator[bool]:
        """Hold the image's lock, which children know too; what is given is whether somebody else was at it before."""
        waited, pause = False, _SHORTEST
        while (held := self._locks.try_alone(image)) is None:
            waited = True
            if time.monotonic() + pause > until:
                held = ExitStack()
                break
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        with held:
            yield waited

    def _registry(
        self,
        state: State,
        owner: str,
        deadline: float,
        room: RoomOfOne,
        *,
        lists_since: datetime | None = None,
        insist: list[Callable[[], bool]] | None = None,
    ) -> StoredRegistry:
        """As an owner's images are looked up.  Raises `Unavailable` if there is no configuration."""
        config = state.config.seen_by(owner)
        inner = self._connections.registry(config, deadline, insist, room)
        return StoredRegistry(
            inner,
            self.root,
            way=way_of(config.stores, state.node.host.registries),
            lists_since=lists_since,
            at_once=False,
            unwritten=self.rooms.unwritten,
        )

    def _engine(
        self,
        state: State,
        registry: StoredRegistry,
        deadline: float,
        room: RoomOfOne,
        insist: Sequence[Callable[[], bool]] = (),
        until: float = math.inf,
    ) -> Engine:
        return Engine(
            state.config,
            registry=registry,
            revocation=self._connections.revocation(deadline, room),
            concurrent=SideBySide(step=room.step),
            policies=self._policies.within(_seconds(state), room, until),
            clock=SystemClock(),
            trace=NoTrace(),
            verifiers=state.verifiers,
            deadline=deadline,
            insist=insist,
            room=room,
        )


class Reply(NamedTuple):
    """An answer, until when it may be given again (None for not), and whether a child should believe us in it."""

    answer: Answer
    until: datetime | None
    final: bool = True


class Pull:
    """`ipc_server.Pending` for one pull."""

    def __init__(self, door: WarmDoor, question: ipc.Question) -> None:
        """Nothing is done yet."""
        self._door = door
        self._question = question
        self._kept: Callable[[], None] | None = None
        self._how = How.DECIDED
        self.flight: Flight | None = None
        self.until = math.inf
        """When its child is answered at the latest, a moment of `time.monotonic()`."""

    def told(self) -> None:
        """See `ipc_server.Pending.told`: the fast path may give the same answer again."""
        if self._kept is not None:
            self._door.beside.later(self._kept)

    def is_busy(self) -> bool:
        """See `ipc_server.Pending.is_busy`."""
        return self.flight is not None and not self.flight.begun

    async def message(self) -> bytes:
        """See `ipc_server.Pending.message`."""
        asked = self._question
        if asked.program != __version__:
            return ipc.other()
        try:
            request = _requested(ipc.words(asked.body))
        except (UsageError, Malformed):
            return ipc.declined("words")
        begin, begun_at = datetime.now(timezone.utc), time.monotonic()
        self._door.note(request)
        try:
            state = await self._door.state()
            reply = await self._reply(request, state)
        except Declined as error:
            self._door.pulls[How.DECLINED] += 1
            return ipc.declined(str(error))
        self._door.pulls[self._how] += 1
        self._door.latency.observe(time.monotonic() - begun_at)
        return self._said(request, reply, begin, state)

    async def _reply(self, request: PullRequest, state: State) -> Reply:
        """The same as `agent.modes.plugin` does behind its door.  Raises `Declined`."""
        standing = self._door.now(state.node.standing)
        case = await opened(request, standing, self._door.verdicts)
        if isinstance(case, Answer):
            return Reply(case, early_until(case, request, standing))
        config = state.node.config
        if isinstance(config, Unavailable):
            return Reply(case.unverified(config.cause, config.message), None, final=False)
        judgement = case.known()
        self._how = How.REMEMBERED if judgement else How.VERIFIED
        if judgement is None:
            seconds = min(self._question.seconds, _seconds_to_answer(state))
            self.until = time.monotonic() + seconds
            with anyio.move_on_after(seconds):
                judgement = await self._door.judged(case, state, self)
        if judgement is None:
            return Reply(case.unverified(Cause.DEADLINE, out_of_time(_seconds(state))), None)
        return Reply(judgement.answer, judgement.until, self._is_final(case, judgement))

    def _is_final(self, case: Case, judgement: Judgement) -> bool:
        """False for "cannot tell" of ours alone, unless asking once more is what nobody should."""
        verdict, rule = judgement.verdict, case.terms.rule
        if verdict is None or rule is None or verdict.decision is not Decision.CANNOT_TELL:
            return True
        if verdict.causes[0] in (Cause.THROTTLED, Cause.DEADLINE):
            return True
        return not self._door.verdicts.is_mine(rule.ground, case.request.described)

    def _said(self, request: PullRequest, reply: Reply, begin: datetime, state: State) -> bytes:
        code, line = rendered(reply.answer)
        now = datetime.now(timezone.utc)
        record = Record.of(reply.answer, now=now, door=DOOR, image=request.identity, name=request.name)
        key, until, root = self._question.key, reply.until, self._door.root

        def keep() -> None:
            if until and answers.state(root) == state.stamp:
                answers.write(root, key, Given(code, line, record), begin, until)

        if reply.final and until and key and state.stamp:
            self._kept = keep
        return ipc.answer(code, (line, *answers.around_time(record)), final=reply.final)


@contextmanager
def _uncrowded() -> Iterator[None]:
    """Work for which nobody waits: without room it is not done."""
    try:
        yield
    except Crowded:
        raise Declined("alone") from None


def _seconds(state: State) -> float:
    """Within how many seconds of its start a child answers."""
    return DEADLINE if state.node.host.deadline is None else state.node.host.deadline


def _seconds_to_answer(state: State) -> float:
    """The same from its question on: it needs some of the time before and after it asks us."""
    seconds = _seconds(state)
    return seconds if state.node.host.deadline is None else max(seconds - _OF_THE_CHILD, seconds / 2)


def _seconds_for_a_turn(state: State) -> float:
    """For how long a verification may wait for its turn while a child waits for it.

    A child goes on alone after as much of `DEADLINE` as leaves it the time to; one that has less time is told when.
    """
    seconds = _seconds(state)
    return max(seconds - PATIENCE, _SHORTEST_TURN) if seconds < DEADLINE else math.inf


def _requested(words: ipc.Words) -> PullRequest:
    """containerd's words as a request.  Raises `UsageError`, `Malformed`."""
    arguments = parse_arguments(words.argv)
    value = strictjson.decode(words.stdin, "standard input", limit=STDIN_LIMIT)
    return PullRequest.agreed(arguments.name, arguments.digest, arguments.stdin_media_type, value)
