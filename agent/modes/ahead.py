"""What the daemon verifies though nobody waits for it (docs/architecture.md, "The daemon").

- images that somebody named ahead of their pull;
- after a change of the configuration, images that were judged under the one before: from stored content where that
  allows them, so that their next pull finds its verdict;
- images that break-glass let in: as if there were none, for the log;
- images that the node's pods wait for;
- images that were on the node before anything was verified, for the log too.

All of it at low priority, few at once, behind every pull, one image at a time of each.  Each reason has its turn, and
its own room; whoever may create pods takes neither from the others.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import NamedTuple

import anyio
from anyio import to_thread

from agent.adapters.verdicts import VerdictCatalogue
from agent.errors import Exit, NodesealError, Unavailable
from agent.judgement import Case, Judgement, opened
from agent.model.answer import Answer, Ground
from agent.model.descriptor import Descriptor
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.model.verdict import Decision
from agent.modes.letin import without_break_glass
from agent.modes.warm import WarmDoor
from agent.modes.warmstate import Declined, State
from agent.ports import Log
from agent.rules import precedence
from agent.rules.precedence import Standing

MOST_QUEUED = 10_000
"""Most images that wait to be verified for one reason; any more are dropped, and counted."""

MOST_OF_PODS = 500
"""The same for images of pods: more than a node starts in a minute."""

MOST_AGAIN = 1_000
"""Most images that are judged again after a change: those judged last."""

WORKERS = 2
"""Images that are verified at once."""


class Why(str, Enum):
    """Why an image is verified ahead."""

    NAMED = "named"
    CHANGED = "changed"
    LET_IN = "letIn"
    POD = "pod"
    PRESENT = "present"


class _Task(NamedTuple):
    """An image to be verified, and why."""

    why: Why
    image: str


class Ahead:
    """The queue of one daemon, and what works on it."""

    def __init__(self, door: WarmDoor, log: Log) -> None:
        """`door` is the daemon's: it verifies, and knows the node's state."""
        self._door = door
        self._log = log
        self._tasks: dict[Why, dict[str, None]] = {why: {} for why in Why}
        self._of_pods = 0
        self._filled = anyio.Event()
        self.dropped = 0
        """Images that found no room in the queue."""
        self.done = 0
        """Images that were dealt with, whatever came of it."""
        self.present: Counter[str] = Counter()
        """What became of images that were present: allowed, wouldDeny, denied, cannotTell."""

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return sum(map(len, self._tasks.values()))

    def queue(self, why: Why, images: Iterable[str]) -> int:
        """Queue images, each once; how many are queued now for the first time."""
        added, tasks, most = 0, self._tasks[why], MOST_OF_PODS if why is Why.POD else MOST_QUEUED
        for image in images:
            if image in tasks:
                continue
            if len(tasks) >= most:
                self.dropped += 1
                continue
            tasks[image] = None
            added += 1
        if added:
            self._filled.set()
        return added

    async def changed(self, state: State) -> None:
        """Queue what was judged under another configuration than `state`, what was judged last first."""
        root = self._door.root
        entries = await to_thread.run_sync(lambda: list(VerdictCatalogue(root).entries()))
        judged = [(entry.memory.last.at, entry.image) for entry in entries if entry.memory.last is not None]
        newest = dict.fromkeys(image for _, image in sorted(judged, reverse=True))
        added = self.queue(Why.CHANGED, list(newest)[:MOST_AGAIN])
        if added:
            self._log.info("judging again", images=added, generation=state.generation)

    async def run(self) -> None:
        """Work until cancelled."""
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            task = self._next()
            if task is None:
                self._filled = anyio.Event()
                await self._filled.wait()
                continue
            self._of_pods += task.why is Why.POD
            outcome = "cannotTell"
            try:
                outcome = _outcome(await self._one(task))
            except NodesealError as error:
                cause = error.cause.value if isinstance(error, Unavailable) else ""
                fields = {"why": task.why.value, "image": task.image, "cause": cause, "reason": error.message}
                self._log.info("not verified ahead", **fields)
            except Declined as error:
                self._log.info("not verified ahead", why=task.why.value, image=task.image, cause="", reason=str(error))
            except Exception as error:  # noqa: BLE001 - one image's bug must not end the others
                self._door.bug(error)
            finally:
                self._of_pods -= task.why is Why.POD
            self.done += 1
            if task.why is Why.PRESENT:
                self.present[outcome] += 1

    def _next(self) -> _Task | None:
        """The next reason's first image; None if there is nothing to be done now.

        Pods have one worker at most: names of theirs may lead to registries that hang.
        """
        for why in [*self._tasks]:
            tasks = self._tasks.pop(why)
            self._tasks[why] = tasks  # behind the others
            if tasks and not (why is Why.POD and self._of_pods >= WORKERS - 1):
                image = next(iter(tasks))
                del tasks[image]
                return _Task(why, image)
        return None

    async def _one(self, task: _Task) -> Answer | None:
        """The answer that a pull would get now; None if nothing has changed for it.

        Raises `NodesealError` if there is nothing to verify with, or nobody says what the name means.
        """
        state = await self._door.state()
        _ = state.config  # without one there is nothing to verify with
        reference = Reference.parse_short(task.image)
        standing = self._door.now(state.node.standing)
        if task.why in (Why.LET_IN, Why.PRESENT):
            standing = without_break_glass(standing)
        if task.why is Why.POD and _is_decided(reference, standing):
            return None
        if task.why is Why.PRESENT and reference.digest is not None:
            early = precedence.before_verification(reference.repository, str(reference.digest), task.image, standing)
            if early is not None:  # nobody has to be asked what it is
                self._tell(task, task.image, early)
                return early
        async with self._door.turns.idle_turn():
            request = PullRequest(task.image, reference, await self._subject(reference, state))
            case = await opened(request, standing, self._door.verdicts)
            if isinstance(case, Answer):
                self._tell(task, request.identity, case)
                return case
            known = case.known()
            if known is not None and task.why in (Why.CHANGED, Why.POD):
                return None  # the change was none for this image; or its pull will find what is known
            judgement = known or await self._judged(task, case, state)
        self._tell(task, request.identity, judgement.answer)
        return judgement.answer

    async def _judged(self, task: _Task, case: Case, state: State) -> Judgement:
        """A verdict that stored lists alone lead to counts if it allows: what was signed since is in none of them."""
        if task.why is Why.CHANGED:
            seconds = case.standing.ruleset.lifetimes.allow
            since = datetime.now(timezone.utc) - timedelta(seconds=seconds)
            stored = await self._door.judged_from_store(case, state, since)
            if stored.verdict is not None and stored.verdict.decision is Decision.ALLOW:
                return stored
        return await self._door.judged(case, state)

    async def _subject(self, reference: Reference, state: State) -> Descriptor:
        """What an image is: what a pull has said of it, else what its registry says."""
        known = self._door.subjects.get(f"{reference.repository}@{reference.digest}")
        return known or await self._door.resolve(reference, state)

    def _tell(self, task: _Task, image: str, answer: Answer) -> None:
        tell = self._log.info if answer.exit == 0 and answer.ground is not Ground.AUDIT else self._log.warning
        tell(
            "verified ahead",
            why=task.why.value,
            image=image,
            exit=int(answer.exit),
            code=answer.code.value,
            rule=answer.rule,
            reason=answer.message,
        )


def _is_decided(reference: Reference, standing: Standing) -> bool:
    """Whether a pull is answered without asking anybody: then nobody is asked ahead of it."""
    repository = reference.repository
    if precedence.terms_for(repository, standing).rule is None:
        return True
    if reference.digest is None and precedence.depends_on_digest(repository, standing):
        return False
    digest = str(reference.digest or "")
    return precedence.before_verification(repository, digest, str(reference), standing) is not None


def _outcome(answer: Answer | None) -> str:
    if answer is None or (answer.exit is Exit.ALLOW and answer.would is None):
        return "allowed"
    if answer.exit is Exit.ALLOW:
        return "wouldDeny"
    return "denied" if answer.exit is Exit.DENY else "cannotTell"
