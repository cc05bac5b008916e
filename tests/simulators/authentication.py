"""A registry's door: who has credentials comes in.  Put in front of a simulator's requests, all of them.

    gate = Gate(registry, scheme="bearer")
    registry.misbehave("*", gate)

Answers `/token` too, and keeps what arrived there.  What it gives out begins with `ISSUED`.
"""

import base64
import json
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.simulators.registry import Handler, RegistrySimulator

USER = "planted-user"
PASSWORD = "planted-password"
IDENTITY = "planted-identity-token"
REGISTRY_TOKEN = "planted-registry-token"
ISSUED = "planted-issued-token-"


def pair(user: str, password: str) -> str:
    """What Basic sends."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


SECRETS = (USER, PASSWORD, IDENTITY, REGISTRY_TOKEN, ISSUED, pair(USER, PASSWORD), pair(USER, IDENTITY))
"""What must be seen nowhere but at the gate."""


class Asked(NamedTuple):
    """One token request."""

    method: str
    authorization: str
    fields: dict[str, list[str]]


class Gate:
    """Lets in who has a token that was given for the scopes, or user name and password.

    `post` is the status of POSTs to `/token`, 200 if they are known; `needs` are the scopes without which a token is
    too weak; `gone` revokes every token as soon as it is given.
    """

    def __init__(
        self,
        registry: RegistrySimulator,
        *,
        scheme: str = "bearer",
        post: int = 200,
        anonymous: bool = False,
        expires_in: int | None = None,
        needs: tuple[str, ...] = (),
        gone: bool = False,
        realm: str = "",
    ) -> None:
        """Closed."""
        self.asked: list[Asked] = []
        self._registry = registry
        self._scheme, self._post, self._anonymous, self._expires_in = scheme, post, anonymous, expires_in
        self._needs, self._gone, self._realm = needs, gone, realm
        self._given: dict[str, set[str]] = {}

    def __call__(self, handler: Handler) -> bool:
        """Answer, unless who asks may come in."""
        if urlsplit(handler.path).path == "/token":
            return self._token(handler)
        authorization = handler.headers.get("Authorization", "")
        if self._scheme == "basic":
            if authorization == f"Basic {pair(USER, PASSWORD)}":
                return False
            return handler.answer(401, WWW_Authenticate='Basic realm="simulator"')
        if authorization == f"Bearer {REGISTRY_TOKEN}":
            return False
        scopes = self._given.get(authorization.removeprefix("Bearer "))
        if scopes is None:
            return self._challenge(handler, "")
        if not set(self._needs) <= scopes:
            return self._challenge(handler, ',error="insufficient_scope"')
        return False

    def forget(self) -> None:
        """Revoke what was given."""
        self._given.clear()

    def _challenge(self, handler: Handler, extra: str) -> bool:
        realm = self._realm or f"{self._registry.url}/token"
        scope = " ".join(self._needs) or "repository:some,thing:pull"
        return handler.answer(401, WWW_Authenticate=f'Bearer realm="{realm}",service="gate",scope="{scope}"{extra}')

    def _token(self, handler: Handler) -> bool:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        fields = parse_qs(body or urlsplit(handler.path).query)
        authorization = handler.headers.get("Authorization", "")
        self.asked.append(Asked(handler.command, authorization, fields))
        if handler.command == "POST":
            if self._post != 200:
                return handler.answer(self._post)
            allowed = fields.get("refresh_token") == [IDENTITY]
        else:
            allowed = authorization in (f"Basic {pair(USER, PASSWORD)}", f"Basic {pair(USER, IDENTITY)}")
        if not (allowed or (self._anonymous and not authorization and handler.command == "GET")):
            return handler.answer(401, b'{"details": "incorrect username or password"}')
        token = f"{ISSUED}{len(self.asked)}"
        if not self._gone:
            self._given[token] = {scope for each in fields["scope"] for scope in each.split()}
        answer = {"token": token} if self._expires_in is None else {"token": token, "expires_in": self._expires_in}
        return handler.answer(200, json.dumps(answer).encode(), Content_Type="application/json")
