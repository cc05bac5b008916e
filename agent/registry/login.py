"""What follows a 401: which challenge is answered, as whom, with which scopes, how often.

1. The challenge is read: Bearer before Basic.  Basic is answered to the registry's own origin alone.
2. The credentials for the repository are looked up, the more specific first; without any, access is anonymous.
3. Each of them, at most `MAX_CREDENTIALS_TRIED`, gets one try; a registry that finds a fresh token too weak
   (`insufficient_scope`) gets one more, with the scopes that it asks for, as far as they are for pulling.
4. Credentials that may not be sent to the realm stay here: an anonymous token is asked for instead.
5. What let us in is remembered for the repository, and used in front of the next request.  A token is also kept for
   other processes (`memory.KeptTokens`), with a hash of all credentials for the repository: with others it is not used.

So every 401 ends, in an answer or in `Unavailable`, which says whose credentials were refused or withheld, or why they
can't be had.  Imported once a registry has refused something; never before.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Callable, NamedTuple, Sequence

from agent.errors import Cause, Malformed, NodesealError, Unavailable
from agent.registry import challenge, status, tokens
from agent.registry.challenge import Challenge
from agent.registry.limits import MAX_CREDENTIALS_TRIED, MAX_SCOPE_LENGTH, MAX_SCOPES
from agent.registry.memory import KeptToken, put
from agent.registry.messages import Response, Steps
from agent.registry.secret import Secret
from agent.registry.urls import Origin, Url

if TYPE_CHECKING:
    from agent.registry.access import Access
    from agent.registry.credentials import Credential

Send = Callable[[str], Steps[tuple[Response, bool]]]
"""Sends the refused request again with a value for Authorization; response, and whether it is the registry's own."""

_REFUSED = frozenset({status.UNAUTHORIZED, status.FORBIDDEN})
_SCOPE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/:")
_FILE_HINT = "credentials belong into /etc/nodeseal/docker-config.json, see docs/credentials.md"


class Plan(NamedTuple):
    """How a repository's registry wants to be asked, and as whom.  Without `realm` the credential itself is sent."""

    realm: Url | None
    service: str | None
    scopes: tuple[str, ...]
    credential: "Credential | None"

    def key(self, origin: Origin) -> tokens.TokenKey | None:
        """What the plan's token is kept under; None if it needs none."""
        if self.realm is None:
            return None
        return tokens.TokenKey(origin, self.realm, self.service, self.scopes, self.credential)


def remembered(access: "Access") -> Steps[str]:
    """The Authorization that let us in before, with a fresh token if need be.  Raises as `again` does.

    Empty if it lets nobody in any more: credentials may have changed, and are looked up anew once we are refused.
    Those that are ours no longer are not used, nor what was given for them.
    """
    place = (access.origin, access.repository.path)
    plan = access.memory.plans[place]
    if plan.credential is not None and all(each is not plan.credential for each in _credentials(access)):
        del access.memory.plans[place]
        _forget_token(access, plan)
        return ""
    key = plan.key(access.origin)
    before = access.memory.tokens.get(key) if key is not None else None
    try:
        authorization = yield from _authorization(access, plan)
        if key is not None and access.memory.tokens.get(key) is not before:
            _keep(access, plan)
        return authorization
    except Unavailable as error:
        if error.cause is not Cause.UNAUTHORIZED:
            raise
        access.memory.plans.pop(place, None)  # somebody else may have done so in the meantime
        return ""


def again(access: "Access", what: str, refusal: Response, send: Send, *, had_authorization: bool) -> Steps[Response]:
    """Answer the 401 `refusal` of a request, and send it again.

    Raises `Unavailable` if the registry refuses what we have, or if what it wants can't be had; `Malformed` if
    challenge, realm or token are not what they must be.
    """
    repository = access.repository
    old = access.memory.plans.pop((access.origin, repository.path), None)
    if old is not None:
        _forget_token(access, old)
        if access.memory.kept is not None:
            access.memory.kept.drop(access.origin, repository.path)
    challenges = challenge.parse(refusal.values("www-authenticate"))
    keyring = access.memory.credentials()
    found = _credentials(access)
    refused = Unavailable(f"{what}: the registry refuses", cause=Cause.UNAUTHORIZED)  # until a try says more
    for credential in found or (None,):
        try:
            plan = _plan(access, challenges, credential)
            if had_authorization:
                plan = _widened(plan, challenges)
            return (yield from _try(access, what, plan, send))
        except Unavailable as error:
            if error.cause is not Cause.UNAUTHORIZED:
                raise
            refused = error
    complaint = keyring.complaint(repository) if keyring is not None and not found else ""
    if complaint:
        text = f"{what}: the registry wants credentials; {complaint}"
        raise Unavailable(text, cause=Cause.CREDENTIALS_UNAVAILABLE, hint=_FILE_HINT)
    raise refused


def take(access: "Access", kept: KeptToken) -> None:
    """Go on with a token that let another process in, unless our credentials are others, or it is not what it must be.

    Its realm is asked for nothing here, and is judged again when it is.
    """
    found = _credentials(access)
    try:
        if kept.credentials != _fingerprint(access, found, kept.value):
            return
        credential = found[kept.credential] if kept.credential >= 0 else None
        realm = tokens.realm_of(access.origin, kept.realm)
    except (IndexError, Malformed):
        return
    plan = Plan(realm, kept.service, kept.scopes, credential)
    now = access.memory.now()
    token = tokens.Token(kept.value, now + kept.refresh_in, now + kept.ends_in)
    put(access.memory.tokens, tokens.TokenKey(access.origin, realm, kept.service, kept.scopes, credential), token)
    put(access.memory.plans, (access.origin, access.repository.path), plan)


def _keep(access: "Access", plan: Plan) -> None:
    """Keep the plan's token for other processes."""
    memory, key = access.memory, plan.key(access.origin)
    token = memory.tokens.get(key) if key is not None else None
    if memory.kept is None or key is None or token is None:
        return
    found = _credentials(access)
    which = next((i for i, each in enumerate(found) if each is plan.credential), -1)
    if which < 0 and plan.credential is not None:
        return  # the file has changed meanwhile
    kept = KeptToken(
        f"{key.realm.origin}{key.realm.target}",
        key.service,
        key.scopes,
        which,
        _fingerprint(access, found, token.value),
        token.value,
        token.refresh_at - memory.now(),
        token.ends - memory.now(),
    )
    memory.kept.put(access.origin, access.repository.path, kept)


def _credentials(access: "Access") -> "tuple[Credential, ...]":
    """The credentials for the repository, as many as are tried."""
    keyring = access.memory.credentials()
    return keyring.credentials(access.repository)[:MAX_CREDENTIALS_TRIED] if keyring is not None else ()


def _fingerprint(access: "Access", found: "Sequence[Credential]", token: Secret) -> str:
    """A hash of everything in credentials that decides which token we are given, and where they may be sent.

    It lies beside the token, and is bound to it: so it can't be used to try passwords without having that.
    """
    parts = [token.reveal()]
    for each in found:
        secrets = (each.user, each.password, each.identity_token, each.registry_token)
        parts += [*(secret.reveal() for secret in secrets), *each.realms(access.repository), ""]
    return sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()


def _plan(access: "Access", challenges: Sequence[Challenge], credential: "Credential | None") -> Plan:
    """(1).  Raises `Unavailable` if the registry wants something else than what we have."""
    scopes = (f"repository:{access.repository.path}:pull",)
    if credential is not None and credential.registry_token:
        return Plan(None, None, (), credential)
    for each in challenges:
        if each.scheme == "bearer":
            if "realm" not in each.parameters:
                raise Malformed(f"{access.origin.netloc}: got a Bearer challenge without realm")
            realm = tokens.realm_of(access.origin, each.parameters["realm"])
            return Plan(realm, each.parameters.get("service"), scopes, credential)
    if credential is not None and credential.password and any(each.scheme == "basic" for each in challenges):
        return Plan(None, None, (), credential)
    schemes = ", ".join(ascii(each.scheme[:20]) for each in challenges) or "nothing that we could answer"
    have = "we have none" if credential is None else "what we have is of another kind"
    raise Unavailable(
        f"{access.origin.netloc}: asks for credentials ({schemes}); {have}", cause=Cause.UNAUTHORIZED, hint=_FILE_HINT
    )


def _try(access: "Access", what: str, plan: Plan, send: Send) -> Steps[Response]:
    """(3) to (5).  Raises `Unavailable` if the registry refuses."""
    told = f", with the credentials for {plan.credential}" if plan.credential is not None else ""
    try:
        authorization = yield from _telling(access, plan, told)
    except tokens.Withheld as error:
        told = f"; {error.message}"
        plan = plan._replace(credential=None)
        authorization = yield from _telling(access, plan, told)
    response, at_home = yield from send(authorization)
    wider = _wider(plan, response) if at_home else plan
    if wider != plan:
        _forget_token(access, plan)
        plan = wider
        authorization = yield from _authorization(access, plan)
        response, at_home = yield from send(authorization)
    if at_home and response.status in _REFUSED:
        _forget_token(access, plan)
        raise Unavailable(
            f"{what}: the registry refuses (status {response.status}){told}",
            cause=Cause.UNAUTHORIZED,
            hint=_FILE_HINT,
        )
    put(access.memory.plans, (access.origin, access.repository.path), plan)
    if response.status not in _REFUSED:
        _keep(access, plan)
    return response


def _telling(access: "Access", plan: Plan, told: str) -> Steps[str]:
    """As `_authorization`; a token server's refusal also says whose credentials were refused, or why none were sent."""
    try:
        return (yield from _authorization(access, plan))
    except tokens.Withheld:
        raise
    except Unavailable as error:
        if error.cause is not Cause.UNAUTHORIZED:
            raise
        raise Unavailable(f"{error.message}{told}", cause=error.cause, hint=_FILE_HINT) from None


def _authorization(access: "Access", plan: Plan) -> Steps[str]:
    """The value of Authorization for `plan`; a token that is still good is not asked for again."""
    key = plan.key(access.origin)
    if key is None:
        return _itself(plan.credential)
    memory = access.memory
    token = memory.tokens.get(key)
    if token is None or memory.now() >= token.refresh_at:
        named = plan.credential.realms(access.repository) if plan.credential is not None else ()
        try:
            what = f"token for {access.origin.host}/{access.repository.path}"
            answer = yield from tokens.fetch(key, what, named, memory.judged)
        except NodesealError:
            if token is None or memory.now() >= token.ends:
                memory.tokens.pop(key, None)
                raise
        else:
            token = tokens.Token.received(memory.now(), answer.value, answer.seconds)
            put(memory.tokens, key, token)
    return f"Bearer {token.value.reveal()}"


def _itself(credential: "Credential | None") -> str:
    """The value of Authorization where no token is asked for."""
    if credential is not None and credential.registry_token:
        return f"Bearer {credential.registry_token.reveal()}"
    return tokens.basic(credential.user, credential.password) if credential is not None else ""


def _wider(plan: Plan, response: Response) -> Plan:
    """`plan` with the scopes that a 401 asks for; `plan` itself if it asks for nothing that we would ask for."""
    if response.status != status.UNAUTHORIZED or plan.realm is None:
        return plan
    return _widened(plan, challenge.parse(response.values("www-authenticate")))


def _widened(plan: Plan, challenges: Sequence[Challenge]) -> Plan:
    """`plan` with the scopes of a challenge that says `insufficient_scope`: repositories, for pulling, no more."""
    scopes = list(plan.scopes)
    for each in challenges:
        if plan.realm is None or each.scheme != "bearer" or each.parameters.get("error") != "insufficient_scope":
            continue
        for scope in each.parameters.get("scope", "").split():
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            fits = kind == "repository" and name and _SCOPE.issuperset(name) and len(scope) <= MAX_SCOPE_LENGTH
            wanted = f"repository:{name}:pull"
            if fits and "pull" in actions.split(",") and wanted not in scopes and len(scopes) < MAX_SCOPES:
                scopes.append(wanted)
    return plan._replace(scopes=tuple(scopes))


def _forget_token(access: "Access", plan: Plan) -> None:
    key = plan.key(access.origin)
    if key is not None:
        access.memory.tokens.pop(key, None)
