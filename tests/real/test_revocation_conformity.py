"""Revocation before the real `notation` and before us: what responders and lists say, and what they leave unsaid.

Both refuse what cannot be told; we say so with "cannot tell", which is not "denied", and not "allowed" either.
"""

from datetime import timedelta
from typing import Any, Callable, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.ocsp import OCSPCertStatus
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.real.conformity import CANNOT_TELL, Bench, Image, agree, statement
from tests.simulators.authority import Authority, authority, refusal
from tests.simulators.responder import LIST_TYPE
from tests.trust.answers import HOUR, NOW, List, Ocsp

pytestmark = pytest.mark.real

ALLOWED, REVOKED, UNKNOWN = "NS-0001", "NS-2111", "NS-3004"

Made = Callable[[Authority], bytes]


class Setting(NamedTuple):
    """An image whose signer's certificates name sources of revocation, and the authority behind them."""

    authority: Authority
    image: Image


def signed_under(bench: Bench, label: str, **sources: Any) -> Setting:
    """An image signed by a new authority's signer."""
    made = authority(label, bench.responder.base, number=40, **sources)
    return Setting(made, bench.signed(f"revocable-{label}", made.signer))


def compare(bench: Bench, setting: Setting, code: str, **known: str) -> None:
    """Ask both, under strict."""
    verdicts = bench.judge(setting.image, statement(), {"ca:acme": [setting.authority.root]})
    accepted = (code == ALLOWED) != bool(known)
    agree(verdicts, accepted=accepted, says="" if accepted else "revo", code=code, **known)
    assert (verdicts.exit == CANNOT_TELL) is (code == UNKNOWN)


@pytest.fixture(scope="module")
def by_ocsp(bench: Bench) -> Setting:
    """Both certificates below the root name a responder."""
    return signed_under(bench, "by-ocsp", ocsp=(0, 1))


@pytest.fixture(scope="module")
def by_crl(bench: Bench) -> Setting:
    """Both certificates below the root name a list."""
    return signed_under(bench, "by-crl", crl=(0, 1))


@pytest.fixture(scope="module")
def by_both(bench: Bench) -> Setting:
    """The signing certificate names both."""
    return signed_under(bench, "by-both", ocsp=(0,), crl=(0,))


def other(made: Authority) -> Authority:
    """Another authority's certificates, of other keys."""
    return authority("other", made.base, number=41)


def altered(content: bytes) -> bytes:
    """Another last byte: of the signature."""
    return content[:-1] + bytes([content[-1] ^ 1])


ANSWERS: dict[str, tuple[Made, str]] = {
    "good": (lambda made: made.answer(0), ALLOWED),
    "revoked": (lambda made: made.revoked(0), REVOKED),
    "unknown": (lambda made: made.answer(0, Ocsp(status=OCSPCertStatus.UNKNOWN)), UNKNOWN),
    "malformed": (lambda made: b"<html>", UNKNOWN),
    "empty": (lambda made: b"", UNKNOWN),
    "refused": (lambda made: refusal(), UNKNOWN),
    "out of date": (
        lambda made: made.answer(0, Ocsp(this_update=NOW - 2 * HOUR, next_update=NOW - HOUR)),
        UNKNOWN,
    ),
    "without an end": (lambda made: made.answer(0, Ocsp(next_update=None)), UNKNOWN),
    "revoked, but out of date": (
        lambda made: made.answer(
            0, Ocsp(status=OCSPCertStatus.REVOKED, this_update=NOW - 2 * HOUR, next_update=NOW - HOUR)
        ),
        UNKNOWN,
    ),
    "tampered with": (lambda made: altered(made.answer(0)), UNKNOWN),
    "by a delegate of somebody else": (
        lambda made: made.delegated(0, ExtendedKeyUsageOID.OCSP_SIGNING, by=other(made)),
        UNKNOWN,
    ),
    "about another certificate": (lambda made: made.answer(0, Ocsp(serial_of=other(made).signer.chain[0])), UNKNOWN),
    "by a delegate": (lambda made: made.delegated(0, ExtendedKeyUsageOID.OCSP_SIGNING), ALLOWED),
    "huge": (lambda made: made.answer(0) + bytes(30000), UNKNOWN),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_answer_of_a_responder(bench: Bench, by_ocsp: Setting, what: str) -> None:
    bench.announce(by_ocsp.authority, "ocsp", 1)
    content, code = ANSWERS[what]
    bench.responder.serve(by_ocsp.authority.responder(0), content(by_ocsp.authority))
    compare(bench, by_ocsp, code)


def test_delegate_without_the_purpose(bench: Bench, by_ocsp: Setting) -> None:
    bench.announce(by_ocsp.authority, "ocsp", 1)
    content = by_ocsp.authority.delegated(0, ExtendedKeyUsageOID.CODE_SIGNING)
    bench.responder.serve(by_ocsp.authority.responder(0), content)
    compare(bench, by_ocsp, UNKNOWN, known="responder without the purpose")


@pytest.mark.parametrize("source", ["ocsp", "crl"])
def test_source_of_the_future(bench: Bench, by_ocsp: Setting, by_crl: Setting, source: str) -> None:
    setting = by_ocsp if source == "ocsp" else by_crl
    made = setting.authority
    bench.announce(made, source, 1)
    if source == "ocsp":
        later = made.answer(0, Ocsp(this_update=NOW + HOUR, next_update=NOW + 2 * HOUR))
        bench.responder.serve(made.responder(0), later)
    else:
        later = made.listing(0, List(this_update=NOW + HOUR, next_update=NOW + 2 * HOUR))
        bench.responder.serve(made.list_path(0), later, LIST_TYPE)
    compare(bench, setting, UNKNOWN, known="answer of the future")


@pytest.mark.parametrize("source", ["ocsp", "crl"])
def test_revoked_intermediate(bench: Bench, by_ocsp: Setting, by_crl: Setting, source: str) -> None:
    setting = by_ocsp if source == "ocsp" else by_crl
    bench.announce(setting.authority, source, 0)
    bench.announce(setting.authority, source, 1, revoked=True)
    compare(bench, setting, REVOKED)


@pytest.mark.parametrize("source", ["ocsp", "crl"])
@pytest.mark.parametrize("depth", [0, 1])
def test_source_that_fails(bench: Bench, by_ocsp: Setting, by_crl: Setting, source: str, depth: int) -> None:
    setting = by_ocsp if source == "ocsp" else by_crl
    bench.announce(setting.authority, source, 1 - depth)
    path = setting.authority.responder(depth) if source == "ocsp" else setting.authority.list_path(depth)
    bench.responder.serve(path, b"", status=500)
    compare(bench, setting, UNKNOWN)


@pytest.mark.parametrize("source", ["ocsp", "crl"])
def test_source_that_is_down(bench: Bench, source: str) -> None:
    sources: dict[str, Any] = {source: (0,)}
    made = authority(f"down-{source}", "http://127.0.0.1:9", number=40, **sources)
    compare(bench, Setting(made, bench.signed(made.label, made.signer)), UNKNOWN)


def test_responder_that_is_slow(bench: Bench, by_ocsp: Setting) -> None:
    bench.announce(by_ocsp.authority, "ocsp", 1)
    bench.responder.serve(by_ocsp.authority.responder(0), by_ocsp.authority.answer(0), after=2.5)
    compare(bench, by_ocsp, UNKNOWN)


def test_question_that_is_too_long_for_get_is_posted(bench: Bench) -> None:
    long = "/" + 200 * "x"
    made = authority("long", bench.responder.base + long, number=40, ocsp=(0,))
    setting = Setting(made, bench.signed("revocable-long", made.signer))
    bench.responder.serve(long, made.revoked(0))
    compare(bench, setting, REVOKED)
    asked = [method for method, where in bench.responder.seen if where.startswith(long)]
    assert sorted(asked) == ["GET", "POST"]  # `notation` counts the question alone; we count the whole address


def held(made: Authority, **changes: Any) -> List:
    """A list on which the signing certificate is put on hold."""
    return List(entries=(made.entry(0, reason=x509.ReasonFlags.certificate_hold),))._replace(**changes)


ATTRIBUTES_ALONE = x509.IssuingDistributionPoint(None, None, False, False, None, False, True)
INDIRECT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.7"), b"\x05\x00")

LISTS: dict[str, tuple[Made, str]] = {
    "good": (lambda made: made.listing(0), ALLOWED),
    "of others": (lambda made: made.listing(0, List(entries=(other(made).entry(0),))), ALLOWED),
    "revoked": (lambda made: made.listing(0, List(entries=(made.entry(0),))), REVOKED),
    "on hold": (lambda made: made.listing(0, held(made)), REVOKED),
    "malformed": (lambda made: b"<html>", UNKNOWN),
    "empty": (lambda made: b"", UNKNOWN),
    "out of date": (lambda made: made.listing(0, List(this_update=NOW - 2 * HOUR, next_update=NOW - HOUR)), UNKNOWN),
    "without an end": (lambda made: made.timeless(0), UNKNOWN),
    "signed by somebody else": (lambda made: made.listing(0, List(signed_with=made.key_numbers[0])), UNKNOWN),
    "by another issuer": (lambda made: other(made).listing(0), UNKNOWN),
    "with a strange critical extension": (lambda made: made.listing(0, List(critical=STRANGE)), UNKNOWN),
    "huge": (lambda made: bytes(40 * 1024 * 1024), UNKNOWN),
}


@pytest.mark.parametrize("what", LISTS)
def test_revocation_list(bench: Bench, by_crl: Setting, what: str) -> None:
    bench.announce(by_crl.authority, "crl", 1)
    content, code = LISTS[what]
    bench.responder.serve(by_crl.authority.list_path(0), content(by_crl.authority), LIST_TYPE)
    compare(bench, by_crl, code)


@pytest.mark.parametrize("scope", [ATTRIBUTES_ALONE, INDIRECT], ids=["attribute certificates", "indirect"])
def test_list_of_another_scope(bench: Bench, by_crl: Setting, scope: x509.IssuingDistributionPoint) -> None:
    bench.announce(by_crl.authority, "crl", 1)
    content = by_crl.authority.listing(0, List(scope=scope))
    bench.responder.serve(by_crl.authority.list_path(0), content, LIST_TYPE)
    compare(bench, by_crl, UNKNOWN, known="list of another scope")


RELEASED = x509.ReasonFlags.remove_from_crl
DELTAS: dict[str, tuple[Callable[[Authority], List], Callable[[Authority], List | None], str]] = {
    "nothing new": (lambda made: List(), lambda made: List(), ALLOWED),
    "newly revoked": (lambda made: List(), lambda made: List(entries=(made.entry(0),)), REVOKED),
    "released": (
        held,
        lambda made: List(entries=(made.entry(0, reason=RELEASED, at=NOW - timedelta(minutes=5)),)),
        ALLOWED,
    ),
    "still on hold": (held, lambda made: List(), REVOKED),
    "out of date": (
        lambda made: List(),
        lambda made: List(this_update=NOW - 2 * HOUR, next_update=NOW - HOUR),
        UNKNOWN,
    ),
    "of a later list": (lambda made: List(), lambda made: List(delta_of=8), UNKNOWN),
    "missing": (lambda made: List(), lambda made: None, UNKNOWN),
}


@pytest.mark.parametrize("what", DELTAS)
def test_delta_list(bench: Bench, by_crl: Setting, what: str) -> None:
    made = by_crl.authority
    bench.announce(made, "crl", 1)
    base, delta, code = DELTAS[what]
    place = made.list_path(0, f"delta-{what.replace(' ', '-')}")
    content = made.listing(0, base(made)._replace(freshest=(bench.responder.base + place,)))
    bench.responder.serve(made.list_path(0), content, LIST_TYPE)
    update = delta(made)
    if update is not None:
        update = update._replace(number=9, delta_of=update.delta_of or 7)
        bench.responder.serve(place, made.listing(0, update), LIST_TYPE)
    compare(bench, by_crl, code)


def test_delta_list_that_only_the_certificate_names(bench: Bench) -> None:
    setting = signed_under(bench, "freshest", crl=(0,), freshest_at=(0,))
    bench.announce(setting.authority, "crl", 0)
    compare(bench, setting, UNKNOWN)


@pytest.mark.parametrize("revoked", [False, True], ids=["good", "revoked"])
@pytest.mark.parametrize("responder", ["unknown", "fails", "good", "revoked"])
def test_lists_stand_in_for_a_responder(bench: Bench, by_both: Setting, responder: str, revoked: bool) -> None:
    made = by_both.authority
    answers = {
        "unknown": made.answer(0, Ocsp(status=OCSPCertStatus.UNKNOWN)),
        "fails": b"",
        "good": made.answer(0),
        "revoked": made.revoked(0),
    }
    bench.responder.serve(made.responder(0), answers[responder])
    bench.announce(made, "crl", 0, revoked=revoked)
    expected = {"good": ALLOWED, "revoked": REVOKED}.get(responder, REVOKED if revoked else ALLOWED)
    compare(bench, by_both, expected)


def test_answer_about_a_hash_of_another_kind(bench: Bench, by_ocsp: Setting) -> None:
    bench.announce(by_ocsp.authority, "ocsp", 1)
    content = by_ocsp.authority.answer(0, Ocsp(certificate_hash=hashes.SHA256()))
    bench.responder.serve(by_ocsp.authority.responder(0), content)
    compare(bench, by_ocsp, ALLOWED)


@pytest.mark.parametrize("action", ["log", "skip"])
@pytest.mark.parametrize("state", ["good", "revoked", "fails"])
def test_override(bench: Bench, by_ocsp: Setting, action: str, state: str) -> None:
    made = by_ocsp.authority
    bench.announce(made, "ocsp", 1)
    bench.announce(made, "ocsp", 0, revoked=state == "revoked")
    if state == "fails":
        bench.responder.serve(made.responder(0), b"", status=500)
    before = bench.responder.asked(made.responder(0))
    verification = {"level": "strict", "override": {"revocation": action}}
    policy = statement(signatureVerification=verification)
    agree(bench.judge(by_ocsp.image, policy, {"ca:acme": [made.root]}), accepted=True)
    assert (bench.responder.asked(made.responder(0)) > before) is (action == "log")


@pytest.mark.parametrize("depth", [1, 2])
def test_revoked_certificate_at_and_above_the_trusted_one(bench: Bench, depth: int) -> None:
    setting = signed_under(bench, f"above-{depth}", ocsp=(depth,), intermediates=2)
    made = setting.authority
    bench.announce(made, "ocsp", depth, revoked=True)
    verdicts = bench.judge(setting.image, statement(), {"ca:acme": [made.signer.chain[1]]})
    known = "above the trusted one" if depth == 2 else ""
    agree(verdicts, accepted=False, says="revoked", code=ALLOWED if known else REVOKED, known=known)
