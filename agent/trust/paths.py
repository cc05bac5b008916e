"""Ways from a certificate to one that is trusted, through certificates that anybody may have attached."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from agent.trust import chain as chains

MAX_SIGNATURE_CHECKS = 64
"""Most signatures checked while a way to a root is looked for: anybody can attach many certificates of one name."""


def find(
    certificate: Certificate, attached: Sequence[Certificate], trusted: Sequence[Certificate]
) -> tuple[Certificate, ...]:
    """The first way found, `certificate` first, the trusted one last; empty if there is none."""
    return _Search(attached, trusted).path(certificate)


class _Search:
    def __init__(self, attached: Sequence[Certificate], trusted: Sequence[Certificate]) -> None:
        self._candidates = [*trusted, *attached]
        self._trusted = {certificate.public_bytes(Encoding.DER) for certificate in trusted}
        self._checks_left = MAX_SIGNATURE_CHECKS

    def path(self, certificate: Certificate, depth: int = 1) -> tuple[Certificate, ...]:
        if certificate.public_bytes(Encoding.DER) in self._trusted:
            return (certificate,)
        for candidate in self._candidates:
            if candidate.subject != certificate.issuer or depth >= chains.MAX_CERTIFICATES or candidate == certificate:
                continue
            if not self._checks_left:
                return ()
            self._checks_left -= 1
            if chains.is_issued_by(certificate, candidate):
                rest = self.path(candidate, depth + 1)
                if rest:
                    return (certificate, *rest)
        return ()
