"""Trust policies: which signers count for which repositories, and how strictly.

Notary Project, trust store and trust policy specification 1.0, OCI trust policies.  Verification levels are data
(`LEVELS`).  `parse` runs when a configuration is published; behind the pull path `TrustPolicies.from_json` reads back
what it found good.
"""

import re
from typing import Mapping, NamedTuple, Sequence

from agent.errors import Problem
from agent.model.outcome import Action, Check
from agent.model.reference import Repository
from agent.trust import identity

_E, _L, _S = Action.ENFORCE, Action.LOG, Action.SKIP
LEVELS: Mapping[str, Mapping[Check, Action]] = {
    name: dict(zip(Check, actions, strict=True))
    for name, actions in {
        # integrity, authenticity, authenticTimestamp, expiry, revocation
        "strict": (_E, _E, _E, _E, _E),
        "permissive": (_E, _E, _L, _L, _L),
        "audit": (_E, _L, _L, _L, _L),
    }.items()
}
SKIP_LEVEL = "skip"
ALWAYS, AFTER_CERT_EXPIRY = "always", "afterCertExpiry"
_OVERRIDABLE = (Check.AUTHENTICITY, Check.AUTHENTIC_TIMESTAMP, Check.EXPIRY, Check.REVOCATION)
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_SCOPE = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?/{_COMPONENT}(?:/{_COMPONENT})*\Z")
_STORE = re.compile(r"(ca|signingAuthority|tsa):[a-zA-Z0-9_.-]+\Z")
_MAX_SCOPE_LENGTH = 512


class TrustPolicy(NamedTuple):
    """One statement.  `identities` is None where any identity counts ("*")."""

    name: str
    level: str
    scopes: tuple[str, ...]
    actions: Mapping[Check, Action]
    stores: tuple[str, ...]
    identities: tuple[Mapping[str, str], ...] | None
    verify_timestamp: str = ALWAYS

    def to_json(self) -> dict[str, object]:
        """The JSON form that a snapshot holds."""
        return {
            "name": self.name,
            "level": self.level,
            "scopes": list(self.scopes),
            "actions": {check.value: action.value for check, action in self.actions.items()},
            "stores": list(self.stores),
            "verify_timestamp": self.verify_timestamp,
            "identities": None if self.identities is None else [dict(each) for each in self.identities],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "TrustPolicy":
        """Read back what `to_json` wrote."""
        fields = dict(value)
        actions = {Check(check): Action(action) for check, action in fields.pop("actions").items()}  # type: ignore[attr-defined]
        return cls(actions=actions, **fields)  # type: ignore[arg-type]


def select(policies: Sequence[TrustPolicy], repository: Repository) -> TrustPolicy | None:
    """The policy for a repository: the one that names it, else the one for everything ("*"), else None."""
    for scope in (repository.scope, "*"):
        for policy in policies:
            if scope in policy.scopes:
                return policy
    return None


def parse(document: Mapping[str, object], where: str) -> tuple[tuple[TrustPolicy, ...], list[Problem]]:
    """Read a schema-valid trust policy document; collect everything that is wrong with it.

    Weak settings (a level below strict for everything) are problems that are not fatal.
    """
    problems: list[Problem] = []
    policies: list[TrustPolicy] = []
    scopes_seen: dict[str, str] = {}
    names_seen: set[str] = set()
    statements = document.get("trustPolicies")
    for i, statement in enumerate(statements if isinstance(statements, list) else []):
        at = f"{where}.trustPolicies[{i}]"
        policy = _parse_statement(statement, at, problems)
        if policy.name in names_seen:
            problems.append(Problem(f"{at}.name", repr(policy.name), "a name that no other statement has"))
        names_seen.add(policy.name)
        for scope in policy.scopes:
            if scope in scopes_seen:
                problems.append(
                    Problem(f"{at}.registryScopes", f"{scope!r}, which {scopes_seen[scope]!r} has too", "one statement")
                )
            scopes_seen[scope] = policy.name
        policies.append(policy)
    return tuple(policies), problems


def _parse_statement(statement: Mapping[str, object], where: str, problems: list[Problem]) -> TrustPolicy:
    verification = _object(statement.get("signatureVerification"))
    level = str(verification.get("level"))
    scopes = tuple(_folded(scope) for scope in _strings(statement.get("registryScopes")))
    _check_scopes(scopes, f"{where}.registryScopes", problems)
    actions = _actions(level, _object(verification.get("override")), f"{where}.signatureVerification", problems)
    if "*" in scopes and any(action is not Action.ENFORCE for action in actions.values()):
        weak = ", ".join(check.value for check, action in actions.items() if action is not Action.ENFORCE)
        problems.append(
            Problem(
                f"{where}.signatureVerification",
                f"level {level!r} for every repository, which does not enforce {weak}",
                "'strict' for \"*\", and weaker levels for single repositories",
                fatal=False,
            )
        )
    stores = _strings(statement.get("trustStores"))
    _check_stores(stores, f"{where}.trustStores", problems)
    identities = _identities(_strings(statement.get("trustedIdentities")), f"{where}.trustedIdentities", problems)
    return TrustPolicy(
        str(statement.get("name")),
        level,
        scopes,
        actions,
        stores,
        identities,
        str(verification.get("verifyTimestamp", ALWAYS)),
    )


def _check_scopes(scopes: Sequence[str], where: str, problems: list[Problem]) -> None:
    if not scopes:
        problems.append(Problem(where, "none", "'*', or repositories as HOST/REPOSITORY"))
    if "*" in scopes and len(scopes) > 1:
        problems.append(Problem(where, "'*' beside others", "'*' alone, or repositories alone"))
    for i, scope in enumerate(scopes):
        if scope != "*" and (len(scope) > _MAX_SCOPE_LENGTH or not _SCOPE.match(scope)):
            problems.append(
                Problem(f"{where}[{i}]", repr(scope[:80]), "HOST/REPOSITORY without scheme, tag, digest and wildcard")
            )


def _actions(level: str, override: Mapping[str, object], where: str, problems: list[Problem]) -> Mapping[Check, Action]:
    if level == SKIP_LEVEL:
        problems.append(
            Problem(f"{where}.level", "'skip', which this version does not support", f"one of {', '.join(LEVELS)}")
        )
    elif level not in LEVELS:
        problems.append(Problem(f"{where}.level", repr(level[:40]), f"one of {', '.join(LEVELS)}"))
    actions = dict(LEVELS.get(level, LEVELS["strict"]))
    for name, value in override.items():
        at = f"{where}.override.{name[:40]}"
        if name not in [check.value for check in _OVERRIDABLE]:
            problems.append(Problem(at, "a check that can't be overridden", ", ".join(c.value for c in _OVERRIDABLE)))
            continue
        allowed = ["enforce", "log", "skip"] if name == Check.REVOCATION.value else ["enforce", "log"]
        if value not in allowed:
            problems.append(Problem(at, ascii(value)[:40], f"one of {', '.join(allowed)}"))
            continue
        actions[Check(name)] = Action(value)
    return actions


def _check_stores(stores: Sequence[str], where: str, problems: list[Problem]) -> None:
    if not stores:
        problems.append(Problem(where, "none", "at least one trust store, for example 'ca:certs'"))
    for i, store in enumerate(stores):
        match = _STORE.match(store)
        if not match:
            problems.append(Problem(f"{where}[{i}]", repr(store[:80]), "TYPE:NAME, for example 'ca:certs'"))


def _identities(texts: Sequence[str], where: str, problems: list[Problem]) -> tuple[Mapping[str, str], ...] | None:
    if identity.ANY in texts:
        if len(texts) > 1:
            problems.append(Problem(where, "'*' beside others", "'*' alone, or identities alone"))
        return None
    if not texts:
        problems.append(Problem(where, "none", "'*', or 'x509.subject: C=..., ST=..., O=...'"))
    found: list[tuple[str, Mapping[str, str]]] = []
    for i, text in enumerate(texts):
        at = f"{where}[{i}]"
        if not text.startswith(identity.PREFIX):
            problems.append(Problem(at, repr(text[:80]), "'*' or an identity that begins with 'x509.subject:'"))
            continue
        try:
            parsed = identity.parse_identity(text[len(identity.PREFIX) :])
        except ValueError as error:
            problems.append(Problem(at, str(error)[:120], "a distinguished name with C, ST and O, each attribute once"))
            continue
        for other_at, other in found:
            if identity.covers(parsed, other) or identity.covers(other, parsed):
                problems.append(Problem(at, f"an identity that overlaps with {other_at}", "identities apart"))
        found.append((at, parsed))
    return tuple(parsed for _, parsed in found)


def _folded(scope: str) -> str:
    """A scope as references have it: its host in lower case, since hosts are case-insensitive, in one spelling."""
    host, slash, path = scope.partition("/")
    return Repository(host.lower(), path).scope if slash else scope


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
