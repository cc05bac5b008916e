"""The options of a `cosign` verifier: checked when a configuration is published, never on a pull.

Three forms.  Our own: `keys` or `identities`, how many of them, and `annotations` that must be in what was signed; it
looks at cosign's tags by itself.  Ratify's: `trustPolicies`, which say which keys or identities count for which
images.  Ratify's older one: `key`.  Under both of Ratify's it is the store's `cosignEnabled` that says whether tags are
looked at.

No log is asked over the network: what one promised, and signed, comes with a signature.  What that is checked with is a
trusted root (`agent.formats.cosign_sigstore_options`).  Every problem is collected.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from agent.errors import Problem, UsageError
from agent.formats import ParsedOptions
from agent.formats.cosign_sigstore_options import IDENTITIES, SigstoreReading
from agent.model.digest import Digest
from agent.model.documents import Document, Sources
from agent.trust import publickeys
from agent.trust.signingpolicy import EVERYTHING, SigningPolicy, overlap

KEYS, ANNOTATIONS, THRESHOLD = "keys", "annotations", "threshold"
KEY, REKOR, TRUST_POLICIES = "key", "rekorURL", "trustPolicies"
TLOG, KEYLESS, SCOPES = "tLogVerify", "keyless", "scopes"

MAX_KEYS = 16
"""Most keys of one statement: each is tried for each signature."""

Object = Mapping[str, object]


def parse(options: Object, sources: Sources, where: str) -> ParsedOptions:
    """Check a verifier's options; see `Format.parse`."""
    reading = _Reading(sources, where)
    own = KEYS in options or IDENTITIES in options
    if own:
        policies = reading.own(options)
    elif TRUST_POLICIES in options:
        policies = reading.trust_policies(options)
    else:
        policies = reading.old(options)
    settings = {"policies": [policy.to_json() for policy in policies], "tags": own}
    return ParsedOptions(settings, reading.found, tuple(reading.problems))


class _Reading:
    """Reads one verifier's options; `found` are the keys by fingerprint, `problems` everything told so far."""

    def __init__(self, sources: Sources, where: str) -> None:
        self._sources = sources
        self._where = where
        self.found: dict[str, bytes] = {}
        self.problems: list[Problem] = []
        self._sigstore = SigstoreReading(sources, self.found, self.problems)

    def own(self, options: Object) -> list[SigningPolicy]:
        """`keys` or `identities`, and `annotations`."""
        at = f"{self._where}.{KEYS}"
        listed = [
            self._provided(str(each.get("provider")), f"{at}[{i}]")
            if isinstance(each, dict)
            else self._file(str(each), f"{at}[{i}]")
            for i, each in enumerate(cast("Sequence[object]", options.get(KEYS, [])))
        ]
        if KEYS in options and IDENTITIES in options:
            expected = "one of both: a verifier for each, and a policy that says `any` of them"
            self.problems.append(Problem(f"{self._where}.{IDENTITIES}", f"this beside {KEYS}", expected))
        keys = self._together(listed, at) if KEYS in options else ()
        wanted = options.get(ANNOTATIONS)
        annotations = dict(wanted) if isinstance(wanted, dict) else {}
        sigstore = self._sigstore.own(options, self._where)
        return [SigningPolicy("", (EVERYTHING,), keys, annotations, sigstore, self._threshold(options, keys))]

    def _threshold(self, options: Object, keys: Sequence[str]) -> int:
        """How many different signers are wanted; more than there can be is an error."""
        threshold = cast("int", options.get(THRESHOLD, 1))
        identities = cast("Sequence[Object]", options.get(IDENTITIES, []))
        exact = all("issuer" in each and "subject" in each for each in identities)
        most = len(identities) if identities else len(keys)
        if exact and most and threshold > most:
            expected = f"at most {most}, as many as can sign"
            self.problems.append(Problem(f"{self._where}.{THRESHOLD}", str(threshold), expected))
        return threshold

    def old(self, options: Object) -> list[SigningPolicy]:
        """`key` alone.  Ratify asks for a log if `rekorURL` is there, and takes anybody's certificate without a key."""
        at = f"{self._where}.{KEY}"
        path = options.get(KEY)
        if not isinstance(path, str) or not path:
            got = "neither a key nor trust policies: anybody's signature that Sigstore's public service vouches for"
            self.problems.append(Problem(at, got, f"the path of a public key here, or {TRUST_POLICIES}"))
            return []
        sigstore = self._sigstore.logged(f"{self._where}.{REKOR}", "no such key") if REKOR in options else {}
        return [SigningPolicy("", (EVERYTHING,), self._together([self._file(path, at)], at), sigstore=sigstore)]

    def trust_policies(self, options: Object) -> list[SigningPolicy]:
        """Ratify's trust policies, each with a name and scopes of its own."""
        for name in (KEY, REKOR):
            if name in options:
                expected = f"one of both: what stands in {TRUST_POLICIES} decides"
                self.problems.append(Problem(f"{self._where}.{name}", f"this beside {TRUST_POLICIES}", expected))
        policies: list[SigningPolicy] = []
        for i, value in enumerate(cast("Sequence[Object]", options[TRUST_POLICIES])):
            at = f"{self._where}.{TRUST_POLICIES}[{i}]"
            name = str(value["name"])
            if any(policy.name == name for policy in policies):
                self.problems.append(Problem(f"{at}.name", f"{name[:80]!r} again", "a name of its own"))
            scopes = self._scopes(cast("Sequence[str]", value[SCOPES]), f"{at}.{SCOPES}", policies)
            policies.append(self._trust_policy(name, scopes, value, at))
        return policies

    def _trust_policy(self, name: str, scopes: tuple[str, ...], policy: Object, where: str) -> SigningPolicy:
        """One, with keys or with an identity."""
        if REKOR in policy:
            got = "a transparency log that nothing is asked of"
            self.problems.append(Problem(f"{where}.{REKOR}", got, "no such key: it has no effect here", fatal=False))
        logged = policy.get(TLOG, True) is not False
        if KEYLESS not in policy:
            sigstore = self._sigstore.logged(f"{where}.{TLOG}", "false") if logged else {}
            return SigningPolicy(name, scopes, self._keys_of(policy, where), sigstore=sigstore)
        if KEYS in policy:
            self.problems.append(Problem(f"{where}.{KEYLESS}", f"this beside {KEYS}", "one of both"))
        keyless = self._sigstore.keyless(cast("Object", policy[KEYLESS]), f"{where}.{KEYLESS}", logged=logged)
        return SigningPolicy(name, scopes, (), sigstore=keyless)

    def _keys_of(self, policy: Object, where: str) -> tuple[str, ...]:
        """The keys of a trust policy."""
        at = f"{where}.{KEYS}"
        listed = []
        for i, key in enumerate(cast("Sequence[Object]", policy.get(KEYS, []))):
            if ("file" in key) == ("provider" in key):
                self.problems.append(Problem(f"{at}[{i}]", "both or neither of them", "either file or provider"))
            elif "file" in key:
                listed.append(self._file(str(key["file"]), f"{at}[{i}].file"))
            else:
                listed.append(self._provided(str(key["provider"]), f"{at}[{i}].provider"))
            for name in ("name", "version"):
                if name in key:
                    expected = "no such key: a key provider's keys have no names here, and all of them count"
                    self.problems.append(Problem(f"{at}[{i}].{name}", "the name of one key", expected))
        return self._together(listed, at)

    def _scopes(self, given: Sequence[str], where: str, others: Sequence[SigningPolicy]) -> tuple[str, ...]:
        """Ratify's rules for scopes: `*` stands alone and once, and no other scope overlaps with any."""
        for i, scope in enumerate(given):
            at = f"{where}[{i}]"
            if scope == EVERYTHING:
                if len(given) > 1 or any(EVERYTHING in policy.scopes for policy in others):
                    self.problems.append(Problem(at, "'*' beside others, or again", "it alone, in one trust policy"))
                continue
            self._check_scope(scope, at)
            before = [*(each for policy in others for each in policy.scopes), *given[:i]]
            for other in before:
                if other != EVERYTHING and overlap(scope, other):
                    got = f"{scope[:80]!r}, which overlaps with {other[:80]!r}"
                    self.problems.append(Problem(at, got, "scopes of which one image is in one alone"))
                    break
        return tuple(given)

    def _check_scope(self, scope: str, where: str) -> None:
        """Refuse what would have to be matched with a tag, and tell of what Ratify matches with nothing."""
        repository, at, digest = scope.partition("@")
        last = repository.rpartition("/")[2]
        if "/" in repository and ":" in last:
            expected = (
                "a scope without a tag, which is a label: HOST/REPOSITORY, that with @DIGEST, or a beginning with *"
            )
            self.problems.append(Problem(where, f"{scope[:120]!r}, which names a tag", expected))
        elif at:
            try:
                Digest.parse(digest)
            except UsageError:
                self.problems.append(Problem(where, f"{scope[:120]!r}", "a whole digest behind @"))
        elif not scope.endswith(EVERYTHING):
            got = f"{scope[:120]!r}, which Ratify matches with no image"
            self.problems.append(
                Problem(where, got, f"{scope[:120]}@DIGEST, or to know that it is the repository here", False)
            )

    def _file(self, path: str, where: str) -> dict[str, bytes]:
        document = self._sources.file(path)
        if document is None:
            self.problems.append(Problem(where, f"{path[:120]!r}, which names nothing", "a document with public keys"))
            return {}
        return self._read(document, where)

    def _provided(self, provider: str, where: str) -> dict[str, bytes]:
        document = self._sources.provided(provider)
        if document is None:
            got = f"{ascii(provider)[:80]}, which no key provider is called"
            self.problems.append(Problem(where, got, "a name among keyManagementProvider.plugins"))
            return {}
        return self._read(document, where)

    def _read(self, document: Document, where: str) -> dict[str, bytes]:
        keys = publickeys.read([document], where, self.problems)
        self.found |= keys
        return keys

    def _together(self, listed: Sequence[Mapping[str, bytes]], where: str) -> tuple[str, ...]:
        """The fingerprints of all keys in order, so that how they are written down changes nothing."""
        keys = sorted({name for each in listed for name in each})
        if len(keys) > MAX_KEYS:
            self.problems.append(Problem(where, f"{len(keys)} keys", f"at most {MAX_KEYS}"))
        if not keys and not any(problem.fatal for problem in self.problems):
            self.problems.append(Problem(where, "no key", f"at least one: {publickeys.EXPECTED}"))
        return tuple(keys)
