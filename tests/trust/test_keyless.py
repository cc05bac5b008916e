"""Keyless signatures: whatever is wrong with one, it does not count."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.codec import dsse, sigstorebundle
from agent.errors import Malformed
from agent.trust import signeridentity, trustedroot_document
from agent.trust.fulcio import Signer
from agent.trust.keyless import Demands, Presented, check_signer, check_times
from agent.trust.signeridentity import ANYWHERE, EXACT, WHOLE, Pattern, SignerIdentity
from agent.trust.transparency import Signed
from agent.trust.trustedroot import TrustedRoot
from tests import signing_sigstore as sigstore
from tests.signing import ca_profile, certificate, key
from tests.signing_sigstore import Sct
from tests.sigstore_cases import CASES, DAY, EVIL, MINUTE, Made, signed
from tests.trust.tokens import Token

WANTED = SignerIdentity(Pattern(EXACT, sigstore.ISSUER), Pattern(EXACT, sigstore.SUBJECT))


def read_root(value: dict[str, Any]) -> tuple[TrustedRoot, dict[str, bytes]]:
    found = trustedroot_document.read("tests", json.dumps(value).encode(), "trusted_root.json")
    assert found.root is not None and not found.problems
    return TrustedRoot.from_json(json.loads(json.dumps(found.root.to_json()))), dict(found.material)


def judged(
    made: Made, instance: sigstore.Instance, identity: SignerIdentity = WANTED, demands: Demands | None = None
) -> Signer:
    root, material = read_root(instance.trusted_root(**made.windows))
    bundle = sigstorebundle.parse(json.dumps(made.bundle).encode())
    assert isinstance(bundle.content, dsse.Envelope)
    (signature,), payload = bundle.content.signatures, bundle.content.payload
    leaf, *attached = bundle.material.certificates
    message = dsse.pae(bundle.content.payload_type, payload)
    presented = Presented(
        Signed(signature, message, payload, leaf), signature, tuple(attached), bundle.entries, bundle.timestamps
    )
    found = check_signer(presented, [identity], demands or made.demands, root, material, sigstore.now())
    assert (found.until is not None) is (not bundle.timestamps and not any(each.promise for each in bundle.entries))
    return found.signer


@pytest.mark.parametrize(
    ("name", "kind"), [(each, "P-256") for each in CASES] + [(each, "Ed25519") for each in CASES if "second" in each]
)
def test_signature_counts_if_all_of_its_evidence_does(name: str, kind: str) -> None:
    instance, case = sigstore.instance(0, kind), CASES[name]
    made = case.make(instance)
    if case.counts:
        assert judged(made, instance).subject == sigstore.SUBJECT
        return
    with pytest.raises(Malformed) as refused:
        judged(made, instance)
    assert refused.value.message.isprintable()


def test_wrong_evidence_is_refused_for_what_is_wrong_with_it() -> None:
    instance = sigstore.instance()
    for name, reason in {
        "second Rekor, no timestamp": "nothing proves when",
        "promise in the future": "in the future",
        "promise flipped": "signed entry timestamp does not hold",
        "checkpoint by another key": "not signed with the log's key",
        "second checkpoint renamed": "origin",
        "root flipped": "another root hash",
        "size changed": "too short|another root hash",
        "proof too long": "too long",
        "unknown log": "0 of 1 log entries are of a log of tests; expected one",
        "entry twice": "stands twice",
        "another signature": "another signature",
        "another payload": "other content",
        "second: dsse 0.0.2": "got type dsse 0.0.2",
        "kind is not what was logged": "kindVersion",
        "timestamp of other bytes": "of other bytes",
        "another subject": "identity not trusted",
        "issuers that differ": "two that differ",
        "two subjects, the second as wanted": "got 2 subject alternative names",
        "no SCT": "in 0 trusted certificate logs",
        "not for signing code": "extended key usage",
        "another certificate authority": "not trusted",
        "certificate authority ended": "did not count at",
        "second Rekor ended": "log's key did not count",
    }.items():
        with pytest.raises(Malformed, match=reason):
            judged(CASES[name].make(instance), instance)


def test_signature_has_to_hold() -> None:
    instance = sigstore.instance()
    genuine = signed(instance.leaf())
    forged = genuine._replace(signature=sigstore.sign(key("P-256", 9001), genuine.message))
    made = Made(sigstore.bundle(forged, [instance.first_entry(forged.first_body())]))
    with pytest.raises(Malformed, match="does not hold under the signing certificate"):
        judged(made, instance)


def test_evidence_of_one_instance_is_nothing_in_another() -> None:
    made = CASES["first Rekor, dsse"].make(sigstore.instance(1))
    assert judged(made, sigstore.instance(1))
    with pytest.raises(Malformed):
        judged(made, sigstore.instance(2))


@pytest.mark.parametrize(
    ("pattern", "counts"),
    [
        (Pattern(WHOLE, "https://github.com/acme/.*"), True),
        (Pattern(WHOLE, "https://github.com/acme/"), False),
        (Pattern(WHOLE, "github.com/acme/.*"), False),
        (Pattern(ANYWHERE, "github.com/acme/"), True),
        (Pattern(EXACT, sigstore.SUBJECT.upper()), False),
        (Pattern(WHOLE, "(?i)" + sigstore.SUBJECT.upper()), True),
    ],
)
def test_subject_is_matched_as_it_was_asked_for(pattern: Pattern, counts: bool) -> None:
    instance = sigstore.instance()
    made = CASES["first Rekor, dsse"].make(instance)
    identity = WANTED._replace(subject=pattern)
    if counts:
        assert judged(made, instance, identity)
    else:
        with pytest.raises(Malformed, match="identity"):
            judged(made, instance, identity)


def test_what_stands_in_front_of_a_pattern_counts() -> None:
    instance = sigstore.instance()
    made = CASES["another subject"].make(instance)
    with pytest.raises(Malformed):
        judged(made, instance, WANTED._replace(subject=Pattern(WHOLE, "https://github.com/acme/.*")))
    assert (
        judged(made, instance, WANTED._replace(subject=Pattern(ANYWHERE, "https://github.com/acme/.*"))).subject == EVIL
    )


def test_claims_of_a_certificate_can_be_asked_for() -> None:
    instance = sigstore.instance()
    leaf = instance.leaf(claims={"12": "https://github.com/acme/app", "20": "push"})
    envelope = signed(leaf)
    made = Made(sigstore.bundle(envelope, [instance.first_entry(envelope.first_body())]))
    wanted = {"sourceRepositoryURI": "https://github.com/acme/app", "buildTrigger": "push"}
    assert judged(made, instance, WANTED._replace(claims=wanted)).claims == wanted
    for other in (wanted | {"buildTrigger": "pull_request"}, wanted | {"buildConfigURI": "x"}):
        with pytest.raises(Malformed, match="identity"):
            judged(made, instance, WANTED._replace(claims=other))


@pytest.mark.parametrize(
    ("identities", "expected"),
    [
        ([WANTED._replace(issuer=Pattern(EXACT, "https://b.example"))], "expected the issuer https://b.example"),
        ([WANTED._replace(subject=Pattern(WHOLE, "https://x/.*"))] * 3,
         "expected the subject https://x/.*, or one of 2 more identities"),
        ([WANTED._replace(issuer=Pattern(EXACT, "https://b.example")), WANTED._replace(subject=Pattern(EXACT, "c"))],
         "expected the subject c"),
        ([WANTED._replace(claims={"buildTrigger": "push"}), WANTED._replace(subject=Pattern(EXACT, "c"))],
         "expected the claim buildTrigger push"),
        ([WANTED._replace(subject=Pattern(EXACT, "\r\n" + "c" * 200))], "expected the subject \\r\\n" + "c" * 96),
    ],
)  # fmt: skip
def test_signer_who_does_not_count_is_told_beside_the_nearest_who_does(
    identities: list[SignerIdentity], expected: str
) -> None:
    signer = Signer(sigstore.SUBJECT, sigstore.ISSUER, {})
    with pytest.raises(Malformed) as refused:
        signeridentity.check(identities, signer)
    who = f"signer's identity not trusted ({sigstore.SUBJECT}, issuer {sigstore.ISSUER})"
    assert refused.value.message == f"{who}; {expected}"


def test_certificate_that_had_ended_is_told_with_the_time_of_signing() -> None:
    instance = sigstore.instance()
    with pytest.raises(Malformed, match="^the signer's certificate is valid .* to .*; signed at "):
        judged(CASES["old certificate, promise after it"].make(instance), instance)


@pytest.mark.parametrize("ends", [None, 1, 60 * 24, "9999-12-31T23:59:59-23:59"])
def test_what_rests_on_now_ends_with_the_first_that_ends(ends: int | str | None) -> None:
    instance, now = sigstore.instance(), sigstore.now().replace(microsecond=0)
    leaf = instance.leaf(at=now)
    sooner = now + MINUTE if ends == 1 else leaf.certificate.not_valid_after_utc
    end = sigstore.rfc3339(now + MINUTE * ends) if isinstance(ends, int) else ends
    window = {"start": sigstore.rfc3339(instance.start), **({"end": end} if end else {})}
    root, material = read_root(instance.trusted_root(ca=window))
    made = signed(leaf)
    alone = Presented(Signed(made.signature, made.message, made.payload, leaf.der), made.signature)
    demands = Demands(logs=0, now_counts=True)
    assert check_signer(alone, [WANTED], demands, root, material, now).until == sooner


def test_issuer_that_comes_along_counts_where_the_authority_names_none() -> None:
    instance = sigstore.instance()
    other = ca_profile("Another department", kind="P-384", path_length=0, key_number=9003)
    other = other._replace(purposes=(ExtendedKeyUsageOID.CODE_SIGNING,))
    leaf = instance.leaf(issued_by=(other, other.subject))
    made = signed(leaf)
    attached = (certificate(other, instance.root_profile).public_bytes(Encoding.DER),)
    given = Presented(Signed(made.signature, made.message, made.payload, leaf.der), made.signature, attached)
    value, demands = instance.trusted_root(), Demands(logs=0, now_counts=True)
    with pytest.raises(Malformed, match="signer not trusted"):
        check_signer(given, [WANTED], demands, *read_root(value), sigstore.now())
    del value["certificateAuthorities"][0]["certChain"]["certificates"][0]  # which leaves the root
    assert check_signer(given, [WANTED], demands, *read_root(value), sigstore.now())
    with pytest.raises(Malformed, match="signer not trusted"):
        check_signer(given._replace(attached=()), [WANTED], demands, *read_root(value), sigstore.now())


def test_issuer_is_the_one_that_signed_and_not_another_of_its_name() -> None:
    """What a certificate log promised is about its issuer's key, and two issuers may have one name."""
    instance, value = sigstore.instance(), sigstore.instance().trusted_root()
    namesakes = [
        each._replace(key_number=9010 + i) for i, each in enumerate((instance.issuer_profile, instance.root_profile))
    ]
    chain = [certificate(namesakes[0], namesakes[1]), certificate(namesakes[1], namesakes[1])]
    ders = [{"rawBytes": sigstore.b64(each.public_bytes(Encoding.DER))} for each in chain]
    made = signed(instance.leaf())
    alone = Presented(Signed(made.signature, made.message, made.payload, made.leaf.der), made.signature)
    other = value["certificateAuthorities"][0] | {"certChain": {"certificates": ders}}
    demands = Demands(logs=0, now_counts=True)
    for authorities in ([other, *value["certificateAuthorities"]], [*value["certificateAuthorities"], other]):
        root, material = read_root(value | {"certificateAuthorities": authorities})
        assert check_signer(alone, [WANTED], demands, root, material, sigstore.now())
    with pytest.raises(Malformed, match="is not in tests"):
        check_signer(alone, [WANTED], demands, *read_root(value | {"certificateAuthorities": [other]}), sigstore.now())


def test_authority_is_trusted_to_issue_and_not_to_sign() -> None:
    instance = sigstore.instance()
    leaf = instance.leaf()
    made = signed(leaf)
    bundle = sigstorebundle.parse(json.dumps(sigstore.bundle(made, [instance.first_entry(made.first_body())])).encode())
    trusted = instance.trusted_root()
    chain = trusted["certificateAuthorities"][0]["certChain"]
    chain["certificates"] = [{"rawBytes": sigstore.b64(leaf.der)}]
    root, material = read_root(trusted)
    presented = Presented(
        Signed(made.signature, made.message, made.payload, leaf.der), made.signature, entries=bundle.entries
    )
    with pytest.raises(Malformed, match="is not in"):
        check_signer(presented, [WANTED], Demands(certificate_logs=0), root, material, sigstore.now())


def test_expression_that_is_none_covers_nobody_and_fails_nothing() -> None:
    instance = sigstore.instance()
    broken = WANTED._replace(subject=Pattern(WHOLE, "("))
    with pytest.raises(Malformed, match="identity not trusted"):
        judged(CASES["first Rekor, dsse"].make(instance), instance, broken)


def test_two_logs_are_two_logs() -> None:
    instance = sigstore.instance()
    envelope = signed(instance.leaf())
    first, second = instance.first_entry(envelope.first_body()), instance.second_entry(envelope.second_body())
    again = instance.first_entry(envelope.first_body()) | {"logIndex": "1"}
    promise = instance.promise(envelope.first_body(), int(again["integratedTime"]), 1)
    again["inclusionPromise"] = {"signedEntryTimestamp": sigstore.b64(promise)}
    assert judged(Made(sigstore.bundle(envelope, [first, second])), instance, demands=Demands(logs=2))
    assert judged(Made(sigstore.bundle(envelope, [first, again])), instance, demands=Demands(logs=1))
    with pytest.raises(Malformed, match="1 of 2 log entries are of a log of tests; expected 2, each of another log"):
        judged(Made(sigstore.bundle(envelope, [first, again])), instance, demands=Demands(logs=2))


def test_one_authority_is_one_however_often_it_stamps() -> None:
    instance = sigstore.instance()
    envelope = signed(instance.leaf())
    stamps = [instance.timestamp(envelope.signature, Token(time=sigstore.now())) for _ in range(2)]
    made = Made(sigstore.bundle(envelope, [instance.first_entry(envelope.first_body())], stamps))
    assert judged(made, instance, demands=Demands(timestamps=1))
    with pytest.raises(Malformed, match="timestamps of 1 trusted authorities; expected 2"):
        judged(made, instance, demands=Demands(timestamps=2))


def test_one_certificate_log_is_one_however_often_it_promises() -> None:
    instance = sigstore.instance()
    another = key("P-256", 9001)
    value = instance.trusted_root()
    public = value["ctlogs"][0]["publicKey"] | {"rawBytes": sigstore.b64(sigstore.spki(another))}
    value["ctlogs"].append(value["ctlogs"][0] | {"publicKey": public, "logId": {}})
    root, material = read_root(value)
    for scts, logs in (([Sct(), Sct()], 1), ([Sct(), Sct(another)], 2)):
        made = signed(instance.leaf(scts=scts))
        alone = Presented(Signed(made.signature, made.message, made.payload, made.leaf.der), made.signature)
        demands = Demands(logs=0, now_counts=True, certificate_logs=logs)
        assert check_signer(alone, [WANTED], demands, root, material, sigstore.now())
        with pytest.raises(Malformed, match=f"is in {logs} trusted certificate logs; expected {logs + 1}"):
            check_signer(alone, [WANTED], demands._replace(certificate_logs=logs + 1), root, material, sigstore.now())


@pytest.mark.parametrize("which", [0, 1], ids=["intermediate", "root"])
@pytest.mark.parametrize("logged", [True, False])
def test_each_issuer_was_valid_when_it_was_signed(which: int, logged: bool) -> None:
    """Of the class of GHSA-wfqv-66vq-46rm: the signer's certificate alone was looked at."""
    instance = sigstore.instance()
    made = signed(instance.leaf())
    entries = [instance.first_entry(made.first_body())] if logged else []
    read = sigstorebundle.parse(json.dumps(sigstore.bundle(made, entries)).encode())
    given = Presented(Signed(made.signature, made.message, made.payload, made.leaf.der), made.signature)
    given, demands = given._replace(entries=read.entries), Demands(logs=len(entries), now_counts=True)
    profiles = [(instance.issuer_profile, instance.root_profile), (instance.root_profile, instance.root_profile)]
    value = instance.trusted_root()
    listed = value["certificateAuthorities"][0]["certChain"]["certificates"]
    profile, issuer = profiles[which]
    for ends in (2 * MINUTE, -5 * MINUTE):  # its very key and name, for a shorter time
        short = certificate(profile._replace(ends=ends), issuer)
        listed[which]["rawBytes"] = sigstore.b64(short.public_bytes(Encoding.DER))
        root, material = read_root(value)
        if ends > 0 * MINUTE:
            until = check_signer(given, [WANTED], demands, root, material, sigstore.now()).until
            assert until == (None if logged else short.not_valid_after_utc)
        else:
            with pytest.raises(
                Malformed, match=f"certificate CN=.* is valid .*; {'signed at' if logged else 'it is'} 2"
            ):
                check_signer(given, [WANTED], demands, root, material, sigstore.now())


@pytest.mark.parametrize("stamped", [False, True])
def test_time_may_lie_ahead_as_far_as_clocks_differ(stamped: bool) -> None:
    instance, now = sigstore.instance(), sigstore.now()
    made = signed(instance.leaf())
    entry = instance.second_entry(made.second_body()) if stamped else instance.first_entry(made.first_body(), now)
    stamps = [instance.timestamp(made.signature, Token(time=now))] if stamped else []
    read = sigstorebundle.parse(json.dumps(sigstore.bundle(made, [entry], stamps)).encode())
    given = Presented(Signed(made.signature, made.message, made.payload, made.leaf.der), made.signature)
    given = given._replace(entries=read.entries, timestamps=read.timestamps)
    root, material = read_root(instance.trusted_root())
    assert check_signer(given, [WANTED], Demands(), root, material, now - 4 * MINUTE)
    with pytest.raises(Malformed, match="in the future"):
        check_signer(given, [WANTED], Demands(), root, material, now - 6 * MINUTE)


def test_certificate_without_a_log_counts_where_none_is_asked_for() -> None:
    instance = sigstore.instance()
    assert judged(CASES["no SCT"].make(instance), instance, demands=Demands(certificate_logs=0))


@pytest.mark.parametrize("second", [False, True])
def test_key_of_ones_own_is_in_a_log_without_a_time(second: bool) -> None:
    instance = sigstore.instance()
    root, material = read_root(instance.trusted_root())
    private = key("P-256", 8000)
    payload = sigstore.statement("sha256:" + "5" * 64)
    message = dsse.pae("application/vnd.in-toto+json", payload)
    signature = sigstore.sign(private, message)
    public = {"publicKey": {"rawBytes": sigstore.b64(sigstore.spki(private))}}
    entry = (
        instance.second_entry(sigstore.second_body(message, signature, public))
        if second
        else instance.first_entry(sigstore.dsse_body(payload, signature, sigstore.pem_of(private)))
    )
    value = sigstore.bundle(sigstore.Signed(payload, signature, message, instance.leaf()), [entry])
    entries = sigstorebundle.parse(json.dumps(value).encode()).entries
    of_key = Signed(signature, message, payload, key=sigstore.spki(private))
    found = check_times(Presented(of_key, signature, entries=entries), Demands(), root, material, sigstore.now())
    assert (found.logs, len(found.moments)) == (1, 0 if second else 1)
    other = of_key._replace(key=sigstore.spki(key("P-256", 8001)))
    with pytest.raises(Malformed, match="another signer"):
        check_times(Presented(other, signature, entries=entries), Demands(), root, material, sigstore.now())
    with pytest.raises(Malformed, match="no log entry came with the signature, of a log of tests; expected one"):
        check_times(Presented(of_key, signature), Demands(), root, material, sigstore.now())


def test_key_of_ones_own_needs_no_promise_where_there_is_a_proof() -> None:
    instance = sigstore.instance()
    root, material = read_root(instance.trusted_root())
    private = key("P-256", 8000)
    signature = sigstore.sign(private, b"message")
    body = sigstore.intoto_body(b"payload", signature, sigstore.pem_of(private))
    value = sigstore.bundle(
        sigstore.Signed(b"", signature, b"message", instance.leaf()), [instance.first_entry(body, promised=False)]
    )
    entries = sigstorebundle.parse(json.dumps(value).encode()).entries
    of_key = Signed(signature, b"message", b"payload", key=sigstore.spki(private))
    found = check_times(Presented(of_key, signature, entries=entries), Demands(), root, material, sigstore.now())
    assert (found.logs, found.moments) == (1, ())
    bare = tuple(each._replace(proof=None) for each in entries)
    with pytest.raises(Malformed, match="neither a promise nor a proof"):
        check_times(Presented(of_key, signature, entries=bare), Demands(), root, material, sigstore.now())


def test_log_that_ended_needs_a_time() -> None:
    instance = sigstore.instance()
    window = {"start": sigstore.rfc3339(instance.start), "end": sigstore.rfc3339(sigstore.now() + DAY)}
    root, material = read_root(instance.trusted_root(rekor2=window))
    private = key("P-256", 8000)
    signature = sigstore.sign(private, b"message")
    public = {"publicKey": {"rawBytes": sigstore.b64(sigstore.spki(private))}}
    entry = instance.second_entry(sigstore.second_body(b"message", signature, public))
    value = sigstore.bundle(sigstore.Signed(b"", signature, b"message", instance.leaf()), [entry])
    entries = sigstorebundle.parse(json.dumps(value).encode()).entries
    of_key = Signed(signature, b"message", None, key=sigstore.spki(private))
    with pytest.raises(Malformed, match="has an end"):
        check_times(Presented(of_key, signature, entries=entries), Demands(), root, material, sigstore.now())
    stamps = (instance.timestamp(signature, Token(time=sigstore.now() - MINUTE)),)
    stamped = Presented(of_key, signature, entries=entries, timestamps=stamps)
    assert check_times(stamped, Demands(), root, material, sigstore.now() + timedelta(days=9)).logs == 1
