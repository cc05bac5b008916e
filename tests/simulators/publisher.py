"""Puts images and referrers into any registry by the distribution API: plain http, no credentials."""

import json
from http.client import HTTPConnection
from typing import Any, Mapping
from urllib.parse import urljoin, urlsplit

from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import EMPTY_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"


class Publisher:
    """Pushes to the registry at `host` (with port)."""

    def __init__(self, host: str) -> None:
        """Connects when something is pushed."""
        self.host = host

    def push_image(self, repository: str, tag: str = "latest", *, salt: str = "") -> Descriptor:
        """Push an image of one layer under `tag`; `salt` makes another one of it."""
        config = self.push_blob(repository, json.dumps({"salt": salt}).encode(), _CONFIG)
        layer = self.push_blob(repository, b"layer of " + salt.encode())
        value = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": _json(config), "layers": [_json(layer)]}
        return self.push_manifest(repository, value, tag=tag)

    def attach(self, repository: str, subject: Descriptor, artifact_type: str, *blobs: bytes) -> Descriptor:
        """Push a referrer of `subject`, and keep the referrers tag where the registry has no API."""
        value = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "artifactType": artifact_type,
            "config": _json(self.push_blob(repository, b"{}", EMPTY_CONFIG)),
            "layers": [_json(self.push_blob(repository, blob)) for blob in blobs],
            "subject": _json(subject),
        }
        content = json.dumps(value).encode()
        descriptor = Descriptor(IMAGE_MANIFEST, Digest.of(content), len(content), artifact_type)
        told = self._put_manifest(repository, content, IMAGE_MANIFEST, str(descriptor.digest))
        if told.get("oci-subject") != str(subject.digest):
            self._add_to_tag(repository, subject, {**_json(descriptor), "artifactType": artifact_type})
        return descriptor

    def push_blob(self, repository: str, content: bytes, media_type: str = _LAYER) -> Descriptor:
        """Push a blob: a POST for the place, a PUT of the bytes."""
        digest = Digest.of(content)
        started, headers, _ = self._send("POST", f"/v2/{repository}/blobs/uploads/")
        _expect(started, 202)
        place = urlsplit(urljoin(f"http://{self.host}/", headers["location"]))
        target = f"{place.path}?{place.query + '&' if place.query else ''}digest={digest}"
        _expect(self._send("PUT", target, content, "application/octet-stream")[0], 201)
        return Descriptor(media_type, digest, len(content))

    def push_manifest(
        self, repository: str, value: Mapping[str, Any], media_type: str = IMAGE_MANIFEST, *, tag: str = ""
    ) -> Descriptor:
        """Push a manifest by its digest, or under a tag."""
        content = json.dumps(value).encode()
        digest = Digest.of(content)
        self._put_manifest(repository, content, media_type, tag or str(digest))
        return Descriptor(media_type, digest, len(content))

    def _add_to_tag(self, repository: str, subject: Descriptor, entry: dict[str, Any]) -> None:
        tag = f"{subject.digest.algorithm}-{subject.digest.encoded[:64]}"
        found, _, body = self._send("GET", f"/v2/{repository}/manifests/{tag}")
        entries = json.loads(body)["manifests"] if found == 200 else []
        index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [*entries, entry]}
        self.push_manifest(repository, index, IMAGE_INDEX, tag=tag)

    def _put_manifest(self, repository: str, content: bytes, media_type: str, name: str) -> dict[str, str]:
        code, headers, _ = self._send("PUT", f"/v2/{repository}/manifests/{name}", content, media_type)
        _expect(code, 201)
        return headers

    def _send(
        self, method: str, target: str, body: bytes = b"", media_type: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self.host, timeout=60)
        headers = {"Content-Type": media_type} if media_type else {"Accept": f"{IMAGE_INDEX}, {IMAGE_MANIFEST}"}
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            content = response.read()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, content
        finally:
            connection.close()


def _json(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def _expect(got: int, expected: int) -> None:
    if got != expected:
        raise RuntimeError(f"registry: got status {got}; expected {expected}")
