"""The list of signers whose signatures never count, in our own dialect: `denySigners`.

The form is checked by the schema; here is what a schema can't tell.  An entry that says too little, or something that
is not understood, denies nobody and is an error: read as less than it says, it would deny others than are meant.  Pure.
"""

from collections.abc import Iterator, Mapping

from agent.config import checking
from agent.config.checking import Finding
from agent.config.dialectschema import DENIED_SIGNER, MAX_DENIED_SIGNERS
from agent.config.plugins import at
from agent.model.signer import DeniedSigner
from agent.trust import signeridentity
from agent.trust.signeridentity import EXACT, WHOLE, Pattern

KEY = "denySigners"

_ONE = "one of key, certificate, or an identity (issuer and subject, or one of them)"
_PREFIX = "sha256:"


def read(section: object, path: checking.Path, findings: list[Finding]) -> tuple[DeniedSigner, ...]:
    """The entries of the section at `path` that have the form; adds to `findings` what is wrong with the others.

    What the schema's check finds is not told again.
    """

    def entries() -> Iterator[DeniedSigner]:
        listed = at(section, KEY)
        for i, given in enumerate(listed if isinstance(listed, list) else []):
            if i < MAX_DENIED_SIGNERS and not any(each.fatal for each in checking.check(given, DENIED_SIGNER)):
                entry = _entry(given, (*path, KEY, i), findings)
                if entry is not None:
                    yield entry

    return tuple(dict.fromkeys(entries()))


def _entry(given: Mapping[str, str], path: checking.Path, findings: list[Finding]) -> DeniedSigner | None:
    """One entry.  Its values are texts: the schema says so."""
    kinds = [name for name in ("key", "certificate") if name in given]
    identity = [name for name in given if name not in kinds]
    if len(kinds) + bool(identity) != 1:
        got = f"{' and '.join(sorted(given))} in one entry" if given else "an entry that means nobody"
        findings.append(Finding(path, got, _ONE))
        return None
    if kinds:
        return DeniedSigner(**{kinds[0]: given[kinds[0]].removeprefix(_PREFIX)})
    patterns = {name: _pattern(given, name, path, findings) for name in ("issuer", "subject")}
    if None in patterns.values():
        return None
    return DeniedSigner(**{name: " ".join(each) for name, each in patterns.items() if each})


def _pattern(
    given: Mapping[str, str], name: str, path: checking.Path, findings: list[Finding]
) -> Pattern | tuple[()] | None:
    """What stands under `name` or `nameRegExp`: nothing if neither is there, None for what can't be used."""
    expression = f"{name}RegExp"
    if name in given and expression in given:
        findings.append(Finding(path, f"both {name} and {expression}", "one of them"))
        return None
    if name not in given and expression not in given:
        return ()
    written = name if name in given else expression
    pattern = Pattern(EXACT if name in given else WHOLE, given[written])
    if defect := signeridentity.defect(pattern):
        findings.append(Finding((*path, written), defect, "a text, or what RE2 takes"))
        return None
    if signeridentity.is_long(pattern):
        got = f"{checking.shown(pattern.text)}, which takes long to compile"
        findings.append(Finding((*path, written), got, "a simpler one: all signatures are compared with it"))
        return None
    if signeridentity.is_for_all(pattern):
        got = f"{checking.shown(pattern.text)}, which every {name} matches"
        findings.append(
            Finding((*path, written), got, f"one {name}, or some, unless all of them are meant", fatal=False)
        )
    return pattern
