"""What is looked at now and then: certificates that end, in bounded number."""

import pathlib
from hashlib import sha256

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agent.adapters import misses
from agent.adapters.snapshots import SnapshotStore
from agent.config.config import Config, StoreSettings, VerifierSettings
from agent.model.counters import OTHER
from agent.modes import survey
from agent.modes.survey import MOST_STORES, REGISTRY, VERIFIER, Store, Survey, ends_of
from agent.rules.ruleset import RuleSet
from agent.trust.expiry import earliest_end
from tests.modes.test_node import CONFIG
from tests.signing import usual_signer
from tests.warm import warm_door

CHAIN = usual_signer().chain
DERS = [each.public_bytes(Encoding.DER) for each in CHAIN]
ENDS = [each.not_valid_after_utc.timestamp() for each in CHAIN]
NAMES = [sha256(der).hexdigest() for der in DERS]
CERTIFICATES = dict(zip(NAMES, DERS, strict=True))


def verifier(name: str, settings: dict[str, object], owner: str = "") -> VerifierSettings:
    """One with certificates in its settings."""
    return VerifierSettings(name, "notation", (), settings, owner=owner)


def test_the_first_end_counts_and_what_is_no_certificate_does_not() -> None:
    assert earliest_end(DERS) == min(ENDS)
    assert earliest_end([DERS[-1], b"junk", b""]) == ENDS[-1]
    assert earliest_end([b"junk"]) is None
    assert earliest_end([]) is None


def test_certificates_are_told_by_what_they_are_trusted_for() -> None:
    one = verifier("one", {"trustStores": {"ca:a": [NAMES[0], NAMES[-1]], "tsa:b": [NAMES[-1]]}}, "ns/shop")
    other = verifier("other", {"deep": [{"certificate": NAMES[-1]}, 5, None, "no hash"]})
    stores = (StoreSettings("oras", use_http=False, ca_certificates=(NAMES[-1],), owner="ns/shop"),)
    assert ends_of(Config("g", stores, (one, other), RuleSet(()), CERTIFICATES)) == {
        Store(VERIFIER, "ns/shop", "one", "ca:a"): min(ENDS[0], ENDS[-1]),
        Store(VERIFIER, "ns/shop", "one", "tsa:b"): ENDS[-1],
        Store(VERIFIER, "", "other", ""): ENDS[-1],
        Store(REGISTRY, "ns/shop", "oras", ""): ENDS[-1],
    }


def test_names_are_printable_and_short_and_their_number_is_bounded() -> None:
    verifiers = tuple(
        verifier(f"{number}\n" + "x" * 1000, {"trustStores": {"ca:a": [NAMES[number == 300]]}}) for number in range(400)
    )
    found = ends_of(Config("g", (), verifiers, RuleSet(()), CERTIFICATES))
    assert len(found) == MOST_STORES + 1
    assert found[Store(VERIFIER, OTHER, OTHER, OTHER)] == min(ENDS[0], ENDS[1])
    assert all(len(text) <= 64 and text.isprintable() for store in found for text in store)


def test_caches_are_looked_at_and_what_can_not_be_read_is_as_it_was(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "_LOOK", 0.01)
    monkeypatch.setattr(survey, "INTERVAL", 0.02)
    SnapshotStore(str(tmp_path)).publish(CONFIG)
    cache = tmp_path / "var/cache/nodeseal"
    (cache / "content").mkdir(parents=True, mode=0o700)
    cache.chmod(0o700)
    (cache / "content/x").write_bytes(b"12345")
    misses.note(str(tmp_path), "content", "corrupt")

    async def look() -> None:
        async with warm_door(tmp_path) as door, anyio.create_task_group() as group:
            one = Survey(door)
            group.start_soon(one.run)
            with anyio.fail_after(60):
                while one.found.at is None:
                    await anyio.sleep(0.01)
                assert (one.found.sizes["content"].files, one.found.sizes["content"].bytes) == (1, 5)
                assert one.found.misses == {"content": {"corrupt": 1}}
                assert one.found.certificates == len(CONFIG.certificates)
                (cache / "content").rename(cache / "gone")
                (cache / "content").write_bytes(b"in the way")
                await anyio.sleep(0.2)
                before = one.found
                await anyio.sleep(0.1)
                assert one.found == before
                assert one.found.sizes["content"].files in (0, 1)
            group.cancel_scope.cancel()

    anyio.run(look)
