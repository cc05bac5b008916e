"""Bearer tokens: where to ask for one, what is asked, what is taken as an answer.

Distribution's token authentication, for a client without credentials: one GET of the challenge's realm.  The realm is
the registry's choice and is judged as an attacker's: see `_realm`.  Tokens stay in memory, bound to origin and
repository; there is no clock here, so a token is used until the registry refuses it.
"""

from agent.codec import strictjson
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.registry import addresses, challenge, status
from agent.registry.limits import MAX_TOKEN_ANSWER, MAX_TOKEN_LENGTH
from agent.registry.messages import Request, Response, Steps
from agent.registry.urls import Origin, Url


class Tokens:
    """The tokens of one process, by origin and repository path."""

    def __init__(self) -> None:
        """Knows none."""
        self._tokens: dict[tuple[Origin, str], str] = {}

    def get(self, origin: Origin, path: str) -> str:
        """The token for this repository, "" if there is none."""
        return self._tokens.get((origin, path), "")

    def keep(self, origin: Origin, path: str, token: str) -> None:
        """Use `token` for this repository from now on."""
        self._tokens[origin, path] = token

    def drop(self, origin: Origin, path: str) -> None:
        """Forget the token of this repository, if there is one."""
        self._tokens.pop((origin, path), None)


def anonymous_token(origin: Origin, path: str, refusal: Response) -> Steps[str]:
    """Ask for a token that may pull `path`, without credentials, as the 401 response `refusal` says.

    Raises `Unavailable` if there is none for us, `Malformed` if challenge, realm or answer are not what they must be.
    """
    bearer = _bearer(origin, refusal)
    realm = _realm(origin, bearer.parameters["realm"])
    parameters = [("scope", f"repository:{path}:pull")]
    if "service" in bearer.parameters:
        parameters.insert(0, ("service", bearer.parameters["service"]))
    request = Request(
        realm.with_parameters(tuple(parameters)),
        f"token for {origin.host}/{path} from {realm.origin.netloc}",
        MAX_TOKEN_ANSWER,
        (("Accept", "application/json"),),
        sent_by=None if realm.origin == origin else origin,
    )
    response = yield request
    if response.status == status.OK:
        return _token(response, request)
    unavailable = status.no_answer(response, request)
    if unavailable is None and response.status in status.REDIRECTS:
        raise Malformed(f"{request.what}: got a redirect; token servers must answer themselves")
    # A token server says no in many ways (400, 404): whoever is refused a token is not authorized.
    raise unavailable or Unavailable(f"{request.what}: refused (status {response.status})", cause=Cause.UNAUTHORIZED)


def _bearer(origin: Origin, refusal: Response) -> challenge.Challenge:
    """The first Bearer challenge.  Raises `Unavailable` if the registry wants something else of us."""
    challenges = challenge.parse(refusal.values("www-authenticate"))
    for each in challenges:
        if each.scheme == "bearer":
            if "realm" not in each.parameters:
                raise Malformed(f"{origin.netloc}: got a Bearer challenge without realm")
            return each
    schemes = ", ".join(ascii(each.scheme[:20]) for each in challenges) or "nothing that we could answer"
    raise Unavailable(
        f"{origin.netloc}: asks for credentials ({schemes}); we have none",
        cause=Cause.UNAUTHORIZED,
        hint="only images that may be pulled anonymously can be verified by this version",
    )


def _realm(origin: Origin, text: str) -> Url:
    """Where tokens are to be had.  Raises `Malformed`.

    Absolute, without user information and fragment (`Url.parse`); https, unless the registry itself is plain http; a
    literal address that is not public must be the registry's own.  What a name resolves to is judged by the transport.
    """
    where = f"{origin.netloc}: token realm"
    realm = Url.parse(text, where)
    if realm.origin.scheme != "https" and origin.scheme == "https":
        raise Malformed(f"{where}: got {realm.origin}; expected https, as the registry itself")
    addresses.check_host(realm.origin.host, origin.host, where, allow_private=False)
    return realm


def _token(response: Response, request: Request) -> str:
    value = strictjson.decode(response.body, request.what, limit=MAX_TOKEN_ANSWER)
    if not isinstance(value, dict):
        raise Malformed(f"{request.what}: got {type(value).__name__}; expected an object")
    token = value.get("token") or value.get("access_token")
    if not isinstance(token, str):
        raise Malformed(f"{request.what}: got an answer without a token")
    if len(token) > MAX_TOKEN_LENGTH:
        got = f"a token of {len(token)} characters"
        raise LimitExceeded(f"{request.what}: got {got}; expected at most {MAX_TOKEN_LENGTH}")
    if not all("!" <= character <= "~" for character in token):
        raise Malformed(f"{request.what}: got a token with characters that no header may have")
    return token
