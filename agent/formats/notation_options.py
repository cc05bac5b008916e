"""The options of the notation verifier, checked when a configuration is published."""

from hashlib import sha256
from typing import Mapping

from agent.codec import pem
from agent.errors import Malformed, Problem
from agent.formats import ParsedOptions
from agent.model.documents import Documents
from agent.trust import chain as chains
from agent.trust import trustpolicy


def parse(options: Mapping[str, object], documents: Documents, where: str) -> ParsedOptions:
    """Check `verificationCerts` and `trustPolicyDoc`; see `Format.parse`."""
    document = options.get("trustPolicyDoc")
    policies, problems = trustpolicy.parse(document if isinstance(document, dict) else {}, f"{where}.trustPolicyDoc")
    if not policies:
        problems.append(Problem(f"{where}.trustPolicyDoc", "no statement", "at least one trust policy statement"))
    certificates = _certificates(options.get("verificationCerts"), documents, f"{where}.verificationCerts", problems)
    settings = {
        "trustPolicies": [policy.to_json() for policy in policies],
        "trustStores": {"named": {}, "unnamed": sorted(certificates)},
    }
    return ParsedOptions(settings, certificates, tuple(problems))


def _certificates(paths: object, documents: Documents, where: str, problems: list[Problem]) -> dict[str, bytes]:
    """Every usable certificate of the documents that `paths` name: SHA-256 -> DER."""
    found: dict[str, bytes] = {}
    for i, path in enumerate(paths if isinstance(paths, list) else []):
        at = f"{where}[{i}]"
        named = documents.find(str(path))
        if not named:
            problems.append(Problem(at, f"{str(path)[:120]!r}, which names nothing", "a certificate file or directory"))
        for document in named:
            origin = f"{at}: {document.origin}"
            ders, defects = pem.contents(document.content)
            try:
                chain = [chains.parse_chain([der])[0] for der in ders]
            except Malformed as error:
                defects = (*defects, error.message)
            if defects:
                problems.append(Problem(origin, ", ".join(defects), "nothing but certificates, as PEM or DER"))
                continue
            for der, certificate in zip(ders, chain, strict=True):
                if chains.is_ca(certificate) or chains.is_self_signed(certificate):
                    found[sha256(der).hexdigest()] = der
                    continue
                subject = chains.subject_of(certificate)
                expected = "a CA or a self-signed one"
                problems.append(Problem(origin, f"the certificate {subject}", expected, fatal=False))
    if not found:
        problems.append(Problem(where, "no usable certificate", "at least one CA or self-signed certificate"))
    return found
