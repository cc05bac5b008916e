"""The settings with which the CRI plugin pulls by itself, past every verifier, by their names.

One of them is enough.  containerd tells it once, at start, in a warning that doesn't mention verification; `containerd
config dump` shows `use_local_image_pull = false` all the same.  The list is that of containerd 2.1 to 2.3; 2.4 removes
`registry.mirrors`, `registry.configs` and `registry.auths`.
"""

from enum import Enum
from typing import NamedTuple

from agent.wiring import tables
from agent.wiring.effective import DEFAULT_DOWNLOADS, Effective, Setting
from agent.wiring.merging import IMAGES, TRANSFER
from agent.wiring.tables import Path

SINGLE_DIRECTORY = "a single directory in config_path, such as /etc/containerd/certs.d"


class Remedy(Enum):
    """How a trigger can be taken away."""

    OVERRIDE = "override"
    """A later file sets it back; taking that file away brings the old value back."""

    BY_HAND = "byHand"
    """Nothing that a later file says takes it away, or something else has to be put in its place first."""


class Trigger(NamedTuple):
    """`name` is the key below the image plugin; `harmless` is the value that triggers nothing.

    `removing` is what else changes when it is gone, `instead` what to use in its place, `not_a_remedy` what people
    reach for, with their reason: it sets this trigger, or another one, and switches enforcement off.
    """

    name: str
    harmless: object
    remedy: Remedy
    removing: str
    instead: str
    not_a_remedy: str

    @property
    def path(self) -> Path:
        """Its key below the image plugin, name by name."""
        return tuple(self.name.split("."))


_HOSTS_TOML = f"hosts.toml files and {SINGLE_DIRECTORY}; containerd reads them on each pull, without a restart"
KEEPS_LOCAL = (
    "use_local_image_pull = true, or registry.mirrors, makes mirrors of a list of directories work again, and no "
    f"verifier is called any more; set {SINGLE_DIRECTORY} instead"
)

TRIGGERS = (
    Trigger(
        "use_local_image_pull",
        False,
        Remedy.OVERRIDE,
        "pulls go through the transfer service, which takes config_path as one directory: if it is a list, mirrors and "
        "certificates in hosts.toml files are silently not used",
        SINGLE_DIRECTORY,
        KEEPS_LOCAL,
    ),
    Trigger(
        "max_concurrent_downloads",
        DEFAULT_DOWNLOADS,
        Remedy.OVERRIDE,
        "layers of an image are downloaded as many at once as the transfer service is told",
        f"the same number as {tables.dotted(('plugins', TRANSFER, 'max_concurrent_downloads'))}",
        "another number here, for faster pulls or slower disks: any but 3 switches verification off",
    ),
    Trigger(
        "discard_unpacked_layers",
        False,
        Remedy.OVERRIDE,
        "compressed layers stay on the disk beside the unpacked ones, for images pulled from then on: plan for about a "
        "half more space for images",
        "more disk, or lower thresholds of the kubelet's image garbage collection",
        "discard_unpacked_layers = true, where disks are full",
    ),
    Trigger(
        "disable_snapshot_annotations",
        True,
        Remedy.OVERRIDE,
        "snapshotters that load lazily (SOCI, stargz, nydus, overlaybd) are told nothing of images any more, and pull "
        "them whole",
        "proxy_plugins.NAME.exports.enable_remote_snapshot_annotations = 'true' and an unpack_config of the transfer "
        "service for that snapshotter",
        "disable_snapshot_annotations = false, as instructions for lazy snapshotters say",
    ),
    Trigger(
        "image_pull_with_sync_fs",
        False,
        Remedy.OVERRIDE,
        "unpacked layers are not forced to the disk after a pull: a power cut right after one may leave empty files in "
        "an image",
        "nothing; pull images again after a power cut",
        "image_pull_with_sync_fs = true, where images had empty files after a power cut",
    ),
    Trigger(
        "registry.mirrors",
        {},
        Remedy.BY_HAND,
        "images come from their own registry unless hosts.toml files name the mirrors",
        _HOSTS_TOML,
        "registry.mirrors, where hosts.toml files seem not to count; nor config_path beside it: the CRI plugin refuses "
        "to start with both",
    ),
    Trigger(
        "registry.configs",
        {},
        Remedy.BY_HAND,
        "certificates of private authorities and credentials in it are not used any more",
        f"for certificates {_HOSTS_TOML}; for credentials imagePullSecrets or a credential provider of the kubelet",
        "registry.configs with auth, ca_file or insecure_skip_verify; nor credentials in registries.yaml of k3s and "
        "RKE2, which become that",
    ),
    Trigger(
        "registry.auths",
        {},
        Remedy.BY_HAND,
        "credentials in it are not used any more",
        "imagePullSecrets or a credential provider of the kubelet",
        "registry.configs in its place: that switches verification off as well",
    ),
)
"""All of them: the explicit switch first, then the seven that throw it."""

PLAIN_SNAPSHOTTERS = ("overlayfs", "native", "btrfs", "zfs", "devmapper", "blockfile", "erofs")
"""Snapshotters in containerd itself: they need no annotations of images."""


class Found(NamedTuple):
    """A trigger that is set: to what, and every place where it is written.

    `why_by_hand` says why it can't be set back by a later file alone, empty if it can.
    """

    trigger: Trigger
    value: str
    where: tuple[Setting, ...]
    why_by_hand: str

    @property
    def removable(self) -> bool:
        """Whether it can be taken away safely, and back."""
        return not self.why_by_hand


def find(effective: Effective) -> tuple[Found, ...]:
    """Every trigger that is in force."""
    found = []
    for trigger in TRIGGERS:
        if isinstance(trigger.harmless, dict):
            entries, places = effective.image_table(*trigger.path)
            if entries:
                value = ", ".join(sorted(entries)[:5]) + (", ..." if len(entries) > 5 else "")
                last = trigger.path[-1]
                where = tuple(Setting(None, each.file, _entry(each.key, last)) for each in places if each.file)
                found.append(Found(trigger, value, _once(where), _BY_HAND))
        else:
            setting = effective.setting(trigger.harmless, IMAGES, *trigger.path)
            if setting.value != trigger.harmless or type(setting.value) is not type(trigger.harmless):
                written = (setting,) if setting.file else ()
                found.append(Found(trigger, ascii(setting.value), written, _why_by_hand(trigger, effective)))
    return tuple(found)


_BY_HAND = "entries of a table can't be taken away by a later file"


def _why_by_hand(trigger: Trigger, effective: Effective) -> str:
    if trigger.name == "disable_snapshot_annotations":
        snapshotter = effective.snapshotter.value
        if snapshotter not in PLAIN_SNAPSHOTTERS:
            return f"the snapshotter {ascii(snapshotter)} is told of images by it"
        if effective.proxy_plugins:
            return f"a snapshotter outside of containerd may need it: {', '.join(effective.proxy_plugins)[:120]}"
    return ""


def _entry(key: Path, table: str) -> Path:
    """The key of a table's entry, of a key in it: what stands below it is nobody's business."""
    return key[: key.index(table) + 2] if table in key else key


def _once(where: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """One place for each file: that of the first entry."""
    first: dict[str, Setting] = {}
    for each in where:
        first.setdefault(each.file, each)
    return tuple(first.values())
