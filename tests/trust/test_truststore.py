"""Trust stores: what stands behind a name."""

import json
import subprocess
import sys
from hashlib import sha256

import pytest

from agent.trust.truststore import TrustStores

A, B, C = b"a", b"b", b"c"
STORES = TrustStores({"ca:prod": frozenset({A}), "tsa:prod": frozenset({B}), "ca:other": frozenset({C})})


@pytest.mark.parametrize(
    ("stores", "store_type", "expected"),
    [
        (["ca:prod"], "ca", {A}),
        (["ca:prod"], "tsa", set()),
        (["ca:prod"], "c", set()),
        (["tsa:prod", "ca:prod"], "tsa", {B}),
        (["ca:prod", "ca:other"], "ca", {A, C}),
        (["ca:prod", "ca:unknown"], "ca", {A}),
        (["signingAuthority:prod"], "signingAuthority", set()),
        (["ca:Prod"], "ca", set()),
        ([], "ca", set()),
    ],
)
def test_certificates_of_one_store_serve_no_other(stores: list[str], store_type: str, expected: set[bytes]) -> None:
    assert STORES.certificates(stores, store_type) == expected


def test_stores_survive_their_json_form() -> None:
    by_name = {sha256(each).hexdigest(): each for each in (A, B, C)}
    assert TrustStores.from_json(json.loads(json.dumps(STORES.to_json())), by_name) == STORES


def test_nothing_slow_is_imported_for_a_pull() -> None:
    code = "import sys, agent.trust.trustpolicy, agent.trust.truststore; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"cryptography", "agent.trust.identity", "agent.trust.trustpolicy_document"} & set(loaded)
