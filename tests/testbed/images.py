"""OCI images of the testbed's own, as layouts on disk: small, real, and as many different ones as are asked for."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import tarfile
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_REF_NAME = "org.opencontainers.image.ref.name"

Json = dict[str, Any]


class Layout:
    """An OCI image layout in `folder`, to be pushed by any OCI client."""

    def __init__(self, folder: pathlib.Path, busybox: pathlib.Path) -> None:
        """Start an empty layout; `busybox` is the static program that images consist of."""
        self.folder = folder
        self._layer = _layer(busybox.read_bytes())
        self._tagged: list[Json] = []
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add_image(self, tag: str, label: str, filler: int = 0) -> None:
        """Add a single-platform image under `tag`; another `label` gives another digest.

        `filler` adds a layer of so many random bytes.
        """
        self._tag(self._image(label, "amd64", filler), tag)

    def add_pause(self, tag: str) -> None:
        """Add an image that does nothing for ever, as pods begin with one."""
        self._tag(self._image("pause", "amd64", command=("/bin/busybox", "tail", "-f", "/dev/null")), tag)

    def add_index(self, tag: str, label: str) -> None:
        """Add an image for two platforms under `tag`."""
        platforms = [
            {**self._image(label, architecture), "platform": {"architecture": architecture, "os": "linux"}}
            for architecture in ("amd64", "arm64")
        ]
        self._tag(self._json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": platforms}, _INDEX), tag)

    def _image(
        self, label: str, architecture: str, filler: int = 0, command: tuple[str, ...] = ("/bin/busybox", "sh")
    ) -> Json:
        layers = [self._layer, *([_tar({"filler": os.urandom(filler)})] if filler else [])]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": list(command), "Labels": {"test": label}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(each).hexdigest() for each in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._json(config, _CONFIG),
            "layers": [self._blob(gzip.compress(each, 1, mtime=0), _LAYER) for each in layers],
        }
        return self._json(manifest, _MANIFEST)

    def _tag(self, descriptor: Json, tag: str) -> None:
        self._tagged.append({**descriptor, "annotations": {_REF_NAME: tag}})
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self._tagged}))

    def _json(self, value: Json, media_type: str) -> Json:
        return self._blob(json.dumps(value, separators=(",", ":")).encode(), media_type)

    def _blob(self, content: bytes, media_type: str) -> Json:
        encoded = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs" / "sha256" / encoded).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{encoded}", "size": len(content)}


def _layer(busybox: bytes) -> bytes:
    return _tar({"bin/busybox": busybox}, ("bin", "dev", "proc", "sys", "tmp", "etc"))


def _tar(programs: dict[str, bytes], folders: tuple[str, ...] = ()) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in folders:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for name, content in programs.items():
            program = tarfile.TarInfo(name)
            program.size, program.mode = len(content), 0o755
            archive.addfile(program, io.BytesIO(content))
    return raw.getvalue()
