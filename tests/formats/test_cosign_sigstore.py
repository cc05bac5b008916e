"""cosign's signatures that Sigstore vouches for, in both layouts: identities, and keys whose signatures a log keeps."""

import json
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agent.codec import dsse
from agent.errors import Cause, Code
from agent.formats.cosign import BUNDLE_TYPE, CosignFormat
from agent.formats.cosign_layer import SIGNATURE
from agent.formats.cosign_vouchers import CERTIFICATE, CHAIN, LOG_ENTRY, TIMESTAMP
from agent.model.outcome import Outcome, Status
from tests import signing_sigstore as sigstore
from tests.formats.cosigned import KeyDocuments, outcome_of
from tests.formats.support import SUBJECT
from tests.signing import key
from tests.signing_cosign import Layer, payload, public_pem
from tests.signing_sigstore import Instance, Leaf, Signed, b64
from tests.sigstore_bundles import ENVELOPES, IMAGE, OLDER, SAID
from tests.sigstore_layers import LAYERS, by_layer, stamped_layer
from tests.simulators.der import text

IDENTITY = {"issuer": sigstore.ISSUER, "subjectRegExp": "https://github.com/acme/.*"}
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
PASSED = (Status.PASSED, None)


def verifier(*instances: Instance, **options: Any) -> CosignFormat:
    """A verifier as a configuration makes it, after its settings were in a snapshot."""
    roots = {f"{i}.json": json.dumps(each.trusted_root()).encode() for i, each in enumerate(instances)}
    documents = {**roots, "shop.pub": public_pem()}
    usual: dict[str, Any] = {"trustRoot": list(roots)} if roots else {}
    if "keys" not in options:
        usual["identities"] = [IDENTITY]
    parsed = CosignFormat.parse(usual | options, KeyDocuments(documents), "verifier")
    assert not [each for each in parsed.problems if each.fatal], parsed.problems
    return CosignFormat.load("cosign", json.loads(json.dumps(parsed.settings)), parsed.certificates)


def told(outcome: Outcome) -> tuple[Status, Code | None]:
    """How it ended."""
    return outcome.status, outcome.code


def bundled(value: dict[str, Any]) -> Layer:
    """A bundle as a layer."""
    return Layer(json.dumps(value).encode(), None, BUNDLE_TYPE)


def by_bundle(instance: Instance, said: bytes = b"", leaf: Leaf | None = None) -> Layer:
    """A keyless signature in a bundle."""
    made = sigstore.signed_envelope(leaf or instance.leaf(), said or sigstore.statement(IMAGE))
    return bundled(sigstore.bundle(made, [instance.first_entry(made.first_body())]))


def of_layer(instance: Instance, leaf: Leaf | None = None) -> Layer:
    """A keyless signature in the older layout."""
    return by_layer(instance, SUBJECT, leaf=leaf)


I = sigstore.instance()  # noqa: E741


@pytest.mark.parametrize("make", [by_bundle, of_layer])
def test_signature_of_a_trusted_identity_passes_and_says_whose_it_is(make: Callable[..., Layer]) -> None:
    leaf = I.leaf(claims={"12": "https://github.com/acme/app"})
    outcome = outcome_of(make(I, leaf=leaf), form=verifier(I))
    assert told(outcome) == PASSED
    assert outcome.message == f"cosign signature verified as that of {sigstore.SUBJECT}"
    assert dict(outcome.extensions) == {
        "Subject": sigstore.SUBJECT,
        "Issuer": sigstore.ISSUER,
        "sourceRepositoryURI": "https://github.com/acme/app",
    }
    assert outcome.valid_until is None
    assert [check.status for check in outcome.checks] == [Status.PASSED] * 2


def test_second_rekor_with_a_timestamp_passes() -> None:
    made = sigstore.signed_envelope(I.leaf(), sigstore.statement(IMAGE))
    entry = I.second_entry(made.second_body())
    assert (
        told(outcome_of(bundled(sigstore.bundle(made, [entry], [I.timestamp(made.signature)])), form=verifier(I)))
        == PASSED
    )
    untimed = outcome_of(bundled(sigstore.bundle(made, [entry])), form=verifier(I))
    assert told(untimed) == (Status.FAILED, Code.TIMESTAMP_INVALID)
    assert untimed.message.startswith("nothing proves when the image was signed; expected")


@pytest.mark.parametrize("name", OLDER)
def test_each_version_of_a_bundle_has_rules_of_its_own(name: str) -> None:
    value = OLDER[name].make(I)
    made = Layer(json.dumps(value).encode(), None, value["mediaType"])
    assert outcome_of(made, form=verifier(I)).code is OLDER[name].code


def test_certificates_that_came_in_a_chain_are_no_roots() -> None:
    other = sigstore.instance(4)
    made = sigstore.signed_envelope(other.leaf(), sigstore.statement(IMAGE))
    ders = [made.leaf.der, *(each.public_bytes(Encoding.DER) for each in (other.issuer, other.root))]
    material = {
        "x509CertificateChain": {"certificates": [{"rawBytes": b64(each)} for each in ders]},
        "tlogEntries": [I.first_entry(made.first_body())],
    }
    kind = "application/vnd.dev.sigstore.bundle+json;version=0.1"
    value = sigstore.bundle(made, mediaType=kind, verificationMaterial=material)
    refused = outcome_of(Layer(json.dumps(value).encode(), None, kind), form=verifier(I))
    assert told(refused) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)


@pytest.mark.parametrize("make", [by_bundle, of_layer])
def test_any_of_the_identities_and_of_the_instances_will_do(make: Callable[..., Layer]) -> None:
    two = [{"issuer": "https://elsewhere.example", "subject": "x"}, IDENTITY]
    other = sigstore.instance(3)
    form = verifier(other, I, identities=two)
    assert told(outcome_of(make(I), form=form)) == PASSED
    assert told(outcome_of(make(other), form=form)) == PASSED
    stranger = outcome_of(make(I, leaf=I.leaf(issuer="https://evil.example")), form=form)
    assert told(stranger) == (Status.FAILED, Code.IDENTITY_NOT_TRUSTED)
    assert "https://evil.example" in stranger.message
    unknown = outcome_of(make(sigstore.instance(4)), form=form)
    assert unknown.status is Status.FAILED


@pytest.mark.parametrize("make", [by_bundle, of_layer])
@pytest.mark.parametrize(
    ("issuer", "subject"),
    [
        ("https://evil.example/https://login.acme.test", "https://github.com/acme/app"),
        ("https://login.acme.test.evil.example", "https://github.com/acme/app"),
        ("https://login.acme.test", "https://evil.example/https://github.com/acme/app"),
        ("https://login.acme.test", "https://github.com/acme/app\n"),
        ("https://login.acme.test\n", "https://github.com/acme/app"),
    ],
)
def test_expressions_of_issuer_and_subject_cover_the_whole_text(
    make: Callable[..., Layer], issuer: str, subject: str
) -> None:
    from cryptography import x509

    form = verifier(
        I,
        identities=[{"issuerRegExp": "https://login[.]acme[.]test", "subjectRegExp": "https://github[.]com/acme/app"}],
    )

    def told_of(issuer: str, subject: str) -> tuple[Status, Code | None]:
        """What becomes of a signature of theirs."""
        leaf = I.leaf(issuer=issuer, names=[x509.UniformResourceIdentifier(subject)])
        return told(outcome_of(make(I, leaf=leaf), form=form))

    assert told_of("https://login.acme.test", "https://github.com/acme/app") == PASSED
    status, code = told_of(issuer, subject)
    assert status is Status.FAILED
    assert code in (Code.IDENTITY_NOT_TRUSTED, Code.CERTIFICATE_CHAIN_INVALID)  # the second: unprintable


def test_instances_are_never_merged() -> None:
    """A certificate of one and a log of another: neither vouches for the whole."""
    other = sigstore.instance(3)
    made = sigstore.signed_envelope(other.leaf(), sigstore.statement(IMAGE))
    mixed = bundled(sigstore.bundle(made, [I.first_entry(made.first_body())]))
    assert outcome_of(mixed, form=verifier(other, I)).status is Status.FAILED


@pytest.mark.parametrize("name", ENVELOPES)
def test_bundle_that_holds_no_signature_for_sure_does_not_count(name: str) -> None:
    assert outcome_of(bundled(ENVELOPES[name].make(I)), form=verifier(I)).code is ENVELOPES[name].code


@pytest.mark.parametrize("name", SAID)
def test_what_was_signed_decides_whoever_signed_it(name: str) -> None:
    assert outcome_of(bundled(SAID[name].make(I)), form=verifier(I)).code is SAID[name].code


def test_key_is_no_identity_and_a_certificate_is_no_key() -> None:
    from tests.signing_cosign import bundle, layer, statement

    for by_key in (bundle(statement(SUBJECT)), layer(payload(SUBJECT))):
        refused = outcome_of(by_key, form=verifier(I))
        assert told(refused) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)
        assert "signed with a key" in refused.message
    refused = outcome_of(by_bundle(I), form=verifier(keys=["shop.pub"]))
    assert told(refused) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)


def test_annotations_are_wanted_of_identities_too() -> None:
    form = verifier(I, annotations={"env": "prod"})
    subject = {"digest": {"sha256": IMAGE[7:]}, "annotations": {"env": "prod"}}
    assert told(outcome_of(by_bundle(I, sigstore.statement(IMAGE, subject=[subject])), form=form)) == PASSED
    assert outcome_of(by_bundle(I), form=form).code is Code.ANNOTATIONS_DIFFER
    assert told(outcome_of(by_layer(I, SUBJECT, payload(SUBJECT, optional={"env": "prod"})), form=form)) == PASSED


# --- the older layout


@pytest.mark.parametrize("name", LAYERS)
def test_layer_counts_if_all_that_vouches_for_it_does(name: str) -> None:
    case = LAYERS[name]
    outcome = outcome_of(case.make(I, SUBJECT), form=verifier(I, transparencyLogs=case.logs))
    assert (outcome.status is Status.PASSED) is case.counts, outcome.message
    assert outcome.message.isprintable()


def test_layer_with_a_timestamp_alone_counts_where_no_log_is_asked_for() -> None:
    made = stamped_layer(I, SUBJECT, sigstore.now())
    assert isinstance(made.annotations, dict)
    annotations = {name: each for name, each in made.annotations.items() if name != LOG_ENTRY}
    alone = Layer(made.content, annotations)
    assert told(outcome_of(alone, form=verifier(I, transparencyLogs=0, timestamps=1))) == PASSED
    assert outcome_of(alone, form=verifier(I)).status is Status.FAILED
    neither = Layer(made.content, {name: each for name, each in annotations.items() if name != TIMESTAMP})
    assert outcome_of(neither, form=verifier(I, transparencyLogs=0, timestamps=1)).code is Code.TIMESTAMP_INVALID
    assert outcome_of(neither, form=verifier(I, transparencyLogs=0)).code is Code.TIMESTAMP_INVALID


def test_where_the_present_counts_the_verdict_ends_with_the_certificate() -> None:
    leaf = I.leaf()
    made = by_layer(I, SUBJECT, leaf=leaf, beside={LOG_ENTRY: None})
    outcome = outcome_of(made, form=verifier(I, transparencyLogs=0, currentTime=True))
    assert told(outcome) == PASSED
    assert outcome.valid_until == leaf.certificate.not_valid_after_utc.replace(tzinfo=timezone.utc)
    old = by_layer(I, SUBJECT, leaf=I.leaf(at=sigstore.now() - DAY), beside={LOG_ENTRY: None})
    refused = outcome_of(old, form=verifier(I, transparencyLogs=0, currentTime=True))
    assert told(refused) == (Status.FAILED, Code.CERTIFICATE_NOT_VALID_NOW)


@pytest.mark.parametrize("order", [1, -1])
def test_where_several_must_have_signed_the_verdict_ends_with_the_first_certificate(order: int) -> None:
    from cryptography import x509

    leaves = [
        I.leaf(names=[x509.UniformResourceIdentifier(f"https://github.com/acme/{minutes}")], life=minutes * MINUTE)
        for minutes in (3, 9)
    ]
    layers = [by_layer(I, SUBJECT, leaf=each, beside={LOG_ENTRY: None}) for each in leaves][::order]
    outcome = outcome_of(*layers, form=verifier(I, transparencyLogs=0, currentTime=True, threshold=2))
    assert told(outcome) == PASSED
    assert len(outcome.signers) == 2
    assert outcome.valid_until == leaves[0].certificate.not_valid_after_utc


# --- keys in a log


def _keyed_bundle(second: bool) -> Layer:
    private, said = key("P-256", 0), sigstore.statement(IMAGE)
    message = dsse.pae("application/vnd.in-toto+json", said)
    signature = sigstore.sign(private, message)
    public = {"publicKey": {"rawBytes": b64(sigstore.spki(private))}}
    entry = (
        I.second_entry(sigstore.second_body(message, signature, public))
        if second
        else I.first_entry(sigstore.dsse_body(said, signature, sigstore.pem_of(private)))
    )
    value = sigstore.bundle(Signed(said, signature, message, I.leaf()))
    value["verificationMaterial"] = {"publicKey": {"hint": ""}, "tlogEntries": [entry]}
    return bundled(value)


@pytest.mark.parametrize("second", [False, True])
def test_signature_with_a_key_has_to_be_in_the_log_that_is_asked_for(second: bool) -> None:
    from tests.signing_cosign import bundle, statement

    form = verifier(I, keys=["shop.pub"])
    outcome = outcome_of(_keyed_bundle(second), form=form)
    assert told(outcome) == PASSED
    assert outcome.message.endswith(", and logged")
    unlogged = outcome_of(bundle(statement(SUBJECT)), form=form)
    assert unlogged.status is Status.FAILED
    assert "no log entry came with the signature, of a log of 0.json; expected one" in unlogged.message
    unasked = outcome_of(bundle(statement(SUBJECT)), form=verifier(I, keys=["shop.pub"], transparencyLogs=0))
    assert told(unasked) == PASSED
    assert "logged" not in unasked.message
    elsewhere = outcome_of(_keyed_bundle(second), form=verifier(sigstore.instance(3), keys=["shop.pub"]))
    assert elsewhere.status is Status.FAILED


# --- a root that ages

_OVER = {"start": sigstore.rfc3339(I.start), "end": sigstore.rfc3339(sigstore.now() - DAY)}
_ALL_LOGS = {"rekor1": _OVER, "rekor2": _OVER}
STALE = (Status.INCONCLUSIVE, Cause.TRUST_ROOT_STALE)
REFUSED = (Status.FAILED, None)


def _aged(windows: dict[str, dict[str, str]], **options: Any) -> CosignFormat:
    """A verifier under a root of which something has ended."""
    content = json.dumps(I.trusted_root(**windows)).encode()
    documents = KeyDocuments({"old.json": content, "shop.pub": public_pem()})
    usual = {} if "keys" in options else {"identities": [IDENTITY]}
    parsed = CosignFormat.parse({"trustRoot": "old.json"} | usual | options, documents, "verifier")
    return CosignFormat.load("cosign", json.loads(json.dumps(parsed.settings)), parsed.certificates)


def _old() -> Layer:
    """A signature from before anything ended."""
    at = sigstore.now() - 3 * DAY
    made = sigstore.signed_envelope(I.leaf(at=at), sigstore.statement(IMAGE))
    return bundled(sigstore.bundle(made, [I.first_entry(made.first_body(), at + MINUTE)]))


def _in_a_newer_log() -> Layer:
    """A certificate of the same authority, in a log of another instance."""
    made = sigstore.signed_envelope(I.leaf(), sigstore.statement(IMAGE))
    return bundled(sigstore.bundle(made, [sigstore.instance(4).first_entry(made.first_body())]))


def _unlogged() -> Layer:
    return bundled(sigstore.bundle(sigstore.signed_envelope(I.leaf(), sigstore.statement(IMAGE))))


@pytest.mark.parametrize(
    ("windows", "make", "options", "expected"),
    [
        (_ALL_LOGS, _in_a_newer_log, {}, STALE),
        ({"rekor1": _OVER}, _in_a_newer_log, {}, REFUSED),
        ({"rekor1": _OVER}, _in_a_newer_log, {"transparencyLogs": 2}, STALE),
        ({"rekor1": _OVER}, lambda: by_bundle(sigstore.instance(4)), {"timestamps": 1}, REFUSED),
        ({"ca": _OVER}, lambda: by_bundle(sigstore.instance(4), leaf=I.leaf()), {}, STALE),
        (_ALL_LOGS, _old, {}, (Status.PASSED, None)),
        (_ALL_LOGS, lambda: by_bundle(I), {}, REFUSED),
        (_ALL_LOGS, _unlogged, {}, REFUSED),
        (_ALL_LOGS, lambda: by_bundle(sigstore.instance(4), b"rubbish"), {}, STALE),
        (_ALL_LOGS, lambda: _keyed_bundle(False), {"keys": ["shop.pub"]}, REFUSED),
        ({"ca": _OVER}, lambda: _keyed_bundle(False), {"keys": ["shop.pub"]}, (Status.PASSED, None)),
    ],
)
def test_what_a_root_does_not_know_it_may_be_too_old_to_know(
    windows: dict[str, dict[str, str]], make: Callable[[], Layer], options: dict[str, Any], expected: Any
) -> None:
    outcome = outcome_of(make(), form=_aged(windows, **options))
    assert (outcome.status, outcome.cause) == expected
    if outcome.cause:
        assert "of old.json count at " in outcome.message
        assert outcome.message.endswith("; expected a newer trusted root")


def test_another_root_that_knows_the_signature_is_enough() -> None:
    content = json.dumps(sigstore.instance(3).trusted_root(rekor1=_OVER, rekor2=_OVER)).encode()
    documents = KeyDocuments({"old.json": content, "new.json": json.dumps(I.trusted_root()).encode()})
    parsed = CosignFormat.parse(
        {"trustRoot": ["old.json", "new.json"], "identities": [IDENTITY]}, documents, "verifier"
    )
    form = CosignFormat.load("cosign", json.loads(json.dumps(parsed.settings)), parsed.certificates)
    assert told(outcome_of(by_bundle(I), form=form)) == PASSED
    stranger = outcome_of(by_bundle(I, leaf=I.leaf(issuer="https://evil.example")), form=form)
    assert told(stranger) == (Status.FAILED, Code.IDENTITY_NOT_TRUSTED)
    assert outcome_of(by_bundle(sigstore.instance(4)), form=form).cause is Cause.TRUST_ROOT_STALE


def test_layer_with_a_key_has_to_be_in_the_log_that_is_asked_for() -> None:
    signer = I.leaf()._replace(private=key("P-256", 0))
    made = by_layer(
        I, SUBJECT, leaf=signer, beside={CERTIFICATE: None, CHAIN: None},
        body=lambda c, s, leaf: sigstore.hashedrekord(c, s, public_pem()),
    )  # fmt: skip
    assert told(outcome_of(made, form=verifier(I, keys=["shop.pub"]))) == PASSED
    assert isinstance(made.annotations, dict)
    unlogged = Layer(made.content, {SIGNATURE: made.annotations[SIGNATURE]})
    assert outcome_of(unlogged, form=verifier(I, keys=["shop.pub"])).status is Status.FAILED
    assert told(outcome_of(unlogged, form=verifier(keys=["shop.pub"]))) == PASSED


def test_user_name_is_an_identity() -> None:
    from cryptography import x509

    name = x509.OtherName(x509.ObjectIdentifier(sigstore.ARC + "7"), text("alice!example.test"))
    form = verifier(I, identities=[{"issuer": sigstore.ISSUER, "subject": "alice!example.test"}])
    assert told(outcome_of(by_bundle(I, leaf=I.leaf(names=[name])), form=form)) == PASSED
