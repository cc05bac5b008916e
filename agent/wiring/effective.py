"""The settings that decide whether a pull is verified, with containerd's defaults where nothing is set.

What `containerd config dump` of the real one says has precedence over our own merge; where a value stands is known from
the files alone, and only if both agree.
"""

import re
from typing import NamedTuple

from agent.wiring import tables
from agent.wiring.merging import IMAGES, TRANSFER, VERIFIER, Merged
from agent.wiring.tables import Leaf, Path, Tree
from agent.wiring.version import Version

DEFAULT_BIN_DIR = "/opt/containerd/image-verifier/bin"
DEFAULT_MAX_VERIFIERS = 10
DEFAULT_DOWNLOADS = 3
LISTED_CONFIG_PATH = "/etc/containerd/certs.d:/etc/docker/certs.d"
"""Default of `config_path` from containerd 2.2 on."""

CRI_URIS = ("cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime")
"""Without any of them there is no CRI; the first is what a file without a version says, as Docker's package has it."""

VERIFIER_URI = "io.containerd.image-verifier.v1.bindir"

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|μs|ms|s|m|h)")


_SECRETS = ("auth", "auths", "password", "identitytoken", "headers")
"""Names of settings, or of tables of them, whose values are credentials."""


class Setting(NamedTuple):
    """A value in force; `file` and `key` are where it is written, empty if it is a default or nobody knows."""

    value: object
    file: str = ""
    key: Path = ()

    @property
    def where(self) -> str:
        """File and key, for people."""
        return f"{self.file}: {tables.dotted(self.key)}" if self.file else "containerd's default"


class Effective(NamedTuple):
    """What is in force.  `images` is the CRI's image plugin, whole; `dumped` says whether containerd itself told it."""

    version: Version
    merged: Merged
    written: Merged
    dumped: bool

    def setting(self, default: object, plugin: str, *path: str) -> Setting:
        """A plugin's setting, and where it stands."""
        known, written = self.merged.leaf(plugin, *path), self.written.leaf(plugin, *path)
        if known is None:
            return Setting(default)
        if written is not None and written.value == known.value:
            return Setting(*written)
        return Setting(known.value)

    def image_table(self, *path: str) -> tuple[Tree, tuple[Leaf, ...]]:
        """A table of the image plugin, and where its leaves stand; both empty if there is none."""
        found = self.merged.table(IMAGES, *path) or {}
        written = self.written.table(IMAGES, *path) or {}
        return found, tuple(each for _, each in tables.leaves(written or found))

    @property
    def bin_dir(self) -> Setting:
        """The folder whose entries containerd runs; empty is none."""
        return self.setting(DEFAULT_BIN_DIR, VERIFIER, "bin_dir")

    @property
    def max_verifiers(self) -> Setting:
        """How many of them it runs; less than 0 is no limit."""
        return self.setting(DEFAULT_MAX_VERIFIERS, VERIFIER, "max_verifiers")

    @property
    def per_verifier_timeout(self) -> Setting:
        """For how long it lets each of them run, as Go writes durations."""
        return self.setting("10s", VERIFIER, "per_verifier_timeout")

    @property
    def config_path(self) -> Setting:
        """Where `hosts.toml` files are."""
        default = LISTED_CONFIG_PATH if self.version.lists_config_paths else ""
        return self.setting(default, IMAGES, "registry", "config_path")

    @property
    def sandbox(self) -> Setting:
        """The image of pods' sandboxes; empty where nothing sets it."""
        return self.setting("", IMAGES, "pinned_images", "sandbox")

    @property
    def snapshotter(self) -> Setting:
        """Who unpacks images."""
        return self.setting("overlayfs", IMAGES, "snapshotter")

    @property
    def transfer_downloads(self) -> Setting:
        """The transfer service's own number of downloads at once."""
        return self.setting(DEFAULT_DOWNLOADS, TRANSFER, "max_concurrent_downloads")

    @property
    def proxy_plugins(self) -> tuple[str, ...]:
        """Names of plugins outside of containerd, such as remote snapshotters."""
        return tuple(sorted(tables.table(self.merged.top, "proxy_plugins") or {}))

    @property
    def cri_disabled(self) -> str:
        """The plugin of the CRI's that is among the disabled ones, empty if none is: then no kubelet asks."""
        return next((each for each in self.merged.texts("disabled_plugins") if each in CRI_URIS), "")

    @property
    def verifier_disabled(self) -> bool:
        """Whether the verifier plugin is among the disabled ones."""
        return VERIFIER_URI in self.merged.texts("disabled_plugins")


def effective(version: Version, written: Merged, dumped: Merged | None = None) -> Effective:
    """What is in force: what containerd itself says, if it was asked, else our merge of its files."""
    return Effective(version, dumped or written, written, dumped is not None)


def seconds(text: object) -> float | None:
    """A duration of Go's, in seconds; None for what is none."""
    if not isinstance(text, str):
        return None
    if text in ("0", "-0", "+0"):
        return 0.0
    sign, rest = (-1.0, text[1:]) if text[:1] == "-" else (1.0, text[1:] if text[:1] == "+" else text)
    total, at = 0.0, 0
    for match in _DURATION.finditer(rest):
        if match.start() != at:
            return None
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end()
    return sign * total if rest and at == len(rest) else None


class Difference(NamedTuple):
    """A setting that two configurations have differently; None is "not set"."""

    key: Path
    before: object
    after: object

    def __str__(self) -> str:
        """One line for people."""
        if any(name in _SECRETS for name in self.key):
            return f"{tables.dotted(self.key)}: another value, which is not shown"
        return f"{tables.dotted(self.key)}: {_shown(self.before)} -> {_shown(self.after)}"


def differences(before: Merged, after: Merged) -> tuple[Difference, ...]:
    """Every effective setting that differs, where it stands aside: `imports` alone is no setting."""
    one, other = _flat(before), _flat(after)
    return tuple(
        Difference(key, one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    )


def _flat(merged: Merged) -> dict[Path, object]:
    flat = {path: each.value for path, each in tables.leaves(merged.top) if path not in (("imports",), ("version",))}
    flat |= {("plugins", *path): each.value for path, each in tables.leaves(merged.plugins)}
    return flat


def _shown(value: object) -> str:
    return "not set" if value is None else ascii(value)[:120]
