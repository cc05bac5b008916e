"""Referrers: what a registry says points at an image, by its API or by the referrers tag.

OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema".  A listing is a list of hints: it is
filtered and believed nowhere here.  Support is uneven, so that

1. the API is asked, page by page;
2. if there is none, or if it names nothing, the tag is looked at too: a registry may have got its API after the
   signatures were pushed;
3. wrong entries, and more than our limits, are the listing's `defect`; they do not hide the good entries;
4. where the API was missing and the tag listed something, the tag is looked at first for a while, and the API only if
   the tag lists nothing: so that a registry without API costs one request less, and nothing is overlooked;
5. a listing that nobody answers, or that breaks off, raises `Unavailable`: what was not seen might have been enough.
"""

from typing import Sequence

from agent.codec import strictjson
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.manifest import IMAGE_INDEX
from agent.registry import status
from agent.registry.access import Access
from agent.registry.content import check_content_digest, document
from agent.registry.limits import MAX_DESCRIPTORS, MAX_MANIFEST_SIZE, MAX_PAGE_SIZE, MAX_PAGES
from agent.registry.messages import Response, Steps
from agent.registry.urls import Url

API = "referrers API"
TAG = "referrers tag"

_ANY_TYPE = "*"
_NO_API = frozenset({404, 405, 501}) | status.REDIRECTS
_PERHAPS_NO_API = frozenset({400, 406})
_SAYS_NO_API = frozenset({404, 405, 501})  # a redirect or a page for people may be gone in a minute

_HAS_API, _LACKS_API, _NO_API_NOW = "has", "lacks", "not now"


def referrers(access: Access, subject: Digest, artifact_types: Sequence[str]) -> Steps[Listing]:
    """List what points at `subject`.  Raises `Unavailable`; what is malformed is the listing's defect.

    A registry is asked for one artifact type alone if only one is wanted; what it lists is returned as it is.
    """
    by_tag = _Entries(subject)
    tag_first = access.memory.lacks_api(access.origin, access.repository.path)
    if tag_first:
        yield from _look_at_tag(access, subject, by_tag)
        if by_tag.descriptors:
            return _by_tag(by_tag, by_tag.defect)
    by_api = _Entries(subject)
    try:
        support = yield from _ask_api(access, subject, artifact_types, by_api)
    except Malformed as error:
        support = _HAS_API
        by_api.note(error)
    if by_api.descriptors:
        return Listing(tuple(by_api.descriptors.values()), API, types_are_reliable=True, defect=by_api.defect)
    if not tag_first:
        yield from _look_at_tag(access, subject, by_tag)
    defect = by_api.defect or by_tag.defect
    if support == _HAS_API and not by_tag.descriptors:
        return Listing((), API, types_are_reliable=True, defect=defect)
    if support == _LACKS_API and by_tag.descriptors:
        access.memory.note_missing_api(access.origin, access.repository.path)
    return _by_tag(by_tag, defect)


def tag_of(subject: Digest) -> str:
    """The tag that lists the referrers of `subject` where there is no API.  A sha512 digest is cut to 64 characters."""
    return f"{subject.algorithm[:32]}-{subject.encoded[:64]}"


def _by_tag(found: "_Entries", defect: Malformed | None) -> Listing:
    return Listing(tuple(found.descriptors.values()), TAG, types_are_reliable=False, defect=defect)


class _Entries:
    """The entries of one listing: good ones by digest, in order, and the first thing that was wrong."""

    def __init__(self, subject: Digest) -> None:
        self.descriptors: dict[Digest, Descriptor] = {}
        self.defect: Malformed | None = None
        self._subject = subject
        self._seen = 0

    def note(self, defect: Malformed) -> None:
        """Remember a defect, unless there was one before."""
        self.defect = self.defect or defect

    def take(self, index: dict[str, object], where: str) -> None:
        """Take the entries of `index`.  Raises `LimitExceeded` at the first that is too many."""
        entries = index.get("manifests")
        if entries is None:  # what an empty Go slice looks like
            return
        if not isinstance(entries, list):
            raise Malformed(f"{where}.manifests: got {type(entries).__name__}; expected a list")
        for i, entry in enumerate(entries):
            if self._seen >= MAX_DESCRIPTORS:
                raise LimitExceeded(f"{where}: got more than {MAX_DESCRIPTORS} entries")
            self._seen += 1
            try:
                descriptor = Descriptor.from_json(entry, f"{where}.manifests[{i}]")
            except Malformed as error:
                self.note(error)
                continue
            if descriptor.digest != self._subject:
                self.descriptors.setdefault(descriptor.digest, descriptor)


def _ask_api(access: Access, subject: Digest, artifact_types: Sequence[str], found: _Entries) -> Steps[str]:
    """(1).  Says whether there is an API.  Raises `Malformed`, `Unavailable`; what was `found` before that counts."""
    where = f"{access.repository}: {API}"
    only = [("artifactType", artifact_types[0])] if len(artifact_types) == 1 and artifact_types[0] != _ANY_TYPE else []
    url = access.url("referrers", str(subject)).with_parameters(tuple(only))
    asked: set[Url] = set()
    while url not in asked:
        if len(asked) == MAX_PAGES:
            raise LimitExceeded(f"{where}: got more than {MAX_PAGES} pages")
        response = yield from access.get(
            url, accept=IMAGE_INDEX, limit=MAX_PAGE_SIZE, what=f"referrers of {subject}", may_leave=False
        )
        if not asked and _is_no_api(response):
            return _LACKS_API if response.status in _SAYS_NO_API else _NO_API_NOW
        _check_page(response, where)
        asked.add(url)
        found.take(_index(response, where), where)
        following = _next_link(response.values("link"), where)
        if following is None:
            return _HAS_API
        url = _next_page(access, url, following, where)
        del response  # it may be long, and the next one may be long in coming
    raise Malformed(f"{where}: got a page that follows itself; expected the list to end")


def _is_no_api(response: Response) -> bool:
    """Whether a first response says that there is no such API, rather than that it fails or has nothing.

    A page of another type is a proxy's or a login form; 400 and 406 count unless they give a reason of their own.
    """
    if response.status == status.OK:
        return response.media_type != IMAGE_INDEX
    if response.status in _PERHAPS_NO_API:
        codes = _error_codes(response.body)
        return not codes or "UNSUPPORTED" in codes
    return response.status in _NO_API


def _error_codes(body: bytes) -> list[object]:
    """The codes of an error response (distribution specification, "Error Codes"); none if it is no such thing."""
    try:
        value = strictjson.decode(body, "error response", limit=len(body))
    except Malformed:
        return []
    errors = value.get("errors") if isinstance(value, dict) else None
    return [each.get("code") for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []


def _check_page(response: Response, where: str) -> None:
    """Raises `Unavailable` unless this is a page: a list that ends before its end tells nothing."""
    if response.status == status.OK and response.media_type == IMAGE_INDEX:
        return
    unavailable = status.no_answer(response, where) if response.status != status.OK else None
    raise unavailable or Unavailable(
        f"{where}: the list breaks off (status {response.status}, {ascii(response.media_type)[:80]})",
        cause=Cause.REGISTRY_UNAVAILABLE,
    )


def _index(response: Response, where: str) -> dict[str, object]:
    media_type, index = document(response, where)
    if media_type != IMAGE_INDEX:
        raise Malformed(f"{where}: got {media_type}; expected {IMAGE_INDEX}")
    return index


def _next_link(lines: Sequence[str], where: str) -> str | None:
    """The target of `rel="next"` (RFC 8288), None if there is none.  Raises `Malformed` for two different ones."""
    found: set[str] = set()
    for line in lines:
        for link in line.split("<")[1:]:
            target, bracket, parameters = link.partition(">")
            for parameter in parameters.split(";") if bracket else ():
                name, _, value = parameter.strip(" \t,").partition("=")
                if name.strip().lower() == "rel" and "next" in value.strip(' \t"').lower().split():
                    found.add(target)
    if len(found) > 1:
        raise Malformed(f"{where}: got {len(found)} next pages; expected one")
    return found.pop() if found else None


def _next_page(access: Access, url: Url, link: str, where: str) -> Url:
    """The next page's URL.  Raises `Malformed` if it leaves the repository: the token goes with it."""
    following = url.join(link, f"{where}: next page")
    if following.origin != access.origin or not following.path.startswith(access.folder):
        raise Malformed(f"{where}: got a next page elsewhere ({following.origin}); expected the same repository")
    return following


def _look_at_tag(access: Access, subject: Digest, found: _Entries) -> Steps[None]:
    """(2).  A tag that is not there lists nothing, and what is wrong is noted.  Raises `Unavailable`."""
    try:
        yield from _read_tag(access, subject, found)
    except Malformed as error:
        found.note(error)


def _read_tag(access: Access, subject: Digest, found: _Entries) -> Steps[None]:
    tag = tag_of(subject)
    where = f"{access.repository}: {TAG} {tag}"
    response = yield from access.get(
        access.url("manifests", tag), accept=IMAGE_INDEX, limit=MAX_MANIFEST_SIZE, what=f"{TAG} {tag}", may_leave=True
    )
    if response.status == status.NOT_FOUND:
        return
    if response.status != status.OK:
        raise status.no_answer(response, where) or Unavailable(
            f"{where}: got status {response.status}; expected 200 or 404", cause=Cause.REGISTRY_UNAVAILABLE
        )
    check_content_digest(response, where)
    found.take(_index(response, where), where)
