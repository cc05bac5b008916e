"""Listings: the API, the tag, and everything that can be wrong with either."""

import json
from typing import Any, Sequence

import pytest

from agent.errors import Cause, DigestMismatch, LimitExceeded, Malformed, NodesealError, Unavailable
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from agent.registry import referrers
from agent.registry.messages import Request, Response
from tests.registry.support import SUBJECT, access, feed, header, page, response

TYPE = "application/example"
NONE = response(404)


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """A descriptor."""
    digest = str(Digest.of(str(number).encode()))
    return {"mediaType": IMAGE_MANIFEST, "digest": digest, "size": 400, "artifactType": TYPE, **changes}


def index(*entries: Any, **others: Any) -> bytes:
    """An index."""
    return json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": list(entries), **others}).encode()


def tag(*entries: Any, **headers: str) -> Response:
    """What the referrers tag names."""
    return page(index(*entries), **headers)


def listed(
    responses: Sequence[Response | NodesealError], types: Sequence[str] = ("a", "b"), subject: Digest = SUBJECT
) -> tuple[Listing, list[Request]]:
    """A listing from these responses."""
    return feed(referrers.referrers(access(), subject, types), responses)


def numbers(listing: Listing) -> list[int]:
    """Which entries are in it."""
    known = {Digest.of(str(number).encode()): number for number in range(2000)}
    return [known[each.digest] for each in listing.descriptors]


def test_one_page() -> None:
    """The plain case: one request."""
    listing, asked = listed([page(index(entry(1), entry(2)))])
    assert numbers(listing) == [1, 2]
    assert (listing.source, listing.types_are_reliable, listing.defect) == ("referrers API", True, None)
    assert listing.descriptors[0].artifact_type == TYPE
    assert asked[0].url.target == f"/v2/shop/cart/referrers/{SUBJECT}"
    assert header(asked[0], "Accept") == IMAGE_INDEX
    assert asked[0].limit == 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("types", "query"),
    [
        (["application/a+b"], "?artifactType=application%2Fa%2Bb"),
        (["a", "b"], ""),
        (["*"], ""),
        ([], ""),
    ],
)
def test_asking_for_less(types: list[str], query: str) -> None:
    """Only where one type alone is wanted; what comes is not filtered."""
    listing, asked = listed([page(index(entry(1), entry(2, artifactType="other")))], types)
    assert asked[0].url.query == query
    assert numbers(listing) == [1, 2]


def test_pages() -> None:
    """Relative and absolute links, in any order of parameters, among others."""
    home = f"https://registry.example.com/v2/shop/cart/referrers/{SUBJECT}"
    listing, asked = listed(
        [
            page(index(entry(1)), link=f'</v2/shop/cart/referrers/{SUBJECT}?last=1>; rel="next"'),
            page(index(entry(2)), link=f'<{home}?last=0>; rel=prev, <{home}?last=2>; title="a"; REL="next last"'),
            page(index(entry(3)), link=f"<?last=3> ;rel=next,<{home}>; rel=first"),
            page(index(entry(4)), link=f'<{home}>; rel="prev"'),
        ]
    )
    assert numbers(listing) == [1, 2, 3, 4]
    assert listing.defect is None
    assert [each.url.query for each in asked] == ["", "?last=1", "?last=2", "?last=3"]


def test_duplicates_and_the_subject_itself() -> None:
    """An entry counts once, on whatever page it is; an image is no referrer of itself."""
    listing, _ = listed(
        [
            page(index(entry(1), entry(1), entry(0, digest=str(SUBJECT))), link="<?last=1>; rel=next"),
            page(index(entry(2), entry(1, size=7))),
        ]
    )
    assert numbers(listing) == [1, 2]
    assert listing.descriptors[0].size == 400
    assert listing.defect is None


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        [],
        {},
        entry(9, digest="sha256:../../x"),
        entry(9, digest="md5:00"),
        entry(9, size=-1),
        entry(9, size=1 << 63),
        entry(9, size="1"),
        entry(9, mediaType=""),
        entry(9, artifactType=7),
        entry(9, artifactType="a\nb"),
    ],
)
def test_a_bad_entry_hides_nothing(bad: object) -> None:
    """The good ones stay, the bad one is told."""
    listing, _ = listed([page(index(entry(1), bad, entry(2)))])
    assert numbers(listing) == [1, 2]
    assert isinstance(listing.defect, Malformed)
    assert "manifests[1]" in listing.defect.message


def test_missing_artifact_type() -> None:
    """Is no defect: indexes have none."""
    value = entry(1)
    del value["artifactType"]
    listing, _ = listed([page(index(value))])
    assert listing.descriptors[0].artifact_type is None
    assert listing.defect is None


def test_too_many_pages() -> None:
    """Sixteen are read."""
    pages = [page(index(entry(number)), link=f"<?last={number}>; rel=next") for number in range(17)]
    listing, asked = listed(pages[:16])
    assert len(asked) == 16
    assert numbers(listing) == list(range(16))
    assert isinstance(listing.defect, LimitExceeded)
    complete, _ = listed([*pages[:15], page(index(entry(15)))])
    assert complete.defect is None
    assert len(complete.descriptors) == 16


def test_too_many_entries() -> None:
    """A thousand are looked at, good and bad; no further page is asked for."""
    listing, _ = listed([page(index(*(entry(number) for number in range(1000))))])
    assert (len(listing.descriptors), listing.defect) == (1000, None)
    listing, _ = listed([page(index(*(entry(number) for number in range(1001))), link="<?last=1>; rel=next")])
    assert len(listing.descriptors) == 1000
    assert isinstance(listing.defect, LimitExceeded)
    listing, _ = listed([page(index(*[None] * 1000, entry(1))), NONE])
    assert not listing.descriptors
    assert isinstance(listing.defect, Malformed)


@pytest.mark.parametrize(
    "link",
    [
        "<>; rel=next",
        f"<https://registry.example.com/v2/shop/cart/referrers/{SUBJECT}>; rel=next",
        "<https://evil.example/v2/shop/cart/referrers/x>; rel=next",
        "<http://registry.example.com/v2/shop/cart/referrers/x>; rel=next",
        "<https://registry.example.com:8443/v2/shop/cart/referrers/x>; rel=next",
        "<https://user@registry.example.com/v2/shop/cart/referrers/x>; rel=next",
        "</v2/shop/other/referrers/x>; rel=next",
        "</v2/shop/cart/../other/referrers/x>; rel=next",
        "</v2/shop/cart/%2e%2e/other/referrers/x>; rel=next",
        "</v2/shop/cartoon/referrers/x>; rel=next",
        "</token?x>; rel=next",
        "<?a>; rel=next, <?b>; rel=next",
    ],
)
def test_next_pages_elsewhere(link: str) -> None:
    """Are not asked for, and told; the entries before them count."""
    listing, asked = listed([page(index(entry(1)), link=link)])
    assert len(asked) == 1
    assert numbers(listing) == [1]
    assert isinstance(listing.defect, Malformed)


@pytest.mark.parametrize(
    "link", ["", "garbage", "<?a>", "<?a; rel=next", "rel=next", '<?a>; rel="prev"', "<?a>; rev=next"]
)
def test_links_that_lead_nowhere(link: str) -> None:
    """Are none."""
    listing, asked = listed([page(index(entry(1)), link=link)])
    assert (len(asked), listing.defect) == (1, None)


@pytest.mark.parametrize(
    "no_api",
    [
        response(404),
        response(405),
        response(501),
        response(400, b'{"errors":[{"code":"UNSUPPORTED"}]}'),
        response(400, b"Bad Request"),
        response(406),
        response(302, location="https://login.example.net/"),
        response(307, location="http://registry.example.com/v2/x"),
        response(200, b"<html>", content_type="text/html"),
        response(200, b"{}", content_type="application/json"),
        response(200, index(entry(9))),
        response(200, index(entry(9)), content_type=IMAGE_MANIFEST),
    ],
)
def test_no_api(no_api: Response) -> None:
    """Then the tag is what counts, and its types are not to be relied on."""
    listing, asked = listed([no_api, tag(entry(1))])
    assert numbers(listing) == [1]
    assert (listing.source, listing.types_are_reliable, listing.defect) == ("referrers tag", False, None)
    assert asked[1].url.path == f"/v2/shop/cart/manifests/sha256-{SUBJECT.encoded}"
    listing, _ = listed([no_api, NONE])
    assert (listing.descriptors, listing.source, listing.defect) == ((), "referrers tag", None)


def test_content_type_in_another_case() -> None:
    """Is the same type."""
    listing, _ = listed([response(200, index(entry(1)), content_type=f"{IMAGE_INDEX.upper()} ; a=b")])
    assert listing.source == "referrers API"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (response(403), Cause.UNAUTHORIZED),
        (response(429), Cause.THROTTLED),
        (response(500), Cause.REGISTRY_UNAVAILABLE),
        (response(502), Cause.REGISTRY_UNAVAILABLE),
        (response(503, retry_after="9" * 400), Cause.REGISTRY_UNAVAILABLE),
        (response(410), Cause.REGISTRY_UNAVAILABLE),
        (response(204), Cause.REGISTRY_UNAVAILABLE),
        (response(400, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}'), Cause.REGISTRY_UNAVAILABLE),
    ],
)
def test_listings_that_fail(answer: Response, cause: Cause) -> None:
    """By the API, on a later page, by the tag: nobody can tell then."""
    for responses in (
        [answer],
        [page(index(entry(1)), link="<?n=1>; rel=next"), answer],
        [NONE, answer],
        [page(index()), answer],
    ):
        with pytest.raises(Unavailable) as caught:
            listed(responses)
        assert caught.value.cause is cause


@pytest.mark.parametrize(
    "answer",
    [
        response(404),
        response(405),
        response(302, location="https://x.example/"),
        response(200, b"", content_type="text/html"),
    ],
)
def test_listings_that_break_off(answer: Response) -> None:
    """On the second page, what meant "no API" on the first means that the list has no end."""
    with pytest.raises(Unavailable, match="breaks off"):
        listed([page(index(entry(1)), link="<?n=1>; rel=next"), answer])


def test_transport_errors() -> None:
    """No answer is no listing; too much of an answer is a defect, after which the earlier entries count."""
    first = page(index(entry(1)), link="<?n=1>; rel=next")
    with pytest.raises(Unavailable, match="gone"):
        listed([first, Unavailable("gone", cause=Cause.DEADLINE)])
    listing, _ = listed([first, LimitExceeded("page too large")])
    assert numbers(listing) == [1]
    assert listing.defect is not None
    assert "too large" in listing.defect.message
    listing, _ = listed([LimitExceeded("page too large"), NONE])
    assert (listing.descriptors, listing.source) == ((), "referrers API")
    assert isinstance(listing.defect, LimitExceeded)


def test_an_empty_api_is_not_the_last_word() -> None:
    """Signatures may have been pushed before the registry had an API."""
    for empty in (page(index()), page(index(manifests=None)), page(index(entry(0, digest=str(SUBJECT))))):
        listing, _ = listed([empty, tag(entry(1))])
        assert (numbers(listing), listing.source, listing.types_are_reliable) == ([1], "referrers tag", False)
        listing, _ = listed([empty, NONE])
        assert (listing.descriptors, listing.source, listing.defect) == ((), "referrers API", None)


def test_defects_of_the_api_are_not_forgotten_at_the_tag() -> None:
    """They stay beside what the tag names."""
    listing, _ = listed([page(index(7)), tag(entry(1))])
    assert numbers(listing) == [1]
    assert listing.defect is not None
    assert "referrers API" in listing.defect.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}x",
        b'{"manifests":{}}',
        b'{"manifests":[],"manifests":[]}',
        b"[" * 10**5,
        b"\xef\xbb\xbf{}",
    ],
)
def test_pages_that_are_none(body: bytes) -> None:
    """By the API and by the tag: no referrers, and a defect."""
    for responses in ([page(body), NONE], [NONE, page(body)]):
        listing, _ = listed(responses)
        assert listing.descriptors == ()
        assert isinstance(listing.defect, Malformed)
    later, _ = listed([page(index(entry(1)), link="<?n=1>; rel=next"), page(body)])
    assert numbers(later) == [1]
    assert isinstance(later.defect, Malformed)


def test_a_page_that_is_something_else() -> None:
    """An index by its header and an image by itself is neither."""
    listing, _ = listed([page(index(entry(1), mediaType=IMAGE_MANIFEST)), NONE])
    assert listing.descriptors == ()
    assert isinstance(listing.defect, Malformed)


def test_a_tag_that_is_something_else() -> None:
    """An image under the referrers tag names no referrers."""
    image = json.dumps({"mediaType": IMAGE_MANIFEST, "manifests": [entry(1)]}).encode()
    listing, _ = listed([NONE, response(200, image, content_type=IMAGE_MANIFEST)])
    assert listing.descriptors == ()
    assert isinstance(listing.defect, Malformed)


def test_a_tag_whose_digest_lies() -> None:
    """Names no referrers either."""
    listing, _ = listed([NONE, tag(entry(1), docker_content_digest=str(Digest.of(b"x")))])
    assert listing.descriptors == ()
    assert isinstance(listing.defect, DigestMismatch)


def test_the_tag_of_a_sha512_is_cut() -> None:
    """To 64 characters, as the specification says."""
    subject = Digest.of(b"the image", "sha512")
    assert referrers.tag_of(subject) == f"sha512-{subject.encoded[:64]}"
    _, asked = listed([NONE, NONE], subject=subject)
    assert asked[0].url.path.endswith(str(subject))
    assert asked[1].url.path.endswith(f"/sha512-{subject.encoded[:64]}")


def test_a_realm_that_is_refused_is_a_defect() -> None:
    """The registry chose it: the listing is there, and spoilt."""
    refusal = response(401, www_authenticate='Bearer realm="https://169.254.169.254/"')
    listing, _ = listed([refusal, refusal])
    assert listing.descriptors == ()
    assert isinstance(listing.defect, Malformed)
