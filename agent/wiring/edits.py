"""Typed edits of a node, and how configuration files are edited: every comment and every other line stays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import ConfigurationError, Malformed
from agent.wiring import tables
from agent.wiring.tables import Path

if TYPE_CHECKING:
    from tomlkit import TOMLDocument  # imported where a file is edited: a tenth of a second that reading needs not wait

HEADER = (
    "# Written by nodeseal install; nodeseal uninstall removes it.  Changes in this file are lost.\n"
    "# It sorts behind other files, so that its settings are the ones in force.\n"
)


class MakeFolder(NamedTuple):
    """Make a folder of root's alone, and those above it."""

    path: str
    mode: int = 0o755


class WriteFile(NamedTuple):
    """Write a file of ours.  `before` is what must stand there until then, None for nothing."""

    path: str
    content: bytes
    before: bytes | None
    mode: int = 0o644


class EditFile(NamedTuple):
    """Change a file of somebody else's from exactly `before`; its mode and owner stay."""

    path: str
    before: bytes
    after: bytes


class Link(NamedTuple):
    """Put a symbolic link there, atomically, by renaming it in from outside of its folder."""

    path: str
    target: str


Edit = MakeFolder | WriteFile | EditFile | Link


def own_file(version: int, settings: Mapping[Path, object]) -> bytes:
    """Our configuration file.  `version` 0 states none; `settings` are values by key, plugins' in full."""
    text = HEADER + (f"version = {version}\n" if version else "")
    by_table: dict[Path, dict[str, object]] = {}
    for key, value in sorted(settings.items()):
        by_table.setdefault(key[:-1], {})[key[-1]] = value
    for name, values in by_table.items():
        text += f"\n[{tables.dotted(name)}]\n" if name else ""
        text += "".join(f"{tables.dotted((key,))} = {literal(value)}\n" for key, value in values.items())
    return text.encode()


def literal(value: object) -> str:
    """A value as it is written in TOML: a truth value, a number or a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return tables.dotted((value,)) if not value.replace("-", "").replace("_", "").isalnum() else f"'{value}'"
    raise TypeError(type(value))


def with_import(content: bytes, pattern: str, path: str) -> bytes:
    """A configuration file with one more import; every other byte stays.

    Raises `ConfigurationError` if it can't be done without touching anything else; `path` is for the message.
    """
    before = _decoded(content, path)
    had = before.get("imports", [])
    if not isinstance(had, list):
        raise ConfigurationError(f"{path}: got imports that are no list; expected a list of files")
    if pattern in had:
        return content
    from tomlkit import array
    from tomlkit.items import Array

    document = _document(content, path)
    listed = document.get("imports")
    if isinstance(listed, Array):
        listed.append(pattern)
        text = document.as_string()
    else:
        fresh = array()
        fresh.append(pattern)
        text = _with_line(content.decode(), f"imports = {fresh.as_string()}")
    edited = text.encode()
    if _decoded(edited, path) != {**before, "imports": [*had, pattern]}:
        raise ConfigurationError(f"{path}: got a file that an import can't be added to safely; add it by hand")
    return edited


def without_import(content: bytes, pattern: str, path: str) -> bytes:
    """The reverse of `with_import`: the file without that import, without the line if nothing else is imported.

    Raises `ConfigurationError` as that does.
    """
    before = _decoded(content, path)
    had = before.get("imports", [])
    if not isinstance(had, list) or pattern not in had:
        return content
    from tomlkit.items import Array

    left = [each for each in had if each != pattern]
    document = _document(content, path)
    listed = document["imports"]
    if left and isinstance(listed, Array):
        while pattern in listed:
            listed.remove(pattern)
        text = document.as_string()
    else:
        text = "".join(
            line for line in content.decode().splitlines(keepends=True) if not _is_import_line(line, pattern)
        )
    edited = text.encode()
    expected = {**before, "imports": left} if left else {key: each for key, each in before.items() if key != "imports"}
    if _decoded(edited, path) != expected:
        raise ConfigurationError(f"{path}: got a file that an import can't be taken from safely; remove it by hand")
    return edited


def _is_import_line(line: str, pattern: str) -> bool:
    return line.lstrip().startswith("imports") and pattern in line


def _with_line(text: str, line: str) -> str:
    """The text with a line at its top: behind the version if that is stated before the first table, else the first."""
    lines = text.splitlines(keepends=True)
    for i, each in enumerate(lines):
        word = each.strip()
        if word.startswith("["):
            break
        if word.partition("=")[0].strip() == "version":
            if not each.endswith("\n"):
                lines[i] = each + "\n"
            return "".join([*lines[: i + 1], line + "\n", *lines[i + 1 :]])
    return line + "\n" + text


def _document(content: bytes, path: str) -> "TOMLDocument":
    from tomlkit import parse
    from tomlkit.exceptions import TOMLKitError

    try:
        return parse(content)
    except (TOMLKitError, RecursionError, ValueError) as error:
        text = ascii(str(error))[1:-1][:160]
        raise ConfigurationError(f"{path}: got {text}; expected TOML that can be edited") from None


def _decoded(content: bytes, path: str) -> dict[str, object]:
    try:
        return tables.decode(content, path)
    except Malformed as error:
        raise ConfigurationError(error.message) from None
