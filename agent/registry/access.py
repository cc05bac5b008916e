"""Access to one repository: a GET with all that may stand between asking and the answer, authentication and redirects.

Credentials are bound to an origin.  A request that leaves the registry's origin has no Authorization and never gets one
back, not even if a redirect returns; nothing leads from https to http; a redirect is followed at most `MAX_REDIRECTS`
times.
"""

from typing import TYPE_CHECKING, NamedTuple

from agent.errors import LimitExceeded, Malformed
from agent.model.reference import Repository
from agent.registry import addresses, status
from agent.registry.limits import MAX_REDIRECTS
from agent.registry.memory import Memory
from agent.registry.messages import Request, Response, Steps
from agent.registry.urls import Origin, Url

if TYPE_CHECKING:
    from agent.registry.hosts import Place


class Access(NamedTuple):
    """One repository, where its API is, and what the client remembers of it.

    `base`, `query` and `headers` are as in `agent.registry.hosts.Place`.
    """

    repository: Repository
    origin: Origin
    memory: Memory
    base: str = "/v2"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def to(cls, repository: Repository, memory: Memory, *, use_http: bool) -> "Access":
        """Access to `repository`.  Raises `Malformed` for a host that is none."""
        return cls(repository, Origin.of(repository, use_http=use_http), memory)

    @classmethod
    def at(cls, place: "Place", memory: Memory) -> "Access":
        """Access to a repository at a place of its own."""
        return cls(place.repository, place.origin, memory, place.base, place.query, place.headers)

    def url(self, kind: str, name: str) -> Url:
        """The URL of a manifest, blob or referrers list of the repository."""
        return Url(self.origin, f"{self.folder}{kind}/{name}", self.query)

    @property
    def folder(self) -> str:
        """What all paths of the repository begin with."""
        return f"{self.base}/{self.repository.path}/"

    def get(
        self, url: Url, *, accept: str, limit: int, what: str, may_leave: bool, is_sized: bool = False
    ) -> Steps[Response]:
        """GET `url`, which is at the registry's own origin, and return the last response, whatever its status.

        A 401 is answered as `agent.registry.login` says; if the registry then still refuses, that is `Unavailable`.  A
        redirect away from the origin is followed only if `may_leave`; otherwise it is the response.
        """
        what = f"{self.repository.host}: {what}"
        request = Request(url, what, limit, (("Accept", accept),), is_sized=is_sized)
        authorization = ""
        self._take_kept_token()
        if (self.origin, self.repository.path) in self.memory.plans:
            from agent.registry import login

            authorization = yield from login.remembered(self)

        def send(authorization: str) -> Steps[tuple[Response, bool]]:
            return self._follow(request, authorization, may_leave)

        response, at_home = yield from send(authorization)
        if response.status == status.UNAUTHORIZED and at_home:
            from agent.registry import login

            had = bool(authorization)
            return (yield from login.again(self, request.what, response, send, had_authorization=had))
        if response.status == status.FORBIDDEN and at_home:
            self.memory.plans.pop((self.origin, self.repository.path), None)  # what let us in before may have changed
            if self.memory.kept is not None:
                self.memory.kept.drop(self.origin, self.repository.path)
        return response

    def _take_kept_token(self) -> None:
        """Make a token ours that let another process in, if we don't know yet how to get in ourselves."""
        memory, place = self.memory, (self.origin, self.repository.path)
        kept = memory.kept.get(*place) if memory.kept is not None and place not in memory.plans else None
        if kept is not None:
            from agent.registry import login

            login.take(self, kept)

    def _follow(self, request: Request, authorization: str, may_leave: bool) -> Steps[tuple[Response, bool]]:
        """Send `request` and follow redirects; also say whether the response is from the registry's own origin."""
        plain = request
        headers = self.headers
        if authorization:
            headers = (
                *(each for each in headers if each[0].lower() != "authorization"),
                ("Authorization", authorization),
            )
        for _ in range(MAX_REDIRECTS + 1):
            response = yield request._replace(headers=plain.headers + headers)
            at_home = request.sent_by is None
            if response.status not in status.REDIRECTS:
                return response, at_home
            target = _location(request, response)
            if target.origin != self.origin:
                if not may_leave:
                    return response, at_home
                _check_departure(request, target, self.origin)
                headers = ()
            request = request._replace(url=target, sent_by=None if target.origin == self.origin else self.origin)
        raise LimitExceeded(f"{plain.what}: got more than {MAX_REDIRECTS} redirects")


def _location(request: Request, response: Response) -> Url:
    """Where a redirect leads.  Raises `Malformed`."""
    locations = response.values("location")
    where = f"{request.what}: redirect"
    if len(locations) != 1:
        raise Malformed(f"{where}: got {len(locations)} Location headers; expected one")
    return request.url.join(locations[0], where)


def _check_departure(request: Request, target: Url, home: Origin) -> None:
    """Judge a redirect away from the registry, as far as that can be done without resolving.  Raises `Malformed`."""
    where = f"{request.what}: redirect"
    if target.origin.scheme != "https" and "https" in (home.scheme, request.url.origin.scheme):
        raise Malformed(f"{where}: got {target.origin}; expected https, as before it")
    addresses.check_host(target.origin.host, home.host, where, allow_private=True)
