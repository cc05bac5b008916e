"""Signatures on a real registry: made by the real `notation`, and then misused as an attacker would.

The registry has no referrers API: what points at an image is listed by a tag that anybody who may push can write.
"""

import base64
import hashlib
import json
from typing import Any

from tests.testbed.node import REGISTRY, Node

_INDEX = "application/vnd.oci.image.index.v1+json"

Json = dict[str, Any]


class Signer:
    """A self-signed test certificate and its key, made and kept by `notation`."""

    def __init__(self, node: Node, name: str) -> None:
        """Make one; its certificate is valid for a day."""
        self._node = node
        self.name = name
        node.must(["notation", "cert", "generate-test", name])

    @property
    def certificate(self) -> bytes:
        """The certificate as PEM."""
        return (self._node.work / "notation" / "localkeys" / f"{self.name}.crt").read_bytes()

    def sign(self, repository: str, digest: str, *options: str, envelope: str = "jws") -> None:
        """Sign an image with the real `notation`."""
        self._node.must(
            ["notation", "sign", "--insecure-registry", "--key", self.name, "--signature-format", envelope, *options,
             f"{REGISTRY}/{repository}@{digest}"]
        )  # fmt: skip


def signature_of(node: Node, repository: str, digest: str) -> tuple[Json, Json]:
    """The first signature listed for an image: its manifest, and its envelope."""
    _, manifest = node.get_manifest(repository, _listed(node, repository, digest)[0]["digest"])
    envelope = node.exchange("GET", f"{repository}/blobs/{manifest['layers'][0]['digest']}").body
    return manifest, json.loads(envelope)


def tamper(node: Node, repository: str, digest: str) -> None:
    """Alter one byte of an image's signature, and attach the altered one in place of the true one."""
    manifest, envelope = signature_of(node, repository, digest)
    raw = bytearray(base64.urlsafe_b64decode(envelope["signature"] + "=="))
    raw[len(raw) // 2] ^= 1
    envelope["signature"] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    attach(node, repository, digest, [_with_envelope(node, repository, manifest, envelope)])


def transplant(node: Node, source: tuple[str, str], target: tuple[str, str]) -> None:
    """Attach the signature of one image (repository, digest) to another: its manifest is made to point there."""
    manifest, envelope = signature_of(node, *source)
    repository, digest = target
    raw, subject = node.get_manifest(repository, digest)
    manifest["subject"] = {"mediaType": subject["mediaType"], "digest": digest, "size": len(raw)}
    put_blob(node, repository, b"{}")
    attach(node, repository, digest, [_with_envelope(node, repository, manifest, envelope)])


def list_unchanged(node: Node, source: tuple[str, str], target: tuple[str, str]) -> str:
    """List the signature of one image (repository, digest) for another, byte by byte as it is; returns its digest."""
    listed = _listed(node, *source)[0]
    repository, digest = target
    raw, manifest = node.get_manifest(source[0], listed["digest"])
    for blob in (manifest["config"], *manifest["layers"]):
        put_blob(node, repository, node.exchange("GET", f"{source[0]}/blobs/{blob['digest']}").body)
    _list(node, repository, digest, [_put(node, repository, raw, manifest["mediaType"])])
    return str(listed["digest"])


def attach(node: Node, repository: str, digest: str, manifests: list[Json]) -> None:
    """Make `manifests` the signatures that the registry lists for an image."""
    _list(node, repository, digest, [put_manifest(node, repository, manifest) for manifest in manifests])


def put_manifest(node: Node, repository: str, manifest: Json, reference: str = "") -> Json:
    """Push a manifest, by its digest or under a tag; returns its descriptor."""
    body = json.dumps(manifest, separators=(",", ":")).encode()
    return _put(node, repository, body, manifest["mediaType"], reference)


def put_blob(node: Node, repository: str, content: bytes) -> Json:
    """Push a blob; returns digest and size."""
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    location = node.exchange("POST", f"{repository}/blobs/uploads/").location
    separator = "&" if "?" in location else "?"
    headers = {"Content-Type": "application/octet-stream"}
    answer = node.exchange("PUT", f"{location}{separator}digest={digest}", content, headers)
    if answer.status != 201:
        raise AssertionError(f"push of a blob to {repository}: {answer.status} {answer.body!r}")
    return {"digest": digest, "size": len(content)}


def fallback_tag(digest: str) -> str:
    """The tag under which a registry without the referrers API keeps what points at `digest`."""
    return digest.replace(":", "-")


def _with_envelope(node: Node, repository: str, manifest: Json, envelope: Json) -> Json:
    blob = put_blob(node, repository, json.dumps(envelope).encode())
    return {**manifest, "layers": [{"mediaType": "application/jose+json", **blob}]}


def _listed(node: Node, repository: str, digest: str) -> list[Json]:
    _, index = node.get_manifest(repository, fallback_tag(digest))
    listed: list[Json] = index["manifests"]
    return listed


def _list(node: Node, repository: str, digest: str, descriptors: list[Json]) -> None:
    listed = [{**each, "artifactType": "application/vnd.cncf.notary.signature"} for each in descriptors]
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": listed}
    put_manifest(node, repository, index, fallback_tag(digest))


def _put(node: Node, repository: str, body: bytes, media_type: str, reference: str = "") -> Json:
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    path = f"{repository}/manifests/{reference or digest}"
    answer = node.exchange("PUT", path, body, {"Content-Type": media_type})
    if answer.status != 201:
        raise AssertionError(f"push of a manifest to {repository}: {answer.status} {answer.body!r}")
    return {"mediaType": media_type, "digest": digest, "size": len(body)}
