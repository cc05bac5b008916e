"""A certificate authority of the tests' own: chains whose certificates name OCSP responders and revocation lists.

Pure: it makes certificates and the bytes that are answered about them.  `tests.simulators.responder` answers with them.

    acme = authority("acme", "http://127.0.0.1:8889", ocsp=(0, 1))
    acme.answer(0)                                        an OCSP answer about the signing certificate: good
    acme.answer(0, Ocsp(status=OCSPCertStatus.REVOKED))   and another one
    acme.listing(1, List(entries=(acme.entry(1),)))       the list on which the intermediate's certificate is

What can be said of answers and lists is in `tests.trust.answers`.
"""

from typing import Any, NamedTuple, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.signing import Key, Profile, Signer, ca_profile, certificate, key, name, signer
from tests.simulators import der
from tests.trust.answers import (
    GOOD_ANSWER,
    GOOD_LIST,
    Entry,
    List,
    Ocsp,
    asked_at,
    listed_at,
    ocsp_answer,
    revocation_list,
)

_ROOT = 99
"""Number of every root's key, behind the thousands of its authority."""

_SERVED_AS_MALFORMED = b"\x30\x03\x0a\x01\x01"


class Authority(NamedTuple):
    """A signer's chain and the numbers of its keys, signing certificate first.  A depth is a place in the chain."""

    label: str
    base: str
    signer: Signer
    key_numbers: tuple[int, ...]

    @property
    def root(self) -> x509.Certificate:
        """What a trust store holds."""
        return self.signer.root

    def responder(self, depth: int) -> str:
        """The path at which is answered about the certificate at `depth`."""
        return f"/ocsp/{self.label}/{depth}"

    def list_path(self, depth: int, what: str = "base") -> str:
        """The path of the list on which the certificate at `depth` would be."""
        return f"/crl/{self.label}/{depth}/{what}"

    def answer(self, depth: int, made: Ocsp = GOOD_ANSWER) -> bytes:
        """An OCSP answer about the certificate at `depth`, by its issuer."""
        chain = self.signer.chain
        return ocsp_answer(chain[depth], chain[depth + 1], self.key_numbers[depth + 1], made)

    def revoked(self, depth: int) -> bytes:
        """The answer that the certificate at `depth` was revoked."""
        return self.answer(depth, Ocsp(status=ocsp.OCSPCertStatus.REVOKED))

    def delegated(self, depth: int, *purposes: x509.ObjectIdentifier, by: "Authority | None" = None) -> bytes:
        """A good answer by somebody with a certificate for `purposes`, that the issuer (or that of `by`) gave them."""
        number = self.key_numbers[depth] + 50
        profile = Profile(name("Responder"), purposes=purposes, key_number=number)
        giver = by or self
        issuer = Profile(giver.signer.chain[depth + 1].subject, key_number=giver.key_numbers[depth + 1])
        return self.answer(depth, Ocsp(delegate=certificate(profile, issuer), signed_with=number))

    def entry(self, depth: int, **changes: Any) -> Entry:
        """What a list says of the certificate at `depth`: revoked."""
        return Entry(self.signer.chain[depth].serial_number)._replace(**changes)

    def listing(self, depth: int, made: List = GOOD_LIST) -> bytes:
        """A list by the issuer of the certificate at `depth`."""
        return revocation_list(self.signer.chain[depth + 1], self.key_numbers[depth + 1], made)

    def timeless(self, depth: int) -> bytes:
        """A list that does not say when the next one comes."""
        return without_next_update(self.listing(depth), key("P-256", self.key_numbers[depth + 1]))


def authority(
    label: str,
    base: str,
    *,
    number: int,
    intermediates: int = 1,
    ocsp: Sequence[int] = (),
    crl: Sequence[int] = (),
    freshest_at: Sequence[int] = (),
    leaf: Profile | None = None,
    tsa: bool = False,
) -> Authority:
    """A chain under `base`, an HTTP address; `ocsp` and `crl` are the depths of those certificates that name a source.

    Authorities of one `number` have the same keys, so that they are made quickly.  Each `label` has its own addresses.
    """
    made = leaf or (_tsa_profile(label) if tsa else Profile(name(f"{label}.example.com")))
    numbers = tuple(1000 * number + depth for depth in range(intermediates + 1)) + (1000 * number + _ROOT,)
    drawn = Authority(label, base, Signer((), "", 0), numbers)

    def sources(depth: int) -> tuple[x509.ExtensionType, ...]:
        found: list[x509.ExtensionType] = []
        if depth in ocsp:
            found.append(asked_at(base + drawn.responder(depth)))
        if depth in crl:
            found.append(listed_at(base + drawn.list_path(depth)))
        if depth in freshest_at:
            point = x509.UniformResourceIdentifier(base + drawn.list_path(depth, "delta"))
            found.append(x509.FreshestCRL([x509.DistributionPoint([point], None, None, None)]))
        return tuple(found)

    issuers = [
        ca_profile(
            f"{label} {'Issuing CA ' + str(depth) if depth <= intermediates else 'Root CA'}",
            key_number=numbers[depth],
            extensions=sources(depth),
        )
        for depth in range(1, intermediates + 2)
    ]
    signed = signer(made._replace(key_number=numbers[0], extensions=(*made.extensions, *sources(0))), *issuers)
    return drawn._replace(signer=signed)


def _tsa_profile(label: str) -> Profile:
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    return Profile(name(f"{label}.example.com"), purposes=(), critical_extensions=(purpose,))


def without_next_update(listing: bytes, private: Key) -> bytes:
    """A revocation list without its nextUpdate, signed again."""
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    (_, to_be_signed), algorithm, _ = der.values(der.read(listing)[1])
    parts = [der.tlv(*part) for part in der.values(to_be_signed)]
    altered = der.sequence(*parts[:4], *parts[5:])  # version, algorithm, issuer, thisUpdate, nextUpdate, ...
    raw = private.sign(altered, ec.ECDSA(hashes.SHA256()))
    return der.sequence(altered, der.tlv(*algorithm), der.tlv(0x03, b"\x00", raw))


def refusal() -> bytes:
    """An OCSP answer that says nothing but that the question was malformed."""
    return _SERVED_AS_MALFORMED


def key_pem(made: Signer) -> bytes:
    """A signer's private key, as the `notation` command reads it."""
    return key(made.kind, made.key_number).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def chain_pem(made: Signer) -> bytes:
    """A signer's chain, as the `notation` command reads it."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in made.chain)
