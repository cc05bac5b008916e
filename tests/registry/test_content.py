"""Content by digest, and what tags name."""

import json

import pytest

from agent.errors import Cause, DigestMismatch, LimitExceeded, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from agent.model.reference import Reference
from agent.registry import content
from agent.registry.messages import Response
from tests.registry.support import access, feed, header, response

BODY = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_MANIFEST}).encode()
DESCRIPTOR = Descriptor(IMAGE_MANIFEST, Digest.of(BODY), len(BODY))
TAGGED = Reference.parse("registry.example.com/shop/cart:1")


def manifest_response(body: bytes = BODY, media_type: str = IMAGE_MANIFEST, **headers: str) -> Response:
    """A manifest."""
    return response(200, body, content_type=media_type, **headers)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_manifest_and_blob(algorithm: str) -> None:
    """By digest, at most the size that was listed."""
    descriptor = DESCRIPTOR._replace(digest=Digest.of(BODY, algorithm))
    got, asked = feed(content.manifest(access(), descriptor), [response(200, BODY)])
    assert got == BODY
    assert asked[0].url.path == f"/v2/shop/cart/manifests/{descriptor.digest}"
    assert asked[0].limit == len(BODY)
    for media_type in content.MANIFEST_TYPES:
        assert media_type in header(asked[0], "Accept")
    got, asked = feed(content.blob(access(), descriptor, 1000), [response(200, BODY)])
    assert got == BODY
    assert asked[0].url.path == f"/v2/shop/cart/blobs/{descriptor.digest}"
    assert (asked[0].limit, header(asked[0], "Accept")) == (len(BODY), "*/*")


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b" ", BODY[:-1] + b" "])
def test_content_is_checked(body: bytes) -> None:
    """Size and digest, each alone."""
    with pytest.raises(DigestMismatch):
        feed(content.manifest(access(), DESCRIPTOR), [response(200, body)])
    with pytest.raises(DigestMismatch):
        feed(content.blob(access(), DESCRIPTOR, 1000), [response(200, body)])


def test_size_is_checked_beside_the_digest() -> None:
    """A descriptor that lies about the size alone is no descriptor of this content."""
    with pytest.raises(DigestMismatch, match="expected 51"):
        feed(content.blob(access(), DESCRIPTOR._replace(size=51), 1000), [response(200, BODY)])


def test_sizes_over_the_limit_are_not_asked_for() -> None:
    """The listed size counts before any request."""
    with pytest.raises(LimitExceeded):
        feed(content.blob(access(), DESCRIPTOR._replace(size=1001), 1000), [])
    with pytest.raises(LimitExceeded):
        feed(content.manifest(access(), DESCRIPTOR._replace(size=4 * 1024 * 1024 + 1)), [])


def test_listed_but_missing() -> None:
    """The registry named it: its absence is its content, not its failure."""
    for steps in (content.manifest(access(), DESCRIPTOR), content.blob(access(), DESCRIPTOR, 1000)):
        with pytest.raises(Malformed, match="not found"):
            feed(steps, [response(404)])


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (401, Cause.UNAUTHORIZED),
        (403, Cause.UNAUTHORIZED),
        (408, Cause.REGISTRY_UNAVAILABLE),
        (429, Cause.THROTTLED),
        (500, Cause.REGISTRY_UNAVAILABLE),
        (503, Cause.REGISTRY_UNAVAILABLE),
        (599, Cause.REGISTRY_UNAVAILABLE),
    ],
)
def test_nobody_answers(code: int, cause: Cause) -> None:
    """Cannot tell, with its cause; Retry-After is told."""
    refusal = response(code, b"", retry_after="120")
    for steps in (content.blob(access(), DESCRIPTOR, 1000), content.resolve(access(), TAGGED)):
        with pytest.raises(Unavailable) as caught:
            feed(steps, [refusal])
        assert caught.value.cause is cause
        assert ("120 s" in caught.value.message) == (code not in (401, 403))


@pytest.mark.parametrize("code", [201, 204, 206, 300, 304, 400, 405, 410, 418])
def test_odd_statuses_are_the_registrys_content(code: int) -> None:
    """It can choose them: never "cannot tell"."""
    with pytest.raises(Malformed, match=str(code)):
        feed(content.blob(access(), DESCRIPTOR, 1000), [response(code, BODY)])


def test_resolve_a_tag() -> None:
    """The digest is that of the body."""
    got, asked = feed(
        content.resolve(access(), TAGGED), [manifest_response(docker_content_digest=str(Digest.of(BODY)))]
    )
    assert got == DESCRIPTOR
    assert asked[0].url.path == "/v2/shop/cart/manifests/1"
    assert asked[0].limit == 4 * 1024 * 1024


def test_resolve_a_digest() -> None:
    """With or without a tag beside it."""
    for text in (f"registry.example.com/shop/cart@{Digest.of(BODY)}", f"{TAGGED}@{Digest.of(BODY)}"):
        got, asked = feed(content.resolve(access(), Reference.parse(text)), [manifest_response()])
        assert got == DESCRIPTOR
        assert asked[0].url.path == f"/v2/shop/cart/manifests/{Digest.of(BODY)}"
    other = Reference.parse(f"registry.example.com/shop/cart@{Digest.of(b'other')}")
    with pytest.raises(DigestMismatch):
        feed(content.resolve(access(), other), [manifest_response()])


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_docker_content_digest_that_lies(algorithm: str) -> None:
    """Whatever algorithm it uses."""
    honest = manifest_response(docker_content_digest=str(Digest.of(BODY, algorithm)))
    assert feed(content.resolve(access(), TAGGED), [honest])[0] == DESCRIPTOR
    with pytest.raises(DigestMismatch):
        lie = manifest_response(docker_content_digest=str(Digest.of(b"x", algorithm)))
        feed(content.resolve(access(), TAGGED), [lie])


@pytest.mark.parametrize("text", ["", "sha256:", "md5:00", "sha256:" + "A" * 64, "sha256:../../x"])
def test_docker_content_digest_that_is_none(text: str) -> None:
    """Refused."""
    with pytest.raises(Malformed, match="Docker-Content-Digest"):
        feed(content.resolve(access(), TAGGED), [manifest_response(docker_content_digest=text)])


def test_no_such_tag() -> None:
    """Who names an image chooses that: not "cannot tell"."""
    with pytest.raises(Malformed, match="not found"):
        feed(content.resolve(access(), TAGGED), [response(404)])


@pytest.mark.parametrize(
    ("said", "header_type", "expected"),
    [
        (IMAGE_MANIFEST, IMAGE_MANIFEST, IMAGE_MANIFEST),
        (IMAGE_MANIFEST, "application/json", IMAGE_MANIFEST),
        (IMAGE_MANIFEST, "", IMAGE_MANIFEST),
        (None, IMAGE_INDEX, IMAGE_INDEX),
        (None, IMAGE_INDEX + "; charset=utf-8", IMAGE_INDEX),
        (content.DOCKER_INDEX, content.DOCKER_INDEX, content.DOCKER_INDEX),
        (IMAGE_MANIFEST, IMAGE_INDEX, None),
        (IMAGE_INDEX, IMAGE_MANIFEST, None),
        (None, "text/html", None),
        (None, "", None),
        ("text/html", "", None),
        (["x"], IMAGE_MANIFEST, None),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "", None),
    ],
)
def test_media_type(said: object, header_type: str, expected: str | None) -> None:
    """Header and document must say the same, if both say something."""
    body = json.dumps({} if said is None else {"mediaType": said}).encode()
    steps = content.resolve(access(), TAGGED)
    if expected is None:
        with pytest.raises(Malformed):
            feed(steps, [manifest_response(body, header_type)])
    else:
        assert feed(steps, [manifest_response(body, header_type)])[0].media_type == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xef\xbb\xbf{}", b"[" * 10**5]
)
def test_documents_that_are_none(body: bytes) -> None:
    """JSON of one reading only."""
    with pytest.raises(Malformed):
        feed(content.resolve(access(), TAGGED), [manifest_response(body)])


def test_transport_errors_go_through() -> None:
    """What the transport raises is what the caller gets."""
    with pytest.raises(Unavailable, match="gone"):
        feed(content.blob(access(), DESCRIPTOR, 1000), [Unavailable("gone", cause=Cause.DEADLINE)])


@pytest.mark.parametrize("wait", ["9" * 10, "9" * 5000, "-1", "1.5", "Wed, 21 Oct 2099 07:28:00 GMT", "\u0663"])
def test_absurd_retry_after(wait: str) -> None:
    """Is not told, and breaks nothing."""
    with pytest.raises(Unavailable) as caught:
        feed(content.blob(access(), DESCRIPTOR, 1000), [response(429, retry_after=wait)])
    assert caught.value.message.endswith("too many requests (status 429)")
