"""Whatever a registry answers, an operation ends, with a result or one of our errors, after few requests."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Cause, LimitExceeded, Malformed, NodesealError, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from agent.model.reference import Reference
from agent.registry import content, referrers
from agent.registry.access import Access
from agent.registry.messages import Response, Steps
from tests.registry.support import SUBJECT, access

MAX_REQUESTS = 16 * (1 + 5) * 2 + 50
"""Pages, each with its redirects and its try after a token; the tag; tokens."""

_ENTRY = {"mediaType": IMAGE_MANIFEST, "digest": str(Digest.of(b"1")), "size": 1}
_BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"{}",
            b"[]",
            b'{"token":"t"}',
            json.dumps({"mediaType": IMAGE_INDEX, "manifests": [_ENTRY]}).encode(),
            json.dumps({"manifests": [_ENTRY, 7]}).encode(),
            b'{"errors":[{"code":"UNSUPPORTED"}]}',
        ]
    ),
)
_URLS = st.sampled_from(
    [
        "/v2/shop/cart/x",
        "?n=1",
        "?n=2",
        "https://other.example/",
        "http://other.example/",
        "https://10.0.0.1/",
        "\x00",
        "",
    ]
)
_HEADERS = st.one_of(
    st.tuples(st.just("content-type"), st.sampled_from([IMAGE_INDEX, IMAGE_MANIFEST, "text/html", ""])),
    st.tuples(st.just("location"), _URLS),
    st.tuples(st.just("link"), st.builds("<{}>; rel=next".format, _URLS)),
    st.tuples(st.just("www-authenticate"), st.builds('Bearer realm="{}"'.format, _URLS)),
    st.tuples(st.just("docker-content-digest"), st.sampled_from([str(Digest.of(b"{}")), "x"])),
    st.tuples(st.sampled_from(["link", "retry-after", "www-authenticate"]), st.text(max_size=20)),
)
_RESPONSES = st.builds(
    Response,
    st.sampled_from([200, 200, 200, 302, 307, 400, 401, 401, 404, 429, 500]),
    st.lists(_HEADERS, max_size=4).map(tuple),
    _BODIES,
)
_ERRORS = st.sampled_from([Unavailable("x", cause=Cause.DEADLINE), LimitExceeded("x"), Malformed("x")])


def operations(to: Access) -> list[Steps[object]]:
    """One of each."""
    wanted = Descriptor(IMAGE_MANIFEST, Digest.of(b"{}"), 2)
    return [
        content.resolve(to, Reference.parse("registry.example.com/shop/cart:1")),
        content.manifest(to, wanted),
        content.blob(to, wanted, 10),
        referrers.referrers(to, SUBJECT, ("a",)),
    ]


@pytest.mark.unmeasured
@settings(max_examples=300)
@given(st.lists(st.one_of(_RESPONSES, _ERRORS), min_size=1, max_size=8))
def test_every_operation_ends(responses: list[Response | NodesealError]) -> None:
    """The responses come again and again, as long as they are asked for."""
    for steps in operations(access()):
        requests = 0
        try:
            next(steps)
            while True:
                answer = responses[requests % len(responses)]
                requests += 1
                assert requests <= MAX_REQUESTS
                if isinstance(answer, NodesealError):
                    steps.throw(answer)
                else:
                    steps.send(answer)
        except (StopIteration, Malformed, Unavailable) as ended:
            if isinstance(ended, NodesealError):
                assert ended.message.isascii()
                assert ended.message.isprintable()
