"""Verifiers as configurations write them: the keys that all have, and the options that are their format's."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from agent.config import checking
from agent.config.checking import Finding
from agent.config.config import SIGNED_BY
from agent.formats import Format, loaded

Object = Mapping[str, object]

_COMMON_KEYS = ("name", "type", "artifactTypes", "version", "nestedReferences", SIGNED_BY)
_NAMING_PROVIDERS = ("verificationCertStores", "keys", "trustPolicies")
_MAX_TYPE_LENGTH = 255


class VerifierEntry(NamedTuple):
    """A verifier whose common keys are read and whose options are not.  `nested`: see `VerifierSettings.nested`.

    `signed_by` are names of verifiers, of our own section alone: see `agent.config.config.SIGNED_BY`.
    """

    path: checking.Path
    name: str
    type: str
    artifact_types: tuple[str, ...]
    nested: bool
    options: Object
    signed_by: tuple[str, ...] = ()


def at(value: object, *path: str | int) -> object:
    """What stands at `path`, None if nothing does."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def read_verifiers(
    plugins: object, base: checking.Path, formats: Mapping[str, str | type[Format]], findings: list[Finding], most: int
) -> list[VerifierEntry]:
    """The verifiers in the list `plugins`, at the path `base`, as far as they have the form; at most `most`.

    Adds to `findings` what the schema can't tell.
    """
    found: list[VerifierEntry] = []
    for i, plugin in enumerate(plugins[:most] if isinstance(plugins, list) else []):
        path = (*base, i)
        name, given_type = at(plugin, "name"), at(plugin, "type")
        verifier_type = name if given_type is None else given_type
        if not isinstance(name, str) or not isinstance(verifier_type, str) or not verifier_type:
            continue  # the schema's check has told
        if verifier_type not in formats:
            where = (*path, "name" if given_type is None else "type")
            expected = f"one of {', '.join(sorted(formats))}: no other type of verifier is supported"
            findings.append(Finding(where, checking.shown(verifier_type), expected))
            continue
        types = _artifact_types(at(plugin, "artifactTypes"), (*path, "artifactTypes"), findings)
        if at(plugin, "artifactTypes") is None:
            types = resolved(formats[verifier_type]).artifact_types
        signed_by = _signed_by(plugin, path, findings)
        nested = bool(at(plugin, "nestedReferences") or signed_by)
        options = _options(cast("Object", plugin), path, findings)
        found.append(VerifierEntry(path, name, verifier_type, types, nested, options, signed_by))
    return found


def refuse_shared_names(verifiers: Sequence[VerifierEntry], findings: list[Finding]) -> None:
    """Each verifier has a name of its own."""
    names: dict[str, checking.Path] = {}
    for verifier in verifiers:
        first = names.setdefault(verifier.name, verifier.path)
        if first != verifier.path:
            got = f"{checking.shown(verifier.name)}, which {checking.place('', first).removeprefix(': ')} has too"
            findings.append(Finding((*verifier.path, "name"), got, "a name that no other verifier has"))


def resolved(entry: str | type[Format]) -> type[Format]:
    """The class behind an entry of a table of formats, "module:class" or the class itself."""
    return loaded(entry) if isinstance(entry, str) else entry


def _artifact_types(value: object, path: checking.Path, findings: list[Finding]) -> tuple[str, ...]:
    types = [each.strip() for each in value.split(",")] if isinstance(value, str) and value else []
    findings += (
        Finding(path, checking.shown(each), "artifact types, separated by single commas, or *")
        for each in types
        if not each or len(each) > _MAX_TYPE_LENGTH or not (each.isascii() and each.isprintable()) or " " in each
    )
    return tuple(dict.fromkeys(types))


def _signed_by(plugin: object, path: checking.Path, findings: Sequence[Finding]) -> tuple[str, ...]:
    """The names under that key, as far as they have the form; Ratify has no such key."""
    names, where = at(plugin, SIGNED_BY), (*path, SIGNED_BY)
    told = any(finding.path[: len(where)] == where for finding in findings)
    return tuple(names) if isinstance(names, list) and not told else ()


def _options(plugin: Object, path: checking.Path, findings: list[Finding]) -> Object:
    """What the format gets: the keys that are not every verifier's, without those that the schema's check told of."""
    told = {finding.path for finding in findings if not finding.structural or not finding.fatal}
    return {key: value for key, value in plugin.items() if key not in _COMMON_KEYS and (*path, key) not in told}


def is_spoilt(verifier: VerifierEntry, findings: Sequence[Finding], providers: str) -> bool:
    """Whether some option has not even the form that the format relies on (or nobody looked that far).

    So has an option that names key providers while something is wrong with these, in the section `providers`.
    """
    depth = len(verifier.path)
    for finding in findings:
        if (
            finding.fatal
            and finding.path[:1] == (providers,)
            and not verifier.options.keys().isdisjoint(_NAMING_PROVIDERS)
        ):
            return True
        if finding.fatal and finding.structural:
            inside = len(finding.path) > depth and finding.path[:depth] == verifier.path
            if not finding.path or (inside and finding.path[depth] not in _COMMON_KEYS):
                return True
    return False
