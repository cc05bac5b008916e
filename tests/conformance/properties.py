"""What a verifier of Sigstore's signatures must accept and must refuse, property by property, and where that is shown.

The properties are those of Sigstore's client specification, and of what was wrong with verifiers before (such as
CVE-2022-36056, CVE-2026-22703 and CVE-2026-49834).  A place is a case of one of the `TABLES`, written `TABLE: CASE`, or
a test, written `FILE::TEST`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.conformance.rows import ROWS
from tests.real import test_cosign_attestations, test_cosign_conformity
from tests.sigstore_bundles import ENVELOPES, OLDER, SAID
from tests.sigstore_cases import CASES
from tests.sigstore_layers import LAYERS

ACCEPT, REFUSE = True, False


class Property(NamedTuple):
    """One property, whether what has it counts, and the places."""

    said: str
    counts: bool
    shown: tuple[str, ...]


def _of(cases: Mapping[str, object], counts: Callable[..., bool]) -> dict[str, bool]:
    return {name: counts(each) for name, each in cases.items()}


TABLES: Mapping[str, Mapping[str, bool]] = {
    "evidence": _of(CASES, lambda case: case.counts),
    "message": _of(ROWS, lambda row: row.counts),
    "envelope": _of(ENVELOPES, lambda case: case.code is None),
    "version": _of(OLDER, lambda case: case.code is None),
    "statement": _of(SAID, lambda case: case.code is None),
    "layer": _of(LAYERS, lambda case: case.counts),
    "key": {case.name: not case.code for case in test_cosign_conformity.CASES},
    "beside": {each.__name__: not code for each, code, _ in test_cosign_conformity.ARRANGEMENTS},
    "attestation": {case.name: not case.code for case in test_cosign_attestations.CASES},
}
"""Each case of each table, and whether it counts; "beside" is what is found beside each other."""

_BY_IDENTITY = (
    Property("dsse 0.0.1 entry with promise, proof and checkpoint", ACCEPT, (
        "evidence: first Rekor, dsse", "evidence: first Rekor, in a later shard")),
    Property("hashedrekord 0.0.2 entry and a timestamp", ACCEPT, ("evidence: second Rekor, with a timestamp",)),
    Property("the same without a timestamp", REFUSE, (
        "evidence: second Rekor, no timestamp", "evidence: second Rekor, promised")),
    Property("a time that nobody promised", REFUSE, ("evidence: proof with a time that nobody promised",)),
    Property("dsse 0.0.2 entry", REFUSE, ("evidence: second: dsse 0.0.2",)),
    Property("timestamp, no entry, none asked for", ACCEPT, ("evidence: no log, timestamp, none asked for",)),
    Property("neither, a certificate of the present", REFUSE, ("evidence: no log, no time, valid now",)),
    Property("the same where the present counts", ACCEPT, ("evidence: no log, no time, valid now, now counts",)),
    Property("old certificate, time inside, ends included", ACCEPT, (
        "evidence: old certificate, promise inside", "evidence: old certificate, timestamp inside",
        "evidence: promise at the very end", "evidence: timestamp at the very end",
        "evidence: timestamp at the authority's very end")),
    Property("time outside of the certificate's", REFUSE, (
        "evidence: old certificate, promise after it", "evidence: old certificate, timestamp after it",
        "evidence: promise before the certificate", "evidence: timestamp before the certificate")),
    Property("two times of which one does not fit", REFUSE, (
        "evidence: promise fits, timestamp does not", "evidence: timestamp fits, promise does not")),
    Property("time in the future", REFUSE, ("evidence: promise in the future",)),
    Property("promise that does not hold", REFUSE, (
        "evidence: integrated time changed", "evidence: promise flipped", "evidence: promise by another key",
        "evidence: promised at no time", "evidence: promised when no calendar reaches")),
    Property("checkpoint that does not hold", REFUSE, (
        "evidence: checkpoint by another key", "evidence: second checkpoint by another key",
        "evidence: checkpoint with a line that nobody signed",
        "evidence: second checkpoint with a line that nobody signed",
        "evidence: checkpoint with another key's hint", "evidence: second checkpoint with another key's hint",
        "evidence: second checkpoint signed under another name",
        "evidence: checkpoint of a tree of another size", "evidence: second checkpoint of a tree of another size",
        "evidence: checkpoint of another tree", "evidence: second checkpoint of another tree",
        "evidence: checkpoint renamed", "evidence: second checkpoint renamed", "evidence: checkpoint missing")),
    Property("proof that does not hold", REFUSE, (
        "evidence: root flipped", "evidence: first: hash flipped", "evidence: hash flipped",
        "evidence: first: size changed", "evidence: size changed", "evidence: first: index changed",
        "evidence: index changed", "evidence: index outside", "evidence: proof too short", "evidence: proof too long")),
    Property("signature of a witness beside the log's", ACCEPT, (
        "evidence: first Rekor with a witness", "evidence: second Rekor with a witness")),
    Property("entry of an unknown log, none, twice the same", REFUSE, (
        "evidence: unknown log", "evidence: no entries", "evidence: entry twice")),
    Property("entry about another signature, certificate or content", REFUSE, (
        "evidence: another signature", "evidence: another certificate", "evidence: another payload",
        "evidence: message instead of envelope", "evidence: second: another signature",
        "evidence: second: another certificate", "evidence: second: another message")),
    Property("type of an entry other than what was logged", REFUSE, ("evidence: kind is not what was logged",)),
    Property("negative index", REFUSE, ("evidence: negative index",)),
    Property("index left out", ACCEPT, ("evidence: index left out",)),
    Property("forged entry where none is asked for", REFUSE, ("evidence: forged entry, none asked for",)),
    Property("timestamp of other bytes, by another authority or key", REFUSE, (
        "evidence: timestamp of other bytes", "evidence: timestamp by another authority",
        "evidence: timestamp in the authority's name by another key", "evidence: timestamp flipped")),
    Property("timestamp without certificates, beside a bad one, twice", ACCEPT, (
        "evidence: timestamp without certificates", "evidence: a wrong and a right timestamp",
        "evidence: the same timestamp twice")),
    Property("one authority counts once", REFUSE, (
        "tests/trust/test_keyless.py::test_one_authority_is_one_however_often_it_stamps",)),
    Property("one log counts once", REFUSE, ("tests/trust/test_keyless.py::test_two_logs_are_two_logs",)),
    Property("another subject or issuer, none, two issuers that differ", REFUSE, (
        "evidence: another subject", "evidence: another issuer", "evidence: no issuer", "evidence: no subject",
        "evidence: issuers that differ")),
    Property("issuer in one of the two extensions", ACCEPT, (
        "evidence: issuer in the old extension alone", "evidence: issuer in the new extension alone")),
    Property("two subjects of which the second is wanted", REFUSE, ("evidence: two subjects, the second as wanted",)),
    Property("subject that an expression covers in part", REFUSE, (
        "tests/trust/test_keyless.py::test_what_stands_in_front_of_a_pattern_counts",
        "tests/real/test_sigstore_conformity.py::test_cosign_finds_an_expression_anywhere_in_a_subject")),
    Property("no promise of a certificate log, of an unknown one, by another key", REFUSE, (
        "evidence: no SCT", "evidence: SCT of an unknown log", "evidence: SCT flipped",
        "evidence: SCT with a log's id by another key", "evidence: SCT of the log under another id")),
    Property("part of the instance that had ended", REFUSE, (
        "evidence: certificate log ended", "evidence: certificate authority ended", "evidence: first Rekor ended",
        "evidence: second Rekor ended", "evidence: timestamp authority ended")),
    Property("one certificate log counts once", REFUSE, (
        "tests/trust/test_keyless.py::test_one_certificate_log_is_one_however_often_it_promises",)),
    Property("issuer that was not valid then", REFUSE, (
        "tests/trust/test_keyless.py::test_each_issuer_was_valid_when_it_was_signed",)),
    Property("certificate for something else, by another authority, by itself", REFUSE, (
        "evidence: not for signing code", "evidence: another certificate authority", "evidence: signed by itself",
        "evidence: another authority of the same name")),
    Property("evidence of another instance", REFUSE, (
        "message: another instance", "tests/trust/test_keyless.py::test_evidence_of_one_instance_is_nothing_in_another",
        "tests/formats/test_cosign_sigstore.py::test_instances_are_never_merged")),
    Property("P-384 by either hash, RSA, Ed25519", ACCEPT, (
        "evidence: P-384 with SHA-384", "evidence: P-384 with SHA-256", "evidence: RSA-2048", "evidence: Ed25519")),
)  # fmt: skip

_BUNDLES = (
    Property("statement about something else, or none", REFUSE, (
        "statement: another image", "statement: no subject", "statement: no subjects", "statement: digest in capitals",
        "statement: digest of another algorithm", "statement: not JSON", "key: statement other digest",
        "key: statement no subject", "key: statement uppercase", "key: statement other algorithm",
        "key: bundle not JSON")),
    Property("older statement, second of two subjects, further digest", ACCEPT, (
        "statement: older statement", "statement: second of two subjects",
        "statement: further digest that is another's", "key: statement v0.1", "key: statement second subject")),
    Property("statement of an unknown type", REFUSE, ("statement: unknown type", "key: statement unknown type")),
    Property("statement with an unknown member", ACCEPT, (
        "statement: unknown member", "key: statement unknown member")),
    Property("member that stands twice", REFUSE, ("statement: subjects twice", "key: statement subject twice")),
    Property("attestation where a signature is wanted", REFUSE, (
        "statement: attestation", "key: bundle attestation", "key: bundle unknown predicate")),
    Property("envelope with two signatures or none, of another type, that does not hold", REFUSE, (
        "envelope: two signatures", "envelope: the same signature twice", "envelope: no signature",
        "envelope: another payload type", "envelope: another payload type, signed", "envelope: signature flipped",
        "envelope: payload swapped", "envelope: signature by another key, logged so", "key: bundle two signatures",
        "key: bundle other payload type", "key: bundle signature junk")),
    Property("versions 0.1 and 0.2", ACCEPT, (
        "version: 0.1", "version: 0.2", "key: bundle v0.1", "key: bundle v0.2")),
    Property("version 0.1 by a promise alone", ACCEPT, (
        "version: 0.1, no proof", "message: version 0.1, a promise alone")),
    Property("older versions without what they need", REFUSE, (
        "version: 0.1, no promise", "version: 0.2, no proof", "version: 0.2, no promise")),
    Property("versions that there are not", REFUSE, (
        "envelope: version 0.4", "envelope: version 0.3.1", "envelope: no version", "key: bundle v0.4",
        "key: bundle v0.3.1", "key: bundle no version", "message: unknown version")),
    Property("version 0.3 with a chain, unknown member", REFUSE, (
        "version: 0.3, a chain", "message: version 0.3, a chain", "envelope: unknown member",
        "key: bundle unknown member", "message: unknown member")),
    Property("key where an identity is wanted, certificate where a key is", REFUSE, (
        "envelope: a key's hint", "message: key instead of an identity", "message: identity instead of a key",
        "key: bundle certificate",
        "tests/formats/test_cosign_sigstore.py::test_key_is_no_identity_and_a_certificate_is_no_key")),
    Property("bad bundle, or rubbish, beside a good one", ACCEPT, (
        "beside: good_and_bad_bundle", "beside: good_bundle_and_rubbish", "beside: rubbish_bundle_and_good_layer",
        "beside: strangers_bundle_and_good_layer")),
    Property("bundle of another image", REFUSE, (
        "beside: bundle_of_another_image",
        "tests/real/test_sigstore_signing.py::test_evidence_of_another_image_is_none")),
    Property("message's signature on an image", REFUSE, (
        "key: bundle message",
        "tests/real/test_cosign_conformity.py::test_signature_over_the_manifest_itself_is_none",
        "tests/real/test_sigstore_signing.py::test_signature_over_the_manifest_itself_is_none")),
)  # fmt: skip

_KEYS = (
    Property("every kind of key", ACCEPT, tuple(
        f"key: {how} {kind}" for how in ("layer", "bundle") for kind in test_cosign_conformity.KINDS)),
    Property("hash of the key's curve", ACCEPT, (
        "key: layer P-384 SHA-384", "key: bundle P-384 SHA-384", "key: bundle P-521 SHA-512")),
    Property("weak and unknown keys", REFUSE, (
        "tests/real/test_cosign_conformity.py::"
        "test_key_that_cosign_takes_and_that_is_too_weak_is_refused_when_it_is_configured",
        "tests/trust/test_publickeys.py::test_key_of_another_kind_is_refused")),
    Property("another hash, another padding", REFUSE, (
        "key: layer PSS", "key: layer P-256 SHA-384", "key: bundle P-256 SHA-384")),
    Property("signature with a key in a log of either kind, without a time", ACCEPT, (
        "message: key, logged",
        "tests/formats/test_cosign_sigstore.py::test_signature_with_a_key_has_to_be_in_the_log_that_is_asked_for",
        "tests/real/test_sigstore_signing.py::test_image_signed_with_a_key_is_pulled_if_a_log_keeps_the_signature")),
    Property("signature with a key that no log has, or another key's", REFUSE, (
        "key: layer wrong key", "key: bundle wrong key", "message: another key", "message: key, another message logged",
        "tests/formats/test_cosign_sigstore.py::test_layer_with_a_key_has_to_be_in_the_log_that_is_asked_for")),
)  # fmt: skip

_LAYERS = (
    Property("payload of another image, or that can't be read for sure", REFUSE, (
        "key: payload other digest", "key: payload uppercase", "key: payload not JSON", "key: payload trailing bytes")),
    Property("name in the payload, and what is optional", ACCEPT, (
        "key: payload other name", "key: payload empty name", "key: payload optional",
        "key: payload unknown critical")),
    Property("payload of another type, names in other letters or twice", REFUSE, (
        "key: payload other type", "key: payload empty type", "key: payload other case", "key: payload twice")),
    Property("annotation that is wanted", ACCEPT, ("key: annotation there", "key: bundle annotation there")),
    Property("annotation missing, different, no text", REFUSE, (
        "key: annotation missing", "key: annotation different", "key: annotation no text",
        "key: bundle annotation missing")),
    Property("layer without a signature", REFUSE, (
        "key: layer without signature", "key: layer empty signature", "key: layer no base64", "key: layer junk")),
    Property("layer of another media type", REFUSE, ("key: layer other media type",)),
    Property("bad layers beside a good one", ACCEPT, ("key: layers bad and good", "key: layers good and bad")),
    Property("by identity, with and without the chain, promised then", ACCEPT, (
        "layer: as cosign writes it", "layer: without the chain", "layer: an old certificate, promised then")),
    Property("by identity, promised by another log, about something else, too late", REFUSE, (
        "layer: a promise by another log", "layer: a promise changed", "layer: another signature logged",
        "layer: another payload logged", "layer: another certificate logged", "layer: an envelope logged",
        "layer: an old certificate, promised now")),
    Property("by identity, without an entry", REFUSE, ("layer: no log entry", "layer: a timestamp that is all",
        "layer: an entry of the second Rekor, which nothing proves")),
    Property("by identity, a timestamp where no log is asked for", ACCEPT, (
        "layer: a timestamp that is all, and no log asked for",)),
    Property("by identity, the issuer in the new extension", ACCEPT, ("layer: the issuer in the new extension alone",)),
    Property("by identity, two subjects", REFUSE, ("layer: two subjects",)),
    Property("attestation", ACCEPT, (
        "attestation: layer", "attestation: bundle", "attestation: layer v0.1", "attestation: bundle v0.1")),
    Property("attestation of something else, by somebody else, of another type", REFUSE, (
        "attestation: layer other subject", "attestation: layer no subject", "attestation: layer payload type",
        "attestation: layer other key", "attestation: layer other type", "attestation: bundle other subject",
        "attestation: bundle no subject", "attestation: bundle payload type", "attestation: bundle other key",
        "attestation: bundle other type")),
    Property("attestation whose annotation lies", REFUSE, ("attestation: layer annotation lies",)),
    Property("signature of the index for a platform's manifest, and the other way", REFUSE, (
        "tests/real/test_cosign_pulls.py::test_image_that_is_not_signed_as_it_must_be_is_not_pulled",)),
)  # fmt: skip

PROPERTIES = (*_BY_IDENTITY, *_BUNDLES, *_KEYS, *_LAYERS)
