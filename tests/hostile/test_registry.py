"""The registry as attacker: items 7 to 15 of the list of hostile inputs."""

import json
from typing import Any, Callable, Mapping

import pytest

from agent.model.descriptor import Descriptor
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from tests.hostile.measure import Measured
from tests.hostile.stage import DEADLINE, PROMPT, Asked, Case, Stage, check, run_all
from tests.signing import ARTIFACT_TYPE, attach_signature, descriptor_json, envelope, signature_manifest, usual_signer
from tests.simulators import misbehaviour as does
from tests.simulators.misbehaviour import Behaviour
from tests.simulators.registry import TOKEN, Handler, index_of

pytestmark = pytest.mark.frozen

Kinds = Mapping[str, Behaviour]
STRANGER = usual_signer("stranger.example.net", number=3)


def slug(name: str) -> str:
    """A repository for a case."""
    return "case/" + "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")


def case(
    name: str,
    kinds: Kinds | Callable[[Stage, str, Descriptor], Kinds],
    exit_code: int,
    code: str,
    seconds: float = PROMPT,
    word: str = "",
) -> Case:
    """A signed image whose registry answers requests of some kinds in its own way."""

    def ask(stage: Stage) -> Asked:
        repository = slug(name).replace("--", "-").replace("--", "-")
        image = stage.signed_image(repository)
        found = kinds(stage, repository, image) if callable(kinds) else kinds
        for kind, behaviour in found.items():
            stage.misbehave(repository, kind, behaviour)
        return stage.pull(repository, image)

    return Case(name, ask, exit_code, code, seconds, word)


def answers(body: bytes, media_type: str = IMAGE_INDEX) -> Behaviour:
    """Status 200 and this body."""
    return does.other_content(body, media_type)


def tagged(*answer: Behaviour) -> Callable[[Stage, str, Descriptor], Kinds]:
    """The signature is found by the referrers tag alone; the API answers like this."""

    def kinds(stage: Stage, repository: str, image: Descriptor) -> Kinds:
        stage.registry.tag_referrers(repository, image)
        return {"referrers": answer[0]}

    return kinds


def listed(change: Callable[[dict[str, Any]], list[Any]]) -> Callable[[Stage, str, Descriptor], Kinds]:
    """The listing is what `change` makes of its one good entry."""

    def kinds(stage: Stage, repository: str, image: Descriptor) -> Kinds:
        (entry,) = stage.registry.contents(repository).referrers(str(image.digest))
        return {"referrers": does.listing(*change(entry))}

    return kinds


def listed_itself(stage: Stage, repository: str, image: Descriptor) -> Kinds:
    """The image is its own referrer."""
    return {"referrers": does.listing({**descriptor_json(image), "artifactType": ARTIFACT_TYPE})}


def cyclic_index(stage: Stage, repository: str, image: Descriptor) -> Kinds:
    """An index among the referrers that lists the image and says it is about it."""
    body = json.loads(index_of([descriptor_json(image)]))
    body |= {"artifactType": ARTIFACT_TYPE, "subject": descriptor_json(image)}
    index = stage.registry.push_manifest(repository, json.dumps(body).encode(), IMAGE_INDEX)
    return {"referrers": does.listing({**descriptor_json(index), "artifactType": ARTIFACT_TYPE})}


def other_subject(stage: Stage, repository: str, image: Descriptor) -> Kinds:
    """The one referrer that is listed points at another image, and has a good signature of that."""
    other = stage.registry.push_image(repository, "2", salt=f"other {repository}")
    pushed = attach_signature(stage.registry, repository, other, envelope(stage.trusted, other))
    return {"referrers": does.listing({**descriptor_json(pushed), "artifactType": ARTIFACT_TYPE})}


def in_other_repository(stage: Stage, repository: str, image: Descriptor) -> Kinds:
    """The next page is of another repository."""
    return {"referrers": does.next_page(f"/v2/plain/signed/referrers/{image.digest}")}


def many_signatures(before: int, after: int) -> Callable[[Stage, str, Descriptor], Kinds]:
    """So many signatures by a stranger, before and after the good one."""

    def kinds(stage: Stage, repository: str, image: Descriptor) -> Kinds:
        (good,) = stage.registry.contents(repository).referrers(str(image.digest))
        blob = stage.registry.push_blob(repository, envelope(STRANGER, image), "application/jose+json")
        bad = []
        for number in range(min(before + after, 60)):
            manifest = signature_manifest(blob, image, annotations={"number": str(number)})
            pushed = stage.registry.push_manifest(repository, manifest)
            bad.append({**descriptor_json(pushed), "artifactType": ARTIFACT_TYPE})
        bad += [{**does.entry(number), "artifactType": ARTIFACT_TYPE} for number in range(60, before + after)]
        return {"referrers": does.listing(*bad[:before], good, *bad[before:])}

    return kinds


def sized(change: int) -> Callable[[Stage, str, Descriptor], Kinds]:
    """The envelope's descriptor in the manifest is off by `change` bytes."""

    def kinds(stage: Stage, repository: str, image: Descriptor) -> Kinds:
        blob = stage.registry.push_blob(repository, envelope(stage.trusted, image), "application/jose+json")
        manifest = signature_manifest(blob._replace(size=blob.size + change), image)
        pushed = stage.registry.push_manifest(repository, manifest)
        return {"referrers": does.listing({**descriptor_json(pushed), "artifactType": ARTIFACT_TYPE})}

    return kinds


def realm(value: str) -> Kinds:
    """Every request is answered with a challenge of this realm."""
    return {"*": does.challenge(f'Bearer realm="{value}",service="x",scope="y"')}


def leads_to_other(code: int = 307) -> Callable[[Stage, str, Descriptor], Kinds]:
    """A token is asked for; then blobs are elsewhere, on a host that has them."""

    def kinds(stage: Stage, repository: str, image: Descriptor) -> Kinds:
        stage.other.repositories[repository] = stage.registry.contents(repository)

        def wants_token(handler: Handler) -> bool:
            return handler.headers.get("Authorization") != f"Bearer {TOKEN}" and handler.challenge()

        def away(handler: Handler) -> bool:
            return wants_token(handler) or handler.answer(code, Location=f"{stage.other.url}{handler.path}")

        return {"*": wants_token, "blob": away}

    return kinds


def to_other_realm(stage: Stage, repository: str, image: Descriptor) -> Kinds:
    """The token is to be had at another port."""
    return {"*": does.challenge(f'Bearer realm="{stage.other.url}/token",service="x"')}


REDIRECTED = "http://169.254.169.254/latest/meta-data/iam"
LONE = b'{"schemaVersion":2,"mediaType":"' + IMAGE_INDEX.encode() + b'","manifests":['

CASES = (
    case("07 the manifest's body is not its digest", {"manifest": answers(b"{}", IMAGE_MANIFEST)}, 10, "NS-2003"),
    case("07 the envelope is not its digest", {"blob": answers(b"x" * 100)}, 10, "NS-2003"),
    case("07 Docker-Content-Digest lies", {"manifest": does.lie_about_digest}, 10, "NS-2003"),
    case("07 the tag moved since containerd resolved it", {"tag": answers(b"{}")}, 0, "NS-0001"),
    case("08 pages without end", {"referrers": does.endless_pages}, 10, "NS-2004"),
    case("08 a page that follows itself", {"referrers": does.page_that_follows_itself}, 10, "NS-2002"),
    case("08 the next page is of another repository", in_other_repository, 10, "NS-2002"),
    case("08 15000 entries", lambda *of: {"referrers": does.many_entries(15_000)}, 10, "NS-2004"),
    case("08 100000 entries", lambda *of: {"referrers": does.many_entries(100_000)}, 10, "NS-2004"),
    case("08 the same entry 500 times", listed(lambda good: [good] * 500), 0, "NS-0001"),
    case("08 the image refers to itself", listed_itself, 10, "NS-2001"),
    case("08 an index that lists the image", cyclic_index, 10, "NS-2002"),
    case("08 the subject is another digest", other_subject, 10, "NS-2102"),
    case("08 an entry without artifactType", listed(lambda good: [{**good, "artifactType": None}]), 0, "NS-0001"),
    case("08 entries that are no objects", listed(lambda good: [1, "x", None, []]), 10, "NS-2002"),
    case("08 404 and a tag", tagged(does.status(404)), 0, "NS-0001"),
    case("08 405 and a tag", tagged(does.status(405)), 0, "NS-0001"),
    case("08 406 and a tag", tagged(does.status(406)), 0, "NS-0001"),
    case("08 500", {"referrers": does.status(500)}, 11, "NS-3001"),
    case("08 200 with HTML", {"referrers": does.html}, 10, "NS-2001"),
    case("08 an empty list and a tag", tagged(does.listing()), 0, "NS-0001"),
    case("09 a manifest of 1 GiB is announced", {"manifest": does.announced_length(1 << 30)}, 10, "NS-2004"),
    case("09 a listing without end", {"referrers": does.endless_body}, 10, "NS-2004"),
    case("09 a manifest in chunks without end", {"manifest": does.endless_chunks}, 10, "NS-2004"),
    case("09 a blob in chunks without end", {"blob": does.endless_chunks}, 10, "NS-2004"),
    case("09 trailers without end", {"referrers": does.endless_trailers}, 10, "NS-2004"),
    case("09 a negative chunk", {"blob": does.negative_chunk}, 10, "NS-2004"),
    case("09 a chunk of an immense negative size", {"blob": does.immense_negative_chunk}, 10, "NS-2002"),
    case("09 100 Continue without end", {"referrers": does.endless_continue}, 10, "NS-2004"),
    case("09 one byte now and then", {"referrers": does.drip(0.5)}, 11, "NS-3005", DEADLINE),
    case("09 headers byte by byte", {"referrers": does.drip(0.5, headers=True)}, 11, "NS-3005", DEADLINE),
    case("09 silence", {"blob": does.silence}, 11, "NS-3005", DEADLINE),
    case("09 Content-Length is too short", {"blob": does.raw("Content-Length: 5", body=b"signature")}, 10, "NS-2003"),
    case("09 two lengths", {"blob": does.raw("Content-Length: 9", "Content-Length: 10")}, 10, "NS-2002"),
    case("09 a gzip bomb", {"*": does.gzip_bomb(64 << 20)}, 10, "NS-2002"),
    case("09 70 KB of a header", {"referrers": does.raw("X-Long: " + "x" * 70_000)}, 10, "NS-2004"),
    case("09 another protocol", {"referrers": does.not_http}, 11, "NS-3001"),
    case("10 nested 100000 deep", {"referrers": answers(b"[" * 10**5)}, 10, "NS-2004"),
    case("10 a key twice", {"referrers": answers(b'{"manifests":[],"manifests":[]}')}, 10, "NS-2002"),
    case("10 NaN", {"referrers": answers(LONE + b"NaN]}")}, 10, "NS-2002"),
    case("10 a number of a million digits", {"referrers": answers(LONE + b"1" * 10**6 + b"]}")}, 10, "NS-2002"),
    case("10 a lone surrogate", {"referrers": answers(LONE + b'"\\ud800"]}')}, 10, "NS-2002"),
    case("10 a byte order mark", {"referrers": answers(b"\xef\xbb\xbf" + LONE + b"]}")}, 10, "NS-2002"),
    case("10 four MiB of brackets", {"referrers": answers(LONE + b"[]," * 1_300_000 + b"1]}")}, 10, "NS-2004"),
    case("11 a blob larger than listed", sized(-1), 10, "NS-2004"),
    case("11 a blob smaller than listed", sized(1), 10, "NS-2003"),
    case("11 a blob listed with a terabyte", sized(1 << 40), 10, "NS-2004"),
    case("12 10000 signatures, the good one last", many_signatures(10_000, 0), 10, "NS-2103", DEADLINE),
    case("12 40 signatures, the good one last", many_signatures(40, 0), 0, "NS-0001", DEADLINE),
    case("12 the good one first, then 900", many_signatures(0, 900), 0, "NS-0001"),
    case("12 the good one first, then none ends", {"referrers": does.endless_pages}, 10, "NS-2004"),
    case("13 429, again in 99999999999 s", {"*": does.status(429, Retry_After="9" * 20)}, 11, "NS-3003"),
    case("13 503, again in 3600 s", {"*": does.status(503, Retry_After="3600")}, 11, "NS-3001"),
    case("13 401 without end", {"manifest": does.challenge_for_ever}, 11, "NS-3002"),
    case("13 200 and 404 in turn", {"manifest": does.status(404)}, 10, "NS-2002"),
    case("14 the realm is the metadata service", realm(REDIRECTED), 10, "NS-2002"),
    case("14 the realm is a private address", realm("http://10.0.0.1/token"), 10, "NS-2002"),
    case("14 the realm is loopback at another port", to_other_realm, 11, "NS-3002"),
    case("14 the realm is a file", realm("file:///etc/shadow"), 10, "NS-2002"),
    case("14 a realm of 60 KB", realm("http://127.0.0.1/" + "x" * 60_000), 10, "NS-2004"),
    case("14 a realm with CRLF", realm("http://127.0.0.1/%0d%0aX: y"), 10, "NS-2002"),
    case("14 several challenges", {"*": does.challenge('Basic realm="x", Digest realm="y", Negotiate')}, 11, "NS-3002"),
    case("14 a broken challenge", {"*": does.challenge('Bearer realm="x')}, 10, "NS-2002"),
    case("15 to a host that gets no Authorization", leads_to_other(), 0, "NS-0001"),
    case("15 to the metadata service", {"blob": does.redirect(REDIRECTED)}, 10, "NS-2002"),
    case("15 in a circle", {"blob": lambda handler: handler.answer(307, Location=handler.path)}, 10, "NS-2004"),
    case("15 to a file", {"blob": does.redirect("file:///etc/shadow")}, 10, "NS-2002"),
    case("15 with a line break", {"blob": does.raw("Location: http://x/\x01y", code=307)}, 10, "NS-2002"),
    case("15 to IPv6 loopback, mapped", {"blob": does.redirect("http://[::ffff:169.254.169.254]/")}, 10, "NS-2002"),
)


@pytest.fixture(scope="module")
def found(stage: Stage) -> dict[str, Measured]:
    """What came of every case."""
    return run_all(stage, "registry", CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_registry(case: Case, found: dict[str, Measured], stage: Stage) -> None:
    check(case, found[case.name], stage.base)


def test_15_no_credential_reached_the_other_host(stage: Stage, found: dict[str, Measured]) -> None:
    assert found
    assert any(each.kind == "blob" for each in stage.other.seen)
    assert not stage.other.authorizations
