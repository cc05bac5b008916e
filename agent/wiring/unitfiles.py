"""The environment that a systemd unit gives its service, from its files: bytes in, variables out.

systemd.exec(5), `Environment=` and `EnvironmentFile=`; systemd.unit(5), drop-ins.  What a file of variables says goes
before what the unit says.  Bounded; what is not understood is passed over: systemd does the same, and tells its log.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence

FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
           "/lib/systemd/system")  # fmt: skip
"""Where units lie; the first that has one wins, for the unit and for each drop-in by its name."""

MAX_SIZE = 256 * 1024
"""Most bytes of one file that are looked at."""

MAX_FILES = 64
"""Most files of variables."""

_ESCAPED = {"n": "\n", "t": "\t", "s": " "}


def environment(
    unit: str, read: Callable[[str], bytes | None], names: Callable[[str], Sequence[str]]
) -> Mapping[str, str] | None:
    """The variables of a unit, None if there is no such unit.

    `read` is a file of the host, None if it is not there; `names` are the names in a folder of it.
    """
    main = next((content for folder in FOLDERS if (content := read(f"{folder}/{unit}")) is not None), None)
    if main is None:
        return None
    said: dict[str, str] = {}
    files: list[str] = []
    for content in (main, *_drop_ins(unit, read, names)):
        for key, value in _settings(content):
            if key == "Environment":
                said = said | dict(_assignments(_words(_specified(value, unit)))) if value else {}
            elif key == "EnvironmentFile":
                files = [*files, _specified(value, unit).strip("\"'")] if value else []
    for path in files[:MAX_FILES]:
        content = read(path.removeprefix("-")) if path.removeprefix("-").startswith("/") else None
        said |= variables(content or b"")
    return said


def variables(content: bytes) -> dict[str, str]:
    """What a file of variables says."""
    return dict(_variables(content))


def _drop_ins(unit: str, read: Callable[[str], bytes | None], names: Callable[[str], Sequence[str]]) -> Iterator[bytes]:
    """By their names, whatever folder they lie in."""
    found: dict[str, str] = {}
    kind = posixpath.splitext(unit)[1].removeprefix(".")
    for each in (f"{unit}.d", f"{kind}.d"):  # the type's own are the weaker ones
        for folder in FOLDERS:
            for name in names(f"{folder}/{each}"):
                if name.endswith(".conf"):
                    found.setdefault(name, f"{folder}/{each}/{name}")
    for name in sorted(found):
        content = read(found[name])
        if content is not None:
            yield content


def _settings(content: bytes) -> Iterator[tuple[str, str]]:
    """The settings of the section `Service`, in order."""
    section, kept = "", list[str]()
    for line in content[:MAX_SIZE].decode("utf-8", "replace").splitlines():
        if not kept and (not line.strip() or line.lstrip()[0] in "#;"):
            continue
        if kept and line.lstrip()[:1] in ("#", ";"):  # a comment within a line that goes on
            continue
        if line.endswith("\\"):
            kept.append(line[:-1])
            continue
        line, kept = " ".join((*kept, line)).strip(), []
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == "Service" and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _words(text: str) -> Iterator[str]:
    """Words as a command line has them: quotes hold together, a backslash escapes."""
    word, quote, at, begun = list[str](), "", 0, False
    while at < len(text):
        character = text[at]
        if character == "\\" and at + 1 < len(text):
            word.append(_ESCAPED.get(text[at + 1], text[at + 1]))
            begun, at = True, at + 1
        elif quote:
            if character == quote:
                quote = ""
            else:
                word.append(character)
        elif character in "\"'":
            quote, begun = character, True
        elif character.isspace():
            if begun:
                yield "".join(word)
            word, begun = [], False
        else:
            word.append(character)
            begun = True
        at += 1
    if begun and not quote:
        yield "".join(word)


def _assignments(words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.replace("_", "a").isalnum():
            yield name, value


def _variables(content: bytes) -> Iterator[tuple[str, str]]:
    """The assignments of a file of variables: one in a line, comments begin with `#` or `;`."""
    kept: list[str] = []
    for line in content[:MAX_SIZE].decode("utf-8", "replace").splitlines():
        if line.endswith("\\"):
            kept.append(line[:-1])
            continue
        line, kept = "".join((*kept, line)).strip(), []
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        name = name.strip().removeprefix("export ").strip()
        if equals and name.replace("_", "a").isalnum():
            value = value.strip()
            yield name, " ".join(_words(value)) if value[:1] in ("'", '"') else value.replace("\\", "")


def _specified(text: str, unit: str) -> str:
    """With the specifiers that name the unit; a percent sign is written as two."""
    name = unit.rpartition(".")[0]
    prefix, _, instance = name.partition("@")
    known = {"n": unit, "N": name, "p": prefix, "i": instance, "%": "%"}
    parts, at = [], 0
    while at < len(text):
        if text[at] == "%" and text[at + 1 : at + 2] in known and text[at + 1 : at + 2]:
            parts.append(known[text[at + 1]])
            at += 1
        else:
            parts.append(text[at])
        at += 1
    return "".join(parts)
