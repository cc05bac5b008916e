"""Access to one repository: a GET with all that may stand between asking and the answer, the token and redirects.

Credentials are bound to an origin.  A request that leaves the registry's origin has no Authorization and never gets one
back, not even if a redirect returns; nothing leads from https to http; a redirect is followed at most `MAX_REDIRECTS`
times.
"""

from typing import NamedTuple

from agent.errors import LimitExceeded, Malformed
from agent.model.reference import Repository
from agent.registry import addresses, status
from agent.registry.limits import MAX_REDIRECTS
from agent.registry.messages import Request, Response, Steps
from agent.registry.tokens import Tokens, anonymous_token
from agent.registry.urls import Origin, Url


class Access(NamedTuple):
    """One repository, where its API is, and the tokens of the process."""

    repository: Repository
    origin: Origin
    tokens: Tokens

    @classmethod
    def to(cls, repository: Repository, tokens: Tokens, *, use_http: bool) -> "Access":
        """Access to `repository`.  Raises `Malformed` for a host that is none."""
        return cls(repository, Origin.of(repository, use_http=use_http), tokens)

    def url(self, kind: str, name: str) -> Url:
        """The URL of a manifest, blob or referrers list of the repository."""
        return Url(self.origin, f"/v2/{self.repository.path}/{kind}/{name}")

    def get(self, url: Url, *, accept: str, limit: int, what: str, may_leave: bool) -> Steps[Response]:
        """GET `url`, which is at the registry's own origin, and return the last response, whatever its status.

        Once refused with 401, ask for a token and try once more.  A redirect away from the origin is followed only
        if `may_leave`; otherwise it is the response.
        """
        request = Request(url, f"{self.repository.host}: {what}", limit, (("Accept", accept),))
        response, at_home = yield from self._follow(request, may_leave)
        if response.status == status.UNAUTHORIZED and at_home:
            self.tokens.drop(self.origin, self.repository.path)
            token = yield from anonymous_token(self.origin, self.repository.path, response)
            self.tokens.keep(self.origin, self.repository.path, token)
            response, _ = yield from self._follow(request, may_leave)
        return response

    def _follow(self, request: Request, may_leave: bool) -> Steps[tuple[Response, bool]]:
        """Send `request` and follow redirects; also say whether the response is from the registry's own origin."""
        plain = request
        token = self.tokens.get(self.origin, self.repository.path)
        for _ in range(MAX_REDIRECTS + 1):
            authorization = (("Authorization", f"Bearer {token}"),) if token else ()
            response = yield request._replace(headers=plain.headers + authorization)
            at_home = request.sent_by is None
            if response.status not in status.REDIRECTS:
                return response, at_home
            target = _location(request, response)
            if target.origin != self.origin:
                if not may_leave:
                    return response, at_home
                _check_departure(request, target, self.origin)
                token = ""
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
