"""Content by digest, and what a tag names: manifests and blobs, every byte checked before it is returned.

OCI distribution specification 1.1, "Pulling manifests" and "Pulling blobs".  No I/O: see `agent.registry.messages`.
"""

from agent.codec import members, strictjson
from agent.errors import DigestMismatch, LimitExceeded, Malformed, UsageError
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import ARTIFACT_MANIFEST, IMAGE_INDEX, IMAGE_MANIFEST
from agent.model.reference import Reference
from agent.registry import status
from agent.registry.access import Access
from agent.registry.limits import MAX_MANIFEST_SIZE
from agent.registry.messages import Response, Steps

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = (IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_INDEX, ARTIFACT_MANIFEST)
"""Media types of everything that a tag or a listing may name."""

_ACCEPT_MANIFEST = ", ".join(MANIFEST_TYPES)
_GENERIC_TYPES = ("application/json", "application/octet-stream")


class _NotFound(Malformed):
    """There is no such manifest."""


def resolve(access: Access, reference: Reference) -> Steps[Descriptor]:
    """What `reference` names now: by its digest, else by its tag.

    The digest is computed from the body; a Docker-Content-Digest that says otherwise is `DigestMismatch`.  Raises
    `Malformed` also if there is no such tag: who names an image chooses that.
    """
    name = str(reference.digest or reference.tag)
    response = yield from access.get(
        access.url("manifests", name),
        accept=_ACCEPT_MANIFEST,
        limit=MAX_MANIFEST_SIZE,
        what=f"manifest {name}",
        may_leave=True,
    )
    where = f"{access.repository}: manifest {name}"
    if response.status == status.NOT_FOUND:
        raise _NotFound(f"{where}: not found", hint="check repository and tag; private images are hidden")
    if response.status != status.OK:
        raise status.failure(response, where)
    digest = reference.digest or Digest.of(response.body)
    if not digest.matches(response.body):
        raise DigestMismatch(f"{where}: got {Digest.of(response.body, digest.algorithm)}; expected {digest}")
    check_content_digest(response, where)
    media_type, _ = document(response, where)
    return Descriptor(media_type, digest, len(response.body))


def tagged(access: Access, reference: Reference) -> Steps[Descriptor | None]:
    """What the tag of `reference` names now, None if there is no such tag.  Raises as `resolve` does."""
    try:
        return (yield from resolve(access, reference))
    except _NotFound:
        return None


def manifest(access: Access, descriptor: Descriptor) -> Steps[bytes]:
    """The manifest that `descriptor` names.  Raises `Malformed` if it is not there or not what was named."""
    return (yield from _content(access, "manifests", descriptor, MAX_MANIFEST_SIZE))


def blob(access: Access, descriptor: Descriptor, limit: int) -> Steps[bytes]:
    """The blob that `descriptor` names, at most `limit` bytes.  Raises as `manifest` does."""
    return (yield from _content(access, "blobs", descriptor, limit))


def check_content_digest(response: Response, where: str) -> None:
    """Compare every Docker-Content-Digest of `response` with its body.  Raises `DigestMismatch`, `Malformed`."""
    for text in response.values("docker-content-digest"):
        try:
            said = Digest.parse(text)
        except UsageError as error:
            raise Malformed(f"{where}: Docker-Content-Digest: {error.message}") from error
        if not said.matches(response.body):
            found = Digest.of(response.body, said.algorithm)
            raise DigestMismatch(f"{where}: got content {found}; Docker-Content-Digest said {said}")


def document(response: Response, where: str) -> tuple[str, dict[str, object]]:
    """The manifest that came without a descriptor: its media type, and its JSON.  Raises `Malformed`.

    What it is stands in the header, in itself, or in both.  Two different statements are refused: one document must
    not be an image to one reader and an index to another (the class of CVE-2021-41190).
    """
    value = members.of(strictjson.decode(response.body, where, limit=MAX_MANIFEST_SIZE), where)
    said = value.get("mediaType", response.media_type)
    if not isinstance(said, str) or said not in MANIFEST_TYPES:
        raise Malformed(f"{where}: got media type {ascii(said)[:80]}; expected one of {_ACCEPT_MANIFEST}")
    if response.media_type not in ("", *_GENERIC_TYPES, said):
        raise Malformed(f"{where}: got Content-Type {ascii(response.media_type)[:80]} for {said}; expected the same")
    return said, value


def _content(access: Access, kind: str, descriptor: Descriptor, limit: int) -> Steps[bytes]:
    what = f"{kind[:-1]} {descriptor.digest}"
    where = f"{access.repository}: {what}"
    if descriptor.size > limit:
        raise LimitExceeded(f"{where}: listed with {descriptor.size} bytes; expected at most {limit}")
    response = yield from access.get(
        access.url(kind, str(descriptor.digest)),
        accept=_ACCEPT_MANIFEST if kind == "manifests" else "*/*",
        limit=descriptor.size,
        what=what,
        may_leave=True,
        is_sized=True,
    )
    if response.status == status.NOT_FOUND:
        raise Malformed(f"{where}: named by the registry, but not found there")
    if response.status != status.OK:
        raise status.failure(response, where)
    content = response.body
    if len(content) != descriptor.size:
        raise DigestMismatch(f"{where}: got {len(content)} bytes; expected {descriptor.size}")
    if not descriptor.digest.matches(content):
        found = Digest.of(content, descriptor.digest.algorithm)
        raise DigestMismatch(f"{where}: got content {found}; expected the digest it was listed with")
    return content
