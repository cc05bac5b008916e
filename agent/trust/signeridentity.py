"""Whose keyless signatures count: pairs of an issuer and a subject, each exact or a regular expression.

Regular expressions are RE2's, linear in time, and cover the whole text: `https://github.com/acme/.*` must not match
`https://evil.example/https://github.com/acme/`.  Those that come from a configuration of Ratify's keep the meaning that
they have there (anywhere in the text), which is told when they are published.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from agent.errors import Code, Malformed
from agent.trust.fulcio import Signer

MAX_PATTERN = 1000
"""Longest regular expression taken, in characters."""

MAX_STEPS = 1_000
"""Longest program that a regular expression of a list that everybody's signatures are compared with may become."""

_MAX_MEMORY = 64 * 1024  # some 2,700 steps, in a few milliseconds; of 8 MiB, 22 characters took a second
_SHOWN = 100
EXACT, WHOLE, ANYWHERE = "exact", "regexp", "regexpAnywhere"


class IdentityNotTrusted(Malformed):
    """The signer is none of those whose signatures count."""

    code = Code.IDENTITY_NOT_TRUSTED


class Pattern(NamedTuple):
    """What a text must be: `kind` is `EXACT`, `WHOLE` or `ANYWHERE`."""

    kind: str
    text: str

    def covers(self, given: str) -> bool:
        """Whether `given` is meant."""
        if self.kind == EXACT:
            return given == self.text
        compiled = _compiled(self.text)
        if compiled is None:  # another version published it, whose RE2 took it
            return False
        return (compiled.fullmatch(given) if self.kind == WHOLE else compiled.search(given)) is not None


class SignerIdentity(NamedTuple):
    """One signer, or a family of them: all of it must be true of a certificate."""

    issuer: Pattern
    subject: Pattern
    claims: Mapping[str, str] = MappingProxyType({})

    def covers(self, signer: Signer) -> bool:
        """Whether this signer is meant."""
        claimed = all(signer.claims.get(name) == value for name, value in self.claims.items())
        return claimed and self.issuer.covers(signer.issuer) and self.subject.covers(signer.subject)

    def to_json(self) -> dict[str, object]:
        """The JSON form that a snapshot holds."""
        told = {"issuer": " ".join(self.issuer), "subject": " ".join(self.subject)}
        return {**told, "claims": dict(self.claims)} if self.claims else {**told}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "SignerIdentity":
        """Read back what `to_json` wrote."""
        issuer, subject = (Pattern(*str(value[name]).split(" ", 1)) for name in ("issuer", "subject"))
        return cls(issuer, subject, cast("Mapping[str, str]", value.get("claims", {})))


def check(identities: Sequence[SignerIdentity], signer: Signer) -> None:
    """Raises `IdentityNotTrusted` if the signer is none of `identities`."""
    if not any(identity.covers(signer) for identity in identities):
        subject, issuer = (ascii(text)[1:-1][:160] for text in (signer.subject, signer.issuer))
        raise IdentityNotTrusted(
            f"signer's identity not trusted ({subject}, issuer {issuer}){_near(identities, signer)}"
        )


def _near(identities: Sequence[SignerIdentity], signer: Signer) -> str:
    """What the identity that comes nearest to a signer asks for, which he is not."""
    by_issuer = [each for each in identities if each.issuer.covers(signer.issuer)]
    by_both = [each for each in by_issuer if each.subject.covers(signer.subject)]
    if by_both:
        lacking = [item for item in by_both[0].claims.items() if signer.claims.get(item[0]) != item[1]]
        what, wanted, others = f"the claim {lacking[0][0]}", lacking[0][1], by_both
    elif by_issuer:
        what, wanted, others = "the subject", by_issuer[0].subject.text, by_issuer
    elif identities:
        what, wanted, others = "the issuer", identities[0].issuer.text, list(identities)
    else:
        return ""
    more = f", or one of {len(others) - 1} more identities" if len(others) > 1 else ""
    return f"; expected {what} {ascii(wanted)[1:-1][:_SHOWN]}{more}"


def defect(pattern: Pattern) -> str:
    """What is wrong with a pattern when it is published; empty if nothing is."""
    if not pattern.text:
        return "nothing"
    if pattern.kind == EXACT:
        return ""
    if len(pattern.text) > MAX_PATTERN:
        return f"a regular expression of {len(pattern.text)} characters, more than {MAX_PATTERN}"
    return "" if _compiled(pattern.text) is not None else f"{pattern.text[:80]!r}, which RE2 does not take"


def is_long(pattern: Pattern) -> bool:
    """Whether a regular expression becomes a program of more than `MAX_STEPS`; compiling it takes as long as that."""
    compiled = None if pattern.kind == EXACT else _compiled(pattern.text)
    return compiled is not None and compiled.programsize > MAX_STEPS


def is_for_all(pattern: Pattern) -> bool:
    """Whether a regular expression leaves nobody out."""
    return pattern.kind != EXACT and all(pattern.covers(probe) for probe in ("", "x", "https://nobody.invalid/~"))


def _compiled(pattern: str) -> Any:
    """None for what RE2 does not take."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error:
        return None
