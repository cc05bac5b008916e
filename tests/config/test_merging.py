"""Several documents become one configuration; none spoils another."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import inforce, merging, ratify
from agent.config.canonical import decode, encode
from agent.config.config import Config
from agent.config.discovery import Candidate
from agent.config.inforce import InForce
from agent.errors import Code, Exit, Malformed, Problem
from agent.model.answer import LINE_LIMIT, Answer
from agent.rules.floor import Floor
from agent.rules.overlaps import Crowd, Patterns
from agent.rules.rule import Default, Enforcement, FailureAction, FailurePolicy
from agent.rules.ruleset import Denied
from tests.config.documents import DIGEST, NODE, NOW, UNTIL, candidate, merge, names, says, told
from tests.config.support import FORMATS

AUDIT = {"enforcement": "Audit", "failurePolicy": "Fail"}
ENFORCE = {"enforcement": "Enforce", "failurePolicy": "Fail"}

PLATFORM = candidate("platform", says("r.example/platform/**", default=ENFORCE))
TENANT = candidate("tenant", says("r.example/tenant/**"))


def config(merged: merging.Merged) -> Config:
    """The configuration, which there is."""
    assert merged.config is not None
    return merged.config


def changed(document: Candidate, value: object, **fields: Any) -> Candidate:
    """The next version of a document."""
    return candidate(document.name.partition("/")[2], value, resource_version="2", **fields)


def of_owner(merged: merging.Merged, owner: str) -> object:
    """All of the configuration that an owner's images depend on, apart from what all have in common."""
    whole = config(merged)
    ruleset = whole.ruleset
    entries = (ruleset.rules, ruleset.allow, ruleset.exempt, ruleset.break_glass, whole.verifiers, whole.stores)
    return [[each for each in kind if each.owner == owner] for kind in entries]


def test_documents_that_fit_are_one_configuration_with_owners() -> None:
    merged = merge([PLATFORM, TENANT])
    assert names(merged) == ["platform", "tenant"]
    whole = config(merged)
    assert [(rule.owner, rule.match) for rule in whole.rules] == [
        ("nodeseal/platform", ("r.example/platform/**",)),
        ("nodeseal/tenant", ("r.example/tenant/**",)),
    ]
    assert whole.ruleset.default.owner == "nodeseal/platform"
    assert {(each.owner, each.name) for each in whole.verifiers} == {
        ("nodeseal/platform", "key"),
        ("nodeseal/tenant", "key"),
    }
    assert merged.quarantined == ()
    assert decode(encode(whole), whole.certificates.__getitem__) == whole


def test_nothing_to_put_in_force_is_none() -> None:
    merged = merge([])
    assert (merged.config, merged.in_force) == (None, InForce())
    merged = merge([candidate("tenant", {})])
    assert (merged.config, merged.in_force, names(merged)) == (None, InForce(), [])
    assert [each.kept for each in merged.quarantined] == [False]


def test_ground_does_not_depend_on_the_owner() -> None:
    alone = config(merge([candidate("tenant", says("r.example/tenant/**"))]))
    moved = config(merge([candidate("renamed", says("r.example/tenant/**")), PLATFORM]))
    (ground,) = {rule.ground for rule in (*alone.rules, *moved.rules) if "tenant" in rule.match[0]}
    assert ground


def test_stores_belong_to_their_document() -> None:
    hostile = says("r.example/tenant/**", options={"store": {"name": "oras", "useHttp": True}})
    silent = says("r.example/platform/**")
    del silent["store"]
    whole = config(merge([candidate("platform", silent), candidate("tenant", hostile)]))
    assert [store.use_http for store in whole.seen_by("nodeseal/platform").stores] == [False]
    assert [store.use_http for store in whole.seen_by("nodeseal/tenant").stores] == [True]
    assert [store.use_http for store in whole.seen_by("").stores] == [False]
    usual = config(merge([candidate("platform", silent)]))
    assert {usual.rules[0].ground} <= {rule.ground for rule in whole.rules}


def test_secrets_belong_to_the_stores_of_their_document_and_have_room_together() -> None:
    def naming(name: str, count: int) -> Candidate:
        named = [{"secretName": f"{name}-{number}"} for number in range(count)]
        store = {"name": "oras", "authProvider": {"name": "k8Secrets", "secrets": named}}
        return candidate(name, says(f"r.example/{name}/**", options={"store": store}))

    merged = merge([naming("a", 8), naming("b", 8), naming("c", 1)])
    assert names(merged) == ["a", "b"]
    assert [str(each.problems[-1]) for each in merged.quarantined][0].startswith("nodeseal/c: got too many Secrets")
    whole = config(merged)
    assert whole.secrets["a-0"] == ("nodeseal/a",)
    assert [store.secrets[:1] for store in whole.seen_by("nodeseal/b").stores] == [("b-0",)]
    assert [store.secrets for store in whole.seen_by("").stores] == [()]


@pytest.mark.parametrize(
    "match", ["r.example/platform/**", "**", "r.example/**", "r.example/*/app", "r.example/platform/app"]
)
@pytest.mark.parametrize("priority", [-1000, 0, 1000])
def test_whoever_comes_later_takes_no_images_of_what_is_in_force(match: str, priority: int) -> None:
    before = merge([PLATFORM, TENANT])
    late = candidate("zz", says(match), priority=priority, created=NOW - timedelta(days=9))
    after = merge([PLATFORM, TENANT, late], before)
    assert names(after) == ["platform", "tenant"]
    assert config(after) == config(before)
    assert "nodeseal/zz" in told(after)
    assert "nodeseal/platform" in told(after)


@pytest.mark.parametrize(
    ("winner", "fields"),
    [("c", {"priority": 1}), ("b", {"created": NOW - timedelta(days=1)}), ("a", {})],
    ids=["priority", "age", "name"],
)
def test_among_new_documents_priority_decides_then_age_then_name(winner: str, fields: dict[str, Any]) -> None:
    rivals = [candidate(name, says("r.example/**"), **(fields if name == winner else {})) for name in "abc"]
    assert names(merge(rivals)) == [winner]
    older = rivals[0]._replace(created=NOW - timedelta(days=9))
    assert names(merge([older, *rivals[1:]])) == (["c"] if winner == "c" else ["a"])


def test_a_change_that_takes_anothers_images_is_quarantined_and_the_last_good_version_stays() -> None:
    before = merge([PLATFORM, TENANT])
    greedy = changed(TENANT, says("r.example/tenant/**", "r.example/platform/x", deny=["r.example/bad"]))
    after = merge([PLATFORM, greedy], before)
    assert names(after) == ["platform", "tenant!"]
    assert [(each.name, each.resource_version, each.kept) for each in after.quarantined] == [
        ("nodeseal/tenant", "2", True)
    ]
    assert config(after).ruleset.deny == (Denied("r.example/bad"),)
    assert config(after)._replace(ruleset=config(after).ruleset._replace(deny=()), generation="") == config(
        before
    )._replace(generation="")
    repaired = merge([PLATFORM, TENANT], after)
    assert config(repaired) == config(before)


def test_what_is_given_up_can_be_taken_in_the_same_merge() -> None:
    before = merge([PLATFORM, TENANT])
    swapped = [changed(PLATFORM, says("r.example/tenant/**")), changed(TENANT, says("r.example/other/**"))]
    assert names(merge(swapped, before)) == ["platform", "tenant"]


@pytest.mark.parametrize(
    "junk",
    [
        b"{" * 100_000,
        b"\x00" * 1024 * 1024,
        b"nodeseal: {apiVersion: 7",
        b'{"nodeseal": {"rules": []}}',
        b"[]",
        b"",
    ],
    ids=["deep", "large", "not JSON", "no rules", "a list", "nothing"],
)
def test_junk_stops_nobodys_change(junk: bytes) -> None:
    before = merge([PLATFORM, TENANT])
    spoilt = candidate("tenant", {"config.json": junk}, resource_version="2")
    better = changed(PLATFORM, says("r.example/platform/**", default=AUDIT))
    after = merge([better, spoilt, candidate("aa", {"nodeseal.yaml": junk}, priority=1000)], before)
    assert names(after) == ["platform", "tenant!"]
    assert config(after).ruleset.default.enforcement is Enforcement.AUDIT
    assert of_owner(after, "nodeseal/tenant") == of_owner(before, "nodeseal/tenant")


def test_a_bug_that_one_document_brings_out_is_its_own_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = ratify.read

    def breaks(document: Any, *args: Any, **options: Any) -> Any:
        if b"tenant" in document.content:
            raise RuntimeError("nobody foresaw that")
        return inner(document, *args, **options)

    monkeypatch.setattr(ratify, "read", breaks)
    merged = merge([PLATFORM, TENANT])
    assert names(merged) == ["platform"]
    assert "an unexpected RuntimeError" in told(merged)
    assert "foresaw" not in told(merged)


def test_denied_images_of_a_quarantined_document_are_denied_as_far_as_they_can_be_read() -> None:
    spoilt = says("r.example/tenant/**", deny=["r.example/bad", 7, "@", f"r.example/x@{DIGEST}"], unheardOf=1)
    merged = merge([PLATFORM, candidate("tenant", spoilt)])
    assert names(merged) == ["platform"]
    assert config(merged).ruleset.deny == (Denied("r.example/bad"), Denied("r.example/x", DIGEST))


def test_denials_of_a_last_good_version_go_on_beside_those_of_the_new_one() -> None:
    good = candidate("tenant", says("r.example/tenant/**", deny=["r.example/old"]))
    before = merge([PLATFORM, good])
    spoilt = changed(good, says("r.example/tenant/**", deny=["r.example/new"], unheardOf=1))
    assert config(merge([PLATFORM, spoilt], before)).ruleset.deny == (Denied("r.example/new"), Denied("r.example/old"))


def test_what_is_deleted_or_created_anew_leaves_nothing_behind() -> None:
    good = candidate("tenant", says("r.example/tenant/**", deny=["r.example/old"]))
    before = merge([PLATFORM, good])
    assert names(merge([PLATFORM], before)) == ["platform"]
    anew = candidate("tenant", {"config.json": b"junk"}, uid="another")
    after = merge([PLATFORM, anew], before)
    assert names(after) == ["platform"]
    assert config(after).ruleset.deny == ()


def test_holder_of_a_key_may_change_it_and_others_have_to_give_way() -> None:
    both = [PLATFORM, candidate("tenant", says("r.example/tenant/**", default=ENFORCE))]
    before = merge(both)
    assert before.in_force.holders["default"] == "nodeseal/platform"
    after = merge([changed(PLATFORM, says("r.example/platform/**", default=AUDIT)), both[1]], before)
    assert names(after) == ["platform"]
    assert config(after).ruleset.default == Default(Enforcement.AUDIT, owner="nodeseal/platform")
    assert "another default than nodeseal/platform" in told(after)


def test_saying_what_the_holder_says_takes_nothing_from_him() -> None:
    before = merge([PLATFORM])
    same = candidate("aa", says("r.example/aa/**", default=ENFORCE), priority=1000, created=NOW - timedelta(days=1))
    after = merge([PLATFORM, same], before)
    assert names(after) == ["aa", "platform"]
    assert config(after).ruleset.default.owner == "nodeseal/platform"


def test_a_higher_priority_in_force_does_not_take_a_word_from_its_holder() -> None:
    before = merge([PLATFORM])
    same = candidate("aa", says("r.example/aa/**", default=ENFORCE), priority=1000)
    both = merge([PLATFORM, same], before)
    again = merge([PLATFORM, same], both)
    assert config(again) == config(both)
    assert again.in_force.holders == {"default": "nodeseal/platform"}


def test_denials_of_what_was_good_count_while_nothing_of_the_document_has_a_place() -> None:
    old = candidate("tenant", says("r.example/tenant/**", default=ENFORCE, deny=["r.example/old"]))
    before = merge([PLATFORM, old])
    better = changed(PLATFORM, says("r.example/platform/**", default=AUDIT))
    after = merge([better, candidate("tenant", {"config.json": b"junk"}, resource_version="2")], before)
    assert names(after) == ["platform"]
    assert config(after).ruleset.deny == (Denied("r.example/old"),)


def test_the_same_word_in_other_words_is_no_conflict() -> None:
    lengthy = {"enforcement": "Enforce", "failurePolicy": {"default": "Fail", "throttled": "Fail"}}
    assert names(merge([PLATFORM, candidate("tenant", says("r.example/t/**", default=lengthy))])) == [
        "platform",
        "tenant",
    ]
    assert config(merge([TENANT])).ruleset.default == Default(failure_policy=FailurePolicy(FailureAction.FAIL))


def test_holders_that_change_against_each_other_come_to_an_end() -> None:
    pairs = (("a", "b"), ("b", "c"), ("c", "a"))
    keys = {pairs[0]: "whenMissing", pairs[1]: "maxSnapshotAge", pairs[2]: "cacheAllow"}
    old = {"whenMissing": "KeepLast", "maxSnapshotAge": "7d", "cacheAllow": "1h"}
    new = {"whenMissing": "FailurePolicy", "maxSnapshotAge": "8d", "cacheAllow": "2h"}

    def section(name: str, values: dict[str, dict[str, str]]) -> dict[str, Any]:
        said = {key: values[name][key] for pair, key in keys.items() if name in pair}
        allow = said.pop("cacheAllow", None)
        return said | ({"cache": {"allow": allow}} if allow else {})

    def documents(values: dict[str, dict[str, str]], version: str) -> list[Candidate]:
        said = {name: says(f"r.example/{name}/**", **section(name, values)) for name in "abc"}
        return [candidate(name, value, resource_version=version) for name, value in said.items()]

    before = merge(documents(dict.fromkeys("abc", old), "1"))
    assert names(before) == ["a", "b", "c"]
    holders = {"whenMissing": "nodeseal/a", "maxSnapshotAge": "nodeseal/b", "cache.allow": "nodeseal/c"}
    held = before.in_force._replace(holders=holders)
    mixed = {
        "a": old | {"whenMissing": new["whenMissing"]},
        "b": old | {"maxSnapshotAge": new["maxSnapshotAge"]},
        "c": old | {"cacheAllow": new["cacheAllow"]},
    }
    after = merge(documents(mixed, "2"), held)
    assert names(after)


def test_a_floor_that_is_raised_keeps_the_last_good_version() -> None:
    lenient = candidate("tenant", says("r.example/tenant/**", default=AUDIT))
    before = merge([lenient])
    strict = NODE._replace(floor=Floor(enforcement=Enforcement.ENFORCE))
    after = merge([lenient], before, strict)
    assert names(after) == ["tenant!"]
    assert config(after) == config(before)
    assert "floor" in told(after)


def test_where_the_floor_asks_for_signatures_what_nobody_signed_says_nothing() -> None:
    signed = NODE._replace(floor=Floor(signed_by=("key",)))
    tenant = candidate("tenant", says("r.example/tenant/**", deny=["r.example/bad"]))
    assert merge([tenant], node=signed).config is None

    def judge(documents: Any, _: Config | None) -> list[Problem]:
        return [] if b"platform" in documents.configuration.content else [Problem("nodeseal.sig", "nothing", "one")]

    merged = merging.merged([tenant, PLATFORM], InForce(), node=signed, formats=FORMATS, judge=judge)
    assert names(merged) == ["platform"]
    assert config(merged).ruleset.deny == ()


def test_what_is_wrong_with_the_config_map_itself_quarantines_it() -> None:
    refused = PLATFORM._replace(refused=(Problem("annotation x", "this", "that"),))
    assert names(merge([refused, TENANT])) == ["tenant"]
    before = merge([PLATFORM, TENANT])
    assert names(merge([refused._replace(resource_version="2"), TENANT], before)) == ["platform!", "tenant"]


def test_trust_that_grows_is_told_and_nothing_else() -> None:
    before = merge([PLATFORM, TENANT])
    glass = [{"match": "r.example/tenant/x", "until": UNTIL, "reason": "INC-1"}]
    more = changed(
        TENANT,
        says(
            "r.example/tenant/**",
            exempt=[{"match": "r.example/tenant/tools"}],
            allow=[{"image": f"r.example/tenant/y@{DIGEST}", "until": UNTIL, "reason": "INC-2"}],
            breakGlass=glass,
            options={"trustPolicyDoc": {"identities": ["x509.subject: CN=new"], "keys": ["shop.pub"]}},
        ),
    )
    after = merge([PLATFORM, more], before)
    assert [str(each).partition(" until")[0] for each in after.trust_grew] == [
        f"nodeseal/tenant: allowed image r.example/tenant/y@{DIGEST}",
        "nodeseal/tenant: break-glass for r.example/tenant/x",
        "nodeseal/tenant: exemption of r.example/tenant/tools",
        "nodeseal/tenant: identity x509.subject: CN=new (verifier key)",
        "nodeseal/tenant: key shop.pub (verifier key)",
    ]
    assert merge([PLATFORM, more], after).trust_grew == ()
    assert merge([PLATFORM, TENANT], after).trust_grew == ()


def test_what_was_read_is_not_read_again() -> None:
    before = merge([PLATFORM, TENANT])
    after = merging.merged([PLATFORM, TENANT], before.in_force, node=NODE, formats=FORMATS, known=before.known)
    assert config(after) == config(before)
    assert all(after.known[key] is found for key, found in before.known.items())


def test_what_is_handed_on_of_what_was_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = merge([PLATFORM, TENANT])
    monkeypatch.setattr(merging, "MAX_KNOWN", sum(map(len, PLATFORM.documents.values())) + 100)
    assert len(merge([PLATFORM, TENANT]).known) == 1 < len(whole.known)


def test_rules_are_called_by_their_documents_too_and_nobody_else_changes_that() -> None:
    """All that people get of a rule is its name; grounds, and so verdicts, do not depend on it."""
    alone, both = config(merge([TENANT])), config(merge([PLATFORM, TENANT]))
    assert [rule.name for rule in alone.rules] == ["tenant/only"]
    assert [rule.name for rule in both.rules] == ["platform/only", "tenant/only"]
    assert alone.rules == both.rules[1:]


def test_long_names_of_rules_are_told_apart_within_an_answers_line() -> None:
    long = "a" * 200
    maps = [candidate(f"{long}{i}", says(f"r.example/{i}/**", default=ENFORCE)) for i in "bc"]
    names_of = [rule.name for rule in config(merge(maps)).rules]
    assert len(set(names_of)) == 2
    lines = {Answer(Exit.DENY, Code.NO_EVIDENCE, name, "m" * 500, image="r.example/x").line() for name in names_of}
    assert len(lines) == 2
    assert all(len(line) <= LINE_LIMIT for line in lines)
    assert all(any(name in line for line in lines) for name in names_of)


_SAID = st.sampled_from(
    [
        says("r.example/a/**", default=ENFORCE),
        says("r.example/b/**", default=AUDIT, deny=["r.example/bad"]),
        says("r.example/*/x", exempt=[{"match": "r.example/b/x"}]),
        says("r.example/b/x", whenMissing="FailurePolicy"),
        says("r.example/c/**", whenMissing="KeepLast", default=ENFORCE),
        says("**"),
        {"nodeseal": 7},
    ]
)
_DOCUMENTS = st.dictionaries(
    st.sampled_from("abcde"), st.tuples(_SAID, st.integers(-1, 1), st.integers(0, 1)), max_size=5
).map(
    lambda found: [
        candidate(name, value, priority=priority, created=NOW + timedelta(days=age), resource_version=str(hash(name)))
        for name, (value, priority, age) in found.items()
    ]
)


@pytest.mark.unmeasured
@settings(max_examples=60, deadline=None)
@given(_DOCUMENTS, _DOCUMENTS, st.randoms(use_true_random=False))
def test_order_of_what_comes_in_never_matters(first: list[Candidate], then: list[Candidate], random: Any) -> None:
    before = merge(first)
    once = merge(then, before)
    random.shuffle(then)
    again = merge(then, before.in_force._replace(documents=before.in_force.documents[::-1]))
    assert (again.config, again.in_force) == (once.config, once.in_force)
    assert (again.quarantined, again.problems, again.trust_grew) == (once.quarantined, once.problems, once.trust_grew)
    assert inforce.decode(inforce.encode(once.in_force)) == once.in_force
    # what is in force is in force, whatever is asked again
    assert merge(then, once).config == once.config
    if once.config is not None:
        patterns = [(rule.owner, pattern) for rule in once.config.rules for pattern in rule.match]
        assert not any(
            one[0] != other[0] and Patterns([one[1]]).first_shared(Patterns([other[1]]))
            for one in patterns
            for other in patterns
        )


@pytest.mark.parametrize(
    "spoilt",
    [
        {},
        {"formatVersion": 2},
        {"formatVersion": True},
        {"more": 1},
        {"documents": [["a", "u", "1", {"k": "no base64!"}]]},
        {"documents": [["a", "u", "1", {}], ["a", "u", "1", {}]]},
        {"documents": [["a", "u", 1, {}]]},
        {"documents": [["a"]]},
        {"documents": {}},
        {"holders": []},
        {"holders": {"default": 1}},
        {"trusted": ["x"]},
        {"trusted": "x"},
    ],
    ids=str,
)
def test_what_was_in_force_is_read_strictly(spoilt: dict[str, object]) -> None:
    good = json.loads(inforce.encode(merge([PLATFORM, TENANT]).in_force))
    assert inforce.decode(json.dumps(good).encode())
    with pytest.raises(Malformed, match="configuration in force"):
        inforce.decode(json.dumps(good | spoilt if spoilt else {}).encode())


def test_patterns_are_compared_once_for_each_document_that_may_find_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some documents that takes long: of those that no room is for, or that share with nobody, it took minutes."""
    compared: list[str] = []

    def counted(kind: type[Patterns | Crowd], name: str) -> None:
        inner = getattr(kind, name)

        def call(self: object, other: object) -> object:
            compared.append(name)
            return inner(self, other)

        monkeypatch.setattr(kind, name, call)

    counted(Patterns, "first_shared")
    counted(Crowd, "shares")
    monkeypatch.setattr(merging, "ROOM", merging.ROOM._replace(patterns=40))
    large = [candidate(f"a{i}", says(*(f"r.example/a{i}/{j}" for j in range(30)), default=AUDIT)) for i in range(9)]
    small = [candidate(f"z{i}", says(f"r.example/z{i}/**", default=AUDIT)) for i in range(10)]
    assert names(merge([*large, *small])) == ["a0", *(f"z{i}" for i in range(10))]
    assert compared == ["shares"] * 11
