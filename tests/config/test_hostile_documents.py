"""What a tenant's document may try against a platform's: nothing that another document answers for changes.

Signatures are real: the platform's signer signs the platform's images, the tenant's signs whatever is tried.
"""

import json
import time
import tracemalloc
from typing import Any

import pytest

from agent.adapters.inline import NoTrace, OneByOne, run
from agent.config import merging
from agent.config.discovery import Candidate
from agent.config.inforce import InForce
from agent.engine import Engine
from agent.errors import Code, Exit
from agent.model.answer import Answer
from agent.rules.breakglass import Moment
from agent.rules.floor import Floor
from tests.config.documents import NODE, NOW, UNTIL, candidate, merge, names, says
from tests.engines import OnTheSpot, Unhurried, judged, standing
from tests.formats.support import SUBJECT, Answers, request
from tests.signing import ARTIFACT_TYPE, Signer, trust_policy
from tests.test_engine import STRANGER, TRUSTED, MemoryRegistry

OPEN = NODE._replace(floor=Floor(break_glass_for_all=True))
PLATFORMS, TENANTS, NOBODYS = "registry.example.com/app", "registry.example.com/tenant", "other.example.com/app"


def notation(name: str, match: list[str], signer: Signer, **keys: Any) -> Candidate:
    """A document that trusts a signer for some repositories; verifier and certificate always have the same names."""
    rule = {"name": "signed", "match": match, "verifiers": ["notation"], "policy": {"any": ["notation"]}}
    plugin = {
        "name": "notation",
        "artifactTypes": ARTIFACT_TYPE,
        "verificationCerts": ["certs/"],
        "trustPolicyDoc": trust_policy(),
    }
    section = {"apiVersion": "nodeseal.dev/v1alpha1", "rules": [rule], **keys}
    value = {"verifier": {"plugins": [plugin]}, "nodeseal": section}
    return candidate(name, {"config.json": json.dumps(value).encode(), "ca.crt": signer.root_pem})


PLATFORM = notation("platform", [PLATFORMS], TRUSTED, default={"enforcement": "Enforce", "failurePolicy": "Fail"})


def merged_of(*documents: Candidate, before: InForce = InForce()) -> merging.Merged:  # noqa: B008
    """A merge with the formats that there are, under a floor that lets break-glass be for all."""
    return merging.merged(documents, before, node=OPEN)


def answer(merged: merging.Merged, image: str, signer: Signer) -> Answer:
    """What is said of an image that a signer signed."""
    assert merged.config is not None
    registry = MemoryRegistry()
    registry.sign(signer)
    engine = Engine(
        merged.config,
        registry=registry,
        revocation=Answers(),
        concurrent=OneByOne(),
        policies=OnTheSpot(),
        clock=Unhurried(),
        trace=NoTrace(),
    )
    moment = Moment(NOW, 1_000.0, "boot")
    begun = dict.fromkeys(merged.config.ruleset.break_glass, moment)
    held = standing(merged.config, floor=OPEN.floor, moment=moment, begun=begun)
    return run(judged(request(f"{image}@{SUBJECT.digest}"), engine, held=held)).answer


def whole(merged: merging.Merged, image: str) -> list[Answer]:
    """What is said of an image, whoever signed it."""
    return [answer(merged, image, signer)._replace(image="") for signer in (TRUSTED, STRANGER)]


GLASS = {"match": "**", "until": UNTIL, "reason": "mine"}
ALLOW = [{"image": f"{image}@{SUBJECT.digest}", "until": UNTIL, "reason": "mine"} for image in (PLATFORMS, NOBODYS)]
ATTEMPTS: dict[str, Candidate] = {
    "its own verifier and certificate under the platform's names": notation("tenant", [TENANTS], STRANGER),
    "exempt everything": notation("tenant", [TENANTS], STRANGER, exempt=[{"match": "**", "insecure": True}]),
    "break-glass for everything": notation("tenant", [TENANTS], STRANGER, breakGlass=[GLASS]),
    "allow another's image": notation("tenant", [TENANTS], STRANGER, allow=ALLOW),
    "a rule for everything": notation("tenant", ["**"], STRANGER),
    "a rule for one image more": notation("tenant", [TENANTS, PLATFORMS], STRANGER),
    "a rule by *": notation("tenant", ["registry.example.com/*"], STRANGER),
    "a rule by the rest": notation("tenant", ["registry.example.com/**"], STRANGER),
    "another default": notation(
        "tenant", [TENANTS], STRANGER, default={"enforcement": "Disabled", "failurePolicy": "Ignore"}
    ),
    "the same default, and exempt everything": notation(
        "tenant",
        [TENANTS],
        STRANGER,
        default={"enforcement": "Enforce", "failurePolicy": "Fail"},
        exempt=[{"match": "**", "insecure": True}],
    ),
    "longer memory": notation("tenant", [TENANTS], STRANGER, cache={"staleIfError": {"registry": "999d"}}),
    "1 MiB of junk": candidate("tenant", {"config.json": b"[" * 1024 * 1024}),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_no_attempt_changes_what_is_said_of_anothers_images(attempt: str) -> None:
    tenants = ATTEMPTS[attempt]._replace(priority=1_000)
    before = merged_of(PLATFORM)
    assert [each.exit for each in whole(before, PLATFORMS)] == [Exit.ALLOW, Exit.DENY]
    assert [each.code for each in whole(before, NOBODYS)] == [Code.NO_RULE, Code.NO_RULE]
    after = merged_of(tenants, PLATFORM, before=before.in_force)
    assert whole(after, PLATFORMS) == whole(before, PLATFORMS)
    assert whole(after, NOBODYS) == whole(before, NOBODYS)
    # and the platform's next change comes through
    change = notation("platform", [PLATFORMS], TRUSTED, default={"enforcement": "Audit", "failurePolicy": "Fail"})
    next_one = merged_of(tenants, change._replace(resource_version="2"), before=after.in_force)
    assert whole(next_one, PLATFORMS) == whole(before, PLATFORMS)
    assert answer(next_one, NOBODYS, STRANGER).would is Exit.DENY


def test_each_verifier_believes_its_own_documents_certificates() -> None:
    both = merged_of(PLATFORM, ATTEMPTS["its own verifier and certificate under the platform's names"])
    assert [each.exit for each in whole(both, PLATFORMS)] == [Exit.ALLOW, Exit.DENY]
    assert [each.exit for each in whole(both, TENANTS)] == [Exit.DENY, Exit.ALLOW]
    assert "(notation)" in answer(both, TENANTS, STRANGER).message


def test_what_a_tenant_lets_pass_are_his_own_images() -> None:
    for attempt in ("exempt everything", "break-glass for everything"):
        both = merged_of(PLATFORM, ATTEMPTS[attempt])
        assert [each.exit for each in whole(both, TENANTS)] == [Exit.ALLOW, Exit.ALLOW], attempt


def many(name: str, number: int, patterns: int, group: int) -> Candidate:
    """A document with so many patterns, in rules of so many."""
    value = says("x")
    rule = value["nodeseal"]["rules"][0]
    value["nodeseal"]["rules"] = [
        {**rule, "name": f"r{i}", "match": [f"r.example/{name}{number}/{i}/{j}" for j in range(group)]}
        for i in range(patterns // group)
    ]
    return candidate(f"{name}{number}", value)


@pytest.mark.unmeasured
def test_a_thousand_config_maps_stop_nobodys_change_within_bounded_time_and_memory() -> None:
    mine = candidate("zz", says("r.example/zz/**"))
    before = merge([mine])
    crowd = [candidate(f"a{i}", says(f"r.example/a{i}/**"), priority=1_000) for i in range(500)]
    crowd += [candidate(f"b{i}", {"config.json": b"{" * 30_000}, priority=1_000) for i in range(500)]
    began = time.process_time()
    tracemalloc.start()
    try:
        after = merge([*crowd, mine._replace(documents=candidate("zz", says("r.example/zz/a")).documents)], before)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 60
    assert peak < 200 * 1024 * 1024
    assert "zz" in names(after)
    assert len(names(after)) == merging.MAX_READ
    assert len(after.quarantined) == 1_001 - merging.MAX_READ
    assert len({each.name for each in after.quarantined}) == len(after.quarantined)


@pytest.mark.unmeasured
def test_documents_that_take_long_to_read_are_not_read_without_end() -> None:
    mine = candidate("zz", says("r.example/zz/**"))
    before = merge([mine])
    began = time.process_time()
    after = merge([*(many("a", i, 1_000, 10) for i in range(40)), mine], before)
    assert time.process_time() - began < 60
    assert "zz" in names(after)
    assert len(after.quarantined) == 41 - len(names(after))


def test_room_is_for_what_is_in_force_first_and_a_smaller_document_still_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "ROOM", merging.ROOM._replace(patterns=10))
    old, large, small = many("old", 0, 6, 2), many("large", 0, 8, 2), many("small", 0, 4, 2)
    before = merge([old])
    after = merge([large._replace(priority=5), old, small], before)
    assert names(after) == ["old0", "small0"]
    assert [str(each.problems[0]).partition(": got ")[2].partition(" beside")[0] for each in after.quarantined] == [
        "too many patterns"
    ]
    assert names(merge([large, old, small])) == ["large0"]
