"""cosign's attestations: what is accepted and what is refused, property by property, in both layouts."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agent.codec import dsse
from agent.config.trusted import entries
from agent.errors import Cause, Code, LimitExceeded, Malformed, Unavailable
from agent.formats import ParsedOptions
from agent.formats.attestation import LAYERS_TYPE, MAX_SIZE, MAX_TOTAL, AttestationFormat
from agent.formats.attestation_options import PREDICATE_TYPES
from agent.formats.cosign import BUNDLE_TYPE
from agent.formats.cosign_bundle import PREDICATE_TYPE
from agent.formats.cosign_steps import MAX_PREDICATES_SIZE, MAX_SIGNATURES
from agent.formats.cosign_vouchers import CERTIFICATE, LOG_ENTRY, TIMESTAMP
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Check, Outcome, Status
from agent.modes import supportparts
from tests import signing_sigstore as sigstore
from tests.formats.cosigned import KeyDocuments, evidence_of, outcome_of
from tests.formats.support import SUBJECT, decided, request
from tests.formats.test_cosign_options import ground, own, ratifys, read
from tests.formats.test_cosign_sigstore import IDENTITY
from tests.signing import key
from tests.signing_cosign import (
    PROVENANCE,
    Layer,
    attestation,
    bundle,
    envelope,
    hint,
    layer,
    payload,
    public_der,
    public_pem,
    statement,
)
from tests.signing_sigstore import Leaf, b64
from tests.trust.tokens import Token

OTHER = str(Digest.of(b"another image"))
PASSED = (Status.PASSED, None)
DAY = timedelta(days=1)
I = sigstore.instance()  # noqa: E741

Making = Callable[..., Layer]


def parse(**options: Any) -> ParsedOptions:
    """What becomes of options."""
    root = json.dumps(I.trusted_root()).encode()
    documents = {"shop.pub": public_pem(), "team.pub": public_pem("P-384"), "trusted_root.json": root}
    return AttestationFormat.parse({"predicateType": "slsaprovenance1"} | options, KeyDocuments(documents), "v")


def verifier(**options: Any) -> AttestationFormat:
    """A verifier as a configuration makes it, after its settings were in a snapshot; it trusts the usual key."""
    parsed = parse(**({} if "identities" in options else {"keys": ["shop.pub"]}) | options)
    assert not parsed.problems, parsed.problems
    return AttestationFormat.load("provenance", json.loads(json.dumps(parsed.settings)), parsed.certificates)


def found(*layers: Layer, **options: Any) -> Outcome:
    """What a verifier finds, now."""
    artifact_type = BUNDLE_TYPE if "bundle" in layers[0].media_type else LAYERS_TYPE
    evidence = evidence_of(layers, artifact_type)
    return decided(verifier(**options).verify(request(), evidence, datetime.now(timezone.utc)))


def told(outcome: Outcome) -> tuple[Status, Code | None]:
    """How it ended."""
    return outcome.status, outcome.code


@pytest.mark.parametrize("make", [bundle, envelope])
def test_good_attestation_passes_and_says_whose_it_is_and_what_it_says(make: Making) -> None:
    outcome = found(make(attestation(SUBJECT)))
    fingerprint = Digest.of(public_der()).encoded
    assert told(outcome) == PASSED
    assert outcome.message == f"attestation of the type {PROVENANCE} verified with the key sha256:{fingerprint[:16]}"
    assert dict(outcome.extensions) == {
        "Key": f"sha256:{fingerprint}",
        "predicateType": PROVENANCE,
        "attestations": [{"Key": f"sha256:{fingerprint}", "predicate": {"runDetails": {"builder": {"id": "b"}}}}],
    }
    assert (outcome.verifier, outcome.verifier_type, outcome.valid_until) == ("provenance", "attestation", None)


@pytest.mark.parametrize("make", [bundle, envelope])
@pytest.mark.parametrize(
    "changes",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"subject": [{"digest": {"sha256": OTHER[7:]}}, {"name": "x", "digest": {"sha256": SUBJECT.digest.encoded}}]},
        {"more": 1},
        {"predicate": None},
    ],
    ids=str,
)
def test_older_statement_any_subject_and_unknown_members_pass(make: Making, changes: dict[str, Any]) -> None:
    assert told(found(make(attestation(SUBJECT, **changes)))) == PASSED


@pytest.mark.parametrize("make", [bundle, envelope])
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (attestation(OTHER), Code.SIGNATURE_OF_ANOTHER_IMAGE),
        (attestation(f"sha256:{SUBJECT.digest.encoded.upper()}"), Code.SIGNATURE_OF_ANOTHER_IMAGE),
        (attestation(SUBJECT, subject=[{"digest": {"sha512": SUBJECT.digest.encoded}}]),
         Code.SIGNATURE_OF_ANOTHER_IMAGE),
        (attestation(SUBJECT, subject=[]), Code.EVIDENCE_MALFORMED),
        (attestation(SUBJECT, subject=None), Code.EVIDENCE_MALFORMED),
        (attestation(SUBJECT, _type="https://example.com/Statement"), Code.EVIDENCE_MALFORMED),
        (b"not JSON", Code.EVIDENCE_MALFORMED),
        (attestation(SUBJECT, predicateType="https://slsa.dev/provenance/v0.2"), Code.PREDICATE_TYPE_DIFFERS),
        (attestation(SUBJECT, predicateType=f"{PROVENANCE}/"), Code.PREDICATE_TYPE_DIFFERS),
        (attestation(SUBJECT, predicateType=PROVENANCE.upper()), Code.PREDICATE_TYPE_DIFFERS),
        (statement(SUBJECT), Code.PREDICATE_TYPE_DIFFERS),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_about_another_image_or_of_another_type_fails(make: Making, said: bytes, code: Code) -> None:
    assert told(found(make(said))) == (Status.FAILED, code)


def test_signature_is_no_attestation_and_is_told_as_one() -> None:
    outcome = found(bundle(statement(SUBJECT)))
    assert outcome.message == f"a signature; expected an attestation of the type {PROVENANCE}"
    simple = found(layer(payload(SUBJECT)))
    assert told(simple) == (Status.FAILED, Code.EVIDENCE_UNSUPPORTED)


def test_attestation_is_no_signature_whichever_layout_it_has() -> None:
    assert told(outcome_of(bundle(attestation(SUBJECT)))) == (Status.FAILED, Code.NO_SIGNATURE)
    assert told(outcome_of(envelope(attestation(SUBJECT)))) == (Status.FAILED, Code.EVIDENCE_UNSUPPORTED)


def test_annotation_with_the_predicate_type_proves_nothing() -> None:
    lying = envelope(attestation(SUBJECT, predicateType="https://example.com/x"), beside={"predicateType": PROVENANCE})
    assert told(found(lying)) == (Status.FAILED, Code.PREDICATE_TYPE_DIFFERS)
    others: list[Any] = [{"predicateType": "https://example.com/x"}, {}, {"predicateType": 7}, [], None]
    for beside in others:
        assert told(found(envelope(attestation(SUBJECT), beside=beside))) == PASSED


@pytest.mark.parametrize("make", [bundle, envelope])
def test_other_payload_type_fails(make: Making) -> None:
    for kind in ("text/plain", "application/json", "application/vnd.in-toto+JSON"):
        assert told(found(make(attestation(SUBJECT), payload_type=kind))) == (Status.FAILED, Code.EVIDENCE_UNSUPPORTED)


def test_layer_of_another_media_type_fails() -> None:
    for kind in ("application/octet-stream", "application/vnd.in-toto+json"):
        outcome = found(envelope(attestation(SUBJECT), media_type=kind))
        assert told(outcome) == (Status.FAILED, Code.EVIDENCE_UNSUPPORTED)


def test_stranger_s_attestation_fails() -> None:
    by_bundle = found(bundle(attestation(SUBJECT), "P-256", 1))
    by_layer = found(envelope(attestation(SUBJECT), ("P-256", 1)))
    assert told(by_bundle) == told(by_layer) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)


def test_payload_that_was_swapped_under_a_signature_fails() -> None:
    made = envelope(attestation(OTHER))
    value = json.loads(made.content) | {"payload": base64.b64encode(attestation(SUBJECT)).decode()}
    swapped = made._replace(content=json.dumps(value).encode())
    assert told(found(swapped)) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)


def test_one_of_an_envelope_s_signatures_is_enough() -> None:
    strange, ours, team = ("P-256", 1), ("P-256", 0), ("P-384", 0)
    for signers in ((strange, ours), (ours, strange), (strange, team, strange)):
        assert told(found(envelope(attestation(SUBJECT), *signers), keys=["shop.pub", "team.pub"])) == PASSED
    two = found(envelope(attestation(SUBJECT), strange, ("P-384", 1)))
    assert told(two) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)


def test_number_of_signatures_in_one_manifest_has_a_bound() -> None:
    bad = envelope(attestation(OTHER), *[("P-256", 1)] * dsse.MAX_SIGNATURES)
    good = envelope(attestation(SUBJECT))
    full = [bad] * (MAX_SIGNATURES // dsse.MAX_SIGNATURES)
    assert told(found(*full, good)) == (Status.FAILED, Code.EVIDENCE_LIMIT)
    assert told(found(*full[1:], good, bad)) == PASSED
    assert told(found(*full)) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED)
    assert told(found(good, *full)) == PASSED


def test_each_layer_counts_for_itself() -> None:
    good, other = (
        envelope(attestation(SUBJECT)),
        envelope(attestation(SUBJECT, predicateType="https://spdx.dev/Document")),
    )
    broken = Layer(b"rubbish", None, good.media_type)
    for layers in ((other, good), (good, broken), (broken, other, good)):
        assert told(found(*layers)) == PASSED
    neither = found(broken, other)
    assert told(neither) == (Status.FAILED, Code.PREDICATE_TYPE_DIFFERS)
    assert "nearest of 2 in one manifest" in neither.message


def test_layer_that_nobody_answers_for_is_not_known() -> None:
    evidence = evidence_of([envelope(attestation(OTHER)), envelope(attestation(SUBJECT))], LAYERS_TYPE)
    missing = evidence.blobs[1]._replace(failure=Unavailable("away", cause=Cause.REGISTRY_UNAVAILABLE))
    evidence = evidence._replace(blobs=(evidence.blobs[0], missing))
    outcome = decided(verifier().verify(request(), evidence, datetime.now(timezone.utc)))
    assert (outcome.status, outcome.cause) == (Status.INCONCLUSIVE, Cause.REGISTRY_UNAVAILABLE)


@pytest.mark.parametrize("make", [bundle, envelope])
def test_predicate_that_is_large_is_left_out_of_the_report_and_passes(make: Making) -> None:
    outcome = found(make(attestation(SUBJECT, predicate={"packages": ["x" * 100] * (MAX_PREDICATES_SIZE // 100)})))
    assert told(outcome) == PASSED
    (one,) = cast("list[dict[str, str]]", outcome.extensions["attestations"])
    assert "predicate" not in one
    assert one["predicateLeftOut"].endswith(f" bytes, with room for {MAX_PREDICATES_SIZE}")


def test_every_good_layer_is_told_with_who_signed_it_as_far_as_there_is_room() -> None:
    large = envelope(attestation(SUBJECT, predicate="x" * (MAX_PREDICATES_SIZE // 2)))
    one, two = envelope(attestation(SUBJECT, predicate=1)), envelope(attestation(SUBJECT, predicate=2), ("P-384", 0))
    strange = envelope(attestation(SUBJECT, predicate=3), ("P-256", 1))
    twice = envelope(attestation(SUBJECT, predicate=4), ("P-256", 0), ("P-384", 0))
    outcome = found(one, large, strange, large, two, twice, keys=["shop.pub", "team.pub"])
    ours, team = (f"sha256:{Digest.of(public_der(kind)).encoded}" for kind in ("P-256", "P-384"))
    told_of = [(each["Key"], str(each.get("predicate"))[:1]) for each in outcome.extensions["attestations"]]  # type: ignore[attr-defined]
    assert told_of == [(ours, "1"), (ours, "x"), (ours, "N"), (team, "2"), (ours, "4")]


def test_outcome_ends_with_the_first_of_the_layers_that_does() -> None:
    late, early = sigstore.now() - DAY, sigstore.now() - 3 * DAY
    layers = [keyless_layer(I.leaf(at=at - timedelta(minutes=1)), at=at) for at in (late, early)]
    outcome = found(*layers, identities=[IDENTITY], maximumAge="4d")
    assert outcome.valid_until == early.replace(microsecond=0) + 4 * DAY
    young = found(*layers, identities=[IDENTITY], maximumAge="2d")
    assert young.valid_until == late.replace(microsecond=0) + 2 * DAY


def test_attestation_counts_until_its_age_is_reached_and_no_longer() -> None:
    at = sigstore.now().replace(microsecond=0)
    layer_ = keyless_layer(I.leaf(at=at - timedelta(minutes=1)), at=at)
    form, evidence = verifier(identities=[IDENTITY], maximumAge="4d"), evidence_of([layer_], LAYERS_TYPE)
    end = at + 4 * DAY
    assert told(decided(form.verify(request(), evidence, end - timedelta(seconds=1)))) == PASSED
    assert told(decided(form.verify(request(), evidence, end))) == (Status.FAILED, Code.ATTESTATION_TOO_OLD)


def test_size_and_number_of_layers_have_bounds() -> None:
    form = verifier()

    def manifest(artifact_type: str, *sizes: int) -> Manifest:
        """One with layers of these sizes."""
        blobs = tuple(Descriptor("x", Digest.of(b"x"), size) for size in sizes)
        return Manifest(IMAGE_MANIFEST, artifact_type, blobs, None)

    assert form.blob_limit(manifest(LAYERS_TYPE, *[MAX_SIZE] * (MAX_TOTAL // MAX_SIZE))) == MAX_SIZE
    with pytest.raises(LimitExceeded, match="expected at most"):
        form.blob_limit(manifest(LAYERS_TYPE, *[MAX_SIZE] * (MAX_TOTAL // MAX_SIZE), 1))
    with pytest.raises(Malformed, match="exactly one"):
        form.blob_limit(manifest(BUNDLE_TYPE, 1, 1))
    for kind in (LAYERS_TYPE, BUNDLE_TYPE):
        with pytest.raises(Malformed, match="no layers"):
            form.blob_limit(manifest(kind))


# --- identities, logs, times


def keyless_layer(leaf: Leaf | None = None, *, at: datetime | None = None, stamped: bytes | None = None) -> Layer:
    """A keyless attestation in the older layout, in the first log; with `stamped`, in none, but with a timestamp."""
    said, leaf = attestation(SUBJECT), leaf or I.leaf()
    made = sigstore.signed_envelope(leaf, said)
    value = {
        "payloadType": "application/vnd.in-toto+json",
        "payload": b64(said),
        "signatures": [{"sig": b64(made.signature)}],
    }
    content = json.dumps(value).encode()
    annotations = {CERTIFICATE: leaf.pem.decode()}
    chain = [each.public_bytes(Encoding.PEM).decode() for each in (I.issuer, I.root)]
    annotations["dev.sigstore.cosign/chain"] = "".join(chain)
    if stamped is not None:
        token = I.timestamp(content if stamped == b"envelope" else made.signature, Token(time=at or sigstore.now()))
        annotations[TIMESTAMP] = json.dumps({"SignedRFC3161Timestamp": b64(token)})
    else:
        time, body = int((at or sigstore.now()).timestamp()), made.first_body()
        log = sigstore.sha256(sigstore.spki(I.rekor1)).hex()
        entry = {"body": b64(body), "integratedTime": time, "logIndex": 7, "logID": log}
        annotations[LOG_ENTRY] = json.dumps({"SignedEntryTimestamp": b64(I.promise(body, time, 7)), "Payload": entry})
    return Layer(content, annotations, "application/vnd.dsse.envelope.v1+json")


def keyless_bundle(leaf: Leaf | None = None, *, at: datetime | None = None) -> Layer:
    """A keyless attestation in a bundle, in the first log."""
    made = sigstore.signed_envelope(leaf or I.leaf(), attestation(SUBJECT))
    return Layer(json.dumps(sigstore.bundle(made, [I.first_entry(made.first_body(), at)])).encode(), None, BUNDLE_TYPE)


def keyed_bundle(
    *, at: datetime | None = None, stamps: tuple[datetime, ...] = (), second: bool = False, unsigned: bool = False
) -> Layer:
    """An attestation with the usual key, in a log; with the `second` there is no time but of `stamps`."""
    private, said = key("P-256", 0), attestation(SUBJECT)
    message = dsse.pae("application/vnd.in-toto+json", said)
    signature = sigstore.sign(private, message)
    if second:
        entry = I.second_entry(sigstore.second_body(message, signature, {"publicKey": {"rawBytes": b64(public_der())}}))
    else:
        entry = I.first_entry(sigstore.dsse_body(said, signature, public_pem()), at, promised=not unsigned)
    value = sigstore.bundle(sigstore.Signed(said, signature, message, I.leaf()))
    value["verificationMaterial"] = {
        "publicKey": {"hint": hint()},
        "tlogEntries": [entry],
        "timestampVerificationData": {
            "rfc3161Timestamps": [{"signedTimestamp": b64(I.timestamp(signature, Token(time=each)))} for each in stamps]
        },
    }
    return Layer(json.dumps(value).encode(), None, BUNDLE_TYPE)


@pytest.mark.parametrize("make", [keyless_bundle, keyless_layer])
def test_attestation_of_a_trusted_identity_passes(make: Making) -> None:
    outcome = found(make(), identities=[IDENTITY])
    assert told(outcome) == PASSED
    assert outcome.extensions["Subject"] == sigstore.SUBJECT
    assert outcome.extensions["predicateType"] == PROVENANCE
    stranger = found(make(I.leaf(issuer="https://evil.example")), identities=[IDENTITY])
    assert told(stranger) == (Status.FAILED, Code.IDENTITY_NOT_TRUSTED)


def test_timestamp_of_the_older_layout_is_over_the_whole_envelope() -> None:
    asked = {"identities": [IDENTITY], "transparencyLogs": 0, "timestamps": 1}
    assert told(found(keyless_layer(stamped=b"envelope"), **asked)) == PASSED
    assert told(found(keyless_layer(stamped=b"signature"), **asked)) == (Status.FAILED, Code.TIMESTAMP_INVALID)


@pytest.mark.parametrize("make", [keyless_bundle, keyless_layer])
def test_age_counts_from_the_time_that_is_proved_and_the_outcome_ends_with_it(make: Making) -> None:
    at = sigstore.now() - 3 * DAY
    leaf = I.leaf(at=at - timedelta(minutes=1))
    young = found(make(leaf, at=at), identities=[IDENTITY], maximumAge="4d")
    assert told(young) == PASSED
    assert young.valid_until == at.replace(microsecond=0) + 4 * DAY
    assert [each.check for each in young.checks] == [Check.INTEGRITY, Check.AUTHENTICITY, Check.EXPIRY]
    old = found(make(leaf, at=at), identities=[IDENTITY], maximumAge="71h")
    assert told(old) == (Status.FAILED, Code.ATTESTATION_TOO_OLD)
    assert old.message.startswith(f"the attestation is of {at:%Y-%m-%d}")
    assert old.checks[-1].check is Check.EXPIRY
    assert told(found(make(leaf, at=at), identities=[IDENTITY])) == PASSED


def test_earliest_of_several_times_counts() -> None:
    late, early = sigstore.now() - DAY, sigstore.now() - 3 * DAY
    for stamps in ((late, early), (early, late)):
        made = keyed_bundle(second=True, stamps=stamps)
        outcome = found(made, trustRoot="trusted_root.json", maximumAge="2d")
        assert told(outcome) == (Status.FAILED, Code.ATTESTATION_TOO_OLD)
    alone = found(keyed_bundle(second=True, stamps=(late,)), trustRoot="trusted_root.json", maximumAge="2d")
    assert told(alone) == PASSED
    assert alone.valid_until == late + 2 * DAY


def test_age_of_a_key_s_attestation_needs_a_time_that_somebody_signed() -> None:
    trusted = {"trustRoot": "trusted_root.json", "maximumAge": "30d"}
    assert told(found(keyed_bundle(), **trusted)) == PASSED
    for untimed in (keyed_bundle(second=True), keyed_bundle(unsigned=True)):
        assert told(found(untimed, trustRoot="trusted_root.json")) == PASSED
        outcome = found(untimed, **trusted)
        assert told(outcome) == (Status.FAILED, Code.ATTESTATION_TOO_OLD)
        assert outcome.message.startswith("nothing proves how old the attestation is; expected a log's promise")


def test_certificate_that_is_valid_now_is_no_proof_of_age() -> None:
    parsed = parse(identities=[IDENTITY], transparencyLogs=0, currentTime=True, maximumAge="30d")
    assert [(each.path, each.fatal) for each in parsed.problems] == [("v.maximumAge", False)]
    form = AttestationFormat.load("x", parsed.settings, parsed.certificates)
    made = sigstore.signed_envelope(I.leaf(), attestation(SUBJECT))
    evidence = evidence_of([Layer(json.dumps(sigstore.bundle(made)).encode(), None, BUNDLE_TYPE)], BUNDLE_TYPE)
    outcome = decided(form.verify(request(), evidence, datetime.now(timezone.utc)))
    assert told(outcome) == (Status.FAILED, Code.ATTESTATION_TOO_OLD)


# --- options


@pytest.mark.parametrize(("name", "uri"), PREDICATE_TYPES.items())
def test_short_name_is_the_uri_that_cosign_has_for_it(name: str, uri: str) -> None:
    assert parse(keys=["shop.pub"], predicateType=name).settings == parse(keys=["shop.pub"], predicateType=uri).settings
    assert told(found(bundle(attestation(SUBJECT, predicateType=uri)), predicateType=name)) == PASSED


@pytest.mark.parametrize(
    ("options", "place", "got"),
    [
        ({"predicateType": PREDICATE_TYPE}, "v.predicateType", "which signatures have"),
        ({"maximumAge": "30d"}, "v.maximumAge", "say nothing of when they signed"),
        ({"maximumAge": "0h", "trustRoot": "trusted_root.json"}, "v.maximumAge", "an age of nothing"),
        ({"keys": ["nobody.pub"]}, "v.keys[0]", "which names nothing"),
        ({"trustRoot": "nothing.json"}, "v.trustRoot", "which names nothing"),
        ({"identities": [IDENTITY]}, "v.identities", "this beside keys"),
    ],
)
def test_option_that_can_not_be_meant_is_told(options: dict[str, Any], place: str, got: str) -> None:
    fatal = {each.path: each.got for each in parse(**{"keys": ["shop.pub"]} | options).problems if each.fatal}
    assert got in fatal[place]


def test_configuration_of_our_own_may_name_it() -> None:
    config, problems = read(own(type="attestation", keys=["shop.pub"], predicateType="vuln"))
    assert problems == {}
    (settings,) = config.verifiers
    assert settings.artifact_types == AttestationFormat.artifact_types
    assert settings.settings["predicateType"] == PREDICATE_TYPES["vuln"]
    assert [each.what for each in entries(config)] == [f"key {Digest.of(public_der()).encoded} (verifier shop-key)"]
    shown = supportparts._CONFIGURATION["verifiers"]["settings"]  # type: ignore[index]
    assert set(settings.settings) <= set(shown)


@pytest.mark.parametrize(
    ("changes", "place", "expected"),
    [
        ({"predicateType": None}, ".predicateType", "What the attestation must be"),
        ({"predicateType": "provenance"}, ".predicateType", "a URI, or one of custom"),
        ({"predicateType": ""}, ".predicateType", "a URI, or one of custom"),
        ({"predicateType": "x:y z"}, ".predicateType", "a URI, or one of custom"),
        ({"maximumAge": "30"}, ".maximumAge", 'a length of time like "30d"'),
        ({"maximumAge": 30}, ".maximumAge", 'a length of time like "30d"'),
        ({"annotations": {}}, ".annotations", "an unknown key"),
        ({"keys": None}, "", "keys or identities"),
    ],
)
def test_form_of_the_options_is_checked(changes: dict[str, Any], place: str, expected: str) -> None:
    usual = {"type": "attestation", "keys": ["shop.pub"], "predicateType": "vuln"} | changes
    config, problems = read(own(**{name: value for name, value in usual.items() if value is not None}))
    assert config is None
    assert any(at.startswith(f"nodeseal.verifiers[0]{place}") and expected in text for at, text in problems.items())


def test_verdicts_rest_on_type_and_age() -> None:
    usual = {"type": "attestation", "keys": ["shop.pub"], "predicateType": "slsaprovenance"}
    assert ground(own(**usual)) == ground(own(**usual | {"predicateType": "slsaprovenance02"}))
    assert ground(own(**usual)) != ground(own(**usual | {"predicateType": "vuln"}))
    with_age = parse(keys=["shop.pub"], trustRoot="trusted_root.json", maximumAge="30d")
    assert with_age.settings["maximumAge"] == 30 * 86400
    assert parse(keys=["shop.pub"], trustRoot="trusted_root.json").settings["maximumAge"] is None


def test_ratify_has_no_such_verifier() -> None:
    config, problems = read(ratifys(type="attestation", name="provenance", key="shop.pub", predicateType="vuln"))
    assert config is None
    assert problems["verifier.plugins[0].type"].endswith(
        "one of cosign, notation, sbom, schemavalidator, vulnerabilityreport: no other type of verifier is supported"
    )


def test_verifier_costs_an_image_without_its_evidence_next_to_nothing() -> None:
    script = """
import sys
from agent.modes.lean import load_less
load_less()
import agent.modes.plugin, agent.modes.registry_access, agent.engine, agent.policies.threshold
before = set(sys.modules)
from agent.formats import format_class
policy = {"name": "", "scopes": ["*"], "keys": ["0" * 64], "annotations": {}}
settings = {"policies": [policy], "predicateType": "x:y", "maximumAge": 60}
form = format_class("attestation").load("provenance", settings, {"0" * 64: b""})
assert form.tags and form.exemption(None) is None
print(sorted(set(sys.modules) - before - {"agent.trust"}))
"""
    code = f"import sys\nsys.path.insert(0, {os.getcwd()!r})\n{script}"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout == "['agent.formats.attestation', 'agent.formats.cosign', 'agent.trust.signingpolicy']\n"
