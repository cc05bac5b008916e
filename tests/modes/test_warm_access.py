"""What the daemon keeps between verifications: connections and what registries said, for as long as there is use."""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from agent.adapters.credentials import NODE_FILE
from agent.adapters.http_pooled import ConnectionPool
from agent.adapters.registry import RegistryClient
from agent.adapters.union import UnionRegistry
from agent.config.config import Config, StoreSettings
from agent.errors import Unavailable
from agent.model.reference import Reference
from agent.modes import warm_access
from agent.modes.warm_access import Connections
from agent.rules.ruleset import RuleSet
from tests.simulators.authentication import PASSWORD, USER, Gate, pair
from tests.simulators.registry import RegistrySimulator

Value = TypeVar("Value")
CA = b"a certificate"


def config(*stores: StoreSettings) -> Config:
    """A configuration with these stores."""
    return Config("g", stores, (), RuleSet(()), {"ca": CA})


HTTP, HTTPS = StoreSettings("oras", use_http=True), StoreSettings("oras", use_http=False)


def over(root: Path, body: Callable[[Connections], Awaitable[Value]]) -> Value:
    """Run `body` over connections."""

    async def run() -> Value:
        async with Connections(str(root), {"HTTPS_PROXY": "http://127.0.0.1:1"}) as connections:
            return await body(connections)

    return anyio.run(run)


def pools(connections: Connections) -> list[ConnectionPool]:
    """Those in use."""
    return [kept.pool for kept in connections._kept.values()]


def test_connections_and_tokens_outlive_a_verification(tmp_path: Path) -> None:
    async def twice(connections: Connections) -> None:
        for _ in range(2):
            client = connections.registry(config(HTTP), time.monotonic() + 60)
            assert await client.resolve(Reference.parse(f"{registry.host}/team/a:1")) is not None

    with RegistrySimulator(asks_for_token=True) as registry:
        registry.push_image("team/a", "1")
        over(tmp_path, twice)
        assert registry.counts["token"] == 1


def test_one_store_is_one_client_and_several_are_one_of_all(tmp_path: Path) -> None:
    async def look(connections: Connections) -> None:
        end = time.monotonic() + 1
        assert isinstance(connections.registry(config(HTTP), end), RegistryClient)
        same = config(HTTP, HTTP._replace(cosign_tags=True))
        assert isinstance(connections.registry(same, end), RegistryClient)
        assert isinstance(connections.registry(config(HTTP, HTTPS), end), UnionRegistry)
        assert len(pools(connections)) == 2

    over(tmp_path, look)


def test_connections_that_no_configuration_wants_are_closed_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[ConnectionPool] = []
    close = ConnectionPool.__aexit__

    async def noted(pool: ConnectionPool, *words: object) -> None:
        closed.append(pool)
        await close(pool, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(ConnectionPool, "__aexit__", noted)

    async def look(connections: Connections) -> list[ConnectionPool]:
        connections.registry(config(HTTP, HTTPS), time.monotonic() + 1)
        first, second = pools(connections)
        await connections.keep_only(config(HTTPS))
        assert (pools(connections), closed) == ([second], [])
        await connections.keep_only(config(HTTPS))
        assert closed == []
        monkeypatch.setattr(warm_access, "RETIRED", 0.0)
        await connections.keep_only(config(HTTPS))
        assert closed == [first]
        monkeypatch.undo()
        monkeypatch.setattr(ConnectionPool, "__aexit__", noted)
        await connections.keep_only(config(HTTP))
        connections.registry(config(HTTP), time.monotonic() + 1)
        return [first, second, *pools(connections)]

    every = over(tmp_path, look)
    assert set(closed) == set(every)
    assert len(every) == len(closed) == 3


def test_certificates_tell_connections_apart(tmp_path: Path) -> None:
    authority = warm_access._kinds(config(HTTPS, HTTPS._replace(ca_certificates=("ca",))))
    assert authority == ((False, (), ()), (False, (CA,), ()))


def test_who_asks_tells_connections_and_what_is_remembered_apart(tmp_path: Path) -> None:
    kinds = warm_access._kinds(config(HTTPS, HTTPS._replace(secrets=("pull",)), HTTPS._replace(owner="other")))
    assert kinds == ((False, (), ()), (False, (), ("pull",)))


def test_revocation_has_connections_of_its_own_once_it_is_asked(tmp_path: Path) -> None:
    async def look(connections: Connections) -> None:
        client = connections.revocation(time.monotonic() + 10)
        assert connections._revocation is None
        for _ in range(2):
            with client._transport(1.0):
                kept = connections._revocation
        assert kept is connections._revocation is not None

    over(tmp_path, look)


def test_credentials_that_come_while_it_runs_are_used(tmp_path: Path) -> None:
    async def twice(connections: Connections) -> None:
        async def resolved() -> object:
            client = connections.registry(config(HTTP), time.monotonic() + 60)
            return await client.resolve(Reference.parse(f"{registry.host}/team/a:1"))

        with pytest.raises(Unavailable):
            await resolved()
        file = tmp_path / NODE_FILE
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"auths": {registry.host: {"auth": pair(USER, PASSWORD)}}}))
        file.chmod(0o600)
        assert await resolved()

    with RegistrySimulator() as registry:
        registry.push_image("team/a", "1")
        registry.misbehave("*", Gate(registry))
        over(tmp_path, twice)
