"""Builds the container image as an OCI image layout: `python build/image.py [PROGRAM [OUTPUT]]`.

No container engine is needed.  The image holds the frozen program and what that needs of a system, computed from its
files: the loader and the libraries of the build host that are not inside the program, CA certificates, and the few
files under /etc that the C library reads.  No shell, no package manager.  The same program on the same host gives the
same bytes: names are sorted, times are those of the release, owners are root.  The tree is written as rootfs/rootfs.tar
beside OUTPUT, too, for `container/Dockerfile`.

https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
"""

import gzip
import hashlib
import io
import json
import pathlib
import platform
import shutil
import stat
import sys
import tarfile
from typing import Any, NamedTuple

import components
import freeze
import licences
import runtime
import sbom

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_LEVEL = 6
"""How hard gzip tries: 9 takes three times as long, for half a hundredth of the size."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What the kernel calls a machine, and what image, Go and `kubernetes.io/arch` do.

None has a variant: arm64 without one is v8, as containerd takes it.
"""

_CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
_ETC = {
    "etc/passwd": "root:x:0:0:root:/:/nonexistent\n",
    "etc/group": "root:x:0:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_FOLDERS = {
    **dict.fromkeys(("dev", "host", "proc", "sys"), 0o755),
    **dict.fromkeys(("etc", "run", "var/cache", "var/lib", "var/log"), 0o755),
    **dict.fromkeys(
        ("etc/nodeseal", "run/nodeseal", "var/cache/nodeseal", "var/lib/nodeseal", "var/log/nodeseal"), 0o700
    ),
    "tmp": 0o1777,
}
"""Where things are mounted: with a read-only root nobody else makes these."""

Json = dict[str, Any]


class Entry(NamedTuple):
    """One entry of a layer: a file's content, a link's target, or neither, for a folder."""

    mode: int
    content: bytes | None = None
    target: str = ""


Entries = dict[str, Entry]


def main(program: pathlib.Path, output: pathlib.Path) -> None:
    """Write the layout; say what is in it."""
    inside = (program / "_internal" / sbom.NAME).read_bytes()
    version, epoch = json.loads(inside)["metadata"]["component"]["version"], freeze.epoch()
    libraries = runtime.libraries(program)
    base, added = base_entries(libraries, inside, epoch), program_entries(program, version)
    layers = [_archive(base, epoch), _archive(added, epoch)]
    tree = output.with_name("rootfs") / "rootfs.tar"
    tree.parent.mkdir(exist_ok=True)
    tree.write_bytes(_archive({**base, **added}, epoch))
    digest = write_layout(output, layers, config(version, epoch), version)
    size = sum(path.stat().st_size for path in (output / "blobs" / "sha256").iterdir())
    print(f"{output}: {size / 1e6:.1f} MB, {digest}")
    print(f"of this system: {', '.join(sorted(path.name for path in libraries.values()))}, CA certificates")


def base_entries(libraries: dict[str, pathlib.Path], inside: bytes, epoch: int) -> Entries:
    """What the program needs of a system.

    `libraries` is where they have to be, and where they are here; `inside` is the program's list of components.
    """
    entries = {name.lstrip("/"): Entry(0o755, path.read_bytes()) for name, path in libraries.items()}
    entries |= {name: Entry(0o644, text.encode()) for name, text in _ETC.items()}
    entries["etc/ssl/certs/ca-certificates.crt"] = Entry(0o644, _CERTIFICATES.read_bytes())
    # What OpenSSL was built to look at first, on Debian.
    entries["usr/lib/ssl/cert.pem"] = Entry(0o777, target="/etc/ssl/certs/ca-certificates.crt")
    entries |= {name: Entry(mode) for name, mode in _FOLDERS.items()}
    parts = components.packages([*libraries.values(), _CERTIFICATES])
    for part in parts:
        entries |= {
            f"usr/share/doc/{part.name}/copyright": Entry(0o644, path.read_bytes()) for path in part.texts.values()
        }
    listed = sbom.extended(inside, parts, epoch)
    entries[f"usr/share/doc/nodeseal/image.{sbom.NAME}"] = Entry(0o644, listed)
    return entries


def program_entries(program: pathlib.Path, version: str) -> Entries:
    """The program where it is on a node, too."""
    folder = f"opt/nodeseal/{version}"
    entries = {"opt/nodeseal/current": Entry(0o777, target=version)}
    inside = [path for part in ("_internal", licences.FOLDER) for path in (program / part).rglob("*")]
    for path in (program / "nodeseal", *inside):
        name = f"{folder}/{path.relative_to(program)}"
        if path.is_symlink():
            entries[name] = Entry(0o777, target=str(path.readlink()))
        elif path.is_dir():
            entries[name] = Entry(0o755)
        else:
            entries[name] = Entry(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644, path.read_bytes())
    return entries


def config(version: str, epoch: int) -> Json:
    """The image's configuration, without its layers; `container/Dockerfile` says the same."""
    return {
        "created": sbom.time_of(epoch),
        "architecture": architecture(platform.machine()),
        "os": "linux",
        "config": {
            "User": "0:0",
            "Env": ["PATH=/opt/nodeseal/current"],
            "Entrypoint": ["/opt/nodeseal/current/nodeseal"],
            "WorkingDir": "/",
            "Labels": annotations(version),
        },
    }


def architecture(machine: str) -> str:
    """The name of a machine's architecture in images.  Raises `SystemExit`."""
    if machine not in ARCHITECTURES:
        raise SystemExit(f"build: got a machine {machine}; expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[machine]


def annotations(version: str) -> dict[str, str]:
    """What is said of the image: the pre-defined keys of the image specification."""
    return {
        "org.opencontainers.image.title": "nodeseal",
        "org.opencontainers.image.description": "Verifies every image on a Kubernetes node at the moment containerd "
        "pulls it",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }


def write_layout(output: pathlib.Path, layers: list[bytes], settings: Json, version: str) -> str:
    """Write an image layout with one image; returns the manifest's digest."""
    shutil.rmtree(output, ignore_errors=True)
    blobs = output / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> Json:
        encoded = hashlib.sha256(content).hexdigest()
        (blobs / encoded).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{encoded}", "size": len(content)}

    held = [blob(gzip.compress(layer, _LEVEL, mtime=0), _LAYER) for layer in layers]
    unpacked = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    settings = {**settings, "rootfs": {"type": "layers", "diff_ids": unpacked}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(_encoded(settings), _CONFIG),
        "layers": held,
        "annotations": {**annotations(version), "org.opencontainers.image.created": settings["created"]},
    }
    described = blob(_encoded(manifest), MANIFEST)
    described["platform"] = {key: settings[key] for key in ("architecture", "os")}
    described["annotations"] = {"org.opencontainers.image.ref.name": version}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [described]}
    (output / "index.json").write_bytes(_encoded(index))
    (output / "oci-layout").write_bytes(_encoded({"imageLayoutVersion": "1.0.0"}))
    return str(described["digest"])


def _archive(entries: Entries, epoch: int) -> bytes:
    """A tar archive, with every folder above an entry."""
    above = {str(parent): Entry(0o755) for name in entries for parent in pathlib.PurePosixPath(name).parents}
    above.pop(".")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, entry in sorted({**above, **entries}.items()):
            header = tarfile.TarInfo(name)
            header.mode, header.mtime = entry.mode, epoch
            if entry.target:
                header.type, header.linkname = tarfile.SYMTYPE, entry.target
            elif entry.content is None:
                header.type = tarfile.DIRTYPE
            else:
                header.size = len(entry.content)
            archive.addfile(header, io.BytesIO(entry.content or b""))
    return raw.getvalue()


def _encoded(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


if __name__ == "__main__":
    arguments = [pathlib.Path(word) for word in sys.argv[1:]]
    main(*arguments[:1] or [freeze.ROOT / "out" / "nodeseal"], *arguments[1:2] or [freeze.ROOT / "out" / "image"])
