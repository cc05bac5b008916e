"""Every store on disk as the same thing: something is put in, and comes back or not.  What the contract runs over."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from agent.adapters import content_store, listing_store, revocation_cache, throttling, token_store, verdicts
from agent.adapters.content_store import BLOB, MANIFEST, ContentStore
from agent.adapters.entries import Kind
from agent.adapters.inline import run
from agent.adapters.listing_store import KeptListing, ListingStore, Question
from agent.adapters.revocation_cache import RevocationCache
from agent.adapters.throttling import ThrottledOrigins
from agent.adapters.token_store import TokenStore
from agent.adapters.verdicts import VerdictFolder
from agent.errors import Code
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.inquiry import RevocationQuery
from agent.model.reference import Repository
from agent.model.verdict import NOTHING, Decision, Known, Memory, Remembered, Verdict
from agent.registry.memory import KeptToken
from agent.registry.secret import Secret
from agent.registry.urls import Origin, Url

SHOP, OTHER = Repository("r.example", "shop/cart"), Repository("r.example", "shop/other")
TOKEN = "planted-kept-token-"
MINUTE = timedelta(minutes=1)


class Store(NamedTuple):
    """One store.  `put` keeps entry number n under a root; `get` gives something that tells it, None if it is missed.

    `others` ask for what was never kept, though entry 1 was: another repository, digest, ground, way.
    """

    kind: Kind
    put: Callable[[str, int], None]
    get: Callable[[str, int], object]
    others: tuple[Callable[[str], object], ...] = ()


def content(n: int) -> tuple[Descriptor, bytes]:
    """Content number n."""
    body = f"evidence {n} ".encode() * 20
    return Descriptor("application/json", Digest.of(body), len(body)), body


def _put_content(root: str, n: int) -> None:
    descriptor, body = content(n)
    ContentStore(root).put(BLOB, SHOP, descriptor, body)


def _get_content(root: str, n: int, kind: str = BLOB, repository: Repository = SHOP) -> object:
    return ContentStore(root).get(kind, repository, content(n)[0])


def question(n: int, **changes: object) -> Question:
    """Question number n."""
    return Question("way", SHOP, str(Digest.of(b"%d" % n)), ("application/x",))._replace(**changes)  # type: ignore[arg-type]


def _put_list(root: str, n: int) -> None:
    found = Listing((content(n)[0]._replace(artifact_type="application/x"),), "referrers API", types_are_reliable=True)
    ListingStore(root).put(question(n), KeptListing(found, datetime.now(timezone.utc) - MINUTE))


def _get_list(root: str, n: int, **changes: object) -> object:
    kept = ListingStore(root).get(question(n, **changes), datetime.now(timezone.utc))
    return None if kept is None else kept.listing.descriptors


def _put_verdict(root: str, n: int) -> None:
    now = datetime.now(timezone.utc)
    verdict = Verdict(Decision.ALLOW, Code.VERIFIED, f"number {n}")
    memory = Memory(Remembered(now, None), Known(verdict, now, now + MINUTE))
    run(VerdictFolder(root).remember("ground", f"r.example/shop@{n}", memory))


def _get_verdict(root: str, n: int, ground: str = "ground", image: str = "") -> object:
    memory = run(VerdictFolder(root).recall(ground, image or f"r.example/shop@{n}"))
    return None if memory == NOTHING or memory.last is None else memory.last.verdict.message


def query(n: int) -> RevocationQuery:
    """Question number n to a responder."""
    return RevocationQuery(f"http://ocsp.example/{n}", b"question", 20_000, 5.0)


def _put_answer(root: str, n: int) -> None:
    RevocationCache(root).put(query(n), f"answer {n}".encode())


def _get_answer(root: str, n: int, **changes: object) -> object:
    return RevocationCache(root).get(query(n)._replace(**changes)) or None  # type: ignore[arg-type]


def origin(n: int) -> Origin:
    """Origin number n."""
    return Origin("https", f"r{n}.example", 443)


def token(n: int) -> KeptToken:
    """Token number n, good for a minute."""
    scopes = ("repository:shop/cart:pull",)
    return KeptToken("https://auth.example/token?x=1", "s", scopes, -1, "0" * 64, Secret(f"{TOKEN}{n}"), 60.0, 90.0)


def _put_token(root: str, n: int) -> None:
    TokenStore(root).put(origin(n), "shop/cart", token(n))


def _get_token(root: str, n: int, path: str = "shop/cart", scheme: str = "https") -> object:
    kept = TokenStore(root).get(origin(n)._replace(scheme=scheme), path)
    return None if kept is None else kept.value.reveal()


def _manifest(origin: Origin) -> Url:
    return Url(origin, "/v2/shop/cart/manifests/1")


def _put_note(root: str, n: int) -> None:
    ThrottledOrigins(root).note(_manifest(origin(n)), datetime.now(timezone.utc), 100.0)


def _get_note(root: str, n: int, scheme: str = "https") -> object:
    place = _manifest(origin(n)._replace(scheme=scheme))
    until = ThrottledOrigins(root).until(place, datetime.now(timezone.utc))
    return None if until is None else n


STORES = {
    "verdicts": Store(
        verdicts.KIND,
        _put_verdict,
        _get_verdict,
        (
            lambda root: _get_verdict(root, 1, ground="another policy's"),
            lambda root: _get_verdict(root, 1, image="r.example/other@1"),
            lambda root: _get_verdict(root, 2),
        ),
    ),
    "revocation": Store(
        revocation_cache.KIND,
        _put_answer,
        _get_answer,
        (
            lambda root: _get_answer(root, 1, body=b"another"),
            lambda root: _get_answer(root, 1, url="http://ocsp.example/other"),
        ),
    ),
    "content": Store(
        content_store.KIND,
        _put_content,
        _get_content,
        (
            lambda root: _get_content(root, 1, repository=OTHER),
            lambda root: _get_content(root, 1, kind=MANIFEST),
            lambda root: _get_content(root, 2),
        ),
    ),
    "listings": Store(
        listing_store.KIND,
        _put_list,
        _get_list,
        (
            lambda root: _get_list(root, 1, way="another"),
            lambda root: _get_list(root, 1, repository=OTHER),
            lambda root: _get_list(root, 1, artifact_types=("application/y",)),
            lambda root: _get_list(root, 1, artifact_types=()),
            lambda root: _get_list(root, 2),
        ),
    ),
    "tokens": Store(
        token_store.KIND,
        _put_token,
        _get_token,
        (
            lambda root: _get_token(root, 1, path="shop/other"),
            lambda root: _get_token(root, 1, scheme="http"),
            lambda root: _get_token(root, 2),
        ),
    ),
    "throttled": Store(
        throttling.KIND,
        _put_note,
        _get_note,
        (lambda root: _get_note(root, 1, scheme="http"), lambda root: _get_note(root, 2)),
    ),
}
"""By name.  Doubts are none of these: what can't be read of them counts as the worst."""
