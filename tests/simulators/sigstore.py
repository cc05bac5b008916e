"""Sigstore's services as cosign calls them: a certificate authority, the second Rekor, a timestamp authority.

What they answer is made by `tests.signing_sigstore`; `tests.simulators.responder` puts it on HTTP.

    with Responder(socket.create_server(("127.0.0.1", 0))) as responder:
        services(responder, instance)
"""

import base64
import json
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from tests.signing_sigstore import ISSUER, SUBJECT, Instance, b64, canonical, now
from tests.simulators import tsa
from tests.simulators.responder import Responder

CERTIFICATES, ENTRIES, TIMESTAMPS = "/api/v2/signingCert", "/api/v2/log/entries", "/api/v1/timestamp"
_JSON = "application/json"


def services(responder: Responder, instance: Instance, subject: str = SUBJECT) -> None:
    """Serve what `instance` answers.  Whoever asks for a certificate gets one for `subject`, an address."""
    responder.serve(CERTIFICATES, lambda body: _certified(body, instance, subject), _JSON)
    responder.serve(ENTRIES, lambda body: _logged(body, instance), _JSON, status=201)
    responder.serve(TIMESTAMPS, lambda body: tsa.answer(body, instance.tsa), tsa.REPLY_TYPE)


def identity_token() -> str:
    """What an identity provider would give a build: nobody checks who signed it here."""
    claims = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": "sigstore",
        "iat": int(now().timestamp()),
        "exp": int((now() + timedelta(hours=1)).timestamp()),
    }
    parts = (canonical({"alg": "RS256", "typ": "JWT"}), canonical(claims), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _certified(body: bytes, instance: Instance, subject: str) -> bytes:
    """For a key, which the client's proof of possessing it is not asked for."""
    asked = json.loads(body)
    public: object
    if "publicKeyRequest" in asked:
        public = load_pem_public_key(asked["publicKeyRequest"]["publicKey"]["content"].encode())
    else:
        public = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"])).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    names = [x509.UniformResourceIdentifier(subject)]
    leaf = instance.leaf(public=public, at=now() - timedelta(seconds=5), names=names).certificate
    chain = [each.public_bytes(Encoding.PEM).decode() for each in (leaf, instance.issuer, instance.root)]
    return canonical({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}})


def _logged(body: bytes, instance: Instance) -> bytes:
    asked: dict[str, Any] = json.loads(body)["hashedRekordRequestV002"]
    spec = {"data": {"algorithm": "SHA2_256", "digest": asked["digest"]}, "signature": asked["signature"]}
    content = canonical({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": spec}})
    entry = instance.second_entry(content)
    assert entry["canonicalizedBody"] == b64(content)
    return canonical(entry)
