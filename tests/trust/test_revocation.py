"""Who is asked about revocation, in which order, and what their answers come to."""

from datetime import timedelta
from typing import Mapping

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import Cause, Malformed, Unavailable
from agent.model.inquiry import Confirmed, Fetched, RevocationQuery
from agent.trust import crl, revocation
from agent.trust.revocationstatus import Status, Unusable
from tests.signing import Profile, Signer, certificate, name, signer
from tests.trust.answers import (
    GOOD_ANSWER,
    GOOD_LIST,
    HOUR,
    LIST_URL,
    NOW,
    OCSP_URL,
    ROOT,
    Entry,
    List,
    Ocsp,
    asked_at,
    chain_with,
    listed_at,
    ocsp_answer,
    revocation_list,
)  # fmt: skip

LEAF_OCSP, CA_OCSP = OCSP_URL.format("leaf"), OCSP_URL.format("ca")
LEAF_LIST, CA_LIST, DELTA = LIST_URL.format("leaf"), LIST_URL.format("ca"), LIST_URL.format("delta")
BY_OCSP = chain_with(asked_at(LEAF_OCSP), issuing=(asked_at(CA_OCSP),))
BY_LIST = chain_with(listed_at(LEAF_LIST), issuing=(listed_at(CA_LIST),))
BY_BOTH = chain_with(asked_at(LEAF_OCSP), listed_at(LEAF_LIST))
CA_KEY, ROOT_KEY = 32, 31
GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN

Answer = bytes | Exception


class Run:
    """A check with answers by URL; `asked` and `confirmed` note what went on."""

    def __init__(self, signer_: Signer, answers: Mapping[str, Answer | list[Answer]], **options: object) -> None:
        """Run it to its end.  An answer that is given as a list is "kept from before" but for its last item."""
        self.asked: list[RevocationQuery] = []
        self.confirmed: list[str] = []
        trusted = options.pop("trusted", None) or [signer_.root]
        ders = frozenset(each.public_bytes(Encoding.DER) for each in trusted)  # type: ignore[attr-defined]
        check = revocation.check(signer_.chain, ders, NOW, **options)  # type: ignore[arg-type]
        left = {url: list(each) if isinstance(each, list) else [each] for url, each in answers.items()}
        try:
            step = next(check)
            while True:
                if isinstance(step, Confirmed):
                    self.confirmed.append(step.query.url)
                    step = check.send(Fetched(b""))
                    continue
                assert isinstance(step, RevocationQuery)
                self.asked.append(step)
                queue = left.get(step.url, [Unavailable("nobody there", cause=Cause.REGISTRY_UNAVAILABLE)])
                answer = queue[0]
                kept = len(queue) > 1 and not step.fresh
                if step.fresh:
                    answer = queue[-1]
                step = check.throw(answer) if isinstance(answer, Exception) else check.send(Fetched(answer, kept))
        except StopIteration as finished:
            self.found: revocation.Revocation = finished.value

    @property
    def status(self) -> Status:
        """What it came to."""
        return self.found.status

    @property
    def urls(self) -> list[str]:
        """Who was asked, in order."""
        return [query.url for query in self.asked]


def about_leaf(made: Ocsp = GOOD_ANSWER, signer_: Signer = BY_OCSP) -> bytes:
    return ocsp_answer(signer_.chain[0], signer_.chain[1], CA_KEY, made)


def about_ca(made: Ocsp = GOOD_ANSWER, signer_: Signer = BY_OCSP) -> bytes:
    return ocsp_answer(signer_.chain[1], signer_.chain[2], ROOT_KEY, made)


def leaf_list(made: List = GOOD_LIST, signer_: Signer = BY_LIST) -> bytes:
    return revocation_list(signer_.chain[1], CA_KEY, made)


def ca_list(made: List = GOOD_LIST, signer_: Signer = BY_LIST) -> bytes:
    return revocation_list(signer_.chain[2], ROOT_KEY, made)


def entry_of(signer_: Signer, **changes: object) -> Entry:
    return Entry(signer_.chain[0].serial_number)._replace(**changes)  # type: ignore[arg-type]


def test_chain_that_names_nobody_cannot_be_revoked() -> None:
    run = Run(chain_with(), {})
    assert (run.status, run.asked) == (Status.GOOD, [])


def test_responders_of_leaf_and_intermediate_are_asked_and_good_answers_kept() -> None:
    run = Run(BY_OCSP, {LEAF_OCSP: about_leaf(), CA_OCSP: about_ca()})
    assert run.status is Status.GOOD
    assert run.urls == run.confirmed == [LEAF_OCSP, CA_OCSP]
    assert all(query.body and query.seconds == 2 and query.limit == 20 * 1024 for query in run.asked)


@pytest.mark.parametrize("level", ["leaf", "ca"])
@pytest.mark.parametrize("way", ["ocsp", "list"])
def test_certificate_revoked_at_any_level_is_found(level: str, way: str) -> None:
    if way == "ocsp":
        leaf = about_leaf(Ocsp(status=REVOKED if level == "leaf" else GOOD))
        run = Run(BY_OCSP, {LEAF_OCSP: leaf, CA_OCSP: about_ca(Ocsp(status=REVOKED if level == "ca" else GOOD))})
    else:
        on_leaf = (entry_of(BY_LIST),) if level == "leaf" else ()
        on_ca = (Entry(BY_LIST.chain[1].serial_number),) if level == "ca" else ()
        run = Run(BY_LIST, {LEAF_LIST: leaf_list(List(on_leaf)), CA_LIST: ca_list(List(on_ca))})
    assert run.status is Status.REVOKED
    assert ("leaf.example.com" if level == "leaf" else "Revoking Issuing CA") in run.found.message


def test_revoked_counts_more_than_unknown() -> None:
    run = Run(BY_OCSP, {CA_OCSP: about_ca(Ocsp(status=REVOKED))})
    assert run.status is Status.REVOKED


EXPIRED = {"this_update": NOW - 3 * HOUR, "next_update": NOW - HOUR}
STRANGER = certificate(Profile(name("Stranger CA"), key_number=35), Profile(name("Stranger CA"), key_number=35))

NAMESAKE_PROFILE = Profile(BY_OCSP.chain[1].subject, key_number=35)
NAMESAKE = certificate(NAMESAKE_PROFILE, NAMESAKE_PROFILE)


def delegate(**changes: object) -> x509.Certificate:
    """A responder's certificate, issued by the leaf's issuer."""
    profile = Profile(name("responder"), key_number=36, purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,))
    issuer = Profile(BY_OCSP.chain[1].subject, key_number=CA_KEY)
    return certificate(profile._replace(**changes), issuer)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_name", [False, True], ids=["by key", "by name"])
def test_answer_of_a_delegate_with_the_right_to_give_it_counts(by_name: bool) -> None:
    answer = about_leaf(Ocsp(delegate=delegate(), signed_with=36, by_name=by_name))
    assert Run(BY_OCSP, {LEAF_OCSP: answer, CA_OCSP: about_ca()}).status is Status.GOOD


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256(), hashes.SHA512()], ids=lambda each: each.name)  # noqa: S303
def test_certificate_may_be_named_by_any_hash(digest: hashes.HashAlgorithm) -> None:
    answer = about_leaf(Ocsp(certificate_hash=digest))
    assert Run(BY_OCSP, {LEAF_OCSP: answer, CA_OCSP: about_ca()}).status is Status.GOOD


@pytest.mark.parametrize(
    ("answer", "said"),
    {
        "nobody": (Unavailable("nobody there", cause=Cause.REGISTRY_UNAVAILABLE), "can't be asked (nobody there)"),
        "too large": (Malformed("too large"), "can't be asked (too large)"),
        "empty": (b"", "no OCSP response"),
        "junk": (b"junk" * 100, "no OCSP response"),
        "a list": (leaf_list(), "no OCSP response"),
        "try later": (
            ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
            "try_later",
        ),
        "unknown": (about_leaf(Ocsp(status=UNKNOWN)), "does not know it"),
        "expired": (about_leaf(Ocsp(**EXPIRED)), "out of date"),  # type: ignore[arg-type]
        "without end": (about_leaf(Ocsp(next_update=None)), "out of date"),
        "of the future": (about_leaf(Ocsp(this_update=NOW + HOUR, next_update=NOW + 2 * HOUR)), "time to come"),
        "about another serial": (about_leaf(Ocsp(serial_of=BY_LIST.chain[0])), "another certificate"),
        "about another issuer": (about_leaf(Ocsp(issuer=BY_OCSP.chain[2])), "another certificate"),
        "by a namesake of the issuer": (
            about_leaf(Ocsp(delegate=NAMESAKE, signed_with=35, by_name=True)),
            "nobody who may",
        ),
        "by a stranger": (about_leaf(Ocsp(delegate=STRANGER, signed_with=35)), "nobody who may"),
        "by a delegate without the right": (
            about_leaf(Ocsp(delegate=delegate(purposes=()), signed_with=36)),
            "nobody who may",
        ),
        "by a delegate that expired": (
            about_leaf(Ocsp(delegate=delegate(ends=timedelta(minutes=-5)), signed_with=36)),
            "nobody who may",
        ),
        "altered": (about_leaf()[:-1] + bytes([about_leaf()[-1] ^ 1]), ""),
    }.values(),
)
def test_answer_that_says_nothing_leaves_it_unknown(answer: Answer, said: str) -> None:
    run = Run(BY_OCSP, {LEAF_OCSP: answer, CA_OCSP: about_ca()})
    assert run.status is Status.UNKNOWN
    assert said in run.found.message
    assert run.urls == [LEAF_OCSP, CA_OCSP]
    assert run.confirmed == [CA_OCSP]


def test_next_responder_is_asked_if_one_says_nothing_but_not_if_it_does_not_know() -> None:
    second = OCSP_URL.format("second")
    two = x509.AuthorityInformationAccess([*asked_at(LEAF_OCSP), *asked_at(second)])
    signer_ = chain_with(two)
    good = about_leaf(Ocsp(), signer_)
    assert Run(signer_, {LEAF_OCSP: b"junk", second: good}).status is Status.GOOD
    run = Run(signer_, {LEAF_OCSP: about_leaf(Ocsp(status=UNKNOWN), signer_), second: good})
    assert (run.status, run.urls) == (Status.UNKNOWN, [LEAF_OCSP])


def test_responder_is_asked_over_http_alone() -> None:
    run = Run(chain_with(asked_at("https://ocsp.example.com")), {})
    assert (run.status, run.asked) == (Status.UNKNOWN, [])


@pytest.mark.parametrize("first", [b"junk", about_leaf(Ocsp(status=UNKNOWN), BY_BOTH)], ids=["junk", "unknown"])
@pytest.mark.parametrize("listed", [False, True])
def test_list_is_read_where_no_responder_knows(first: bytes, listed: bool) -> None:
    made = List((entry_of(BY_BOTH),)) if listed else List()
    run = Run(BY_BOTH, {LEAF_OCSP: first, LEAF_LIST: leaf_list(made, BY_BOTH)})
    assert run.status is (Status.REVOKED if listed else Status.GOOD)
    assert run.urls == [LEAF_OCSP, LEAF_LIST]


def test_list_is_not_read_where_the_responder_knows() -> None:
    run = Run(BY_BOTH, {LEAF_OCSP: about_leaf(Ocsp(), BY_BOTH)})
    assert (run.status, run.urls) == (Status.GOOD, [LEAF_OCSP])


def scope(**changes: object) -> x509.IssuingDistributionPoint:
    """A scope that is everything, but for `changes`."""
    parts: dict[str, object] = {
        "full_name": [x509.UniformResourceIdentifier(LEAF_LIST)], "relative_name": None,
        "only_contains_user_certs": False, "only_contains_ca_certs": False, "only_some_reasons": None,
        "indirect_crl": False, "only_contains_attribute_certs": False,
    }  # fmt: skip
    return x509.IssuingDistributionPoint(**(parts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "said"),
    {
        "nobody": (Unavailable("nobody there", cause=Cause.REGISTRY_UNAVAILABLE), "can't be asked (nobody there)"),
        "junk": (b"junk", "no revocation list"),
        "expired": (leaf_list(List(**EXPIRED)), "out of date"),  # type: ignore[arg-type]
        "of the future": (leaf_list(List(this_update=NOW + HOUR, next_update=NOW + 2 * HOUR)), "time to come"),
        "by another issuer": (leaf_list(List(issuer=ROOT.subject)), "another issuer"),
        "by the wrong key": (leaf_list(List(signed_with=35)), "did not sign"),
        "delta alone": (leaf_list(List(delta_of=6)), "a delta list where"),
        "indirect": (leaf_list(List(scope=scope(indirect_crl=True))), "for other certificates"),
        "for CAs": (leaf_list(List(scope=scope(only_contains_ca_certs=True))), "for other certificates"),
        "for some reasons": (
            leaf_list(List(scope=scope(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])))),
            "for other certificates",
        ),
        "unknown critical extension": (
            leaf_list(List(critical=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"))),
            "1.2.3.4",
        ),
        "unknown critical extension of the entry": (
            leaf_list(List((entry_of(BY_LIST, critical=x509.CertificateIssuer([x509.DirectoryName(ROOT.subject)])),))),
            "critical extension that is not understood",
        ),
    }.values(),
)
def test_list_that_says_nothing_leaves_it_unknown(answer: Answer, said: str) -> None:
    run = Run(BY_LIST, {LEAF_LIST: answer, CA_LIST: ca_list()})
    assert run.status is Status.UNKNOWN
    assert said in run.found.message


def test_list_of_end_entities_alone_is_enough_for_one() -> None:
    made = List(scope=scope(only_contains_user_certs=True))
    assert Run(BY_LIST, {LEAF_LIST: leaf_list(made), CA_LIST: ca_list()}).status is Status.GOOD
    assert Run(BY_LIST, {LEAF_LIST: leaf_list(), CA_LIST: ca_list(made)}).status is Status.UNKNOWN


def test_list_altered_in_one_byte_says_nothing() -> None:
    good = leaf_list()
    run = Run(BY_LIST, {LEAF_LIST: good[:-1] + bytes([good[-1] ^ 1]), CA_LIST: ca_list()})
    assert run.status is Status.UNKNOWN


def test_list_is_read_once_and_its_time_looked_at_each_time() -> None:
    """One of 16 MiB takes most of a second, in which a process that lives long would answer nobody."""
    content, certificate, issuer = leaf_list(), *BY_LIST.chain[:2]
    first = crl.read_base(content, certificate, issuer, NOW)
    assert crl.read_base(bytes(bytearray(content)), certificate, issuer, NOW).crl is first.crl
    with pytest.raises(Unusable, match="out of date"):
        crl.read_base(content, certificate, issuer, NOW + timedelta(days=400))
    with pytest.raises(Unusable, match="by another issuer"):
        crl.read_base(content, certificate, BY_LIST.root, NOW)


def test_all_lists_of_a_certificate_count() -> None:
    second = LIST_URL.format("second")
    signer_ = chain_with(listed_at(LEAF_LIST, second))
    clean, revoking = leaf_list(List(), signer_), leaf_list(List((entry_of(signer_),)), signer_)
    assert Run(signer_, {LEAF_LIST: clean, second: clean}).status is Status.GOOD
    assert Run(signer_, {LEAF_LIST: clean, second: revoking}).status is Status.REVOKED
    assert Run(signer_, {LEAF_LIST: clean}).status is Status.UNKNOWN


@pytest.mark.parametrize(
    "points",
    [
        listed_at(LEAF_LIST, crl_issuer=[x509.DirectoryName(ROOT.subject)]),
        listed_at(LEAF_LIST, reasons=frozenset([x509.ReasonFlags.key_compromise])),
        listed_at("ldap://directory.example.com/list"),
        x509.FreshestCRL(list(listed_at(LEAF_LIST))),
        listed_at(*(LIST_URL.format(i) for i in range(5))),
    ],
    ids=["indirect", "for some reasons", "ldap", "a delta list alone", "too many"],
)
def test_lists_that_are_not_followed_leave_it_unknown(points: x509.ExtensionType) -> None:
    run = Run(chain_with(points), {})
    assert (run.status, run.asked) == (Status.UNKNOWN, [])


HOLD, REMOVE = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl


@pytest.mark.parametrize(
    ("base", "delta", "status"),
    {
        "nothing": ((), (), Status.GOOD),
        "revoked since": ((), ({},), Status.REVOKED),
        "revoked before": (({},), (), Status.REVOKED),
        "on hold": (({"reason": HOLD},), (), Status.REVOKED),
        "hold taken back": (({"reason": HOLD, "at": NOW - 2 * HOUR},), ({"reason": REMOVE},), Status.GOOD),
        "held again after": (({"reason": HOLD},), ({"reason": REMOVE, "at": NOW - 2 * HOUR},), Status.REVOKED),
    }.values(),
)
def test_delta_list_is_read_with_its_base(
    base: tuple[dict[str, object], ...], delta: tuple[dict[str, object], ...], status: Status
) -> None:
    entries, changes = (tuple(entry_of(BY_LIST, **each) for each in side) for side in (base, delta))
    answers: dict[str, Answer | list[Answer]] = {
        LEAF_LIST: leaf_list(List(entries, freshest=(DELTA,))),
        DELTA: leaf_list(List(changes, number=9, delta_of=7)),
        CA_LIST: ca_list(),
    }
    assert Run(BY_LIST, answers).status is status


@pytest.mark.parametrize(
    "delta",
    [
        List(number=6, delta_of=5),
        List(number=9, delta_of=8),
        List(number=None, delta_of=7),
        List(number=9),
        List(number=9, delta_of=7, next_update=NOW - HOUR, this_update=NOW - 2 * HOUR),
    ],
    ids=["older than its base", "of a later base", "without number", "complete", "expired"],
)
def test_delta_list_that_does_not_fit_leaves_it_unknown(delta: List) -> None:
    answers: dict[str, Answer | list[Answer]] = {LEAF_LIST: leaf_list(List(freshest=(DELTA,))), DELTA: leaf_list(delta)}
    run = Run(BY_LIST, answers | {CA_LIST: ca_list()})
    assert run.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("signed", "status"),
    [(None, Status.REVOKED), (NOW - 3 * HOUR, Status.GOOD), (NOW - HOUR, Status.REVOKED)],
    ids=["unknown time", "before", "after"],
)
def test_what_was_authentically_signed_before_the_certificate_became_invalid_stands(
    signed: object, status: Status
) -> None:
    made = List((entry_of(BY_LIST, invalid_since=NOW - 2 * HOUR),))
    assert Run(BY_LIST, {LEAF_LIST: leaf_list(made), CA_LIST: ca_list()}, signed=signed).status is status


@pytest.mark.parametrize("way", ["ocsp", "list"])
def test_answer_kept_from_before_is_asked_for_anew_once_it_is_out_of_date(way: str) -> None:
    if way == "ocsp":
        run = Run(BY_OCSP, {LEAF_OCSP: [about_leaf(Ocsp(**EXPIRED)), about_leaf()], CA_OCSP: about_ca()})  # type: ignore[arg-type]
        first = LEAF_OCSP
    else:
        run = Run(BY_LIST, {LEAF_LIST: [leaf_list(List(**EXPIRED)), leaf_list()], CA_LIST: ca_list()})  # type: ignore[arg-type]
        first = LEAF_LIST
    assert run.status is Status.GOOD
    assert [(query.url, query.fresh) for query in run.asked][:2] == [(first, False), (first, True)]


def test_answer_that_just_came_is_not_asked_for_twice() -> None:
    assert Run(BY_OCSP, {LEAF_OCSP: b"junk"}).urls.count(LEAF_OCSP) == 1


def test_nobody_is_asked_whom_only_certificates_above_the_trusted_one_name() -> None:
    run = Run(BY_OCSP, {LEAF_OCSP: about_leaf()}, trusted=[BY_OCSP.chain[0]])
    assert run.urls == [LEAF_OCSP]
    assert Run(BY_OCSP, {}, trusted=[signer().root]).asked == []
