"""Descriptors: a pointer to content, with what it claims to be.

OCI image specification, descriptor.md.  Everything in a descriptor is a claim until the bytes were checked.
"""

from typing import NamedTuple

from agent.errors import Malformed, UsageError
from agent.model.digest import Digest

MAX_SIZE = (1 << 63) - 1
_MAX_MEDIA_TYPE_LENGTH = 255  # RFC 6838, section 4.2: 127 characters each for type and subtype, and the slash


class Descriptor(NamedTuple):
    """Media type, digest and size in bytes of some content; `artifact_type` is None where it is not said."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str | None = None

    @classmethod
    def from_json(cls, value: object, where: str) -> "Descriptor":
        """Read a decoded JSON value.  Raises `Malformed`, naming `where`, if it is not a descriptor."""
        if not isinstance(value, dict):
            raise Malformed(f"{where}: got {type(value).__name__}; expected a descriptor object")
        media_type = _media_type(value.get("mediaType"), f"{where}.mediaType")
        digest_text = value.get("digest")
        if not isinstance(digest_text, str):
            raise Malformed(f"{where}.digest: got {type(digest_text).__name__}; expected a string")
        try:
            digest = Digest.parse(digest_text)
        except UsageError as error:
            raise Malformed(f"{where}.{error.message}") from error
        size = value.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise Malformed(f"{where}.size: got {str(size)[:40]}; expected 0 to 2^63-1")
        artifact_type = value.get("artifactType")
        if artifact_type is not None:
            artifact_type = _media_type(artifact_type, f"{where}.artifactType")
        return cls(media_type, digest, size, artifact_type)

    def same_content(self, other: "Descriptor") -> bool:
        """Whether both name the same content under the same type: media type, digest and size are equal."""
        return (self.media_type, self.digest, self.size) == (other.media_type, other.digest, other.size)


def _media_type(value: object, where: str) -> str:
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= _MAX_MEDIA_TYPE_LENGTH
        or not value.isascii()
        or not value.isprintable()
    ):
        raise Malformed(f"{where}: got {ascii(value)[:80]}; expected a media type of at most {_MAX_MEDIA_TYPE_LENGTH}")
    return value
