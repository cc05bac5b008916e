"""`ports.Registry` over any HTTP transport: drives the protocol of `agent.registry`, request by request.

All decisions are the protocol's; here is only the loop between its generators and a transport.  With a blocking
transport no coroutine ever suspends.
"""

import time
from typing import TYPE_CHECKING, Callable, Protocol, Sequence

from agent.errors import NodesealError
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository
from agent.registry import content, referrers
from agent.registry.access import Access
from agent.registry.memory import Memory
from agent.registry.messages import Request, Response, Result, Steps

if TYPE_CHECKING:
    from agent.registry.credentials import Keyring
    from agent.registry.hosts import Place


class Transport(Protocol):
    """Sends one request and returns its response; follows nothing, remembers no cookies, adds no credentials.

    Keeps what `Request` promises of limits and addresses.  Raises `Malformed` or `Unavailable`, nothing else.
    """

    async def send(self, request: Request) -> Response:
        """Send `request`."""
        ...


def _no_credentials() -> "Keyring | None":
    return None


class RegistryClient:
    """A client of all registries.  What it remembers of them, tokens among it, is kept as long as it lives."""

    def __init__(
        self,
        transport: Transport,
        *,
        use_http: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        credentials: "Callable[[], Keyring | None]" = _no_credentials,
        memory: Memory | None = None,
        place: "Place | None" = None,
    ) -> None:
        """`use_http` speaks plain http to every registry: nothing but digests and signatures protects its answers.

        `credentials` is called when a registry asks for authentication; it may read files.  None: there are none.
        With a `memory`, which several clients may share, its clock and its credentials count instead.  With a `place`,
        every repository is the one there.
        """
        self._place = place
        self._transport = transport
        self._use_http = use_http
        self._memory = memory or Memory(monotonic, credentials)

    async def resolve(self, reference: Reference) -> Descriptor:
        """See `ports.Registry.resolve`."""
        return await self._drive(content.resolve(self._access(reference.repository), reference))

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """See `ports.Registry.tagged`."""
        return await self._drive(content.tagged(self._access(reference.repository), reference))

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """See `ports.Registry.referrers`."""
        return await self._drive(referrers.referrers(self._access(repository), subject, artifact_types))

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """See `ports.Registry.manifest`."""
        return await self._drive(content.manifest(self._access(repository), descriptor))

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """See `ports.Registry.blob`."""
        return await self._drive(content.blob(self._access(repository), descriptor, limit))

    def _access(self, repository: Repository) -> Access:
        if self._place is not None:
            return Access.at(self._place, self._memory)
        return Access.to(repository, self._memory, use_http=self._use_http)

    async def _drive(self, steps: Steps[Result]) -> Result:
        """Run a generator to its end.  What the transport raises is thrown into it: it may go on without the answer."""
        try:
            request = next(steps)
            while True:
                try:
                    response = await self._transport.send(request)
                except NodesealError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(response)
                    del response  # nobody counts its memory any more, and the next one may be long in coming
        except StopIteration as finished:
            return finished.value  # type: ignore[no-any-return]
