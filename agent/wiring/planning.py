"""What has to change on a node so that every pull is verified: facts in, edits out.

The order of the steps:

1. The verifier's folder and our link in it: read on each pull, no restart.
2. Settings of the verifier plugin that keep it from being called (`Changes.VERIFIER_ONLY` and up).
3. Settings with which pulls go past it (`Changes.PULL_PATH`), those that a later file can set back.
4. All settings go into one file of ours that has the last word, under the version that is in force already and the
   names that the file before it uses.  Where nothing imports it, one line in the main file does, by a pattern: a
   pattern without a match is nothing, a file that is missing keeps containerd from starting.
5. What would be in force is worked out again, and compared: `unexpected` must find nothing.

A plan of a node where nothing is to be done is empty.
"""

import posixpath
from enum import Enum
from typing import NamedTuple

from agent.errors import ConfigurationError
from agent.wiring import bindir, edits, tables, triggers
from agent.wiring.bindir import Folder, Kind
from agent.wiring.distributions import Placed, Way, is_server, place
from agent.wiring.edits import Edit, EditFile, Link, MakeFolder, WriteFile
from agent.wiring.effective import (
    DEFAULT_BIN_DIR,
    DEFAULT_DOWNLOADS,
    DEFAULT_MAX_VERIFIERS,
    Effective,
    differences,
    effective,
    seconds,
)
from agent.wiring.facts import Facts
from agent.wiring.loading import Files, Loaded, load
from agent.wiring.merging import CRI, IMAGES, SNAPSHOT_KEYS, TRANSFER, VERIFIER, Merged, from_dump, merge
from agent.wiring.tables import Path
from agent.wiring.version import Version

DEADLINE = 8.0
"""Seconds after which the verifier answers, whatever happens."""

MARGIN = 1.0
"""Seconds that containerd must wait beyond that: its process has to start, and to be read."""

SERVER = (
    "containerd runs within a server of this cluster, and a restart is one of the API server: restart one server after "
    "the other, or allow it with --restart-servers"
)
"""What is left to a person where a restart would be one of a server."""

NO_CRI = (
    "its CRI is switched off in disabled_plugins, so the kubelet asks another runtime, which asks no verifier "
    "(cri-dockerd is one). If it is to ask containerd, take the plugin out of that list by hand, no later file can, "
    "and restart it"
)
"""Why nothing is done beside a containerd that no kubelet can ask."""

_TIMEOUT = "10s"
_OWN_VERSION = 3
"""What our file states beside a main file of a newer version: 2.3 takes a lower one, and 2.2 would not start with 4.

So our file outlives an upgrade of containerd, and a downgrade, without being written anew.  What it says has the same
names in both versions.
"""


class Changes(Enum):
    """What of containerd's configuration may be changed."""

    NONE = "none"
    VERIFIER_ONLY = "verifier-only"
    PULL_PATH = "pull-path"


class Options(NamedTuple):
    """`bin_dir` is where the verifier is to lie, empty for where containerd looks already; `program` what it is."""

    changes: Changes = Changes.VERIFIER_ONLY
    bin_dir: str = ""
    program: str = bindir.PROGRAM


class Plan(NamedTuple):
    """Edits in their order; `restart` is why containerd must be restarted, empty if it need not be.

    `settings` are what our file sets, `removes` names of the triggers that are gone afterwards, `advice` what is left
    to a person.  `restarts_itself` is true where the distribution notices our file and restarts containerd; otherwise
    `unit` is systemd's name of what is to be restarted: of the process that runs, else the distribution's usual one.
    """

    placed: Placed
    edits: tuple[Edit, ...] = ()
    restart: str = ""
    restarts_itself: bool = False
    unit: str = ""
    settings: dict[Path, object] = {}
    removes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def restarts_server(self) -> bool:
        """Whether a restart of containerd is one of the cluster's own server, or may be."""
        return is_server(self.placed.distribution, self.unit)

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not self.edits


class Node(NamedTuple):
    """What the facts come to: the files in load order, what is in force, and how it may be changed."""

    facts: Facts
    version: Version
    loaded: Loaded
    effective: Effective
    placed: Placed


def node(facts: Facts) -> Node:
    """Work the facts out.  Raises `ConfigurationError` without containerd's version, `Malformed` for a bad dump."""
    if facts.version is None:
        raise ConfigurationError("got no version of containerd; expected one, because its rules go with it")
    loaded = load(facts.main, Files(facts.files))
    written = merge(loaded, facts.version)
    dumped = from_dump(facts.dump, facts.version) if facts.dump is not None else None
    placed, in_force = place(facts, loaded), effective(facts.version, written, dumped)
    if in_force.cri_disabled and facts.process is not None and placed.way is not Way.REFUSE:
        placed = Placed(placed.distribution, Way.REFUSE, why=f"{in_force.cri_disabled}: {NO_CRI}")
    return Node(facts, facts.version, loaded, in_force, placed)


def plan(facts: Facts, options: Options) -> Plan:
    """What to do.  Raises what `node` raises, `ConfigurationError` for a file that can't be edited safely."""
    found = node(facts)
    placed, advice = found.placed, list[str]()
    if placed.way is Way.REFUSE:
        return Plan(placed, advice=(placed.advice,))
    if placed.distribution.hands_off:
        return Plan(placed, advice=(f"{placed.distribution.title}: {placed.advice}",))
    advice += found.effective.written.problems
    if found.effective.written.problems:
        return Plan(placed, advice=tuple(advice))
    settings, removes = _settings(found, options, advice)
    folder = str(settings.get(_key(VERIFIER, "bin_dir"), found.effective.bin_dir.value))
    made: list[Edit] = _link(facts.folder, folder, options.program) if folder else []
    if settings and placed.way is Way.ADVISE:
        wanted = "; ".join(f"{tables.dotted(key)} = {edits.literal(value)}" for key, value in sorted(settings.items()))
        advice += [f"{placed.distribution.title}: {placed.advice}", f"settings to make there: {wanted}"]
        return Plan(placed, tuple(made), advice=tuple(advice))
    written = _configuration(found, settings) if settings else []
    names = ", ".join(sorted(tables.dotted(key) for key in settings)) if written else ""
    if written and placed.distribution.keep:
        advice.append(f"{placed.distribution.title}: {placed.distribution.keep}")
    return Plan(
        placed,
        (*made, *written),
        f"containerd reads its configuration when it starts, and {names} changes" if written else "",
        bool(written) and placed.distribution.watched,
        (facts.process.unit if facts.process else "") or placed.distribution.unit,
        settings if written else {},
        removes if written else (),
        tuple(advice),
    )


def _settings(found: Node, options: Options, advice: list[str]) -> tuple[dict[Path, object], tuple[str, ...]]:
    """What our file has to set; what may not be set is advice."""
    wanted = _verifier_settings(found, options)
    removes: list[str] = []
    for each in triggers.find(found.effective):
        what = f"{each.trigger.name} = {each.value}"
        if not each.removable:
            advice.append(f"{what}: {each.why_by_hand}; use {each.trigger.instead}")
        elif options.changes is Changes.PULL_PATH:
            wanted[_written_key(found, each.trigger.path)] = each.trigger.harmless
            removes.append(each.trigger.name)
            if each.trigger.name == "max_concurrent_downloads":
                wanted |= _downloads(found)
        elif found.placed.way is Way.ADVISE:
            advice.append(
                f"{what}: pulls go past the verifier; {found.placed.distribution.title}: {found.placed.advice}"
            )
        else:
            advice.append(f"{what}: pulls go past the verifier; it can be set back with changes = pull-path")
    if found.effective.cri_disabled:
        advice.append(f"{found.effective.cri_disabled}: {NO_CRI}")
    if found.effective.verifier_disabled:
        advice.append("disabled_plugins: the verifier plugin is in it; take it out by hand, no later file can")
    own = _own_settings(found)
    if options.changes is Changes.NONE:
        advice += [
            f"{tables.dotted(key)} = {value!r} is needed, and nothing may be changed" for key, value in wanted.items()
        ]
        return {}, ()
    return {**own, **wanted} if wanted else {}, tuple(removes)


def _own_settings(found: Node) -> dict[Path, object]:
    """What our file sets already: it is written anew as a whole, and nothing that it says may be lost."""
    own = next((file for file in found.loaded.files if file.path == found.placed.drop_in), None)
    if own is None:
        return {}
    tree = tables.tree(own.table)
    return {path: each.value for path, each in tables.leaves(tree) if path != ("version",)}


def _verifier_settings(found: Node, options: Options) -> dict[Path, object]:
    """What keeps the verifier plugin from calling us, set right."""
    wanted: dict[Path, object] = {}
    in_force = found.effective
    target = options.bin_dir or (in_force.bin_dir.value or DEFAULT_BIN_DIR)
    if in_force.bin_dir.value != target:
        wanted[_key(VERIFIER, "bin_dir")] = target
    limit = in_force.max_verifiers.value
    if not isinstance(limit, int) or 0 <= limit < _position(found.facts.folder):
        wanted[_key(VERIFIER, "max_verifiers")] = DEFAULT_MAX_VERIFIERS
    waits = seconds(in_force.per_verifier_timeout.value)
    if waits is None or waits < DEADLINE + MARGIN:
        wanted[_key(VERIFIER, "per_verifier_timeout")] = _TIMEOUT
    return wanted


def _position(folder: Folder | None) -> int:
    """Where our entry is or will be among the folder's, counted from 1."""
    names = {entry.name for entry in folder.entries} if folder else set()
    return sorted({*names, bindir.LINK}, key=bindir.in_order).index(bindir.LINK) + 1


def _downloads(found: Node) -> dict[Path, object]:
    """The number of downloads at once, in its right place, unless something stands there."""
    wanted = found.effective.setting(DEFAULT_DOWNLOADS, IMAGES, "max_concurrent_downloads").value
    there = found.effective.transfer_downloads
    if isinstance(wanted, int) and wanted > 0 and there.value == DEFAULT_DOWNLOADS:
        return {_key(TRANSFER, "max_concurrent_downloads"): wanted}
    return {}


def _written_key(found: Node, path: Path) -> Path:
    """The key that overrides a setting of the image plugin: the one it is written under.

    Whoever changes the file itself has to change that very key.  Up to containerd 2.2 names of version 2 win over those
    of version 3 in the migration of the whole; from 2.3 on each file is migrated for itself, so that the new names
    count in any file.
    """
    written = found.effective.written.leaf(IMAGES, *path)
    if found.placed.way is Way.ADVISE and written is not None and written.key:
        return written.key
    if not found.version.migrates_each_file and written is not None and written.key[:2] == ("plugins", CRI):
        return ("plugins", CRI, "containerd", *path) if path[0] in SNAPSHOT_KEYS else ("plugins", CRI, *path)
    return ("plugins", IMAGES, *path)


def _configuration(found: Node, settings: dict[Path, object]) -> list[Edit]:
    """Our file, and what imports it; nothing if it stands there already."""
    placed, main = found.placed, found.loaded.main
    stated = found.effective.written.version if any(file.version for file in found.loaded.files) else 0
    if found.version.migrates_each_file:
        stated = min(main.version, _OWN_VERSION) if main else 0
    content = edits.own_file(placed.distribution.version_required or stated, settings)
    before = found.facts.files.get(placed.drop_in)
    made: list[Edit] = []
    if content != before:
        made += [] if before is not None else [MakeFolder(posixpath.dirname(placed.drop_in))]
        made.append(WriteFile(placed.drop_in, content, before))
    if placed.template:
        pattern = import_pattern(placed.drop_in)
        for path in dict.fromkeys((placed.template, found.facts.main)):
            old = found.facts.files.get(path)
            if old is not None and (new := edits.with_import(old, pattern, path)) != old:
                made.append(EditFile(path, old, new))
    return made


def import_pattern(drop_in: str) -> str:
    """The pattern by which a main file imports our file and nothing else."""
    return drop_in.removesuffix(".toml") + "*.toml"


def _link(folder: Folder | None, path: str, program: str) -> list[Edit]:
    """The folder and our link in it, unless they are there."""
    if folder is not None and posixpath.normpath(folder.path) == posixpath.normpath(path):
        judged = bindir.ours(bindir.judge(folder, -1))
        if judged is not None:
            return []
        if folder.kind is Kind.FOLDER:
            return [Link(f"{path}/{bindir.LINK}", program)]
    return [MakeFolder(path), Link(f"{path}/{bindir.LINK}", program)]


def resulting(facts: Facts, made: Plan) -> dict[str, bytes]:
    """Every configuration file as it would stand after a plan."""
    files = dict(facts.files)
    for edit in made.edits:
        if isinstance(edit, WriteFile):
            files[edit.path] = edit.content
        elif isinstance(edit, EditFile):
            files[edit.path] = edit.after
    return files


def unexpected(facts: Facts, made: Plan, after: Merged | None = None) -> tuple[str, ...]:
    """What a plan would do, or has done, beyond what it says: one sentence each, none if it is good.

    `after` is what is in force afterwards, if somebody asked containerd itself; else it is worked out from the files.
    Compared is like with like: facts with a dump want an `after` from a dump.
    """
    found = node(facts)
    complaints: list[str] = []
    files = merge(load(facts.main, Files(resulting(facts, made))), found.version)
    complaints += files.problems
    before = found.effective.merged if after is not None else found.effective.written
    new = after if after is not None else files
    meant = {_as_in_force(key): value for key, value in made.settings.items()}
    for each in differences(before, new):
        if each.key not in meant:
            complaints.append(f"{each}: changes, and the plan doesn't say so")
    for key, value in meant.items():
        there = _value(new, key)
        if there != value:
            complaints.append(f"{tables.dotted(key)}: would be {there!r}; expected {value!r}")
    left = {each.trigger.name for each in triggers.find(effective(found.version, files, after))}
    complaints += [f"{name}: would still send pulls past the verifier" for name in made.removes if name in left]
    return tuple(complaints)


def _as_in_force(key: Path) -> Path:
    """A key of our file as it is in force, under the names of version 3."""
    if key[:2] != ("plugins", CRI):
        return key
    rest = key[3:] if key[2] == "containerd" and key[3:4] and key[3] in SNAPSHOT_KEYS else key[2:]
    return ("plugins", IMAGES, *rest)


def _value(merged: Merged, key: Path) -> object:
    there = merged.leaf(*key[1:]) if key[0] == "plugins" else None
    return there.value if there else None


def _key(plugin: str, name: str) -> Path:
    return ("plugins", plugin, name)
