"""Manifests of referrers: what an artifact is, what it points at, what it is made of.

OCI image specification 1.1, manifest.md ("Guidelines for Artifact Usage"); the retired OCI artifact manifest is read
too, because old signatures are stored in it.
"""

from typing import NamedTuple

from agent.errors import LimitExceeded, Malformed
from agent.model.descriptor import Descriptor

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
ARTIFACT_MANIFEST = "application/vnd.oci.artifact.manifest.v1+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
"""An image's config; that of cosign's older signatures has this type as well."""

COSIGN_SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
"""The artifact type that Ratify gives to what cosign's tag names, whatever its manifest says."""

COSIGN_TAG = ".sig"
"""What cosign's tag of an image ends with, behind `ALGORITHM-HEX` of the image's digest."""

MAX_BLOBS = 64
"""Most blobs that a referrer may list; signatures have one, attestations a few."""


class Manifest(NamedTuple):
    """A referrer's manifest.

    `artifact_type` is what the artifact says it is: the manifest's own field, or the config's media type for
    manifests from before OCI 1.1; `blobs` are its layers; `subject` is the image that it points at.  `annotations` are
    what stands beside each of `blobs`, `notes` the manifest's own; both decoded and of whatever form: nobody has looked
    at them.
    """

    media_type: str
    artifact_type: str
    blobs: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: tuple[object, ...] = ()
    notes: object = None

    @classmethod
    def from_json(cls, value: object, media_type: str) -> "Manifest":
        """Read a decoded JSON value that was fetched as `media_type`.  Raises `Malformed` or `LimitExceeded`."""
        if not isinstance(value, dict):
            raise Malformed(f"manifest: got {type(value).__name__}; expected an object")
        said = value.get("mediaType", media_type)
        if said != media_type:
            raise Malformed(f"manifest.mediaType: got {ascii(said)[:80]}; expected {media_type}, as it was listed")
        if media_type == IMAGE_MANIFEST:
            artifact_type, key = _image_artifact_type(value), "layers"
        elif media_type == ARTIFACT_MANIFEST:
            artifact_type, key = value.get("artifactType"), "blobs"
        else:
            raise Malformed(f"manifest: got media type {ascii(media_type)[:80]}; expected {IMAGE_MANIFEST}")
        if not isinstance(artifact_type, str) or not artifact_type:
            raise Malformed("manifest: got neither an artifactType nor a config media type that tells what it is")
        listed = [] if value.get(key) is None else value[key]
        if not isinstance(listed, list):
            raise Malformed(f"manifest.{key}: got {type(listed).__name__}; expected a list")
        if len(listed) > MAX_BLOBS:
            raise LimitExceeded(f"manifest.{key}: got {len(listed)}; expected at most {MAX_BLOBS}")
        blobs = tuple(Descriptor.from_json(item, f"manifest.{key}[{i}]") for i, item in enumerate(listed))
        subject = value.get("subject")
        return cls(
            media_type,
            artifact_type,
            blobs,
            None if subject is None else Descriptor.from_json(subject, "manifest.subject"),
            tuple(item.get("annotations") for item in listed),
            value.get("annotations"),
        )


def _image_artifact_type(value: dict[str, object]) -> object:
    """An image manifest's artifact type: its config's media type, unless that is the empty one.

    The order is Ratify's; a manifest that says both must not be two things at once to two readers.
    """
    config = value.get("config")
    config_type = config.get("mediaType") if isinstance(config, dict) else None
    said = value.get("artifactType")
    if config_type not in (None, EMPTY_CONFIG):
        return config_type
    return said
