"""Tokens that let us in, for other processes of the node: `registry.memory.KeptTokens` over a folder.

::

    run/nodeseal/secrets/tokens/<of origin and repository>

They are secrets.  So they lie in memory (on a node /run is), in a folder that nobody else may even read, and never
under var/cache; they are in no message.  A token counts until it is due to be refreshed, by the clock on the wall, and
for no other repository, origin or credentials than those that it was given for.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.adapters import files
from agent.adapters.entries import FUTURE, Entries, Kind, name_of
from agent.codec import strictjson
from agent.registry.limits import MAX_SCOPE_LENGTH, MAX_SCOPES, MAX_TOKEN_LENGTH, MAX_TOKEN_SECONDS, MAX_URL_LENGTH
from agent.registry.memory import KeptToken
from agent.registry.urls import Origin

KIND = Kind(
    name="tokens",
    folder="run/nodeseal/secrets/tokens",
    version=1,
    largest=64 * 1024,
    most=1000,
    most_bytes=8 * 1024 * 1024,
    secret=True,
)

_MAX_SERVICE = 1024
_HASH = 64


class TokenStore:
    """The tokens under one root.  Many processes may use it at once; nothing here fails."""

    def __init__(self, root: str, *, now: Callable[[], float] = time.time) -> None:
        """`root` is the folder that `run/nodeseal` is under, "/" on a node; `now` is in seconds since 1970."""
        self._entries = Entries(root, KIND)
        self._now = now

    def get(self, origin: Origin, path: str) -> KeptToken | None:
        """See `registry.memory.KeptTokens.get`."""
        value = self._entries.value(_name(origin, path))
        if value is None:
            return None
        now = self._now()
        try:
            at, kept = float(value["at"]), _decoded(value, origin, path, now)
        except (TypeError, LookupError, ValueError):
            self._entries.count(files.CORRUPT)
            return None
        if at > now:
            self._entries.count(FUTURE)
            return None
        if kept.ends_in <= 0:
            self.drop(origin, path)  # somebody else's new one, by bad luck: he who misses it gets another
        return kept if kept.refresh_in > 0 else None

    def put(self, origin: Origin, path: str, token: KeptToken) -> None:
        """See `registry.memory.KeptTokens.put`."""
        now = self._now()
        value = {
            "place": [str(origin), path],
            "at": now,
            "realm": token.realm,
            "service": token.service,
            "scopes": list(token.scopes),
            "credential": token.credential,
            "credentials": token.credentials,
            "token": token.value.reveal(),
            "refreshAt": now + token.refresh_in,
            "ends": now + token.ends_in,
        }
        self._entries.keep(_name(origin, path), strictjson.canonical(value))

    def drop(self, origin: Origin, path: str) -> None:
        """See `registry.memory.KeptTokens.drop`."""
        self._entries.drop(_name(origin, path))


def _name(origin: Origin, path: str) -> str:
    return name_of(str(origin), path)


def _decoded(value: Mapping[str, Any], origin: Origin, path: str, now: float) -> KeptToken:
    """Raises an error of Python's own for what is no token of this place."""
    at, refresh_at, ends = float(value["at"]), float(value["refreshAt"]), float(value["ends"])
    realm, service, scopes, token = value["realm"], value["service"], value["scopes"], value["token"]
    which, credentials = value["credential"], value["credentials"]
    texts = [(realm, MAX_URL_LENGTH), (token, MAX_TOKEN_LENGTH), (credentials, _HASH)]
    texts += [(scope, MAX_SCOPE_LENGTH) for scope in scopes]
    texts += [] if service is None else [(service, _MAX_SERVICE)]
    fits = (
        value["place"] == [str(origin), path]
        and all(isinstance(text, str) and len(text) <= most for text, most in texts)
        and all("!" <= character <= "~" for character in token)
        and token
        and isinstance(which, int)
        and which >= -1
        and isinstance(scopes, list)
        and len(scopes) <= MAX_SCOPES
        and refresh_at <= ends <= at + MAX_TOKEN_SECONDS
    )
    if not fits:
        raise ValueError("no token of this place")
    from agent.registry.secret import Secret  # most registries want no token

    return KeptToken(realm, service, tuple(scopes), which, credentials, Secret(token), refresh_at - now, ends - now)
