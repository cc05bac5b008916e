"""The options of a `cosign` verifier that concern Sigstore: checked when a configuration is published, not on a pull.

Our own: `identities`, `trustRoot`, and how much is asked for.  Ratify's: `keyless`, `tLogVerify`; the public instance,
which Ratify asks, is trusted if its `trusted_root.json` stands in the configuration.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from agent.errors import Problem
from agent.model.documents import Sources
from agent.trust import signeridentity, trustedroot_document
from agent.trust.keyless import Demands
from agent.trust.signeridentity import ANYWHERE, EXACT, WHOLE, Pattern, SignerIdentity
from agent.trust.sigstoredemands import SigstoreDemands
from agent.trust.trustedroot import TrustedRoot

IDENTITIES, TRUST_ROOT = "identities", "trustRoot"
LOGS, TIMESTAMPS, CERTIFICATE_LOGS = "transparencyLogs", "timestamps", "certificateLogs"
CURRENT_TIME = "currentTime"
DEFAULT_ROOT = trustedroot_document.USUAL_NAME
"""The document that is meant where none is named."""

CERTIFICATE_LOG = "ctLogVerify"
_OWN_DEMANDS = (LOGS, TIMESTAMPS, CERTIFICATE_LOGS, CURRENT_TIME)
_RATIFY_SUBJECT, _RATIFY_ISSUER = "certificateIdentity", "certificateOIDCIssuer"

Object = Mapping[str, object]


class SigstoreReading:
    """Reads what concerns Sigstore; `found` (DER by SHA-256) and `problems` are added to."""

    def __init__(self, sources: Sources, found: dict[str, bytes], problems: list[Problem]) -> None:
        """Keep them."""
        self._sources = sources
        self._found = found
        self._problems = problems

    def own(self, options: Object, where: str) -> Object:
        """What a verifier of our own asks for, as a snapshot holds it; empty if it concerns keys alone."""
        identities = tuple(
            self._identity(each, f"{where}.{IDENTITIES}[{i}]")
            for i, each in enumerate(cast("Sequence[Object]", options.get(IDENTITIES, [])))
        )
        if not identities and TRUST_ROOT not in options:
            for name in _OWN_DEMANDS:
                if name in options:
                    self._tell(f"{where}.{name}", "this beside keys alone", f"{TRUST_ROOT}, whose logs are meant")
            return {}
        if not identities:
            for name in (CERTIFICATE_LOGS, CURRENT_TIME):
                if name in options:
                    self._tell(f"{where}.{name}", "this beside keys", f"{IDENTITIES}: a key has no certificate")
        given = options.get(TRUST_ROOT, DEFAULT_ROOT)
        demands = Demands(
            cast("int", options.get(LOGS, 1)),
            cast("int", options.get(TIMESTAMPS, 0)),
            cast("int", options.get(CERTIFICATE_LOGS, 1)) if identities else 0,
            options.get(CURRENT_TIME) is True,
        )
        paths = [str(each) for each in given] if isinstance(given, list) else [str(given)]
        return self._demands(paths, identities, demands, f"{where}.{TRUST_ROOT}")

    def logged(self, where: str, otherwise: str) -> Object:
        """That keys' signatures are in a log, if Ratify's configuration asks for it; `otherwise`: how it would not."""
        if self._sources.file(DEFAULT_ROOT) is None:
            got = f"a transparency log, and no document {DEFAULT_ROOT} that says which ones are trusted"
            self._tell(where, got, f"that document (nodeseal trust-root update), nodeseal.trustRoots, or {otherwise}")
            return {}
        return self._demands([DEFAULT_ROOT], (), Demands(certificate_logs=0), where)

    def keyless(self, value: Object, where: str, *, logged: bool) -> Object:
        """Ratify's `keyless`; `logged` is what its `tLogVerify` says."""
        identity = SignerIdentity(
            self._of_ratify(value, _RATIFY_ISSUER, where), self._of_ratify(value, _RATIFY_SUBJECT, where)
        )
        self._check(identity, where)
        if not logged:
            got = "no log, so that no time of signing is known but by a timestamp"
            expected = "a log: without, a signature counts while its certificate is valid, which is minutes"
            self._tell(where, got, expected, fatal=False)
        certificate_logs = 0 if value.get(CERTIFICATE_LOG, True) is False else 1
        demands = Demands(int(logged), 0, certificate_logs, now_counts=not logged)
        return self._demands([DEFAULT_ROOT], (identity,), demands, where)

    def _identity(self, value: Object, where: str) -> SignerIdentity:
        claims = cast("Mapping[str, str]", value.get("claims", {}))
        identity = SignerIdentity(
            self._pattern(value, "issuer", WHOLE, where), self._pattern(value, "subject", WHOLE, where), claims
        )
        self._check(identity, where)
        return identity

    def _of_ratify(self, value: Object, name: str, where: str) -> Pattern:
        pattern = self._pattern(value, name, ANYWHERE, where)
        if pattern.kind == ANYWHERE and pattern.text:
            got = f"{pattern.text[:80]!r}, which Ratify finds anywhere in a text"
            self._tell(f"{where}.{name}RegExp", got, "^ in front and $ behind, unless that is meant", fatal=False)
        return pattern

    def _pattern(self, value: Object, name: str, kind: str, where: str) -> Pattern:
        """What stands under `name`, or under `nameRegExp`: one of them must."""
        expression = f"{name}RegExp"
        if (name in value) == (expression in value):
            got = "both" if name in value else "neither"
            self._tell(where, f"{got} of {name} and {expression}", "exactly one of them")
            return Pattern(EXACT, "")
        pattern = Pattern(EXACT, str(value[name])) if name in value else Pattern(kind, str(value[expression]))
        if defect := signeridentity.defect(pattern):
            self._tell(f"{where}.{name if name in value else expression}", defect, "a text, or what RE2 takes")
            return Pattern(EXACT, "")
        return pattern

    def _check(self, identity: SignerIdentity, where: str) -> None:
        """Tell of what leaves nobody out."""
        for name, pattern in (("issuer", identity.issuer), ("subject", identity.subject)):
            if signeridentity.is_for_all(pattern):
                self._tell(where, f"{pattern.text[:80]!r}, which every {name} matches", "one of yours", fatal=False)

    def _demands(
        self, paths: Sequence[str], identities: Sequence[SignerIdentity], demands: Demands, where: str
    ) -> Object:
        roots = [root for path in paths if (root := self._root(path, where, demands)) is not None]
        return SigstoreDemands(tuple(roots), tuple(identities), demands).to_json()

    def _root(self, path: str, where: str, demands: Demands) -> TrustedRoot | None:
        document = self._sources.file(path)
        if document is None:
            expected = "the trusted root of a Sigstore instance: nodeseal trust-root update, or nodeseal.trustRoots"
            self._tell(where, f"{path[:120]!r}, which names nothing", expected)
            return None
        read = trustedroot_document.read(document.name, document.content, f"{where}: {document.origin}")
        self._problems += read.problems
        if read.root is None:
            return None
        for asked, there, what in (
            (demands.logs, read.root.transparency_logs, "transparency logs"),
            (demands.timestamps, read.root.timestamp_authorities, "timestamp authorities"),
            (demands.certificate_logs, read.root.certificate_logs, "certificate logs"),
        ):
            if asked > len(there):
                self._tell(where, f"{document.origin}, with {len(there)} {what}", f"one with at least {asked}")
        self._found |= read.material
        return read.root

    def _tell(self, where: str, got: str, expected: str, *, fatal: bool = True) -> None:
        self._problems.append(Problem(where, got, expected, fatal))
