"""The steps of one verification: from a pull request to a verdict.

Awaits ports and imports no event loop; opens no file and no socket, reads no clock of its own.  The numbers are
those of docs/architecture.md, "One pull": 4 ask the formats what to look for, 5 list and fetch, 6 verify each piece
of evidence (these are `agent.gathering`), 7 evaluate the policy, 8 conclude.

What can be inconclusive here: a listing or a fetch that nobody answered (a *gap*), and an enforced check that could not
be made.  A gap never ends in a denial, since what was not seen might have been enough.  A denial for what mirrors alone
said is no last word: 4 to 8 are gone through once more with the registry itself asked.
"""

from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Callable, Mapping, Sequence

from agent import RELEASED
from agent.asking import MAX_LABOUR, MAX_TOLD, Ask, EnoughRoom, Ports
from agent.config.config import Config
from agent.errors import Cause, Code, PolicyFault
from agent.gathering import MAX_NESTED, PATIENCE, Found, Gap, Gathering
from agent.model.outcome import Outcome, Status
from agent.model.reference import Reference, Repository
from agent.model.request import PullRequest
from agent.model.verdict import Decision, Verdict
from agent.policies import Policy, evaluated, policy_class
from agent.ports import Clock, Concurrent, PolicyRunner, Registry, RevocationSource, Room, Trace
from agent.rules.rule import Rule
from agent.verifier import Verifier

_PATIENT = 5 / 8
"""Share of the time for an answer after which patience has run out at the latest (`gathering.PATIENCE`)."""

_SECOND_LOOK = 3.0
"""Seconds that must be left for looking at everything once more."""

_AS_LONG = 1.25
"""Times the first look: as much must be left for the second one."""

_NAMED = 2
"""Most artifact types that a denial names: containerd's line is short."""


class Engine:
    """Verifies images under one configuration."""

    def __init__(
        self,
        config: Config,
        *,
        registry: Registry,
        revocation: RevocationSource,
        concurrent: Concurrent,
        policies: PolicyRunner,
        clock: Clock,
        trace: Trace,
        verifiers: Mapping[tuple[str, str], Verifier] | None = None,
        deadline: float | None = None,
        insist: Sequence[Callable[[], bool]] = (),
        room: Room | None = None,
    ) -> None:
        """The ports are used as they are; `policies` runs those that are programs; `room` is there where it is shared.

        Each of `insist` has a registry itself asked from now on, where somebody's word was taken for what it lists, and
        says whether that is the case: before an image is denied, everything is looked at once more.
        `deadline` is until when there has to be an answer, in the clock's monotonic seconds, None if nobody waits.
        `verifiers` are those of the same configuration (`verifiers_of`), from an engine before: formats that are loaded
        stay loaded.
        """
        self.config = config
        self.registry = registry
        self._ports = Ports(registry, revocation, concurrent, clock, trace, policies, room or EnoughRoom())
        self._runner = policies
        self._clock = clock
        self._trace = trace
        self.verifiers = verifiers or verifiers_of(config)
        self._deadline = deadline
        self._insist = insist

    async def verify(self, request: PullRequest, rule: Rule) -> Verdict:
        """Steps 4 to 8 for one image under `rule`.  Raises nothing but bugs: everything foreseen is in the verdict."""
        now = self._clock.now()
        if now < datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc):
            said = f"this host's clock says {now:%Y-%m-%d}, before this release ({RELEASED})"
            text = f"{Cause.CLOCK_IMPLAUSIBLE.value}: {said}"
            return Verdict(Decision.CANNOT_TELL, Code.CLOCK_IMPLAUSIBLE, text, (Cause.CLOCK_IMPLAUSIBLE,))
        policy = policy_class(rule.policy.name).load(rule.policy.settings)
        verifiers = [self.verifiers[rule.owner, name] for name in rule.verifiers]
        cosign_tags = any(store.cosign_tags for store in self.config.seen_by(rule.owner).stores)
        repository = _repository(rule.evidence_repository) if rule.evidence_repository else request.repository
        since = self._clock.monotonic()
        begun = Ask(request, repository, verifiers, policy, now, cosign_tags, 1, [], [], 0.0, 0.0, [], [])
        verdict = await self._verify(self._from_now(begun), rule)
        if verdict.decision is not Decision.DENY or not self._has_time(since):
            return verdict
        believed = [each() for each in self._insist]
        if not any(believed):
            return verdict
        self._trace.step("look again", "what the registry itself lists", f"{verdict.decision.value}: {verdict.message}")
        again = await self._verify(self._from_now(begun), rule)
        # A registry that does not answer makes no denial uncertain: whoever is on the way could choose that.
        return verdict if again.decision is Decision.CANNOT_TELL else again

    def _from_now(self, ask: Ask) -> Ask:
        """What is asked, with all the patience that there is time for."""
        since = self._clock.monotonic()
        patience = PATIENCE if self._deadline is None else min(PATIENCE, _PATIENT * (self._deadline - since))
        labour = [min(MAX_LABOUR, MAX_LABOUR * patience / PATIENCE)]
        fresh = ask._replace(left=[MAX_NESTED], tried=[0], labour=labour, told=[MAX_TOLD])
        return fresh._replace(since=since, patience=patience)

    def _has_time(self, since: float) -> bool:
        """Whether a second look can end before the deadline does; the first one began at `since`.

        It may take as long as that: were it the deadline that ends it, content would have made "cannot tell" of no.
        """
        if self._deadline is None:
            return True
        now = self._clock.monotonic()
        return self._deadline - now > max(_SECOND_LOOK, _AS_LONG * (now - since))

    async def _verify(self, ask: Ask, rule: Rule) -> Verdict:
        """Steps 4 to 8 for an image, or for what refers to one."""

        async def nested(inner: Ask) -> Verdict:
            return await self._verify(inner, rule._replace(allow_without_evidence=False))

        gathering = Gathering(ask, self._ports, nested)  # (4)
        found = await gathering.gather()  # (5), (6)
        verdict = await _Conclusion(self._runner, ask, rule, gathering.wanted, found).verdict()  # (7), (8)
        self._trace.step("evaluate policy", rule.policy.name, f"{verdict.decision.value}: {verdict.message}")
        return _with_ends(verdict, ask)


def verifiers_of(config: Config) -> dict[tuple[str, str], Verifier]:
    """The verifiers of a configuration by owner and name."""
    return {
        (each.owner, each.name): Verifier(each, config.certificates, config.denied_signers) for each in config.verifiers
    }


def _with_ends(verdict: Verdict, ask: Ask) -> Verdict:
    """The verdict, with what its policy and the evidence that passed say of how long it may be believed."""
    passed = verdict.report.anywhere(Status.PASSED) if verdict.report else ()
    ends = [outcome.valid_until for outcome in passed if outcome.valid_until is not None]
    fresh_for = ask.policy.fresh_for
    if fresh_for is not None:
        ends.append(ask.now + timedelta(seconds=fresh_for))
    told = [outcome.told_until for outcome in passed if outcome.told_until is not None]
    return verdict._replace(
        fresh_for=fresh_for, usable_until=min(ends, default=None), told_until=min(told, default=None)
    )


class _Conclusion:
    """(7) and (8) for one subject."""

    def __init__(self, runner: PolicyRunner, ask: Ask, rule: Rule, wanted: Sequence[str], found: Found) -> None:
        self._runner = runner
        self._ask = ask
        self._rule = rule
        self._policy: Policy = ask.policy
        self._wanted = wanted
        self._found = found
        self._report = found.report
        self._inconclusive = (
            self._report.anywhere(Status.INCONCLUSIVE)
            if self._policy.sees_everything
            else self._report.with_status(Status.INCONCLUSIVE)
        )

    async def verdict(self) -> Verdict:
        """What the policy says, or what stands in its way."""
        report, gaps = self._report, self._found.gaps
        if self._may_lack_evidence():
            text = f"not verified: nothing refers to the image, and rule {self._rule.name} allows that"
            return Verdict(Decision.ALLOW, Code.NOT_VERIFIED, text, report=report)
        unseen = list(self._wanted) if gaps or report.defects else []
        in_doubt = [outcome.artifact_type for outcome in self._inconclusive] + unseen
        try:
            allowed = await self._allows(inconclusive_passes=False)
            if allowed and self._policy.allow_stands(report, in_doubt):
                return self._allowance()
            if gaps:
                return self._cannot_tell()
            if report.defects and not self._policy.allow_stands(report, self._wanted):
                return self._denial()
            if allowed or (self._inconclusive and await self._allows(inconclusive_passes=True)):
                return self._cannot_tell()
        except PolicyFault as fault:
            if gaps:
                return self._cannot_tell()
            return Verdict(
                Decision.DENY, Code.POLICY_FAILED, f"no answer of the policy: {fault.message}", report=report
            )
        return self._denial()

    def _may_lack_evidence(self) -> bool:
        """Whether there is none for certain, and need be none; a program says itself what is enough."""
        nothing = not self._report.artifacts and not self._report.defects and not self._found.gaps
        return nothing and self._rule.allow_without_evidence and not self._policy.is_program

    async def _allows(self, *, inconclusive_passes: bool) -> bool:
        """What the policy says.  No policy can allow an image without evidence unless its rule says so.

        What whoever may push could have written is none.
        """
        report = self._report
        enough = (Status.PASSED, Status.SKIPPED, *([Status.INCONCLUSIVE] if inconclusive_passes else []))
        if not report.grounds(*enough) and not self._rule.allow_without_evidence:
            return False

        if not self._policy.is_program:
            return self._policy.evaluate(report, inconclusive_passes=inconclusive_passes, now=self._ask.now)
        program = (self._rule.policy.name, self._rule.policy.settings)  # of these, `self._policy` was made
        evaluate = partial(evaluated, *program, report, inconclusive_passes=inconclusive_passes, now=self._ask.now)
        return await self._runner.run(evaluate)

    def _allowance(self) -> Verdict:
        report = self._report
        signed = report.grounds(Status.PASSED)
        passed = tuple(each for each in report.with_status(Status.PASSED) if each in signed) or signed
        if not passed:
            skipped = report.with_status(Status.SKIPPED)
            why = skipped[0].message if skipped else f"rule {self._rule.name} allows images without evidence"
            return Verdict(Decision.ALLOW, Code.NOT_VERIFIED, f"not verified: {why}", report=report)
        first = passed[0]
        signer = first.extensions.get("SN") or first.extensions.get("Key") or first.extensions.get("Subject")
        signed_by = f" by {signer}" if signer else ""
        all_of_them = max(sum(not (each.unsigned or each.is_of_another_kind) for each in report.outcomes), len(passed))
        text = f"{len(passed)} of {all_of_them} signatures verified{signed_by} ({first.verifier})"
        logged = [check for check in first.checks if check.status in (Status.FAILED, Status.INCONCLUSIVE)]
        text += "".join(f"; only logged: {check.message}" for check in logged)
        return Verdict(Decision.ALLOW, Code.VERIFIED, text, report=report)

    def _cannot_tell(self) -> Verdict:
        reasons = list(self._found.gaps) + [
            Gap(outcome.cause, outcome.message) for outcome in self._inconclusive if outcome.cause is not None
        ]
        causes = tuple(dict.fromkeys(reason.cause for reason in reasons))
        first = reasons[0]
        others = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        text = f"{first.cause.value}: {first.message}{others}"
        return Verdict(Decision.CANNOT_TELL, Code.of(first.cause), text, causes, self._report)

    def _denial(self) -> Verdict:
        report = self._report
        if not report.artifacts and not report.defects:
            more = f" and {len(self._wanted) - _NAMED} more types" if len(self._wanted) > _NAMED else ""
            wanted = f"{', '.join(self._wanted[:_NAMED])}{more}"
            text = f"no signature found (looked for {wanted} by {self._found.source})"
            return Verdict(Decision.DENY, Code.NO_EVIDENCE, text, report=report)
        failed: tuple[Outcome, ...] = report.with_status(Status.FAILED)
        if not failed and not report.anywhere(*Status):
            text = f"no verifier looks at any of the {len(report.artifacts)} artifacts that refer to the image"
            return Verdict(Decision.DENY, Code.NO_EVIDENCE, text, report=report)
        if not failed and not report.grounds(Status.PASSED, Status.SKIPPED):
            names = ", ".join(dict.fromkeys(each.verifier for each in report.with_status(Status.PASSED)))
            text = f"nobody who is trusted signed anything: whoever may push could have attached what {names} passed"
            return Verdict(Decision.DENY, Code.EVIDENCE_UNSIGNED, text, report=report)
        if not failed:
            return Verdict(Decision.DENY, Code.POLICY_NOT_SATISFIED, self._policy.refusal(report), report=report)
        # Where all verifiers look at everything, one that verified something failed beside it for no harm.
        content = set() if self._policy.one_verifier else {each.verifier for each in report.with_status(Status.PASSED)}
        nearest = max(
            failed,
            key=lambda each: (each.verifier not in content, len(each.checks), each.code is Code.EVIDENCE_LIMIT),
        )
        others = f" (nearest of {len(failed)} that failed)" if len(failed) > 1 else ""
        code = nearest.code or Code.POLICY_NOT_SATISFIED
        return Verdict(Decision.DENY, code, f"{nearest.message}{others}", report=report)


def _repository(text: str) -> Repository:
    return Reference.parse_short(text).repository
