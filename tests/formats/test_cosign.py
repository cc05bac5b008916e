"""cosign's signatures with keys: what is accepted and what is refused, property by property, in every layout."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from agent.codec import simplesigning
from agent.codec.sigstorebundle import MEDIA_TYPES
from agent.errors import Cause, Code, DigestMismatch, LimitExceeded, Malformed, Unavailable
from agent.formats.cosign import BUNDLE_TYPE, BUNDLE_TYPES, LEGACY_TYPE, MAX_PAYLOAD_SIZE, TAGS
from agent.formats.cosign_layer import SIGNATURE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Outcome, Status
from tests.codec.evidence import entry
from tests.formats.cosigned import evidence_of, outcome_of, verifier
from tests.formats.support import SUBJECT, decided, request
from tests.signing import usual_signer
from tests.signing_cosign import Layer, bundle, hint, layer, payload, public_der, public_pem, statement
from tests.trust.test_publickeys import BAD, GOOD

OTHER = str(Digest.of(b"another image"))
SHA512 = Descriptor(IMAGE_MANIFEST, Digest.of(b"the image", "sha512"), 1234)

Making = Callable[..., Layer]


def by_layer(**changes: Any) -> Layer:
    """A signature in the older layout; `changes` are those of the payload."""
    return layer(payload(SUBJECT, **changes))


def by_bundle(**changes: Any) -> Layer:
    """A signature in a bundle; `changes` are those of the statement."""
    return bundle(statement(SUBJECT, **changes))


def told(outcome: Outcome) -> tuple[Status, Code | None]:
    """How it ended."""
    return outcome.status, outcome.code


PASSED = (Status.PASSED, None)


@pytest.mark.parametrize("make", [by_layer, by_bundle])
def test_good_signature_passes_and_says_whose_it_is(make: Making) -> None:
    outcome = outcome_of(make())
    fingerprint = Digest.of(public_der()).encoded
    assert told(outcome) == PASSED
    assert outcome.message == f"cosign signature verified with the key sha256:{fingerprint[:16]}"
    assert dict(outcome.extensions) == {"Key": f"sha256:{fingerprint}"}
    assert [check.status for check in outcome.checks] == [Status.PASSED] * 2
    assert outcome.valid_until is None


@pytest.mark.parametrize(("kind", "how"), GOOD)
def test_every_algorithm_of_the_key_passes_in_both_layouts(kind: str, how: str) -> None:
    form = verifier(public_pem(kind))
    assert told(outcome_of(layer(payload(SUBJECT), kind, how=how), form=form)) == PASSED
    assert told(outcome_of(bundle(statement(SUBJECT), kind, how=how), form=form)) == PASSED


@pytest.mark.parametrize(("kind", "how"), BAD)
def test_other_algorithms_fail_in_both_layouts(kind: str, how: str) -> None:
    form = verifier(public_pem(kind))
    by_hint = outcome_of(bundle(statement(SUBJECT), kind, how=how), form=form)
    assert told(by_hint) == (Status.FAILED, Code.SIGNATURE_INVALID)
    assert "which the bundle names" in by_hint.message
    assert told(outcome_of(layer(payload(SUBJECT), kind, how=how), form=form)) == (
        Status.FAILED,
        Code.SIGNER_NOT_TRUSTED,
    )


@pytest.mark.parametrize("make", [layer, bundle])
def test_any_of_the_keys_will_do_and_no_other(make: Making) -> None:
    said = statement(SUBJECT) if make is bundle else payload(SUBJECT)
    form = verifier(public_pem("P-384"), public_pem() + public_pem("Ed25519"))
    for kind in ("P-256", "P-384", "Ed25519"):
        assert told(outcome_of(make(said, kind), form=form)) == PASSED
    stranger = outcome_of(make(said, "P-256", 1), form=form)
    assert told(stranger) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)
    assert "none of the keys made the signature" in stranger.message


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_bundle_of_every_version_counts(media_type: str) -> None:
    assert told(outcome_of(bundle(statement(SUBJECT), media_type=media_type))) == PASSED
    other = bundle(statement(SUBJECT), media_type=media_type, mediaType=f"{media_type}.1")
    assert told(outcome_of(other)) == (Status.FAILED, Code.EVIDENCE_MALFORMED)


@pytest.mark.parametrize(
    "wrong", [hint("P-384"), "", "not base64", "x" * 5000], ids=["of another key", "none", "no base64", "long"]
)
def test_hint_only_says_which_key_is_tried_first(wrong: str) -> None:
    made = bundle(statement(SUBJECT), material={"publicKey": {"hint": wrong}})
    assert told(outcome_of(made, form=verifier(public_pem("P-384"), public_pem()))) == PASSED


def test_log_entry_and_timestamp_that_come_along_prove_nothing_and_spoil_nothing() -> None:
    material = {
        "publicKey": {"hint": hint()},
        "tlogEntries": [entry()],
        "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "AAAA"}]},
    }
    assert told(outcome_of(bundle(statement(SUBJECT), material=material))) == PASSED
    others = {"dev.sigstore.cosign/bundle": "rubbish", "dev.sigstore.cosign/certificate": "rubbish"}
    assert told(outcome_of(layer(payload(SUBJECT), beside=others))) == PASSED


def test_certificate_is_no_key() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    der = usual_signer().chain[0].public_bytes(Encoding.DER)
    material = {"certificate": {"rawBytes": base64.b64encode(der).decode()}}
    outcome = outcome_of(bundle(statement(SUBJECT), material=material))
    assert told(outcome) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)
    assert "signed with a certificate" in outcome.message


# --- what was signed

_UPPER = str(SUBJECT.digest).replace("sha256:", "").upper()


@pytest.mark.parametrize("image", [OTHER, f"sha256:{_UPPER}", str(SUBJECT.digest).upper(), "", "sha256:", "x"])
@pytest.mark.parametrize("how", ["layer", "bundle"])
def test_signature_of_another_image_is_none_of_this_one(how: str, image: str) -> None:
    if how == "layer":
        made = layer(payload(SUBJECT, image={"docker-manifest-digest": image}))
    else:
        algorithm, _, encoded = image.partition(":")
        made = bundle(statement(SUBJECT, subject=[{"digest": {algorithm: encoded}}]))
    assert told(outcome_of(made)) == (Status.FAILED, Code.SIGNATURE_OF_ANOTHER_IMAGE)


def test_digest_counts_under_its_own_algorithm_alone() -> None:
    ours = SUBJECT.digest.encoded
    for digests, expected in (
        ({"sha512": ours}, Code.SIGNATURE_OF_ANOTHER_IMAGE),
        ({"sha256": ours, "sha512": "0" * 128}, None),
        ({"sha256": OTHER[7:], "sha512": ours}, Code.SIGNATURE_OF_ANOTHER_IMAGE),
    ):
        assert outcome_of(bundle(statement(SUBJECT, subject=[{"digest": digests}]))).code is expected


def test_image_with_a_sha512_digest_is_verified_by_it() -> None:
    form = verifier()
    pulled = request(subject=SHA512)
    for made, kind in ((layer(payload(SHA512)), LEGACY_TYPE), (bundle(statement(SHA512)), BUNDLE_TYPE)):
        outcome = decided(form.verify(pulled, evidence_of([made], kind), datetime.now(timezone.utc)))
        assert told(outcome) == PASSED


def test_any_subject_of_a_statement_may_be_the_image() -> None:
    subjects = [{"digest": {"sha256": OTHER[7:]}}, {"digest": {"sha256": SUBJECT.digest.encoded}}]
    assert told(outcome_of(by_bundle(subject=subjects))) == PASSED


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": {"docker-reference": ""}},
        {"identity": {"docker-reference": "evil.example/x"}},
        {"optional": None},
        {"critical": {"more": 1}},
        {"more": 1},
    ],
    ids=str,
)
def test_name_in_a_payload_and_what_nobody_knows_say_nothing(changes: dict[str, Any]) -> None:
    assert told(outcome_of(by_layer(**changes))) == PASSED


@pytest.mark.parametrize("changes", [{"_type": "https://in-toto.io/Statement/v0.1"}, {"more": 1}], ids=str)
def test_older_statement_and_unknown_members_pass(changes: dict[str, Any]) -> None:
    assert told(outcome_of(by_bundle(**changes))) == PASSED


@pytest.mark.parametrize("kind", ["", "atomic container signature", "Cosign container image signature", 7])
def test_payload_of_another_tool_is_no_signature(kind: object) -> None:
    expected = Code.NO_SIGNATURE if isinstance(kind, str) else Code.EVIDENCE_MALFORMED
    assert told(outcome_of(by_layer(type=kind))) == (Status.FAILED, expected)


@pytest.mark.parametrize(
    "predicate", ["https://slsa.dev/provenance/v1", "https://sigstore.dev/cosign/sign/v2", "https://sigstore.dev/cosign/sign/v1/",
                  "HTTPS://sigstore.dev/cosign/sign/v1"],
)  # fmt: skip
def test_attestation_is_no_signature_whoever_signed_it(predicate: str) -> None:
    outcome = outcome_of(by_bundle(predicateType=predicate))
    assert told(outcome) == (Status.FAILED, Code.NO_SIGNATURE)
    assert predicate in outcome.message


SPOILT_STATEMENTS: list[Callable[[], Layer]] = [
    lambda: by_bundle(_type="https://example.com/Statement"),
    lambda: by_bundle(subject=[]),
    lambda: by_bundle(subject=None),
    lambda: by_bundle(predicateType=""),
    lambda: bundle(b"not JSON"),
    lambda: bundle(statement(SUBJECT) + b"x"),
    lambda: bundle(statement(SUBJECT).replace(b'"subject"', b'"subject": [], "subject"')),
    lambda: layer(b"not JSON"),
    lambda: layer(payload(SUBJECT) + b"x"),
    lambda: layer(b"\xef\xbb\xbf" + payload(SUBJECT)),
    lambda: by_layer(optional=[]),
    lambda: layer(payload(SUBJECT).replace(b"docker-manifest-digest", b"Docker-manifest-digest")),
    lambda: layer(payload(SUBJECT).replace(b'"critical"', b'"critical": {}, "critical"')),
]


@pytest.mark.parametrize("make", SPOILT_STATEMENTS)
def test_what_was_signed_and_can_not_be_read_for_sure_fails(make: Callable[[], Layer]) -> None:
    assert told(outcome_of(make())) == (Status.FAILED, Code.EVIDENCE_MALFORMED)


# --- annotations


@pytest.mark.parametrize("how", ["optional", "annotations"])
@pytest.mark.parametrize(
    ("signed", "passes"),
    [
        ({"env": "prod"}, True),
        ({"env": "prod", "more": 1}, True),
        ({}, False),
        ({"env": "dev"}, False),
        ({"env": "prod "}, False),
        ({"Env": "prod"}, False),
        ({"env": ["prod"]}, False),
        ({"env": True}, False),
        ({"env": None}, False),
    ],
    ids=str,
)
def test_annotation_that_is_wanted_must_be_there_as_a_text(how: str, signed: dict[str, Any], passes: bool) -> None:
    made = by_layer(optional=signed) if how == "optional" else by_bundle(annotations=signed)
    outcome = outcome_of(made, annotations={"env": "prod"})
    assert told(outcome) == (PASSED if passes else (Status.FAILED, Code.ANNOTATIONS_DIFFER))
    if not passes:
        assert "annotation env" in outcome.message


def test_all_annotations_are_wanted_of_one_subject() -> None:
    ours, other = {"sha256": SUBJECT.digest.encoded}, {"sha256": OTHER[7:]}
    wanted = {"env": "prod", "team": "shop"}
    apart = [{"digest": ours, "annotations": {"env": "prod"}}, {"digest": ours, "annotations": {"team": "shop"}}]
    elsewhere = [{"digest": other, "annotations": wanted}, {"digest": ours}]
    for subjects in (apart, elsewhere):
        outcome = outcome_of(by_bundle(subject=subjects), annotations=wanted)
        assert told(outcome) == (Status.FAILED, Code.ANNOTATIONS_DIFFER)
    assert (
        told(outcome_of(by_bundle(subject=[*apart, {"digest": ours, "annotations": wanted}]), annotations=wanted))
        == PASSED
    )


# --- layers and bundles


def p1363() -> str:
    """A right signature as two integers side by side."""
    made = base64.b64decode(layer(payload(SUBJECT)).annotations[SIGNATURE])  # type: ignore[index]
    r, s = decode_dss_signature(made)
    return base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()


RIGHT = layer(payload(SUBJECT))
TEXT = RIGHT.annotations[SIGNATURE]  # type: ignore[index]
SPOILT_LAYERS: list[tuple[Any, Code]] = [
    (RIGHT._replace(annotations=None), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={}), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations=[TEXT]), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={SIGNATURE: 7}), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={SIGNATURE: TEXT, "more": 7}), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={SIGNATURE: ""}), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={SIGNATURE: "A" * 5000}), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={SIGNATURE: f"!{TEXT}"}), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={SIGNATURE: f"{TEXT}\n"}), Code.EVIDENCE_MALFORMED),
    (RIGHT._replace(annotations={SIGNATURE: "AAAA"}), Code.SIGNER_NOT_TRUSTED),
    (RIGHT._replace(annotations={SIGNATURE: p1363()}), Code.SIGNER_NOT_TRUSTED),
    (RIGHT._replace(content=payload(SUBJECT) + b" "), Code.SIGNER_NOT_TRUSTED),
    (RIGHT._replace(media_type="application/octet-stream"), Code.EVIDENCE_UNSUPPORTED),
    (RIGHT._replace(media_type="application/vnd.dsse.envelope.v1+json"), Code.EVIDENCE_UNSUPPORTED),
]


@pytest.mark.parametrize(("spoilt", "code"), SPOILT_LAYERS)
def test_layer_that_is_no_signature_fails(spoilt: Layer, code: Code) -> None:
    assert told(outcome_of(spoilt)) == (Status.FAILED, code)


def rewritten(one: Layer, **changes: Any) -> Layer:
    """A bundle with members of its envelope replaced."""
    value = json.loads(one.content)
    value["dsseEnvelope"] |= changes
    return one._replace(content=json.dumps(value).encode())


SPOILT_BUNDLES: list[tuple[Layer, Code]] = [
    (by_bundle()._replace(content=b"{}"), Code.EVIDENCE_MALFORMED),
    (by_bundle()._replace(content=by_bundle().content + b"x"), Code.EVIDENCE_MALFORMED),
    (by_bundle()._replace(media_type="application/vnd.dev.sigstore.bundle.v0.4+json"), Code.EVIDENCE_UNSUPPORTED),
    (bundle(statement(SUBJECT), mediaType="application/vnd.dev.sigstore.bundle.v0.4+json"), Code.EVIDENCE_MALFORMED),
    (bundle(statement(SUBJECT), mediaType=""), Code.EVIDENCE_MALFORMED),
    (bundle(statement(SUBJECT), more=1), Code.EVIDENCE_MALFORMED),
    (bundle(statement(SUBJECT), payload_type="text/plain"), Code.EVIDENCE_UNSUPPORTED),
    (rewritten(by_bundle(), payloadType="application/vnd.in-toto+JSON"), Code.EVIDENCE_UNSUPPORTED),
    (rewritten(by_bundle(), payload=base64.b64encode(statement(OTHER)).decode()), Code.SIGNATURE_INVALID),
    (rewritten(by_bundle(), signatures=[{"sig": "AAAA"}]), Code.SIGNATURE_INVALID),
    (rewritten(by_bundle(), signatures=[{"sig": "AAAA"}] * 2), Code.EVIDENCE_MALFORMED),
    (rewritten(by_bundle(), signatures=[]), Code.EVIDENCE_MALFORMED),
    (
        bundle(
            statement(SUBJECT),
            dsseEnvelope=None,
            messageSignature={"messageDigest": {"algorithm": "SHA2_256", "digest": "AAAA"}, "signature": "AAAA"},
        ),
        Code.EVIDENCE_UNSUPPORTED,
    ),
]


@pytest.mark.parametrize(("spoilt", "code"), SPOILT_BUNDLES)
def test_bundle_that_is_no_signature_fails(spoilt: Layer, code: Code) -> None:
    assert told(outcome_of(spoilt)) == (Status.FAILED, code)


def test_one_good_layer_among_bad_ones_is_enough_wherever_it_is() -> None:
    bad = [layer(payload(SUBJECT), "P-256", 1), layer(payload(OTHER)), RIGHT._replace(annotations=None)]
    for at in range(len(bad) + 1):
        assert told(outcome_of(*bad[:at], RIGHT, *bad[at:])) == PASSED
    none = outcome_of(*bad)
    assert told(none) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)
    assert "(nearest of 3 in one manifest)" in none.message


def test_layer_that_nobody_answers_for_might_have_been_enough() -> None:
    form, now = verifier(), datetime.now(timezone.utc)
    gone = Unavailable("nobody there", cause=Cause.REGISTRY_UNAVAILABLE)
    for failure, status in ((gone, Status.INCONCLUSIVE), (DigestMismatch("other bytes"), Status.FAILED)):
        evidence = evidence_of([RIGHT, layer(payload(OTHER))], LEGACY_TYPE)
        blobs = (evidence.blobs[0]._replace(content=b"", failure=failure), evidence.blobs[1])
        outcome = decided(form.verify(request(), evidence._replace(blobs=blobs), now))
        assert outcome.status is status
        assert outcome.cause is (Cause.REGISTRY_UNAVAILABLE if failure is gone else None)
        with_good = evidence_of([RIGHT, RIGHT], LEGACY_TYPE)
        blobs = (blobs[0], with_good.blobs[1])
        assert told(decided(form.verify(request(), with_good._replace(blobs=blobs), now))) == PASSED


def test_number_and_size_of_layers_have_bounds() -> None:
    form = verifier()

    def of(count: int, kind: str) -> Manifest:
        return Manifest(IMAGE_MANIFEST, kind, (SUBJECT,) * count, SUBJECT, (None,) * count)

    assert form.blob_limit(of(3, LEGACY_TYPE)) == MAX_PAYLOAD_SIZE == simplesigning.MAX_SIZE
    assert form.blob_limit(of(1, BUNDLE_TYPE)) == 1024 * 1024
    for count, kind in ((0, LEGACY_TYPE), (0, BUNDLE_TYPE), (2, BUNDLE_TYPE)):
        with pytest.raises(Malformed):
            form.blob_limit(of(count, kind))
    with pytest.raises(LimitExceeded):
        Manifest.from_json({"config": {"mediaType": LEGACY_TYPE}, "layers": [{}] * 65}, IMAGE_MANIFEST)


def test_what_is_looked_for_is_what_the_codec_reads() -> None:
    assert set(BUNDLE_TYPES) == set(MEDIA_TYPES)
    assert TAGS == {".sig": LEGACY_TYPE}
    assert verifier().tags == TAGS
    assert verifier().exemption(request()) is None
