"""The configuration that containerd runs with, from the files that it read.  Every value remembers where it stands.

Up to 2.2 all files are merged and the whole is migrated once, from the version that the *last* file states that states
one: a file that says 3 behind a main file of version 2 ends the migration, and all that stands under the names of
version 2 is silently lost.  From 2.3 on each file is migrated for itself, and none may state a higher version than the
first that states one: a lower one may.  Without any version it counts as the newest one up to 2.2, and as version 1
from 2.3 on.  Up to 2.2 what the CRI plugin has in version 1 is lost as well.

Compared with `containerd config dump` of the real one by the tests.  What is not modelled: that version 4 moves
`[grpc]`, `[ttrpc]`, `[debug]` and `[metrics]` to plugins; none of that is about pulls.
"""

from typing import NamedTuple

from agent.errors import Malformed
from agent.wiring import tables
from agent.wiring.loading import ConfigFile, Loaded
from agent.wiring.tables import Leaf, Tree
from agent.wiring.version import Version

CRI = "io.containerd.grpc.v1.cri"
IMAGES = "io.containerd.cri.v1.images"
RUNTIME = "io.containerd.cri.v1.runtime"
VERIFIER = "io.containerd.image-verifier.v1.bindir"
TRANSFER = "io.containerd.transfer.v1.local"

IMAGE_KEYS = (
    "registry",
    "image_decryption",
    "max_concurrent_downloads",
    "image_pull_progress_timeout",
    "image_pull_with_sync_fs",
    "stats_collect_period",
)
"""What version 2 has at the top of the CRI plugin and version 3 at the top of its image plugin."""

SNAPSHOT_KEYS = ("snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers")
"""What version 2 has under `containerd` there."""

_SERVER_KEYS = (
    "disable_tcp_service",
    "stream_server_address",
    "stream_server_port",
    "stream_idle_timeout",
    "enable_tls_streaming",
    "x509_key_pair_streaming",
)
_LISTS = ("disabled_plugins", "required_plugins", "imports")
_WHOLE_ENTRIES = ("timeouts", "proxy_plugins", "stream_processors")


class Merged(NamedTuple):
    """The whole configuration, without defaults.

    `version` is the one in force, `plugins` are under the names of version 3; `problems` are what keeps containerd from
    starting.  `lost` are names of version 2 that stand in a file and count for nothing.
    """

    version: int
    top: Tree
    plugins: Tree
    problems: tuple[str, ...] = ()
    lost: tuple[Leaf, ...] = ()

    def leaf(self, plugin: str, *path: str) -> Leaf | None:
        """A setting of a plugin, None if no file has it."""
        return tables.leaf(self.plugins, plugin, *path)

    def table(self, plugin: str, *path: str) -> Tree | None:
        """A table of a plugin, None if no file has it."""
        return tables.table(self.plugins, plugin, *path)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts at the top, such as `disabled_plugins`."""
        found = tables.leaf(self.top, name)
        return tuple(map(str, found.value)) if found and isinstance(found.value, list) else ()


def merge(loaded: Loaded, version: Version) -> Merged:
    """What this version of containerd makes of the files."""
    top: Tree = {}
    plugins: Tree = {}
    problems = [*loaded.problems]
    in_force = 0
    root_version = next((file.version for file in loaded.files if file.version), 0)
    for file in loaded.files:
        if file.version > version.newest_configuration:
            problems.append(
                f"{file.path}: got version = {file.version}; expected {version.newest_configuration} at most, "
                f"which is all that containerd {version.text} takes"
            )
        if version.migrates_each_file and root_version and file.version > root_version:
            problems.append(
                f"{file.path}: got version = {file.version}; expected {root_version} at most, as the file before it"
            )
        fields, own = _read(file)
        if version.migrates_each_file:
            if file.version < 2 and "cri" in own:
                own[CRI] = own.pop("cri")
            own = migrated(own, max(file.version, 2))
        _merge_top(top, fields)
        tables.overlay(plugins, own)
        in_force = file.version or in_force
    if version.migrates_each_file:
        return Merged(root_version or 1, top, plugins, tuple(problems))
    in_force = in_force or version.newest_configuration
    known = migrated(plugins, in_force)
    lost = tuple(found for _, found in tables.leaves(_lost(plugins))) if in_force != 2 else ()
    return Merged(in_force, top, known, tuple(problems), lost)


def from_dump(content: bytes, version: Version) -> Merged:
    """The configuration from what `containerd config dump` printed: whole, with defaults, of unknown origin.

    Raises `Malformed`.
    """
    dumped = tables.tree(tables.decode(content, "containerd config dump"), "")
    plugins = tables.table(dumped, "plugins")
    if plugins is None or IMAGES not in plugins:
        raise Malformed(f"containerd config dump: got no {IMAGES}; expected the whole configuration")
    stated = tables.leaf(dumped, "version")
    number = stated.value if stated and isinstance(stated.value, int) else version.newest_configuration
    return Merged(number, {name: each for name, each in dumped.items() if name != "plugins"}, plugins)


def migrated(plugins: Tree, version: int) -> Tree:
    """Plugins' configuration under the names of version 3, which are those of 4 too."""
    made: Tree = {}
    tables.overlay(made, plugins)
    if version != 2:
        return made
    source = tables.table(made, CRI)
    if source is not None:
        _migrate_images(made, source)
        _migrate_runtime(made, source)
        made[CRI] = {name: each for name, each in source.items() if name in _SERVER_KEYS}
    return made


def _read(file: ConfigFile) -> tuple[Tree, Tree]:
    """A file's top and its plugins."""
    whole = tables.tree(file.table, file.path)
    plugins = whole.pop("plugins", {})
    return whole, plugins if isinstance(plugins, dict) else {}


def _merge_top(top: Tree, fields: Tree) -> None:
    """Empty values replace nothing; lists grow; entries of some tables are replaced whole."""
    for name, each in fields.items():
        below = top.get(name)
        if isinstance(each, dict):
            if not isinstance(below, dict):
                below = {}
                top[name] = below
            if name in _WHOLE_ENTRIES:
                below.update(each)
            else:
                _merge_top(below, each)
        elif name in _LISTS and isinstance(each.value, list):
            old = below.value if isinstance(below, Leaf) and isinstance(below.value, list) else []
            top[name] = each._replace(value=[*old, *(item for item in each.value if item not in old)])
        elif each.value or below is None:
            top[name] = each


def _migrate_images(plugins: Tree, source: Tree) -> None:
    target = plugins.setdefault(IMAGES, {})
    if not isinstance(target, dict):
        return
    containerd = tables.table(source, "containerd") or {}
    runtimes = tables.table(containerd, "runtimes")
    for runtime, each in (runtimes or {}).items():
        snapshotter = tables.leaf({runtime: each}, runtime, "snapshotter")
        if snapshotter is not None and snapshotter.value:
            tables.put(target, ("runtime_platforms", runtime, "snapshotter"), snapshotter)
    if "sandbox_image" in source:
        tables.put(target, ("pinned_images", "sandbox"), source["sandbox_image"])
    for name in IMAGE_KEYS:
        if name in source:
            target[name] = source[name]
    if runtimes is not None:  # without this table containerd returns early, and these are lost
        for name in SNAPSHOT_KEYS:
            if name in containerd:
                target[name] = containerd[name]


def _migrate_runtime(plugins: Tree, source: Tree) -> None:
    target = plugins.setdefault(RUNTIME, {})
    if not isinstance(target, dict):
        return
    for name, each in source.items():
        if name not in ("cni", "containerd", "sandbox_image", *IMAGE_KEYS, *_SERVER_KEYS):
            target.setdefault(name, each)
    network, new = tables.table(source, "cni"), target.setdefault("cni", {})
    if network is not None and isinstance(new, dict):
        for name, each in network.items():
            if name == "bin_dir" and isinstance(each, Leaf):
                new.setdefault("bin_dirs", each._replace(value=[each.value]))
            else:
                new.setdefault(name, each)
    containerd, new = tables.table(source, "containerd"), target.setdefault("containerd", {})
    if containerd is not None and isinstance(new, dict):
        for name, each in containerd.items():
            if name not in SNAPSHOT_KEYS:
                new.setdefault(name, each)
        for each in (tables.table(target, "containerd", "runtimes") or {}).values():
            if isinstance(each, dict) and "sandbox_mode" in each and "sandboxer" not in each:
                each["sandboxer"] = each.pop("sandbox_mode")


def _lost(plugins: Tree) -> Tree:
    """What stands under names of version 2 that version 3 doesn't look at."""
    source = {**(tables.table(plugins, "cri") or {}), **(tables.table(plugins, CRI) or {})}
    return {name: each for name, each in source.items() if name not in _SERVER_KEYS}
