"""Trust stores: what stands behind a name."""

import subprocess
import sys
from hashlib import sha256

import pytest

from agent.trust.truststore import TrustStores

A, B, C = b"a", b"b", b"c"
STORES = TrustStores({"ca:prod": frozenset({A}), "tsa:prod": frozenset({B}), "ca:other": frozenset()}, frozenset({C}))


@pytest.mark.parametrize(
    ("stores", "store_type", "expected"),
    [
        (["ca:prod"], "ca", {A}),
        (["ca:prod"], "tsa", set()),
        (["ca:prod"], "c", set()),
        (["tsa:prod", "ca:prod"], "tsa", {B}),
        (["ca:prod", "ca:unknown"], "ca", {A, C}),
        (["signingAuthority:prod"], "signingAuthority", {C}),
        (["ca:other"], "ca", set()),
        (["ca:Prod"], "ca", {C}),
        ([], "ca", set()),
    ],
)
def test_a_store_of_its_own_stands_before_certificates_without_one(
    stores: list[str], store_type: str, expected: set[bytes]
) -> None:
    assert STORES.certificates(stores, store_type) == expected


def test_without_unnamed_certificates_an_unknown_store_is_empty() -> None:
    assert TrustStores({"ca:prod": frozenset({A})}).certificates(["ca:unknown"], "ca") == frozenset()


def test_stores_survive_their_json_form() -> None:
    by_name = {sha256(each).hexdigest(): each for each in (A, B, C)}
    assert TrustStores.from_json(STORES.to_json(), by_name) == STORES


def test_nothing_slow_is_imported_for_a_pull() -> None:
    code = "import sys, agent.trust.trustpolicy, agent.trust.truststore; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"cryptography", "agent.trust.identity", "agent.trust.trustpolicy_document"} & set(loaded)
