"""Scopes of signing policies: which images they are for."""

import pytest

from agent.model.digest import Digest
from agent.trust.signingpolicy import SigningPolicy, overlap, select
from tests.formats.support import SUBJECT, request

DIGEST = str(SUBJECT.digest)
OTHER = str(Digest.of(b"another image"))


@pytest.mark.parametrize(
    ("scope", "name", "is_for"),
    [
        ("*", "registry.example.com/shop/cart:1", True),
        ("registry.example.com/shop/*", "registry.example.com/shop/cart:1", True),
        ("registry.example.com/shop/c*", "registry.example.com/shop/cart:1", True),
        ("registry.example.com/shop/cart", "registry.example.com/shop/cart:1", True),
        ("registry.example.com/shop/cart", f"registry.example.com/shop/cart@{DIGEST}", True),
        (f"registry.example.com/shop/cart@{DIGEST}", "registry.example.com/shop/cart:1", True),
        ("registry.example.com/shop/cart*", "registry.example.com/shop/cart-2:1", True),
        ("registry*", "registry.example.com/shop/cart:1", True),
        ("docker.io/library/*", "docker.io/busybox:1", True),
        ("registry.example.com/*", "registry.example.com:443/shop/cart:1", True),
        ("registry.example.com/shop/cart", "registry.example.com/shop/cart-2:1", False),
        ("registry.example.com/shop/*", "registry.example.com/shopping/cart:1", False),
        (f"registry.example.com/shop/cart@{OTHER}", "registry.example.com/shop/cart:1", False),
        ("registry.example.com/*", "registry.example.com.evil.example/shop/cart:1", False),
        ("registry.example.com/*", "registry.example.com:5000/shop/cart:1", False),
        ("example.com/*", "registry.example.com/shop/cart:1", False),
    ],
)
def test_scope_is_matched_with_repository_and_digest(scope: str, name: str, is_for: bool) -> None:
    policy = SigningPolicy("p", (scope,), ())
    assert (select([policy], request(name)) is policy) is is_for


def test_scope_for_everything_is_for_what_no_other_is_for() -> None:
    fallback, shop = SigningPolicy("all", ("*",), ()), SigningPolicy("shop", ("registry.example.com/shop/*",), ())
    for policies in ([fallback, shop], [shop, fallback]):
        assert select(policies, request()) is shop
        assert select(policies, request("registry.example.com/team/web:1")) is fallback
    assert select([shop], request("registry.example.com/team/web:1")) is None


@pytest.mark.parametrize(
    ("first", "second", "do"),
    [
        ("a.example/x*", "a.example/xy", True),
        ("a.example/x*", "a.example/x*", True),
        ("a.example/x*", "a.example/xy*", True),
        ("a.example/x*", "a.example/*", True),
        ("a.example/x*", f"a.example/x@{DIGEST}", True),
        ("a.example/x", "a.example/x", True),
        ("a.example/x", f"a.example/x@{DIGEST}", True),
        (f"a.example/x@{DIGEST}", f"a.example/x@{DIGEST}", True),
        (f"a.example/x@{DIGEST}", f"a.example/x@{OTHER}", False),
        ("a.example/x", "a.example/xy", False),
        ("a.example/x*", "a.example/y*", False),
        ("a.example/xy*", "a.example/x", False),
        ("b.example/*", "a.example/*", False),
    ],
)
def test_scopes_overlap_if_one_image_is_in_both(first: str, second: str, do: bool) -> None:
    assert overlap(first, second) is do
    assert overlap(second, first) is do


def test_policy_comes_back_as_it_went_into_the_snapshot() -> None:
    policy = SigningPolicy("p", ("a.example/*", "b.example/x"), ("0" * 64,), {"env": "prod"})
    assert SigningPolicy.from_json(policy.to_json()) == policy
