"""Certificates that a configuration trusts: read from documents when it is published, never on a pull.

A document holds certificates and nothing else, as PEM or DER; `Rule` says which of them may be trusted for a purpose.
What is wrong is collected, and no private key is shown.
"""

from hashlib import sha256
from typing import Callable, Iterable, Mapping, NamedTuple

from cryptography.x509 import Certificate

from agent.codec import pem
from agent.errors import Malformed, Problem
from agent.model.documents import Document, Documents
from agent.trust import chain as chains


class Rule(NamedTuple):
    """Which certificates may be trusted for a purpose.

    `expected` says it to a person.  Where another one is not an `error`, it is left out with a warning.
    """

    accepts: Callable[[Certificate], bool]
    expected: str
    error: bool = False


def is_ca_or_self_signed(certificate: Certificate) -> bool:
    """Whether signers may be checked against it: a CA, or a signer's own certificate."""
    return chains.is_ca(certificate) or chains.is_self_signed(certificate)


def is_root_ca(certificate: Certificate) -> bool:
    """Whether it is a CA that nobody stands above."""
    return chains.is_ca(certificate) and chains.is_self_signed(certificate)


SIGNERS = Rule(is_ca_or_self_signed, "a CA or a self-signed one")
SERVERS = Rule(is_ca_or_self_signed, "a CA's, or the one of a server that has signed it itself")
ROOTS = Rule(is_root_ca, "a root: a CA that is self-signed")


def read(documents: Iterable[Document], where: str, rule: Rule, problems: list[Problem]) -> dict[str, bytes]:
    """Every certificate of `documents` that `rule` accepts: SHA-256 (hexadecimal) -> DER."""
    found: dict[str, bytes] = {}
    for document in documents:
        origin = f"{where}: {document.origin}"
        ders, defects = pem.contents(document.content)
        try:
            certificates = [chains.parse_chain([der])[0] for der in ders]
        except Malformed as error:
            defects = (*defects, error.message)
        if defects:
            problems.append(Problem(origin, ", ".join(defects), "nothing but certificates, as PEM or DER"))
            continue
        for der, certificate in zip(ders, certificates, strict=True):
            if rule.accepts(certificate):
                found[sha256(der).hexdigest()] = der
                continue
            subject = chains.subject_of(certificate)
            problems.append(Problem(origin, f"the certificate {subject}", rule.expected, fatal=rule.error))
    return found


def accepted(certificates: Mapping[str, bytes], rule: Rule) -> dict[str, bytes]:
    """Those of some certificates from `read` that `rule` accepts as well."""
    return {name: der for name, der in certificates.items() if rule.accepts(chains.parse_chain([der])[0])}


def read_paths(
    paths: object, documents: Documents, where: str, rule: Rule, problems: list[Problem]
) -> dict[str, bytes]:
    """Every certificate that an option's list of `paths` names and `rule` accepts.  None at all is an error."""
    found: dict[str, bytes] = {}
    for i, path in enumerate(paths if isinstance(paths, list) else []):
        at = f"{where}[{i}]"
        named = documents.find(str(path))
        if not named:
            problems.append(Problem(at, f"{str(path)[:120]!r}, which names nothing", "a certificate file or directory"))
        found |= read(named, at, rule, problems)
    if not found:
        problems.append(Problem(where, "no usable certificate", f"at least one certificate: {rule.expected}"))
    return found
