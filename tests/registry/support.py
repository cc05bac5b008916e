"""Feeds protocol generators with responses, without any transport."""

from typing import Generator, Sequence

from agent.errors import NodesealError
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX
from agent.model.reference import Repository
from agent.registry.access import Access
from agent.registry.messages import Request, Response, Result
from agent.registry.tokens import Tokens

REPOSITORY = Repository("registry.example.com", "shop/cart")
SUBJECT = Digest.of(b"the image")


def access(host: str = REPOSITORY.host, *, use_http: bool = False, tokens: Tokens | None = None) -> Access:
    """Access to a repository, with no tokens unless given."""
    return Access.to(Repository(host, REPOSITORY.path), tokens or Tokens(), use_http=use_http)


def feed(
    steps: Generator[Request, Response, Result], responses: Sequence[Response | NodesealError]
) -> tuple[Result, list[Request]]:
    """Run a generator on `responses` (errors are thrown into it); its result and every request that it made.

    All responses must be used, and no more be asked for.
    """
    asked: list[Request] = []
    waiting = list(responses)
    try:
        request = next(steps)
        while True:
            asked.append(request)
            assert waiting, f"asked for more: {request}"
            answer = waiting.pop(0)
            request = steps.throw(answer) if isinstance(answer, NodesealError) else steps.send(answer)
    except StopIteration as finished:
        assert not waiting, f"never asked for {waiting}"
        return finished.value, asked


def response(status: int = 200, body: bytes = b"", **headers: str) -> Response:
    """A response; underscores in header names stand for hyphens."""
    return Response(status, tuple((name.replace("_", "-").lower(), value) for name, value in headers.items()), body)


def page(body: bytes, **headers: str) -> Response:
    """A page of a referrers list."""
    return response(200, body, content_type=IMAGE_INDEX, **headers)


def header(request: Request, name: str) -> str:
    """A header of a request, "" if it is not there."""
    return next((value for key, value in request.headers if key == name), "")
