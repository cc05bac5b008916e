"""Keeps a node wired up: notices what undoes an installation, and installs once more, under the same rules.

1. Every few seconds it is looked at what the kernel knows of the files that matter: containerd's configuration, its
   folder of verifiers, our program, containerd's socket.  After a change of these, and now and then without one, the
   node is looked at as `install` looks.
2. Where nothing is to be done, the proof is repeated.  Else it is installed once more: the same plan, limits, turn,
   record and proof, taken back if it does not work.
3. How often: `agent.wiring.pacing`.  What can't be done is told once, and again when it is something else.

Whoever uninstalls is not worked against: what is gone as a whole, record and all, stays gone.
"""

import hashlib
import random as chance
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from agent.adapters import changes, reconciled, state
from agent.adapters.containerd import Told
from agent.adapters.hostfiles import HostFiles
from agent.adapters.journal import Journal
from agent.adapters.reconciled import Attempt, Reconciled, State
from agent.errors import HostError, NodesealError
from agent.modes import turns
from agent.modes.installing import Asked, Installer, Outcome, still_set, unsupported
from agent.modes.recording import BOOTSTRAP
from agent.modes.turns import Confirm, NoTurn, Taken, Tell
from agent.modes.world import World
from agent.ports import Log
from agent.wiring import bindir, facts, known, pacing, planning, steps
from agent.wiring.pacing import Pace
from agent.wiring.planning import Changes, Options, Plan
from agent.wiring.steps import May, Prove, Restart, Step

LOOK = 2.0
"""Seconds between two looks at what the kernel knows; who changes files is given as long to finish."""

THOROUGH = 600.0
"""Seconds after which the node is looked at although nothing changed; a tenth more or less."""

AGAIN = 60.0
"""Seconds after a look that failed; twice as long each time, up to `THOROUGH`."""

_SPREAD = 0.1  # part of `THOROUGH` that is left to chance, so that nodes do not look at the same time
_MOST_DOUBLINGS = 8

_FINE = frozenset({State.SETTLED, State.UNSUPPORTED, State.UNINSTALLED})
_PASSING = frozenset({State.WAITING, State.PENDING})


class _AttemptFailed(HostError):
    """An attempt that was taken back; `is_last` is whether no more are made."""

    def __init__(self, message: str, hint: str, *, is_last: bool) -> None:
        super().__init__(message, hint=hint)
        self.is_last = is_last


class Reconciler:
    """Keeps one host."""

    def __init__(
        self,
        host: HostFiles,
        world: World,
        asked: Asked,
        log: Log,
        *,
        taken: Taken | None = None,
        first: float = pacing.FIRST,
        ended: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`taken` waits for turns; `first` is the shortest pause between two attempts; `ended` is whether to stop."""
        self._host, self._world, self._asked, self._log, self._taken = host, world, asked, log, taken
        self._ended, self._clock, self._random, self._sleep = ended, clock, random, sleep
        self._pace = Pace(first)
        self._paths: tuple[str, ...] = (facts.MAIN, BOOTSTRAP)
        self._stamp: changes.Stamp = ()
        self._next, self._listens = 0.0, True
        self._was_installed = False
        self._troubles = 0
        self._disputed: dict[str, int] = {}
        self._attempts: Counter[Attempt] = Counter()
        self.stands: Reconciled | None = None
        """How the wiring stands, None until it was looked at."""

    @property
    def is_enforcing(self) -> bool:
        """Whether nothing was to be done at the last look, and pulls were verified."""
        return self.stands is not None and self.stands.state == State.SETTLED.value

    def run(self) -> None:
        """Keep it, until it is to end; nothing on the host is changed for that."""
        while not self._ended():
            self.once()
            self._wait()
        reconciled.remove(self._host)

    def once(self) -> None:
        """One look, and what comes of it."""
        self._stamp = changes.below(self._host, self._paths)
        self._listens = True
        self._next = self._clock() + THOROUGH * (1 + _SPREAD * (2 * self._random() - 1))
        try:
            self._look()
            self._troubles = 0
        except NoTurn as error:
            self._hold()
            self._stand(State.WAITING, error.message)
        except _AttemptFailed as error:
            if not error.is_last:
                self._hold()
            self._stand(State.GAVE_UP if error.is_last else State.FAILED, _told(error))
        except NodesealError as error:
            self._troubles += 1
            doubled = AGAIN * 2.0 ** min(self._troubles - 1, _MOST_DOUBLINGS)
            self._next = self._clock() + min(doubled, THOROUGH)
            self._unsettle()
            self._stand(State.FAILED, _told(error))

    def _wait(self) -> None:
        """Until it is time to look, or something changed and stood so for a moment."""
        seen = self._stamp
        while not self._ended() and (left := self._next - self._clock()) > 0:
            self._sleep(min(left, LOOK))
            now = changes.below(self._host, self._paths)
            if self._listens and now == seen and now != self._stamp:
                return
            seen = now

    def _look(self) -> None:
        """Raises `NodesealError`."""
        manifest, told = Journal(self._host).store.read(), self._world.facts()
        if (manifest and manifest.undoing) or (self._was_installed and not manifest and self._is_gone(told)):
            self._stand(State.UNINSTALLED, "it was uninstalled: nothing is mended until it is installed again")
            return
        is_new = not self._was_installed and manifest is None
        self._was_installed = not is_new
        self._asked = self._asked._replace(again=manifest is not None)
        installer = Installer(Journal(self._host), self._world, self._asked, lambda line: None)
        plan, todo = installer.foreseen(told)
        if unsupported(plan):
            self._stand(State.UNSUPPORTED, unsupported(plan))
            return
        self._follow(told)
        work = tuple(step for step in todo if not isinstance(step, Prove))
        held = installer.held if self._until_restart() > 0 else ""
        if not (work or held) or not self._must_wait(told, work, held):
            self._install(told, todo, work, is_new=is_new)

    def _is_gone(self, told: Told) -> bool:
        """Whether nothing of ours is there any more: an entry without a program is no end, but refuses every pull."""
        folder = told.facts.folder
        has_entry = folder is not None and any(entry.name == bindir.LINK for entry in folder.entries)
        return not has_entry and self._host.stands(f"{self._asked.programs}/{steps.CURRENT}").kind is state.NOTHING

    def _follow(self, told: Told) -> None:
        """What to look at from now on."""
        node = planning.node(told.facts)
        program = f"{self._asked.programs}/{steps.CURRENT}/{steps.EXECUTABLE}"
        more = (program, BOOTSTRAP, told.facts.socket, node.placed.template, node.placed.drop_in)
        paths = tuple(dict.fromkeys(path for path in (*known.watched(node), *more) if path))
        if paths != self._paths:
            self._paths, self._stamp = paths, changes.below(self._host, paths)

    def _must_wait(self, told: Told, work: tuple[Step, ...], held: str) -> bool:
        """Whether nothing may be tried yet, or any more; `held` is why a configuration waits, empty if it does not."""
        paths = ", ".join(pacing.mended(work)) or "containerd"
        now = self._clock()
        if self._pace.gave_up(self._fingerprint(told)):
            self._stand(State.GAVE_UP, self.stands.message if self.stands else paths)
            return True
        if self._pace.due(now) > now:
            self._hold()
            self._stand(
                State.WAITING, f"{paths}: to be mended in {self._next - now:.0f} s, because it was not long ago"
            )
            return True
        if held:
            self._next, self._listens = now + self._until_restart(), False
            self._stand(State.PENDING, held)
            return True
        return False

    def _install(self, told: Told, todo: tuple[Step, ...], work: tuple[Step, ...], *, is_new: bool) -> None:
        """Raises `NodesealError`."""
        paths = pacing.mended(work)
        if work:
            self._log.warning("mending", paths=list(paths), restart=any(isinstance(step, Restart) for step in work))
        try:
            taken = partial(self._in_turn, self._taken) if self._taken else None
            outcome = turns.installed_so(self._host, self._world, self._asked, self._say, taken, todo)
        except NoTurn:
            self._pace.note(self._clock(), ())
            self._attempts[Attempt.NO_TURN] += 1
            raise
        except NodesealError as error:
            if work:
                raise self._failed(paths, error) from error
            raise
        self._was_installed = self._was_installed or outcome.installed
        if work and not is_new:
            self._pace.note(self._clock(), paths)
            self._attempts[Attempt.MENDED] += 1
            self._dispute()
        self._note_outcome(outcome, told)

    @contextmanager
    def _in_turn(self, taken: Taken, tell: Tell) -> Iterator[Confirm]:
        """This node's turn; until it has come, what is told of it is how the wiring stands.  Raises as `taken`."""
        has_come = False

        def told(line: str) -> None:
            """Tell it."""
            tell(line)
            if not has_come:
                self._stand(State.WAITING, line)

        with taken(told) as confirm:
            has_come = True
            yield confirm

    def _failed(self, paths: tuple[str, ...], error: NodesealError) -> _AttemptFailed:
        """Note an attempt that was taken back; the exception that says so."""
        self._pace.note(self._clock(), paths, failed=True)
        self._attempts[Attempt.FAILED] += 1
        self._dispute()
        self._unsettle()
        is_last = self._pace.give_up(self._fingerprint(self._world.facts()))
        why = f"{self._pace.failures} attempts failed, and no more are made until the node is otherwise: "
        return _AttemptFailed(f"{why if is_last else ''}{error.message}", error.hint or "", is_last=is_last)

    def _note_outcome(self, outcome: Outcome, told: Told) -> None:
        """Say how the wiring stands after an installation that was not taken back."""
        self._unsettle()
        if outcome.pending:
            self._stand(State.PENDING, outcome.pending)
            left = self._until_restart()
            self._next = min(self._next, self._clock() + left) if left > 0 else self._next
        elif outcome.proof is not None and not outcome.proof.is_enforcing:
            self._stand(State.LEFT, "; ".join((outcome.proof.message, *outcome.advice)))
        elif self._leaves_bypass(told, outcome.plan):
            self._stand(State.LEFT, "; ".join((*outcome.advice, "pulls are verified at this moment")))
        elif outcome.proof is None:
            self._stand(State.SETTLED, "; ".join(("installed; no containerd can be asked", *outcome.advice)))
        else:
            self._asked = self._asked._replace(loaded=self._world.started())
            self._stand(State.SETTLED, "; ".join((outcome.proof.message, *outcome.advice)))

    def _leaves_bypass(self, told: Told, plan: Plan) -> bool:
        """Whether settings stay that send pulls past the verifier, because the plan may not change them."""
        allowed = planning.plan(told.facts, Options(Changes.PULL_PATH, self._asked.bin_dir))
        return bool(still_set(told, plan)) or not set(allowed.settings) <= set(plan.settings)

    def _unsettle(self) -> None:
        """Forget what the containerd that runs has loaded: it is not known any more."""
        self._asked = self._asked._replace(loaded=0.0)

    def _hold(self) -> None:
        """Do nothing until another attempt may be made, whatever changes."""
        self._next, self._listens = self._pace.due(self._clock()), False

    def _until_restart(self) -> float:
        """Seconds until containerd may be restarted again."""
        return May(True, True, restarted=state.tried(self._host).restarted, now=self._world.now()).left

    def _dispute(self) -> None:
        """Log the paths that are mended again and again: somebody else sets them, too."""
        now = self._clock()
        before, self._disputed = self._disputed, self._pace.contested(now)
        pause = int(self._pace.due(now) - now)
        for path, count in self._disputed.items():
            if count != before.get(path):
                self._log.error(
                    "contested",
                    path=path,
                    mended=count,
                    pause=pause,
                    message="something else on this node undoes this again and again; find what it is, and set it "
                    "there (nodeseal install --print) or stop it",
                )

    def _stand(self, what: State, message: str) -> None:
        """Note and tell how the wiring stands; the log has it when that changes."""
        now, before = self._world.now(), self.stands
        self._disputed = self._pace.contested(self._clock())
        is_same = before is not None and (before.state, before.message) == (what.value, message)
        since = before.since if before is not None and before.state == what.value else now
        contested, attempts = tuple(self._disputed), {each.value: self._attempts[each] for each in Attempt}
        self.stands = Reconciled(what.value, message, since, now, contested, self._pace.failures, attempts)
        if not is_same:
            tell = self._log.info if what in _FINE else self._log.warning if what in _PASSING else self._log.error
            tell("wiring", state=what.value, message=message, contested=list(contested))
        try:
            if what in (State.UNINSTALLED, State.UNSUPPORTED):  # nothing is written there
                reconciled.remove(self._host)
            else:
                reconciled.write(self._host, self.stands)
        except HostError as error:
            self._log.warning("state not written", reason=error.message)

    def _say(self, line: str) -> None:
        self._log.info("install", said=line)

    def _fingerprint(self, told: Told) -> object:
        """A hash of all whose change may let an attempt succeed that failed: files, folder, version, the last start."""
        seen = told.facts
        digest = hashlib.sha256()
        for part in (sorted(seen.files.items()), seen.version, seen.folder, round(self._world.started())):
            digest.update(repr(part).encode())
        return digest.hexdigest()


def _told(error: NodesealError) -> str:
    return f"{error.message}; next step: {error.hint}" if error.hint else error.message
