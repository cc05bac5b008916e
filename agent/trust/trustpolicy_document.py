"""Trust policy documents: checked when a configuration is published, never on a pull.

Notary Project, trust store and trust policy specification 1.0, OCI trust policies.  `check_form` is for documents that
no schema has seen; `parse` reads one that has the form, and collects everything that is wrong with what it says.
"""

import re
from typing import Mapping, Sequence

from agent.errors import Problem
from agent.model.outcome import Action, Check
from agent.model.reference import Repository
from agent.trust import identity, truststore
from agent.trust.trustpolicy import AFTER_CERT_EXPIRY, ALWAYS, LEVELS, SKIP, TrustPolicy

_OVERRIDABLE = (Check.AUTHENTICITY, Check.AUTHENTIC_TIMESTAMP, Check.EXPIRY, Check.REVOCATION)
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_SCOPE = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?/{_COMPONENT}(?:/{_COMPONENT})*\Z")
_STORE = re.compile(rf"({'|'.join(truststore.TYPES)}):[a-zA-Z0-9_.-]+\Z")
_MAX_SCOPE_LENGTH = 512

_RATIFYS_SKIP = "under 'skip' Ratify refuses unsigned images all the same"

_MAX_STATEMENTS = 1000  # this and the following as in the schema
_MAX_ITEMS = {"registryScopes": 2000, "trustStores": 100, "trustedIdentities": 200}
_MAX_NAME_LENGTH = 256
_STATEMENT_KEYS = ("name", "registryScopes", "signatureVerification", "trustStores", "trustedIdentities")
_VERIFICATION_KEYS = ("level", "override", "verifyTimestamp")


def check_form(document: object, where: str) -> list[Problem]:
    """What keeps `document` from being one that `parse` can read: types, missing and unknown keys, too many items."""
    problems: list[Problem] = []
    if not _has_keys(document, where, ("version", "trustPolicies"), ("version", "trustPolicies"), problems):
        return problems
    version, statements = _object(document)["version"], _object(document)["trustPolicies"]
    if version != "1.0":
        problems.append(Problem(f"{where}.version", ascii(version)[:40], '"1.0"'))
    if not isinstance(statements, list) or not 1 <= len(statements) <= _MAX_STATEMENTS:
        problems.append(Problem(f"{where}.trustPolicies", _kind(statements), f"a list of 1 to {_MAX_STATEMENTS}"))
        return problems
    for i, statement in enumerate(statements):
        at = f"{where}.trustPolicies[{i}]"
        if not _has_keys(statement, at, _STATEMENT_KEYS, _STATEMENT_KEYS[:3], problems):
            continue
        name = statement["name"]
        if not isinstance(name, str) or not 1 <= len(name) <= _MAX_NAME_LENGTH:
            problems.append(Problem(f"{at}.name", _kind(name), f"a text of 1 to {_MAX_NAME_LENGTH} characters"))
        verification = statement["signatureVerification"]
        if _has_keys(verification, f"{at}.signatureVerification", _VERIFICATION_KEYS, ("level",), problems):
            override = verification.get("override", {})
            if not isinstance(override, dict):
                problems.append(Problem(f"{at}.signatureVerification.override", _kind(override), "an object"))
        for key, most in _MAX_ITEMS.items():
            items = statement.get(key, [])
            if not isinstance(items, list) or len(items) > most or not all(isinstance(each, str) for each in items):
                problems.append(Problem(f"{at}.{key}", _kind(items), f"a list of at most {most} texts"))
    return problems


def parse(document: Mapping[str, object], where: str) -> tuple[tuple[TrustPolicy, ...], list[Problem]]:
    """Read a trust policy document that has the form; collect everything that is wrong with it.

    Weak settings (a level below strict for everything, skip for anything) are problems that are not fatal.
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
    if not policies:
        problems.append(Problem(where, "no statement", "at least one trust policy statement"))
    return tuple(policies), problems


def _parse_statement(statement: Mapping[str, object], where: str, problems: list[Problem]) -> TrustPolicy:
    verification = _object(statement.get("signatureVerification"))
    at = f"{where}.signatureVerification"
    level = str(verification.get("level"))
    scopes = tuple(_folded(scope) for scope in _strings(statement.get("registryScopes")))
    _check_scopes(scopes, f"{where}.registryScopes", problems)
    actions = _actions(level, _object(verification.get("override")), at, problems)
    if "*" in scopes:
        _warn_of_weakness(level, actions, at, problems)
    elif level == SKIP:
        got = "level 'skip': nothing is verified, every image of these repositories passes, unsigned ones too"
        problems.append(Problem(at, got, f"'strict', or to know that {_RATIFYS_SKIP}", fatal=False))
    timestamp = verification.get("verifyTimestamp", ALWAYS)
    if timestamp not in (ALWAYS, AFTER_CERT_EXPIRY):
        problems.append(
            Problem(f"{at}.verifyTimestamp", ascii(timestamp)[:40], f"one of {ALWAYS}, {AFTER_CERT_EXPIRY}")
        )
    stores, texts = _strings(statement.get("trustStores")), _strings(statement.get("trustedIdentities"))
    identities: tuple[Mapping[str, str], ...] | None = ()
    if level == SKIP:
        for key, given in (("trustStores", stores), ("trustedIdentities", texts)):
            if given:
                problems.append(Problem(f"{where}.{key}", "some, with level 'skip'", "none: nobody is asked for there"))
    else:
        _check_stores(stores, f"{where}.trustStores", problems)
        identities = _identities(texts, f"{where}.trustedIdentities", problems)
    return TrustPolicy(str(statement.get("name")), level, scopes, actions, stores, identities, str(timestamp))


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
    if level not in LEVELS:
        problems.append(Problem(f"{where}.level", repr(level[:40]), f"one of {', '.join(LEVELS)}"))
    actions = dict(LEVELS.get(level, LEVELS["strict"]))
    if level == SKIP and override:
        problems.append(Problem(f"{where}.override", "one for level 'skip'", "none: there is nothing to override"))
        return actions
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


def _warn_of_weakness(level: str, actions: Mapping[Check, Action], where: str, problems: list[Problem]) -> None:
    """Tell what a statement for every repository does not enforce."""
    weak = [check.value for check, action in actions.items() if action is not Action.ENFORCE]
    if level == SKIP:
        got = "level 'skip' for every repository: nothing is verified, every image passes that has no other statement"
    elif Check.AUTHENTICITY.value in weak:
        got = f"level {level!r} for every repository, which does not enforce {', '.join(weak)}: any signature will do"
    else:
        got = f"level {level!r} for every repository, which does not enforce {', '.join(weak)}"
    if weak:
        expected = "'strict' for \"*\", and weaker levels for single repositories"
        expected += f"; {_RATIFYS_SKIP}" if level == SKIP else ""
        problems.append(Problem(where, got, expected, fatal=False))


def _check_stores(stores: Sequence[str], where: str, problems: list[Problem]) -> None:
    if not stores:
        problems.append(Problem(where, "none", "at least one trust store, for example 'ca:certs'"))
    matches = [_STORE.match(store) for store in stores]
    for i, match in enumerate(matches):
        if not match:
            expected = "TYPE:NAME with one of the types ca, signingAuthority and tsa, for example 'ca:certs'"
            problems.append(Problem(f"{where}[{i}]", repr(stores[i][:80]), expected))
    if matches and all(match and match[1] == truststore.TSA for match in matches):
        got, expected = "stores for timestamps alone", "a store for signers, 'ca:NAME': else no signature is trusted"
        problems.append(Problem(where, got, expected, fatal=False))


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


def _has_keys(
    value: object, where: str, known: Sequence[str], required: Sequence[str], problems: list[Problem]
) -> bool:
    """Whether `value` is an object with the required keys.  Unknown keys are told too: one may be a misspelt one."""
    if not isinstance(value, dict):
        problems.append(Problem(where, _kind(value), "an object"))
        return False
    problems.extend(
        Problem(f"{where}.{key[:40]}", "an unknown key", f"one of {', '.join(known)}")
        for key in value
        if key not in known
    )
    missing = [key for key in required if key not in value]
    problems.extend(Problem(f"{where}.{key}", "nothing", f"the key {key!r}") for key in missing)
    return not missing


def _kind(value: object) -> str:
    """What a value of another type is, without showing it."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return {dict: "an object", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
