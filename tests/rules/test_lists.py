"""Lists of images: what an entry is for, until when, and what is built in."""

from datetime import timedelta

import pytest

from agent.model.digest import Digest
from agent.rules import lists, matching, precedence
from agent.rules.breakglass import Moment
from agent.rules.floor import Floor
from agent.rules.rule import EVERYTHING
from agent.rules.ruleset import Allowed, Denied, Exemption, RuleSet
from tests.rules.worlds import DIGESTS, NOW, repository

CART = repository("registry.example.com/shop/cart")
LOCAL = repository("127.0.0.1:5000/shop/cart")
SECOND = timedelta(seconds=1)
EVERYWHERE = (EVERYTHING,)


def test_denied_by_digest_is_that_content_in_those_repositories_alone() -> None:
    entries = (Denied("registry.example.com/shop/*", DIGESTS[0]),)
    assert lists.denied(entries, CART, DIGESTS[0]) is entries[0]
    assert lists.denied(entries, CART, DIGESTS[1]) is None
    assert lists.denied(entries, CART, "") is None
    assert lists.denied(entries, repository("registry.example.com/cart"), DIGESTS[0]) is None


def test_denied_without_digest_is_every_content_of_those_repositories() -> None:
    entries = (Denied("registry.example.com/other"), Denied("registry.example.com/shop/*"))
    assert [lists.denied(entries, CART, digest) for digest in (*DIGESTS, "")] == [entries[1]] * 3


def test_denied_says_which_entry_it_was() -> None:
    for entry, shown in (
        (Denied("registry.example.com/**", DIGESTS[0]), f"registry.example.com/**@{DIGESTS[0]}"),
        (Denied("registry.example.com/**"), "registry.example.com/**"),
    ):
        holding = precedence.Standing(RuleSet((), deny=(entry,)), Floor(), Moment(NOW, 0.0, "boot"))
        answer = precedence.before_verification(CART, DIGESTS[0], "", holding)
        assert answer is not None
        assert answer.message == f"on the deny list: {shown}"


@pytest.mark.parametrize(
    ("left", "passes"), [(SECOND, True), (timedelta(0), False), (-SECOND, False), (timedelta(days=9), True)]
)
def test_allowed_until_its_end_and_not_a_moment_longer(left: timedelta, passes: bool) -> None:
    entries = (Allowed(CART.scope, DIGESTS[0], NOW + left, "why"),)
    assert (lists.allowed(entries, CART, DIGESTS[0], NOW) is not None) is passes


def test_allowed_is_one_repository_and_one_content() -> None:
    entries = (Allowed(CART.scope, DIGESTS[0], NOW + SECOND, "why"),)
    assert lists.allowed(entries, CART, DIGESTS[1], NOW) is None
    assert lists.allowed(entries, CART, "", NOW) is None
    assert lists.allowed(entries, repository("registry.example.com/shop/cart/x"), DIGESTS[0], NOW) is None
    assert lists.allowed(entries, repository("Registry.Example.com:443/shop/cart"), DIGESTS[0], NOW) is entries[0]


@pytest.mark.parametrize("digests", [(), (DIGESTS[0],)])
def test_exemption_of_a_registry_on_loopback_has_to_say_insecure(digests: tuple[str, ...]) -> None:
    for match in (EVERYTHING, "127.0.0.1:5000/**"):
        secure, insecure = Exemption(match, digests), Exemption(match, digests, insecure=True)
        assert lists.exempted((secure,), LOCAL, DIGESTS[0], EVERYWHERE) is None
        assert lists.exempted((insecure,), LOCAL, DIGESTS[0], EVERYWHERE) is insecure
        assert lists.exempted((secure, insecure), LOCAL, DIGESTS[0], EVERYWHERE) is insecure


@pytest.mark.parametrize("host", ["[::1]:5000", "[0:0::1]:5000", "[::ffff:7f00:1]:5000", "localhost", "0.0.0.0:5000"])
def test_exemption_of_everything_is_for_no_spelling_of_this_machine(host: str) -> None:
    assert lists.exempted((Exemption(EVERYTHING),), repository(f"{host}/a"), DIGESTS[0], EVERYWHERE) is None


def test_later_exemption_counts_where_an_earlier_one_does_not() -> None:
    first, second = Exemption("registry.example.com/shop/*", (DIGESTS[1],)), Exemption("registry.example.com/**")
    assert lists.exempted((first, second), CART, DIGESTS[0], EVERYWHERE) is second
    assert lists.exempted((first, second), CART, DIGESTS[1], EVERYWHERE) is first
    assert lists.exempted((first, second), CART, DIGESTS[0], ("registry.example.com/other",)) is None


def test_built_in_exemptions_have_the_form_of_any_other_and_say_what_for() -> None:
    for entry in lists.BUILT_IN:
        assert matching.complaint(entry.match) == ""
        assert matching.canonical(entry.match) == entry.match
        assert entry.match.startswith("registry.k8s.io/")
        assert "*" not in entry.match
        assert entry.why
        assert not entry.insecure
        assert [str(Digest.parse(digest)) for digest in entry.digests] == list(entry.digests)
        assert len(set(entry.digests)) == len(entry.digests)


def test_sandbox_image_is_exempt_by_digest_alone_and_the_control_plane_by_name() -> None:
    pause, proxy = repository("registry.k8s.io/pause"), repository("registry.k8s.io/kube-proxy")
    known = lists.BUILT_IN[0].digests[0]
    for without_digest in (EVERYWHERE, ()):
        assert lists.exempted(lists.BUILT_IN, pause, known, without_digest) is lists.BUILT_IN[0]
        assert lists.exempted(lists.BUILT_IN, pause, DIGESTS[0], without_digest) is None
    assert lists.exempted(lists.BUILT_IN, proxy, DIGESTS[0], EVERYWHERE) is not None
    assert lists.exempted(lists.BUILT_IN, proxy, DIGESTS[0], ("registry.k8s.io/**",)) is not None
    assert lists.exempted(lists.BUILT_IN, proxy, DIGESTS[0], ("registry.example.com/**",)) is None
    for name in ("registry.k8s.io/kube-proxy/x", "registry.k8s.io/coredns", "registry.example.com/kube-proxy"):
        assert lists.exempted(lists.BUILT_IN, repository(name), DIGESTS[0], EVERYWHERE) is None


def test_answer_tells_whether_an_exemption_is_built_in_and_whether_it_was_by_digest() -> None:
    holding = precedence.Standing(RuleSet(()), Floor(), Moment(NOW, 0.0, "boot"))

    def message(name: str, digest: str) -> str:
        answer = precedence.before_verification(repository(name), digest, name, holding)
        return answer.message if answer else ""

    known = lists.BUILT_IN[0].digests[0]
    assert message("registry.k8s.io/pause", known) == (
        "exempt by digest: registry.k8s.io/pause, built in for the sandbox of every pod"
    )
    assert message("registry.k8s.io/etcd", DIGESTS[0]) == (
        "not verified: registry.k8s.io/etcd is exempt, built in for control planes that kubeadm starts"
    )


@pytest.mark.parametrize(
    ("ruleset", "depends"),
    [
        (RuleSet(()), False),
        (RuleSet((), deny=(Denied("registry.example.com/**"),)), False),
        (RuleSet((), deny=(Denied("registry.example.com/**", DIGESTS[0]),)), True),
        (RuleSet((), deny=(Denied("other.example.net/**", DIGESTS[0]),)), False),
        (RuleSet((), allow=(Allowed(CART.scope, DIGESTS[0], NOW, "why"),)), True),
        (RuleSet((), exempt=(Exemption("registry.example.com/**", (DIGESTS[0],)),)), True),
        (RuleSet((), exempt=(Exemption("registry.example.com/**"),)), False),
    ],
)
def test_whether_a_tag_has_to_be_resolved_before_the_lists_can_say_anything(ruleset: RuleSet, depends: bool) -> None:
    holding = precedence.Standing(ruleset, Floor(), Moment(NOW, 0.0, "boot"))
    assert precedence.depends_on_digest(CART, holding) is depends


@pytest.mark.parametrize(
    ("pattern", "may_be"),
    [("**", True), ("localhost/**", True), ("127.0.0.1:5000/a", True), ("[::1]/a", True), ("r.example/**", False)],
)
def test_which_patterns_include_registries_on_loopback(pattern: str, may_be: bool) -> None:
    assert lists.may_be_insecure(pattern) is may_be
