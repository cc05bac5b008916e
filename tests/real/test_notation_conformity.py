"""Signatures of every kind that the real `notation` makes: both envelopes, every key, every length of chain."""

import time

import pytest

from tests.real.conformity import CONFIGURATION_INVALID, Bench, Image, agree, signed_before_it_ended, statement
from tests.signing import Profile, Signer, ca_profile, name, signer

pytestmark = pytest.mark.real

ENVELOPES = ("jws", "cose")
KINDS = ("RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521")


def chain_of(length: int, kind: str, *, issuers: str = "") -> Signer:
    """A chain of so many certificates; issuers' keys are of the same kind unless told otherwise."""
    cas = [ca_profile(f"CA {kind} {n}", kind=issuers or kind, key_number=100 + n) for n in range(1, length)]
    return signer(Profile(name("build.example.com"), kind=kind, key_number=100), *cas)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("envelope", ENVELOPES)
def test_every_key_and_length_of_chain(bench: Bench, envelope: str, kind: str, length: int) -> None:
    made = chain_of(length, kind, issuers="RSA-2048" if kind.startswith("RSA") else "")
    image = bench.signed(f"{envelope}-{kind.lower()}-{length}", made, envelope=envelope)
    agree(bench.judge(image, statement(), {"ca:acme": [made.root]}), accepted=True)


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("depth", [1, 2])
def test_any_issuer_of_the_chain_may_be_the_trusted_one(bench: Bench, envelope: str, depth: int) -> None:
    made = chain_of(3, "P-256")
    image = bench.signed(f"trusted-{depth}-{envelope}", made, envelope=envelope)
    agree(bench.judge(image, statement(), {"ca:acme": [made.chain[depth]]}), accepted=True)


@pytest.mark.parametrize(
    ("store", "says"),
    [("signing certificate", "not a CA certificate or self-signed"), ("nothing", "no x509 certificates were found")],
)
def test_store_that_cannot_be_used(bench: Bench, store: str, says: str) -> None:
    made = chain_of(2, "P-256")
    image = bench.signed(f"store-of-{store.replace(' ', '-')}", made)
    verdicts = bench.judge(image, statement(), {"ca:acme": [made.chain[0]] if store != "nothing" else []})
    agree(verdicts, accepted=False, says=says, code="")
    assert verdicts.exit == CONFIGURATION_INVALID


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_user_metadata_changes_nothing(bench: Bench, envelope: str) -> None:
    made = chain_of(2, "P-256")
    options = ("--user-metadata", "commit=abc", "--user-metadata", "build=7 \u00e9")
    image = bench.signed(f"metadata-{envelope}", made, *options, envelope=envelope)
    agree(bench.judge(image, statement(), {"ca:acme": [made.root]}), accepted=True)


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_expiry(bench: Bench, envelope: str) -> None:
    made = chain_of(2, "P-256")
    valid = bench.signed(f"expires-later-{envelope}", made, "--expiry", "24h", envelope=envelope)
    past = bench.signed(f"expired-{envelope}", made, "--expiry", "1s", envelope=envelope)
    agree(bench.judge(valid, statement(), {"ca:acme": [made.root]}), accepted=True)
    time.sleep(1.1)
    verdicts = bench.judge(past, statement(), {"ca:acme": [made.root]})
    agree(verdicts, accepted=False, says="expired", code="NS-2105")


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_certificate_that_ended_after_it_signed(bench: Bench, envelope: str) -> None:
    def sign(made: Signer) -> tuple[Image, Signer]:
        return bench.signed(f"ended-{envelope}", made, envelope=envelope), made

    issuer = ca_profile("Short-lived CA", key_number=101)
    image, made = signed_before_it_ended(Profile(name("build.example.com")), issuer, sign)
    verdicts = bench.judge(image, statement(), {"ca:acme": [made.root]})
    agree(verdicts, accepted=False, says="validity period, it was expired", code="NS-2106")


@pytest.mark.parametrize("good", ["first", "last"])
def test_one_good_signature_among_strangers_is_enough(bench: Bench, good: str) -> None:
    made, stranger = chain_of(2, "P-256"), chain_of(3, "P-384")
    signers = [made, stranger, stranger] if good == "first" else [stranger, stranger, made]
    image = bench.image(f"signed/good-{good}")
    for each in signers:
        bench.sign(image, each)
    agree(bench.judge(image, statement(), {"ca:acme": [made.root]}), accepted=True)
    verdicts = bench.judge(image, statement(), {"ca:acme": [chain_of(1, "P-521").root]})
    agree(verdicts, accepted=False, code="NS-2103")
