"""Pushes the built image: `python build/push.py REGISTRY/REPOSITORY [LAYOUT [MANIFEST...]]`.

What the registry has already is not sent again.  The image gets its version as a tag; each MANIFEST, a Kubernetes
manifest (daemonset.yaml, and the patch of it that has a container of ours), gets the reference by digest.  Credentials
are docker's (`docker login`), from DOCKER_CONFIG or ~/.docker; no credential helper is run.  HTTPS alone, but for a
registry on this machine's loopback.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
"""

import base64
import email.message
import http.client
import ipaddress
import json
import os
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

import freeze

sys.path.insert(0, str(freeze.ROOT))
from agent.errors import NodesealError
from agent.model.reference import Reference, Repository
from agent.registry import challenge, credentials, realms
from agent.registry.urls import Origin, Url

MANIFESTS = ("daemonset.yaml", "docs/manifests/reconcile.yaml")
"""What names our image."""

_SECONDS = 300.0  # for one request: it may send a whole layer
_MOST_ANSWER = 1 << 16  # bytes of an answer that are read

_IMAGE = re.compile(
    r"""^(?P<before>[ \t]*(?:-[ \t]+)?(?:image:|name:[ \t]+NODESEAL_IMAGE\n[ \t]+value:)[ \t]+["']?)"""
    r"""(?P<image>[^\s"'#]+)""",
    re.MULTILINE,
)
"""An image of a container, and our own where a container is told it."""


class Refused(Exception):
    """A registry does not do what it was asked; the text says what."""


class Answer(NamedTuple):
    """A response: status, headers, and the first bytes of its body."""

    status: int
    headers: email.message.Message
    body: bytes


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is sent, credentials too, is for the registry alone."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


class Target:
    """A repository that is pushed to."""

    def __init__(self, repository: Repository, keyring: credentials.Keyring) -> None:
        """Connects on use."""
        self._repository, self._keyring = repository, keyring
        self._origin = Origin.of(repository, use_http=_is_loopback(repository.host))
        self._base = f"{self._origin}/v2/{repository.path}"
        self._authorization = ""
        # The registry of this machine is asked directly, others as the environment says.
        proxies = [urllib.request.ProxyHandler({})] if self._origin.scheme == "http" else []
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)

    def push(self, layout: pathlib.Path) -> str:
        """Push the layout's one image; returns its digest.  Raises `Refused` and `OSError`."""
        (described,) = json.loads((layout / "index.json").read_bytes())["manifests"]
        manifest = _blob(layout, described["digest"])
        value = json.loads(manifest)
        for each in (value["config"], *value["layers"]):
            if self._send("HEAD", f"{self._base}/blobs/{each['digest']}").status != http.client.OK:
                self._upload(each["digest"], _blob(layout, each["digest"]))
        tag = described["annotations"]["org.opencontainers.image.ref.name"]
        stored = self._must(
            http.client.CREATED, "PUT", f"{self._base}/manifests/{tag}", manifest, described["mediaType"]
        )
        if stored.headers.get("docker-content-digest", described["digest"]) != described["digest"]:
            raise Refused(f"{self._repository}: the registry stored another manifest than the one that it was sent")
        return str(described["digest"])

    def _upload(self, digest: str, content: bytes) -> None:
        begun = self._must(http.client.ACCEPTED, "POST", f"{self._base}/blobs/uploads/", b"")
        place = urllib.parse.urljoin(f"{self._base}/blobs/uploads/", begun.headers.get("location", ""))
        place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest})
        self._must(http.client.CREATED, "PUT", place, content)

    def _must(
        self, status: int, method: str, url: str, body: bytes, media_type: str = "application/octet-stream"
    ) -> Answer:
        answer = self._send(method, url, body, media_type)
        if answer.status != status:
            text = ascii(answer.body[:300].decode("utf-8", "replace"))
            raise Refused(f"{self._repository}: {method}: got {answer.status} {text}; expected {status}")
        return answer

    def _send(self, method: str, url: str, body: bytes | None = None, media_type: str = "") -> Answer:
        """One request, and once more with credentials if the registry wants some."""
        answer = self._once(method, url, body, media_type)
        if answer.status != http.client.UNAUTHORIZED:
            return answer
        self._authorization = self._login(answer)
        return self._once(method, url, body, media_type)

    def _once(self, method: str, url: str, body: bytes | None, media_type: str) -> Answer:
        request = self._request(url, body, method)
        if media_type:
            request.add_header("Content-Type", media_type)
        if self._authorization and Url.parse(url, "Location").origin == self._origin:
            request.add_unredirected_header("Authorization", self._authorization)
        return self._open(request)

    def _request(self, url: str, body: bytes | None = None, method: str | None = None) -> urllib.request.Request:
        if not url.startswith(("https://", f"{self._origin}/")):  # plain HTTP is for this machine's own registry
            raise Refused(f"{self._repository}: sent to an address without HTTPS")
        return urllib.request.Request(url, data=body, method=method)  # noqa: S310 - one of these two schemes

    def _open(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                return Answer(response.status, response.headers, response.read(_MOST_ANSWER))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read(_MOST_ANSWER))

    def _login(self, refusal: Answer) -> str:
        """The Authorization that a 401 asks for.  Raises `Refused`."""
        wanted = challenge.parse(refusal.headers.get_all("www-authenticate") or [])
        found = next(iter(self._keyring.credentials(self._repository)), None)
        basic = _basic(found) if found is not None and found.password else ""
        for each in wanted:
            if each.scheme == "bearer" and "realm" in each.parameters:
                return f"Bearer {self._token(each, found, basic)}"
            if each.scheme == "basic" and basic:
                return basic
        complaint = self._keyring.complaint(self._repository) or "docker's configuration has none for it"
        raise Refused(f"{self._repository}: the registry wants credentials; {complaint}")

    def _token(self, wanted: challenge.Challenge, found: credentials.Credential | None, basic: str) -> str:
        if found is not None and found.registry_token:
            return found.registry_token.reveal()
        realm = Url.parse(wanted.parameters["realm"], "realm")
        if found is not None:
            objection = realms.objection(self._origin, realm.origin, found.realms(self._repository))
            if objection:
                raise Refused(f"{self._repository}: no credentials are sent to {realm.origin}: {objection}")
        asked = {
            "service": wanted.parameters.get("service", ""),
            "scope": f"repository:{self._repository.path}:pull,push",
        }
        if found is not None and found.identity_token:
            form = {**asked, "grant_type": "refresh_token", "client_id": "nodeseal",
                    "refresh_token": found.identity_token.reveal()}  # fmt: skip
            request = self._request(f"{realm.origin}{realm.path}", urllib.parse.urlencode(form).encode())
        else:
            query = f"{realm.query}&" if realm.query else "?"
            request = self._request(f"{realm.origin}{realm.path}{query}{urllib.parse.urlencode(asked)}")
            if basic:
                request.add_unredirected_header("Authorization", basic)
        answer = self._open(request)
        given = json.loads(answer.body) if answer.status == http.client.OK else {}
        token = given.get("token") or given.get("access_token")
        if not isinstance(token, str):
            raise Refused(f"{self._repository}: {realm.origin} gives no token: got {answer.status}")
        return token


def rewritten(manifest: str, reference: str) -> str:
    """A Kubernetes manifest with `reference` in place of its image, also where `NODESEAL_IMAGE` names it.

    Everything else stays as it is.  All of its images are one and the same, by digest, ours: in the beginning a
    placeholder, then what was pushed last.  Raises `Refused` if that is not so.
    """
    found = sorted({match["image"] for match in _IMAGE.finditer(manifest)})
    if len(found) != 1 or "@sha256:" not in found[0]:
        raise Refused(f"the manifest: got the images {', '.join(found) or 'none'}; expected one, by digest")
    return _IMAGE.sub(lambda match: match["before"] + reference, manifest)


def docker_config() -> credentials.Keyring:
    """Docker's own credentials of whoever runs this."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    path = pathlib.Path(folder) / "config.json"
    if not path.is_file():
        return credentials.Keyring(())
    return credentials.Keyring((credentials.parse(path.read_bytes(), str(path)),))


def _basic(found: credentials.Credential) -> str:
    pair = f"{found.user.reveal()}:{found.password.reveal()}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _blob(layout: pathlib.Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def main(words: list[str]) -> None:
    """Push, rewrite, report."""
    if not words or "/" not in words[0]:
        raise SystemExit(
            "push: expected REGISTRY/REPOSITORY, as in: make image push REGISTRY=registry.example.com/nodeseal"
        )
    layout = pathlib.Path(words[1]) if len(words) > 1 else freeze.ROOT / "out" / "image"
    manifests = [pathlib.Path(word) for word in words[2:]] or [freeze.ROOT / name for name in MANIFESTS]
    try:
        repository = Reference.parse(f"{words[0]}:any").repository
        reference = f"{repository}@{Target(repository, docker_config()).push(layout)}"
        print(f"pushed {reference}")
        for manifest in manifests:
            if manifest.is_file():
                manifest.write_text(rewritten(manifest.read_text(), reference))
                print(f"{manifest.name}: its image is this one now")
            else:
                print(f"{manifest.name}: no such file; nothing was rewritten")
    except (NodesealError, Refused, OSError, ValueError) as error:
        raise SystemExit(f"push: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
