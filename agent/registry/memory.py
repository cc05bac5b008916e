"""What a client remembers of the registries that it talks to: how they want to be asked, tokens, missing APIs.

In memory alone, bounded, and for a limited time.  Reads no clock and no file: the time and the place where credentials
are looked up come in by constructor.  Every pull imports this, so it holds no more than the tables; what fills them is
imported once a registry asks for authentication (`agent.registry.login`).
"""

from typing import TYPE_CHECKING, Callable, TypeVar

from agent.registry.urls import Origin

if TYPE_CHECKING:
    from agent.registry.credentials import Keyring
    from agent.registry.login import Plan
    from agent.registry.tokens import Token, TokenKey

MAX_REMEMBERED = 1000
"""Most entries of one table: more repositories than a node pulls from in an hour.  Then the oldest is forgotten."""

MISSING_API_SECONDS = 3600.0
"""How long a repository without referrers API is taken to have none: registries do get it one day."""

Judged = tuple[Origin, Origin, tuple[str, ...]]
"""A registry's origin, a realm's, and the realms that are named for the registry."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Memory:
    """The memory of one client.  `plans`, `tokens` and `judged` belong to `agent.registry.login`."""

    def __init__(self, monotonic: Callable[[], float], credentials: "Callable[[], Keyring | None]") -> None:
        """`credentials` is called when a registry asks for authentication, and not before; None: there are none."""
        self.now = monotonic
        self.credentials = credentials
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
