"""Trusted roots that have ended, or will soon: what is told when a configuration is checked."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent.config import ratify
from agent.config.dialect import Node
from agent.model.documents import Document
from agent.rules.floor import Floor
from tests import signing_sigstore as sigstore
from tests.config.support import NoDocuments
from tests.formats.test_cosign_sigstore import IDENTITY
from tests.signing_cosign import public_pem

I = sigstore.instance()  # noqa: E741
NOW = sigstore.now()
DAY = timedelta(days=1)


def until(end: datetime) -> dict[str, str]:
    """A window that ends then."""
    return {"start": sigstore.rfc3339(I.start), "end": sigstore.rfc3339(end)}


class Roots(NoDocuments):
    """Trusted roots and a key."""

    def __init__(self, **roots: Any) -> None:
        """By name."""
        self._roots = {f"{name}.json": json.dumps(root).encode() for name, root in roots.items()}

    def file(self, path: str) -> Document | None:
        """By name."""
        content = {**self._roots, "k.pub": public_pem()}.get(path)
        return None if content is None else Document(path, content, path)


def told(*roots: Any, now: datetime = NOW, **options: Any) -> list[str]:
    """What is told of a verifier that trusts these."""
    named = {f"r{i}": each for i, each in enumerate(roots)}
    usual: dict[str, Any] = {} if "keys" in options else {"identities": [IDENTITY]}
    verifier = {"name": "v", "type": "cosign", "trustRoot": [f"{name}.json" for name in named], **usual, **options}
    section = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": [verifier],
        "rules": [{"name": "r", "match": ["**"], "verifiers": ["v"], "policy": {"any": ["v"]}}],
    }
    content = json.dumps({"nodeseal": section}).encode()
    found = ratify.read(Document("c.json", content, "c.json"), Roots(**named), node=Node(Floor(), now))
    assert not [each for each in found.warnings if each.fatal]
    return [f"{each.path}: {each.got}" for each in found.warnings]


OLD = until(NOW - DAY)
SOON = until(NOW + 10 * DAY)
LATER = until(NOW + 40 * DAY)
_AT = "c.json: nodeseal.verifiers[0]: "


@pytest.mark.parametrize(
    ("windows", "options", "expected"),
    [
        ({}, {}, None),
        ({"ca": OLD}, {}, f"certificate authorities too few count since {NOW - DAY:%Y-%m-%d}"),
        ({"ca": SOON}, {}, f"certificate authorities too few count after {NOW + 10 * DAY:%Y-%m-%d}"),
        ({"ca": LATER}, {}, None),
        ({"rekor1": OLD}, {}, None),
        ({"rekor1": OLD, "rekor2": SOON}, {}, f"transparency logs too few count after {NOW + 10 * DAY:%Y-%m-%d}"),
        ({"rekor1": OLD}, {"transparencyLogs": 2}, f"transparency logs too few count since {NOW - DAY:%Y-%m-%d}"),
        ({"rekor1": OLD, "rekor2": OLD}, {"transparencyLogs": 0, "timestamps": 1}, None),
        ({"tsa": OLD}, {}, None),
        ({"tsa": OLD}, {"timestamps": 1}, f"timestamp authorities too few count since {NOW - DAY:%Y-%m-%d}"),
        ({"ca": OLD}, {"keys": ["k.pub"]}, None),
        ({"ca": OLD, "rekor1": SOON}, {}, f"certificate authorities too few count since {NOW - DAY:%Y-%m-%d}"),
    ],
)
def test_what_is_asked_for_and_has_ended_or_soon_will_is_told(
    windows: dict[str, Any], options: dict[str, Any], expected: str | None
) -> None:
    assert told(I.trusted_root(**windows), **options) == (
        [] if expected is None else [f"{_AT}r0.json, of whose {expected}"]
    )


def test_of_several_roots_one_that_lasts_is_enough() -> None:
    lasting = sigstore.instance(3).trusted_root()
    assert told(I.trusted_root(ca=OLD), lasting) == []
    (line,) = told(I.trusted_root(ca=OLD), sigstore.instance(3).trusted_root(ca=SOON))
    assert line.startswith(f"{_AT}r1.json, of whose ")


def test_authority_ends_with_the_first_of_its_certificates() -> None:
    end = min(each.not_valid_after_utc for each in (I.issuer, I.root))
    (line,) = told(I.trusted_root(), now=end - DAY)
    assert f"certificate authorities too few count after {end:%Y-%m-%d}" in line
    assert told(I.trusted_root(), now=end - 31 * DAY) == []


def test_where_no_time_is_known_nothing_is_told() -> None:
    assert told(I.trusted_root(ca=OLD), now=datetime.min.replace(tzinfo=timezone.utc)) == []
