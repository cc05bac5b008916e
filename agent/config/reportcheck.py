"""What is wrong with, or surprising in, how a configuration uses verifiers of reports.

Nobody has signed a report by itself.  In our own section each says which verifiers vouch for what it reads
(`signedBy`); Ratify's `nestedReferences` may be left out, and is then told of.
"""

from collections.abc import Iterator, Sequence

from agent.config import checking
from agent.config.checking import Finding
from agent.config.config import SIGNED_BY
from agent.config.plugins import VerifierEntry
from agent.formats import REPORTS
from agent.policies.configpolicy import DEFAULT_KEY
from agent.rules.rule import PolicySettings, Rule

_WORTHLESS = "whoever may push can attach a report that says nothing bad"


def under_ratifys_policy(policy: PolicySettings, verifiers: Sequence[VerifierEntry]) -> Iterator[Finding]:
    """Warnings of verifiers that Ratify's policy decides over."""
    reports = [each for each in verifiers if each.type in REPORTS]
    if reports and len(reports) == len(verifiers):
        got = "verifiers of reports alone, which nobody has signed by themselves"
        expected = "a verifier of signatures beside them: every image will be denied"
        yield Finding(("verifier", "plugins"), got, expected, fatal=False)
        return
    if policy.name != "configpolicy":
        return  # a program sees what refers to each report, and may ask for a signature there
    listed = policy.settings.get("artifactVerificationPolicies")
    kinds = [each for each in listed if each != DEFAULT_KEY] if isinstance(listed, dict) else []
    for each in reports:
        place = (*each.path, "nestedReferences")
        if not each.nested:
            yield Finding(place, f"nothing: {_WORTHLESS}", "nestedReferences, and reports that are signed", False)
        elif kinds:
            got = f"it beside {checking.shown(kinds[0])} in artifactVerificationPolicies"
            expected = "no listed types: what is listed must refer to each report too, as in Ratify"
            yield Finding(place, got, expected, fatal=False)


def unknown_signers(verifiers: Sequence[VerifierEntry]) -> Iterator[Finding]:
    """Names under `signedBy` that vouch for nothing."""
    types = {each.name: each.type for each in verifiers}
    for each in verifiers:
        for i, name in enumerate(each.signed_by):
            if name not in types or types[name] in REPORTS:
                what = "which verifies reports" if name in types else "which no verifier is called"
                got = f"{checking.shown(name)}, {what}"
                yield Finding((*each.path, SIGNED_BY, i), got, "the name of a verifier of signatures")


def under_own_rules(rules: Sequence[Rule], verifiers: Sequence[VerifierEntry]) -> Iterator[Finding]:
    """What vouches for a report and its rule does not name; warnings of reports that nobody vouches for."""
    by_name = {each.name: each for each in verifiers}
    for rule in rules:
        for each in (by_name[name] for name in rule.verifiers if name in by_name):
            missing = [name for name in each.signed_by if name in by_name and name not in rule.verifiers]
            if missing:
                got = f"{checking.shown(missing[0])}, which is not among the verifiers of rule {rule.name}"
                yield Finding((*each.path, SIGNED_BY), got, "verifiers of each rule that names this one")
            if each.type in REPORTS and not each.nested and rule.policy.name != "regopolicy":
                got = f"it in rule {rule.name}, without nestedReferences: {_WORTHLESS}"
                expected = f"a verifier of the section nodeseal, with {SIGNED_BY}"
                yield Finding((*each.path, "name"), got, expected, fatal=False)
