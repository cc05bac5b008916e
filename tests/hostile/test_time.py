"""Times, timestamps and revocation: items 24 and 25 of the list of hostile inputs."""

from datetime import datetime, timedelta, timezone
from typing import Callable

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from agent.model.descriptor import Descriptor
from tests.hostile.measure import Measured
from tests.hostile.messages import stamped
from tests.hostile.stage import DEADLINE, PROMPT, Asked, Case, Stage, check, run_all
from tests.signing import PREFIX, Signer, certificate, envelope, rfc3339
from tests.simulators import misbehaviour as does
from tests.simulators.misbehaviour import Behaviour
from tests.trust.answers import (
    GOOD_ANSWER,
    GOOD_LIST,
    HOUR,
    NOW,
    Entry,
    List,
    Ocsp,
    asked_at,
    listed_at,
    ocsp_answer,
    revocation_list,
)
from tests.trust.tokens import GOOD_TOKEN, TSA, TSA_ISSUER, TSA_ROOT, Token, authority, token

pytestmark = pytest.mark.frozen

Made = Callable[[Stage, Descriptor], bytes]
DAY = timedelta(days=1)
STARTS, ENDS = timedelta(hours=-20), timedelta(hours=-1)
THEN = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=2)
"""When the signing certificate that has expired was valid, and the authority's as well."""

IN_TIME = GOOD_TOKEN._replace(time=THEN)
ISSUER_KEY, TSA_ISSUER_KEY = 1, 42


def slug(text: str) -> str:
    """A repository for a case."""
    return "case/" + "-".join("".join(each if each.isalnum() else " " for each in text.lower()).split())


def case(text: str, made: Made, exit_code: int, code: str, seconds: float = PROMPT) -> Case:
    """An image with one signature, an envelope that `made` makes."""

    def ask(stage: Stage) -> Asked:
        return stage.image_with(slug(text), lambda image: made(stage, image))

    return Case(text, ask, exit_code, code, seconds)


def signed(*, expiry: timedelta | None = None, signing_time: timedelta | None = None) -> Made:
    """A signature with times of its own, from now."""

    def made(stage: Stage, image: Descriptor) -> bytes:
        protected = {PREFIX + "signingTime": rfc3339(NOW + signing_time)} if signing_time is not None else {}
        ends = NOW + expiry if expiry is not None else None
        return envelope(stage.trusted, image, expiry=ends, protected=protected)

    return made


def expired(made: Token | None, by: Callable[[Stage], Signer] = lambda stage: stage.authority) -> Made:
    """The signing certificate has expired; a timestamp is from when it had not, or there is none."""

    def envelope_of(stage: Stage, image: Descriptor) -> bytes:
        signer = stage.issued(starts=STARTS, ends=ENDS)
        if made is None:
            return envelope(signer, image)
        return stamped(signer, image, lambda signature: token(signature, by(stage), made))

    return envelope_of


def of_other_bytes(stage: Stage, image: Descriptor) -> bytes:
    """The timestamp is of another signature."""
    signer = stage.issued(starts=STARTS, ends=ENDS)
    return stamped(signer, image, lambda _: token(b"another signature", stage.authority, IN_TIME))


def garbage(content: bytes) -> Made:
    """The timestamp is this."""
    return lambda stage, image: stamped(stage.issued(starts=STARTS, ends=ENDS), image, lambda _: content)


def revocable_authority(stage: Stage) -> Signer:
    """A trusted timestamp authority whose certificate is revoked."""
    url = f"{stage.registry.url}/ocsp/authority"
    leaf = certificate(TSA._replace(extensions=(asked_at(url),)), TSA_ISSUER)
    answer = ocsp_answer(leaf, stage.authority.chain[1], TSA_ISSUER_KEY, Ocsp(ocsp.OCSPCertStatus.REVOKED))
    stage.misbehave("", "ocsp/authority", does.other_content(answer))
    return Signer((leaf, *stage.authority.chain[1:]), TSA.kind, TSA.key_number)


def asked(what: str, answer: Callable[[Signer], Behaviour]) -> Made:
    """The signing certificate names a responder of ours, which answers so."""

    def made(stage: Stage, image: Descriptor) -> bytes:
        signer = stage.issued(extensions=(asked_at(f"{stage.registry.url}/ocsp/{what}"),))
        stage.misbehave("", f"ocsp/{what}", answer(signer))
        return envelope(signer, image)

    return made


def looked_up(what: str, answer: Callable[[Signer], Behaviour]) -> Made:
    """The signing certificate names a revocation list of ours, which is this."""

    def made(stage: Stage, image: Descriptor) -> bytes:
        signer = stage.issued(extensions=(listed_at(f"{stage.registry.url}/crl/{what}"),))
        stage.misbehave("", f"crl/{what}", answer(signer))
        return envelope(signer, image)

    return made


def says(made: Ocsp) -> Callable[[Signer], Behaviour]:
    """An OCSP answer about the signer."""
    return lambda signer: does.other_content(ocsp_answer(signer.chain[0], signer.chain[1], ISSUER_KEY, made))


def forged(signer: Signer) -> Behaviour:
    """A good answer, the signature of which is off by a bit."""
    good = ocsp_answer(signer.chain[0], signer.chain[1], ISSUER_KEY)
    return does.other_content(good[:-1] + bytes([good[-1] ^ 1]))


def replayed(signer: Signer) -> Behaviour:
    """A good answer about the issuer instead."""
    return does.other_content(ocsp_answer(signer.chain[1], signer.chain[2], 2))


def lists(made: List) -> Callable[[Signer], Behaviour]:
    """A revocation list by the issuer."""
    return lambda signer: does.other_content(revocation_list(signer.chain[1], ISSUER_KEY, made))


def lists_signer(signer: Signer) -> Behaviour:
    """The signer is on the list."""
    entry = Entry(signer.chain[0].serial_number)
    return does.other_content(revocation_list(signer.chain[1], ISSUER_KEY, List((entry,))))


def long_list(signer: Signer) -> Behaviour:
    """A list of 20000 others, and the signer."""
    entries = [Entry(number, reason=None) for number in range(1, 20_001)]
    made = List((*entries, Entry(signer.chain[0].serial_number)))
    return does.other_content(revocation_list(signer.chain[1], ISSUER_KEY, made))


def by_other_issuer(signer: Signer) -> Behaviour:
    """The list is another CA's."""
    return does.other_content(revocation_list(signer.chain[2], 2))


def always(behaviour: Behaviour) -> Callable[[Signer], Behaviour]:
    """Whoever signed."""
    return lambda _: behaviour


STRANGER = authority(issuer=TSA_ISSUER._replace(key_number=52), root=TSA_ROOT._replace(key_number=51))
UNKNOWN, REVOKED = ocsp.OCSPCertStatus.UNKNOWN, ocsp.OCSPCertStatus.REVOKED
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
METADATA = does.redirect("http://169.254.169.254/latest/meta-data")
POUR = does.announced_length(100 << 20)
CASES = (
    case("24 the signature has expired", signed(expiry=-HOUR, signing_time=-2 * HOUR), 10, "NS-2105"),
    case("24 the signature expires before it was made", signed(expiry=-2 * HOUR, signing_time=-HOUR), 10, "NS-2002"),
    case("24 signed in the future", signed(signing_time=timedelta(days=400)), 0, "NS-0001"),
    case("24 an expired certificate and no timestamp", expired(None), 10, "NS-2110"),
    case("24 an expired certificate and a good timestamp", expired(IN_TIME), 0, "NS-0001"),
    case("24 a timestamp of after the certificate's end", expired(GOOD_TOKEN._replace(time=NOW)), 10, "NS-2110"),
    case("24 a timestamp of other bytes", of_other_bytes, 10, "NS-2110"),
    case("24 a timestamp by a stranger", expired(IN_TIME, lambda _: STRANGER), 10, "NS-2110"),
    case("24 a timestamp whose signature is off by a bit", expired(IN_TIME._replace(flip=True)), 10, "NS-2110"),
    case("24 a timestamp of a week's accuracy", expired(IN_TIME._replace(accuracy=7 * DAY)), 10, "NS-2110"),
    case("24 a timestamp that is none", garbage(b"0\x82\xff\xff"), 10, "NS-2110"),
    case("24 a timestamp of 150 KB", garbage(b"0" * 150_000), 10, "NS-2110"),
    case("24 a timestamp nested 20000 deep", garbage(b"\x30\x80" * 20_000), 10, "NS-2110"),
    case("24 a timestamp's authority is revoked", expired(IN_TIME, revocable_authority), 10, "NS-2111"),
    case("25 a list of 100 MiB", looked_up("huge", always(POUR)), 11, "NS-3004", DEADLINE),
    case("25 a list without end", looked_up("endless", always(does.endless_body)), 11, "NS-3004", DEADLINE),
    case("25 a list byte by byte", looked_up("drip", always(does.drip(0.5))), 11, "NS-3004", DEADLINE),
    case("25 a list that is out of date", looked_up("old", lists(List(next_update=NOW - HOUR / 2))), 11, "NS-3004"),
    case("25 a list by another issuer", looked_up("other", by_other_issuer), 11, "NS-3004"),
    case("25 a delta for a list", looked_up("delta", lists(GOOD_LIST._replace(delta_of=6))), 11, "NS-3004"),
    case("25 a list with an unknown critical extension",
         looked_up("critical", lists(List(critical=STRANGE))), 11, "NS-3004"),
    case("25 a list that is nowhere", looked_up("gone", always(does.status(404))), 11, "NS-3004"),
    case("25 a list that redirects to the metadata service", looked_up("metadata", always(METADATA)), 11, "NS-3004"),
    case("25 a list that is HTML", looked_up("html", always(does.html)), 11, "NS-3004"),
    case("25 a good list", looked_up("good", lists(GOOD_LIST)), 0, "NS-0001"),
    case("25 a list that names the signer", looked_up("named", lists_signer), 10, "NS-2111"),
    case("25 a list that names the signer behind 20000", looked_up("long", long_list), 10, "NS-2111", DEADLINE),
    case("25 OCSP good", asked("good", says(GOOD_ANSWER)), 0, "NS-0001"),
    case("25 OCSP revoked", asked("revoked", says(Ocsp(REVOKED))), 10, "NS-2111"),
    case("25 OCSP unknown", asked("unknown", says(Ocsp(UNKNOWN))), 11, "NS-3004"),
    case("25 OCSP out of date", asked("old", says(Ocsp(this_update=NOW - 9 * HOUR, next_update=NOW - HOUR))), 11,
         "NS-3004"),
    case("25 OCSP signed by another key", asked("forged", forged), 11, "NS-3004"),
    case("25 OCSP replayed of another certificate", asked("replayed", replayed), 11, "NS-3004"),
    case("25 OCSP malformed", asked("malformed", always(does.other_content(b"0\x82\xff"))), 11, "NS-3004"),
    case("25 OCSP of 100 MiB", asked("huge", always(POUR)), 11, "NS-3004", DEADLINE),
    case("25 OCSP silent", asked("silent", always(does.silence)), 11, "NS-3004", DEADLINE),
    case("25 OCSP redirects to the metadata service", asked("metadata", always(METADATA)), 11, "NS-3004"),
)  # fmt: skip


@pytest.fixture(scope="module")
def found(stage: Stage) -> dict[str, Measured]:
    """What came of every case."""
    return run_all(stage, "time", CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_time(case: Case, found: dict[str, Measured], stage: Stage) -> None:
    check(case, found[case.name], stage.base)
