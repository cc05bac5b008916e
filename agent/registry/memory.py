"""What a client remembers of the registries that it talks to: how they want to be asked, tokens, missing APIs.

Bounded, and for a limited time.  Reads no clock and no file: the time, the place where credentials are looked up, and
what keeps tokens for other processes come in by constructor.  Every pull imports this, so it holds no more than the
tables; what fills them is imported once a registry asks for authentication (`agent.registry.login`).
"""

from typing import TYPE_CHECKING, Callable, NamedTuple, Protocol, TypeVar

from agent.registry.urls import Origin

if TYPE_CHECKING:
    from agent.registry.credentials import Keyring
    from agent.registry.login import Plan
    from agent.registry.secret import Secret
    from agent.registry.tokens import Token, TokenKey

MAX_REMEMBERED = 1000
"""Most entries of one table: more repositories than a node pulls from in an hour.  Then the oldest is forgotten."""

MISSING_API_SECONDS = 3600.0
"""How long a repository without referrers API is taken to have none: registries do get it one day."""

Judged = tuple[Origin, Origin, tuple[str, ...]]
"""A registry's origin, a realm's, and the realms that are named for the registry."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class KeptToken(NamedTuple):
    """A token that let somebody in, and how it was come by: what other processes need to use it.

    `realm`, `service` and `scopes` are the plan's (`agent.registry.login.Plan`).  `credential` says which of the
    credentials for the repository it was given for, -1 for none, and `credentials` is a hash of all of them: with
    others it is of no use.  `refresh_in` and `ends_in` are seconds from now on.
    """

    realm: str
    service: str | None
    scopes: tuple[str, ...]
    credential: int
    credentials: str
    value: "Secret"
    refresh_in: float
    ends_in: float


class KeptTokens(Protocol):
    """Keeps tokens for other processes.  Never raises: what can't be read is not there."""

    def get(self, origin: Origin, path: str) -> KeptToken | None:
        """The token that let somebody in to a repository, if it need not be refreshed yet."""
        ...

    def put(self, origin: Origin, path: str, token: KeptToken) -> None:
        """Keep a token that let us in."""
        ...

    def drop(self, origin: Origin, path: str) -> None:
        """Have none: it lets nobody in any more."""
        ...


class Memory:
    """The memory of one client.  `plans`, `tokens` and `judged` belong to `agent.registry.login`."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        credentials: "Callable[[], Keyring | None]",
        kept: KeptTokens | None = None,
    ) -> None:
        """`credentials` is called when a registry asks for authentication, and not before; None: there are none.

        Also if a token is `kept`: it counts for the same credentials alone.
        """
        self.now = monotonic
        self.credentials = credentials
        self.kept = kept
        self.plans: dict[tuple[Origin, str], Plan] = {}
        self.tokens: dict[TokenKey, Token] = {}
        self.judged: dict[Judged, str] = {}
        self._missing_apis: dict[tuple[Origin, str], float] = {}

    def note_missing_api(self, origin: Origin, path: str) -> None:
        """Remember that this repository's referrers are listed by tag, and not by an API."""
        put(self._missing_apis, (origin, path), self.now() + MISSING_API_SECONDS)

    def lacks_api(self, origin: Origin, path: str) -> bool:
        """Whether the repository was found to have no referrers API, not too long ago."""
        return self.now() < self._missing_apis.get((origin, path), 0.0)


def put(table: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Add to a table and keep it bounded: what was put in first goes first."""
    table.pop(key, None)
    table[key] = value
    if len(table) > MAX_REMEMBERED:
        del table[next(iter(table))]
