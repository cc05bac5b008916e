"""Ways from a certificate to one that is trusted, through certificates that anybody may have attached."""

from collections.abc import Sequence

from cryptography.x509 import Certificate

from agent.trust import chain as chains

MAX_SIGNATURE_CHECKS = 64
"""Most signatures checked while a way to a root is looked for: anybody can attach many certificates of one name."""


def find(
    certificate: Certificate, attached: Sequence[Certificate], trusted: Sequence[Certificate]
) -> tuple[Certificate, ...]:
    """The shortest way, `certificate` first, the trusted one last; empty if there is none.

    Looked for from what is trusted downwards, so that no signature is checked with a key that nobody trusted has
    signed: checking costs what a key makes it cost, and a stranger's may cost a thousand times what usual ones do.
    """
    if certificate in trusted:
        return (certificate,)
    ways: list[tuple[Certificate, ...]] = [(each,) for each in dict.fromkeys(trusted)]
    others = [each for each in dict.fromkeys((certificate, *attached)) if each not in trusted]
    checks_left = MAX_SIGNATURE_CHECKS
    for way in ways:  # which grows meanwhile
        if len(way) >= chains.MAX_CERTIFICATES:
            break
        for candidate in [each for each in others if each.issuer == way[0].subject]:
            if not checks_left:
                return ()
            checks_left -= 1
            if not chains.is_issued_by(candidate, way[0]):
                continue
            found = (candidate, *way)
            if candidate == certificate:
                return found
            others.remove(candidate)
            ways.append(found)
    return ()
