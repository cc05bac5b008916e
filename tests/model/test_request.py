"""What containerd says three times over: believed if all of it agrees."""

from typing import Any

import pytest

from agent.errors import UsageError
from agent.model.digest import Digest
from agent.model.request import STDIN_MEDIA_TYPE, PullRequest

DIGEST = str(Digest.of(b"the image"))
OTHER = str(Digest.of(b"another"))
DESCRIPTOR: dict[str, Any] = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": DIGEST, "size": 7}
NAME = "r.example:5000/team/app:1"


@pytest.mark.parametrize(
    "name", [NAME, f"r.example:5000/team/app@{DIGEST}", f"{NAME}@{DIGEST}"], ids=["tag", "digest", "tag and digest"]
)
def test_what_agrees_is_one_request(name: str) -> None:
    request = PullRequest.agreed(name, DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR)
    assert request.identity == f"r.example:5000/team/app@{DIGEST}"
    assert (request.name, request.subject.size) == (name, 7)


def test_further_members_of_the_descriptor_are_passed_over() -> None:
    more = {"annotations": {"a": "b"}, "platform": {"os": "linux"}, "urls": ["http://x"], "data": "e30="}
    assert PullRequest.agreed(NAME, DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR | more).subject.size == 7


SHA512 = str(Digest.of(b"the image", "sha512"))


def test_sha512_is_a_digest_too() -> None:
    request = PullRequest.agreed(NAME, SHA512, STDIN_MEDIA_TYPE, DESCRIPTOR | {"digest": SHA512})
    assert request.identity.endswith(SHA512)


@pytest.mark.parametrize(
    ("name", "digest", "media_type", "descriptor"),
    [
        (f"r.example/a@{OTHER}", DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, OTHER, STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR | {"digest": OTHER}),
        (f"r.example/a@{OTHER}", OTHER, STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, SHA512, STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, DIGEST, STDIN_MEDIA_TYPE + ";v=2", DESCRIPTOR),
        (NAME, DIGEST, "", DESCRIPTOR),
        (NAME, "", STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, DIGEST.upper(), STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, DIGEST + "\n", STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, "md5:d41d8cd98f00b204e9800998ecf8427e", STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, "sha256:../../etc/passwd", STDIN_MEDIA_TYPE, DESCRIPTOR),
        ("busybox", DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR),
        (NAME, DIGEST, STDIN_MEDIA_TYPE, [DESCRIPTOR]),
        (NAME, DIGEST, STDIN_MEDIA_TYPE, None),
        (NAME, DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR | {"size": -1}),
        (NAME, DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR | {"size": 2**63}),
        (NAME, DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR | {"mediaType": None}),
    ],
    ids=[
        "digest of the name", "digest of the flag", "digest of the descriptor", "flag and name against the descriptor",
        "another algorithm", "media type with a parameter", "no media type", "no digest", "upper-case digest",
        "newline behind the digest", "MD5", "a path for a digest", "no registry", "descriptor a list", "no descriptor",
        "negative size", "huge size", "no media type in the descriptor",
    ],
)  # fmt: skip
def test_what_does_not_agree_is_a_usage_error(name: str, digest: str, media_type: str, descriptor: object) -> None:
    with pytest.raises(UsageError) as caught:
        PullRequest.agreed(name, digest, media_type, descriptor)
    assert caught.value.message.isprintable()


def test_what_a_verdict_is_about_has_size_and_media_type() -> None:
    request = PullRequest.agreed(NAME, DIGEST, STDIN_MEDIA_TYPE, DESCRIPTOR)
    assert request.described == f"{request.identity} {request.subject.size} {request.subject.media_type}"
