"""Bearer tokens: where to ask for one, what is asked, what is taken as an answer, how long it lasts.

Distribution's token authentication: one GET of the challenge's realm, without credentials or with user name and
password (Basic); or, with an identity token, one POST of OAuth 2's `refresh_token` grant, and the GET if the server
does not know that.  The realm is the registry's choice and is judged as an attacker's, each time that it is asked: see
`realm_of` and, for credentials, `agent.registry.realms`.  No redirect is followed.
"""

import binascii
from typing import TYPE_CHECKING, NamedTuple

from agent.codec import members, strictjson
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.registry import addresses, realms, status
from agent.registry.limits import DEFAULT_TOKEN_SECONDS, MAX_TOKEN_ANSWER, MAX_TOKEN_LENGTH, MAX_TOKEN_SECONDS
from agent.registry.memory import Judged, put
from agent.registry.messages import Request, Response, Steps
from agent.registry.secret import Secret
from agent.registry.urls import Origin, Url, quoted

if TYPE_CHECKING:
    from agent.registry.credentials import Credential

CLIENT = "nodeseal"
"""Our `client_id`: OAuth 2 wants one, token servers log it."""

_REFRESH_AT = 0.8  # of a token's time, or
_REFRESH_BEFORE = 15.0  # seconds before its end, whichever is earlier
_NOT_BY_POST = frozenset({400, 401, 404, 405})  # how token servers say that they don't know the POST, or not this one


class Withheld(Unavailable):
    """Credentials were not sent, because the token server may not have them."""


class TokenKey(NamedTuple):
    """What a token is bound to."""

    origin: Origin
    realm: Url
    service: str | None
    scopes: tuple[str, ...]
    credential: "Credential | None"

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """What every token request says of it, each scope for itself."""
        service = (("service", self.service),) if self.service is not None else ()
        return (*service, *(("scope", scope) for scope in self.scopes))


class Token(NamedTuple):
    """A token, when to ask for another one, and when not to use it any more, in the clock's seconds."""

    value: Secret
    refresh_at: float
    ends: float

    @classmethod
    def received(cls, now: float, value: Secret, seconds: float) -> "Token":
        """A token that came just now, for so many seconds."""
        return cls(value, now + min(seconds * _REFRESH_AT, seconds - _REFRESH_BEFORE), now + seconds)


class Answer(NamedTuple):
    """What a token server gave."""

    value: Secret
    seconds: float


def realm_of(origin: Origin, text: str) -> Url:
    """Where tokens are to be had.  Raises `Malformed`.

    Absolute, without user information and fragment (`Url.parse`), and what `check_realm` wants.
    """
    realm = Url.parse(text, f"{origin.netloc}: token realm")
    check_realm(origin, realm)
    return realm


def check_realm(origin: Origin, realm: Url) -> None:
    """https, unless the registry itself is plain http; a literal address that is not public must be the registry's own.

    What a name resolves to is judged by the transport.  Raises `Malformed`.
    """
    where = f"{origin.netloc}: token realm"
    if realm.origin.scheme != "https" and origin.scheme == "https":
        raise Malformed(f"{where}: got {realm.origin}; expected https, as the registry itself")
    addresses.check_host(realm.origin.host, origin.host, where, allow_private=False)


def fetch(key: TokenKey, what: str, named: tuple[str, ...], judged: dict[Judged, str]) -> Steps[Answer]:
    """Ask for a token.  `named` are the realms that the docker configuration names for this registry.

    `judged` keeps what `realms.objection` said: the public suffix list takes 60 ms to load.

    Raises `Withheld` if the credential may not be sent there; `Unavailable` if there is no token for us; `Malformed`
    if realm or answer are not what they must be.
    """
    check_realm(key.origin, key.realm)
    what = f"{what} from {key.realm.origin.netloc}"
    if key.credential is None:
        return (yield from _get(key, what, ()))
    case = (key.origin, key.realm.origin, named)
    objection = judged.get(case)
    if objection is None:
        objection = realms.objection(*case)
        put(judged, case, objection)
    if objection:
        text = f"the credentials for {key.credential} were not sent to {key.realm.origin.netloc}: {objection}"
        raise Withheld(text, cause=Cause.UNAUTHORIZED)
    user, password, identity = key.credential.user, key.credential.password, key.credential.identity_token
    if not identity:
        return (yield from _get(key, what, (("Authorization", basic(user, password)),)))
    request = _post(key, what, identity)
    response = yield request
    if response.status in _NOT_BY_POST and user:
        # Some servers take an identity token as a password only.
        return (yield from _get(key, what, (("Authorization", basic(user, identity)),)))
    return _answer(response, request)


def basic(user: Secret, password: Secret) -> str:
    """An Authorization header's value (RFC 7617)."""
    pair = f"{user.reveal()}:{password.reveal()}".encode()
    return "Basic " + binascii.b2a_base64(pair, newline=False).decode("ascii")


def _get(key: TokenKey, what: str, headers: tuple[tuple[str, str], ...]) -> Steps[Answer]:
    request = Request(
        key.realm.with_parameters(key.parameters()),
        what,
        MAX_TOKEN_ANSWER,
        (("Accept", "application/json"), *headers),
        sent_by=None if key.realm.origin == key.origin else key.origin,
    )
    response = yield request
    return _answer(response, request)


def _post(key: TokenKey, what: str, identity: Secret) -> Request:
    """OAuth 2's refresh: a form, all scopes in one field."""
    fields = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("scope", " ".join(key.scopes))]
    if key.service is not None:
        fields.append(("service", key.service))
    fields.append(("refresh_token", identity.reveal()))
    return Request(
        key.realm,
        what,
        MAX_TOKEN_ANSWER,
        (("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")),
        sent_by=None if key.realm.origin == key.origin else key.origin,
        body="&".join(f"{name}={quoted(value)}" for name, value in fields).encode("ascii"),
    )


def _answer(response: Response, request: Request) -> Answer:
    if response.status == status.OK:
        return _token(response, request)
    unavailable = status.no_answer(response, request)
    if unavailable is None and response.status in status.REDIRECTS:
        raise Malformed(f"{request.what}: got a redirect; token servers must answer themselves")
    # A token server says no in many ways (400, 404): whoever is refused a token is not authorized.
    raise unavailable or Unavailable(f"{request.what}: refused (status {response.status})", cause=Cause.UNAUTHORIZED)


def _token(response: Response, request: Request) -> Answer:
    value = members.of(strictjson.decode(response.body, request.what, limit=MAX_TOKEN_ANSWER), request.what)
    token = value.get("token") or value.get("access_token")
    if not isinstance(token, str):
        raise Malformed(f"{request.what}: got an answer without a token")
    if len(token) > MAX_TOKEN_LENGTH:
        got = f"a token of {len(token)} characters"
        raise LimitExceeded(f"{request.what}: got {got}; expected at most {MAX_TOKEN_LENGTH}")
    if not all("!" <= character <= "~" for character in token):
        raise Malformed(f"{request.what}: got a token with characters that no header may have")
    return Answer(Secret(token), _seconds(value.get("expires_in")))


def _seconds(value: object) -> float:
    """How long a token lasts.  What is no number counts as not said; what is absurd is cut to what is not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DEFAULT_TOKEN_SECONDS
    return min(max(float(value), 0.0), MAX_TOKEN_SECONDS)
