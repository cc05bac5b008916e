"""Feeds protocol generators with responses, without any transport."""

import json
from typing import Any, Generator, Sequence

from agent.errors import NodesealError
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX
from agent.model.reference import Repository
from agent.registry.access import Access
from agent.registry.credentials import Keyring, parse
from agent.registry.login import Plan
from agent.registry.memory import Memory
from agent.registry.messages import Request, Response, Result
from agent.registry.secret import Secret
from agent.registry.tokens import Token
from agent.registry.urls import Url

REPOSITORY = Repository("registry.example.com", "shop/cart")
SUBJECT = Digest.of(b"the image")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        """At some moment."""
        self.time = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.time


def memory(keyring: Keyring | None = None, clock: Clock | None = None) -> Memory:
    """A memory that knows nothing, with these credentials."""
    return Memory(clock or Clock(), lambda: keyring)


def access(host: str = REPOSITORY.host, *, use_http: bool = False, memory_: Memory | None = None) -> Access:
    """Access to a repository, with nothing remembered unless given."""
    return Access.to(Repository(host, REPOSITORY.path), memory_ or memory(), use_http=use_http)


def keyring(auths: dict[str, Any] | None = None, **others: Any) -> Keyring:
    """What is in a docker configuration."""
    return Keyring([parse(json.dumps({"auths": auths or {}, **others}).encode(), "config.json")])


def with_token(to: Access, value: str) -> None:
    """Let the registry have asked for a token before, and `value` be the one that it gave; it lasts 60 s."""
    realm = Url.parse("https://auth.example.com/token", "realm")
    plan = Plan(realm, "s", (f"repository:{to.repository.path}:pull",), None)
    to.memory.plans[to.origin, to.repository.path] = plan
    key = plan.key(to.origin)
    assert key is not None
    to.memory.tokens[key] = Token.received(to.memory.now(), Secret(value), 60.0)


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
