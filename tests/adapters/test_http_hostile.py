"""Registries as attackers, over real sockets: a typed error or a bounded listing, in time, and nothing leaks.

The numbers are those of the checklist of hostile inputs (7 to 11); for 13 to 15 see `test_http_hostile_access`.
"""

import time
import tracemalloc
from contextlib import contextmanager
from typing import Iterator

import pytest

from agent.errors import Cause, DigestMismatch, LimitExceeded, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from tests.adapters.http_bench import PATH, TYPE, Bench, bench, kind, registry
from tests.simulators import misbehaviour as does
from tests.simulators.registry import RegistrySimulator

__all__ = ["bench", "kind", "registry"]


DEADLINE = 0.6
MEMORY = 24 << 20
"""What one request may take, in bytes: a page of 4 MiB as bytes, as text and as JSON values."""


@pytest.fixture
def image(registry: RegistrySimulator) -> Descriptor:
    """An image with one signature."""
    pushed = registry.push_image(PATH, "1")
    registry.attach(PATH, pushed, TYPE, b"signature")
    return pushed


@pytest.fixture
def hurried(kind: str, registry: RegistrySimulator) -> Iterator[Bench]:
    """A client with little time."""
    made = Bench(kind, registry, DEADLINE)
    yield made
    made.transport.close()


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Fails where more memory is taken than one request may."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


# 7: what a tag names


def test_07_tag_moves_between_requests(registry: RegistrySimulator, bench: Bench) -> None:
    """Each answer is consistent in itself: the digest is that of the bytes."""
    first = registry.push_image(PATH, "1", salt="1")
    assert bench.resolve() == first
    second = registry.push_image(PATH, "1", salt="2")
    assert bench.resolve() == second
    assert bench.manifest(first) != bench.manifest(second)


def test_07_docker_content_digest_lies(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Found out."""
    registry.misbehave("tag", does.lie_about_digest)
    with pytest.raises(DigestMismatch):
        bench.resolve()


def test_07_body_is_not_the_digest(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Of a manifest as of a blob, whatever its size."""
    blob = registry.push_blob(PATH, b"signature")
    registry.misbehave("manifest", does.other_content(b"x" * image.size))
    registry.misbehave("blob", does.other_content(b"signaturE"))
    with pytest.raises(DigestMismatch):
        bench.manifest(image)
    with pytest.raises(DigestMismatch):
        bench.blob(blob)


# 8: listings


def test_08_endless_pages(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Sixteen requests, and the sixteen entries."""
    registry.asks_for_token = False
    registry.misbehave("referrers", does.endless_pages)
    listing = bench.referrers(image)
    assert registry.counts["referrers"] == 16
    assert len(listing.descriptors) == 16
    assert isinstance(listing.defect, LimitExceeded)


def test_08_page_that_follows_itself(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """One request."""
    registry.misbehave("referrers", does.page_that_follows_itself)
    listing = bench.referrers(image)
    assert registry.counts["referrers"] == 1
    assert len(listing.descriptors) == 1
    assert isinstance(listing.defect, Malformed)


def test_08_next_page_elsewhere(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Is never asked for."""
    with RegistrySimulator() as other:
        registry.misbehave("referrers", does.next_page(f"{other.url}/v2/{PATH}/referrers/x"))
        listing = bench.referrers(image)
        assert not other.seen
    assert isinstance(listing.defect, Malformed)


@pytest.mark.unmeasured
@pytest.mark.parametrize("count", [15_000, 100_000])
def test_08_very_many_entries(registry: RegistrySimulator, image: Descriptor, bench: Bench, count: int) -> None:
    """A thousand are taken of a page that fits; of a page that does not, none."""
    registry.misbehave("referrers", does.many_entries(count))
    with bounded_memory():
        listing = bench.referrers(image)
    assert isinstance(listing.defect, LimitExceeded)
    assert len(listing.descriptors) == (1000 if count == 15_000 else 0)


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        (does.status(404), "referrers tag"),
        (does.status(405), "referrers tag"),
        (does.status(406), "referrers tag"),
        (does.status(501), "referrers tag"),
        (does.html, "referrers tag"),
        (does.redirect("https://login.example.net/"), "referrers tag"),
        (does.listing(), "referrers tag"),
    ],
)
def test_08_the_tag_is_found(
    registry: RegistrySimulator, image: Descriptor, bench: Bench, answer: does.Behaviour, source: str
) -> None:
    """Without API, and with one that names nothing."""
    registry.tag_referrers(PATH, image)
    registry.misbehave("referrers", answer)
    listing = bench.referrers(image)
    assert (len(listing.descriptors), listing.source, listing.types_are_reliable) == (1, source, False)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(403, Cause.UNAUTHORIZED), (429, Cause.THROTTLED), (500, Cause.REGISTRY_UNAVAILABLE)],
)
def test_08_listing_that_fails(
    registry: RegistrySimulator, image: Descriptor, bench: Bench, code: int, cause: Cause
) -> None:
    """Cannot tell."""
    registry.misbehave("referrers", does.status(code))
    with pytest.raises(Unavailable) as caught:
        bench.referrers(image)
    assert caught.value.cause is cause


def test_08_listing_that_breaks_off(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """With 500 on its second page: cannot tell, in spite of the first."""
    registry.misbehave("referrers", does.in_turn(does.next_page("?n=1"), does.status(500)))
    with pytest.raises(Unavailable) as caught:
        bench.referrers(image)
    assert caught.value.cause is Cause.REGISTRY_UNAVAILABLE


# 9: endless and wrong bodies


@pytest.mark.parametrize(
    "endless",
    [
        does.endless_chunks,
        does.endless_body,
        does.negative_chunk,
        does.immense_negative_chunk,
        does.endless_extension,
        does.endless_trailers,
        does.endless_continue,
        does.announced_length(1 << 30),
    ],
)
def test_09_endless_bodies(
    registry: RegistrySimulator, image: Descriptor, bench: Bench, endless: does.Behaviour
) -> None:
    """End at the limit, long before the deadline and the end of what comes, as a failed outcome."""
    registry.misbehave("manifest", endless)
    registry.misbehave("blob", endless)
    started = time.monotonic()
    with pytest.raises(Malformed), bounded_memory():
        bench.manifest(image)
    with pytest.raises(Malformed), bounded_memory():
        bench.blob(registry.push_blob(PATH, b"signature"))
    assert time.monotonic() - started < 25


@pytest.mark.parametrize(
    "slow", [does.drip(), does.drip(headers=True), does.silence], ids=["body", "headers", "silence"]
)
def test_09_slow_answers(registry: RegistrySimulator, image: Descriptor, hurried: Bench, slow: does.Behaviour) -> None:
    """End at the deadline, whatever comes byte by byte."""
    registry.misbehave("referrers", slow)
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        hurried.referrers(image)
    assert caught.value.cause is Cause.DEADLINE
    assert time.monotonic() - started < DEADLINE + 25
    with pytest.raises(Unavailable) as caught:
        hurried.referrers(image)
    assert caught.value.cause is Cause.DEADLINE


def test_09_gzip_bomb(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Nothing is ever unpacked."""
    registry.misbehave("*", does.gzip_bomb(64 << 20))
    with bounded_memory():
        listing = bench.referrers(image)
    assert listing.descriptors == ()
    assert listing.defect is not None
    assert "Content-Encoding" in listing.defect.message
    with pytest.raises(Malformed, match="Content-Encoding"):
        bench.manifest(image)
    assert {each.headers["accept-encoding"] for each in registry.seen} == {"identity"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (does.announced_length(100), Unavailable),
        (does.raw("Content-Length: 9", "Content-Length: 10", body=b"signature"), Malformed),
        (does.raw("Content-Length: -9", body=b"signature"), Malformed),
        (does.raw("Content-Length: 0x9", body=b"signature"), Malformed),
        (does.raw("Content-Length: 9, 9", body=b"signature"), Malformed),
        (does.raw("Transfer-Encoding: gzip", body=b"signature"), Malformed),
        (does.raw("Transfer-Encoding: chunked, chunked", body=b"9\r\nsignature\r\n0\r\n\r\n"), Malformed),
        (does.raw("Transfer-Encoding: chunked", body=b"zz\r\nsignature\r\n"), Malformed),
        (does.raw("Transfer-Encoding: chunked", body=b"9\r\nsig"), Unavailable),
        (does.raw("Transfer-Encoding: chunked", body=b"-5\r\nsignature\r\n0\r\n\r\n"), Malformed),
        (does.raw("Transfer-Encoding: chunked", "Content-Length: 9", body=b"9\r\nsignature\r\n0\r\n\r\n"), Malformed),
        (does.raw("Content-Encoding: br", body=b"signature"), Malformed),
        (does.raw("no header at all", "Content-Length: 9", body=b"signature"), Malformed),
        (does.raw(*[f"X-{number}: x" for number in range(200)]), LimitExceeded),
        (does.raw("X-Long: " + "x" * 70_000), LimitExceeded),
        (does.raw(*["X: " + "x" * 30_000] * 5, "Content-Length: 9", body=b"signature"), LimitExceeded),
        (does.not_http, Unavailable),
        (does.hang_up, Unavailable),
    ],
)
def test_09_wrong_framing(
    registry: RegistrySimulator, bench: Bench, answer: does.Behaviour, error: type[Exception]
) -> None:
    """What is cut short is no answer; what is wrong is malformed."""
    blob = registry.push_blob(PATH, b"signature")._replace(size=9)
    large = blob._replace(size=1000)
    registry.misbehave("blob", answer)
    with pytest.raises(error) as caught:
        bench.blob(large if error is Unavailable else blob)
    assert isinstance(caught.value, (Malformed, Unavailable))
    if isinstance(caught.value, Unavailable):
        assert caught.value.cause is Cause.REGISTRY_UNAVAILABLE


def test_09_more_than_announced(kind: str, registry: RegistrySimulator, bench: Bench) -> None:
    """What is beyond the length is not content; to aiohttp's parser it may be the start of another answer, and none."""
    blob = registry.push_blob(PATH, b"signature")
    registry.misbehave("blob", does.raw("Content-Length: 8", body=b"signature"))
    with pytest.raises(DigestMismatch if kind == "blocking" else (DigestMismatch, Unavailable)):
        bench.blob(blob)


def test_09_good_framing_still_works(registry: RegistrySimulator, bench: Bench) -> None:
    """Chunks, extensions, trailers, a body to the connection's end."""
    blob = registry.push_blob(PATH, b"signature")
    for answer in (
        does.raw("Transfer-Encoding: Chunked", body=b"4;x=y\r\nsign\r\n5\r\nature\r\n0\r\nX: y\r\n\r\n"),
        does.raw("Connection: close", body=b"signature"),
        does.raw("Content-Length: 9", "Content-Encoding: identity", body=b"signature"),
    ):
        registry.misbehave("blob", answer)
        assert bench.blob(blob) == b"signature"


# 10: JSON, see also tests/registry


def test_09_head_may_be_long(registry: RegistrySimulator, bench: Bench) -> None:
    """But not so long that many of them at once would be in nobody's account: see what is refused above."""
    blob = registry.push_blob(PATH, b"signature")
    registry.misbehave("blob", does.raw("X: " + "x" * 48_000, "Content-Length: 9", body=b"signature"))
    assert bench.blob(blob) == b"signature"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"manifests":[],"manifests":[1]}', b'{"a":' + b"1" * 10**6 + b"}"])
def test_10_json(registry: RegistrySimulator, image: Descriptor, bench: Bench, body: bytes) -> None:
    """A defect."""
    registry.misbehave("referrers", does.other_content(body, IMAGE_INDEX))
    listing = bench.referrers(image)
    assert listing.descriptors == ()
    assert isinstance(listing.defect, Malformed)


# 11: sizes


def test_11_sizes_lie(registry: RegistrySimulator, bench: Bench) -> None:
    """More than listed is not read; a listed size over the limit is not asked for."""
    blob = registry.push_blob(PATH, b"x" * 5000)
    with pytest.raises(LimitExceeded):
        bench.blob(blob._replace(size=10))
    asked = len(registry.seen)
    with pytest.raises(LimitExceeded):
        bench.blob(blob._replace(size=1 << 60))
    with pytest.raises(LimitExceeded):
        bench.manifest(blob._replace(size=5 << 20, media_type=IMAGE_MANIFEST))
    assert len(registry.seen) == asked
