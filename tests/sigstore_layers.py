"""Evidence of keyless signatures in cosign's older layout, right and wrong, as `tests.sigstore_cases` has bundles."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.formats.cosign_layer import SIGNATURE
from agent.formats.cosign_vouchers import CERTIFICATE, CHAIN, LOG_ENTRY, TIMESTAMP
from agent.model.descriptor import Descriptor
from tests import signing_sigstore as sigstore
from tests.signing_cosign import Layer, payload, public_pem
from tests.signing_sigstore import Instance, Leaf, b64
from tests.sigstore_cases import DAY, MINUTE
from tests.trust.tokens import Token


class LayerCase(NamedTuple):
    """One signature in cosign's older layout; `difference` as in `Case`, and of how many logs an entry is asked for."""

    make: Callable[[Instance, Descriptor], Layer]
    counts: bool
    difference: str = ""
    logs: int = 1


def by_layer(
    instance: Instance,
    subject: Descriptor,
    content: bytes = b"",
    leaf: Leaf | None = None,
    *,
    at: datetime | None = None,
    entry: Callable[[dict[str, Any]], object] | None = None,
    body: Callable[[bytes, bytes, Leaf], bytes] | None = None,
    beside: dict[str, str | None] | None = None,
) -> Layer:
    """A keyless signature in the older layout; `beside` are other annotations, None takes one out."""
    content, leaf = content or payload(subject), leaf or instance.leaf()
    signature = sigstore.sign(leaf.private, content)
    logged = (body or (lambda c, s, signer: sigstore.hashedrekord(c, s, signer.pem)))(content, signature, leaf)
    time = int((at or sigstore.now()).timestamp())
    value: dict[str, Any] = {
        "SignedEntryTimestamp": b64(instance.promise(logged, time, 7)),
        "Payload": {
            "body": b64(logged),
            "integratedTime": time,
            "logIndex": 7,
            "logID": sigstore.sha256(sigstore.spki(instance.rekor1)).hex(),
        },
    }
    if entry:
        entry(value)
    annotations: dict[str, str | None] = {
        SIGNATURE: b64(signature),
        CERTIFICATE: leaf.pem.decode(),
        CHAIN: b"".join(each.public_bytes(Encoding.PEM) for each in (instance.issuer, instance.root)).decode(),
        LOG_ENTRY: json.dumps(value),
    }
    kept = {name: each for name, each in (annotations | (beside or {})).items() if each is not None}
    return Layer(content, kept)


def _token(signed: bytes) -> str:
    return json.dumps({"SignedRFC3161Timestamp": b64(signed)})


def _names(*addresses: str) -> list[Any]:
    return [x509.UniformResourceIdentifier(each) for each in addresses]


def stamped_layer(instance: Instance, subject: Descriptor, at: datetime) -> Layer:
    """A keyless signature in the older layout with a timestamp too."""
    leaf = instance.leaf()
    made = by_layer(instance, subject, leaf=leaf)
    assert isinstance(made.annotations, dict)
    token = instance.timestamp(base64.b64decode(made.annotations[SIGNATURE]), Token(time=at))
    return Layer(made.content, made.annotations | {TIMESTAMP: _token(token)})


def _promised_by_second(instance: Instance, subject: Descriptor) -> Layer:
    """The second Rekor promises nothing, and there is no room for its proof: only a timestamp says when."""
    leaf = instance.leaf()
    made = by_layer(
        instance, subject, leaf=leaf,
        body=lambda c, s, signer: sigstore.second_body(c, s, sigstore.certificate_verifier(signer)),
        entry=lambda e: e["Payload"].update(logID=instance.second_log_id.hex()),
    )  # fmt: skip
    assert isinstance(made.annotations, dict)
    token = instance.timestamp(base64.b64decode(made.annotations[SIGNATURE]), Token(time=sigstore.now()))
    return Layer(made.content, made.annotations | {TIMESTAMP: _token(token)})


def _stamped_alone(instance: Instance, subject: Descriptor) -> Layer:
    made = stamped_layer(instance, subject, sigstore.now())
    assert isinstance(made.annotations, dict)
    return Layer(made.content, {name: each for name, each in made.annotations.items() if name != LOG_ENTRY})


LAYERS: Mapping[str, LayerCase] = {
    "as cosign writes it": LayerCase(by_layer, True),
    "without the chain": LayerCase(lambda i, s: by_layer(i, s, beside={CHAIN: None}), True),
    "an empty chain": LayerCase(lambda i, s: by_layer(i, s, beside={CHAIN: ""}), True),
    "an old certificate, promised then": LayerCase(
        lambda i, s: by_layer(i, s, leaf=i.leaf(at=sigstore.now() - 3 * DAY), at=sigstore.now() - 3 * DAY + MINUTE),
        True,
    ),
    "an old certificate, promised now": LayerCase(
        lambda i, s: by_layer(i, s, leaf=i.leaf(at=sigstore.now() - 3 * DAY)), False
    ),
    "no log entry": LayerCase(lambda i, s: by_layer(i, s, beside={LOG_ENTRY: None}), False),
    "no certificate": LayerCase(lambda i, s: by_layer(i, s, beside={CERTIFICATE: None}), False),
    "a promise by another log": LayerCase(lambda i, s: by_layer(sigstore.instance(4), s, leaf=i.leaf()), False),
    "a promise changed": LayerCase(
        lambda i, s: by_layer(
            i, s, entry=lambda e: e["Payload"].update(integratedTime=int(sigstore.now().timestamp()) + 9)
        ),
        False,
    ),
    "another index": LayerCase(lambda i, s: by_layer(i, s, entry=lambda e: e["Payload"].update(logIndex=8)), False),
    "another signature logged": LayerCase(
        lambda i, s: by_layer(i, s, body=lambda c, s, leaf: sigstore.hashedrekord(c, b"another", leaf.pem)), False
    ),
    "another payload logged": LayerCase(
        lambda i, s: by_layer(i, s, body=lambda c, s, leaf: sigstore.hashedrekord(b"another", s, leaf.pem)), False
    ),
    "another certificate logged": LayerCase(
        lambda i, s: by_layer(i, s, body=lambda c, s, leaf: sigstore.hashedrekord(c, s, i.leaf().pem)), False
    ),
    "an entry of the second Rekor, which nothing proves": LayerCase(_promised_by_second, False),
    "an envelope logged": LayerCase(
        lambda i, s: by_layer(i, s, body=lambda c, s, leaf: sigstore.dsse_body(c, s, leaf.pem)), False
    ),
    "two subjects": LayerCase(
        lambda i, s: by_layer(i, s, leaf=i.leaf(names=[*_names("a@example.test"), *_names(sigstore.SUBJECT)])),
        False,
        "subject",
    ),
    "the issuer in the new extension alone": LayerCase(
        lambda i, s: by_layer(i, s, leaf=i.leaf(omitted=("1",))), True, "extension"
    ),
    "a timestamp that does not fit": LayerCase(
        lambda i, s: stamped_layer(i, s, sigstore.now() + timedelta(hours=-5)), False
    ),
    "a timestamp that fits": LayerCase(lambda i, s: stamped_layer(i, s, sigstore.now()), True),
    "a timestamp that is all": LayerCase(_stamped_alone, False),
    "a timestamp that is all, and no log asked for": LayerCase(_stamped_alone, True, logs=0),
    "the certificate twice": LayerCase(
        lambda i, s: by_layer(i, s, beside={CERTIFICATE: i.leaf().pem.decode() * 2}), False
    ),
    "a key as certificate": LayerCase(lambda i, s: by_layer(i, s, beside={CERTIFICATE: public_pem().decode()}), False),
    "a broken chain": LayerCase(lambda i, s: by_layer(i, s, beside={CHAIN: "-----BEGIN CERTIFICATE-----"}), False),
    "a log entry that is none": LayerCase(lambda i, s: by_layer(i, s, beside={LOG_ENTRY: "[]"}), False),
    "a log entry without a payload": LayerCase(lambda i, s: by_layer(i, s, entry=lambda e: e.pop("Payload")), False),
    "a log entry without a promise": LayerCase(
        lambda i, s: by_layer(i, s, entry=lambda e: e.pop("SignedEntryTimestamp")), False
    ),
    "an empty promise": LayerCase(
        lambda i, s: by_layer(i, s, entry=lambda e: e.update(SignedEntryTimestamp="")), False
    ),
    "a log id in capitals": LayerCase(
        lambda i, s: by_layer(i, s, entry=lambda e: e["Payload"].update(logID=e["Payload"]["logID"].upper())),
        False,
        "spelling",
    ),
    "a log id that is none": LayerCase(
        lambda i, s: by_layer(i, s, entry=lambda e: e["Payload"].update(logID="x")), False
    ),
    "a time that is a text": LayerCase(
        lambda i, s: by_layer(i, s, entry=lambda e: e["Payload"].update(integratedTime="1")), False
    ),
    "a timestamp that is none": LayerCase(lambda i, s: by_layer(i, s, beside={TIMESTAMP: "{}"}), False),
}
