"""Tokens that one process got and another one uses: only for what they were given for, and never seen."""

import json
import os
import pathlib
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, Iterator

import pytest

from agent.adapters import misses
from agent.adapters.credentials import CredentialFile, CredentialFiles
from agent.adapters.entries import Entries
from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.inline import run
from agent.adapters.registry import RegistryClient
from agent.adapters.token_store import KIND, TokenStore
from agent.errors import Unavailable
from agent.model.reference import Repository
from agent.registry.limits import MAX_TOKEN_LENGTH
from agent.registry.memory import KeptToken, Memory
from agent.registry.secret import Secret
from agent.registry.urls import Origin
from tests.adapters.stores import TOKEN, origin, token
from tests.registry.support import Clock
from tests.simulators.authentication import IDENTITY, PASSWORD, USER, Gate, pair
from tests.simulators.registry import RegistrySimulator

ENTRY = {"auth": pair(USER, PASSWORD)}
COLD, WARM = ["referrers", "token", "referrers"], ["referrers"]


class Node:
    """A node in front of a registry behind a gate: each `ask` is another process."""

    def __init__(self, root: pathlib.Path, registry: RegistrySimulator, **gate: Any) -> None:
        """With credentials."""
        self.root = root
        self.registry = registry
        self.image = registry.push_image("team/app", "1")
        for path in ("team/app", "team/other"):
            registry.attach(path, self.image, "application/x", b"evidence")
        self.gate = Gate(registry, **gate)
        registry.misbehave("*", self.gate)
        self.credentials(ENTRY)

    def credentials(self, entry: dict[str, Any], host: str = "", **others: Any) -> None:
        """Let this be the node's docker configuration."""
        path = self.root / "docker-config.json"
        path.write_text(json.dumps({"auths": {host or self.registry.host: entry}, **others}))
        path.chmod(0o600)

    @contextmanager
    def client(self, *, clock: Callable[[], float] = time.monotonic, wall: float = 0.0) -> Iterator[RegistryClient]:
        """A process; its clock on the wall is `wall` seconds ahead."""
        transport = BlockingTransport(deadline=time.monotonic() + 60)
        files = CredentialFiles([CredentialFile(str(self.root / "docker-config.json"))])
        memory = Memory(clock, files, TokenStore(str(self.root), now=lambda: time.time() + wall))
        try:
            yield RegistryClient(transport, use_http=True, memory=memory)
        finally:
            transport.close()

    def ask(self, path: str = "team/app", *, wall: float = 0.0) -> list[str]:
        """What a process sends that lists the referrers of an image."""
        self.registry.seen.clear()
        with self.client(wall=wall) as client:
            run(client.referrers(Repository(self.registry.host, path), self.image.digest, ("application/x",)))
        return [each.kind for each in self.registry.seen]

    @property
    def entry(self) -> pathlib.Path:
        """The only kept token."""
        (entry,) = (self.root / KIND.folder).iterdir()
        return entry


@pytest.fixture
def node(tmp_path: pathlib.Path, registry: RegistrySimulator) -> Node:
    """One whose registry gives out tokens for 60 seconds."""
    (tmp_path / "var/cache/nodeseal").mkdir(parents=True)
    return Node(tmp_path, registry)


def test_the_second_process_is_refused_nothing_and_asks_for_no_token(node: Node) -> None:
    assert node.ask() == COLD
    assert node.ask() == WARM
    assert len(node.gate.asked) == 1


def test_a_process_uses_it_for_all_its_requests(node: Node) -> None:
    node.ask()
    node.registry.seen.clear()
    with node.client() as client:
        for _ in range(3):
            run(client.referrers(Repository(node.registry.host, "team/app"), node.image.digest, ()))
    assert [each.kind for each in node.registry.seen] == WARM * 3


def test_it_lies_in_a_folder_of_its_own_and_not_in_the_cache(node: Node) -> None:
    node.ask()
    assert "planted-issued-token" in node.entry.read_text()
    for path in (node.entry, *node.entry.parents[:3]):
        assert path.stat().st_mode & 0o077 == 0
    assert list((node.root / "var/cache/nodeseal").rglob("*")) == []
    assert not any(secret in node.entry.read_text() for secret in (PASSWORD, IDENTITY, pair(USER, PASSWORD)))


def test_another_repository_has_one_of_its_own(node: Node) -> None:
    node.ask()
    assert node.ask("team/other") == COLD
    assert node.ask() == node.ask("team/other") == WARM


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.credentials({"auth": pair(USER, f"{PASSWORD} "), "identitytoken": IDENTITY}),
        lambda node: node.credentials({"identitytoken": IDENTITY}),
        lambda node: node.credentials(ENTRY, nodeseal={"realms": {node.registry.host: ["auth.example.net"]}}),
        lambda node: node.credentials(
            ENTRY, host=f"{node.registry.host}/team", nodeseal={"realms": {node.registry.host: ["a.example"]}}
        ),
    ],
)
def test_with_other_credentials_it_is_of_no_use(node: Node, change: Callable[[Node], None]) -> None:
    node.ask()
    change(node)
    assert node.ask()[:2] == COLD[:2]


def test_without_the_credentials_it_was_given_for_nobody_comes_in(node: Node) -> None:
    node.ask()
    (node.root / "docker-config.json").unlink()
    with pytest.raises(Unavailable):
        node.ask()


def test_the_same_credentials_written_anew_are_the_same(node: Node) -> None:
    node.ask()
    (node.root / "docker-config.json").unlink()
    node.credentials(ENTRY)
    assert node.ask() == WARM


def test_an_anonymous_token_serves_others_until_there_are_credentials(
    tmp_path: pathlib.Path, registry: RegistrySimulator
) -> None:
    node = Node(tmp_path, registry, anonymous=True)
    node.credentials({}, host="elsewhere.example")
    assert node.ask() == COLD
    assert node.ask() == WARM
    node.credentials(ENTRY)
    assert node.ask() == COLD
    assert node.gate.asked[-1].authorization


def test_one_that_the_registry_refuses_goes_and_another_is_asked_for_once(node: Node) -> None:
    node.ask()
    node.gate.forget()
    assert node.ask() == COLD
    assert node.ask() == WARM


def test_a_registry_that_refuses_everything_is_asked_no_more_often_than_without(
    tmp_path: pathlib.Path, registry: RegistrySimulator
) -> None:
    node = Node(tmp_path, registry)
    node.ask()
    registry.misbehave("*", Gate(registry, gone=True))
    registry.seen.clear()
    with pytest.raises(Unavailable), node.client() as client:
        run(client.referrers(Repository(registry.host, "team/app"), node.image.digest, ()))
    assert [each.kind for each in registry.seen] == ["referrers", "token", "referrers"]
    assert list((tmp_path / KIND.folder).iterdir()) == []


def test_one_that_is_forbidden_goes(node: Node) -> None:
    node.ask()
    node.registry.misbehave("*", lambda handler: handler.answer(403))
    with pytest.raises(Unavailable):
        node.ask()
    assert list((node.root / KIND.folder).iterdir()) == []


@pytest.mark.parametrize(("later", "expected"), [(0, WARM), (35, WARM), (46, COLD), (61, COLD), (-30, COLD)])
def test_it_counts_until_it_is_due_by_the_clock_on_the_wall(node: Node, later: float, expected: list[str]) -> None:
    """Of 60 seconds: 45; and not before it was given."""
    node.ask()
    assert node.ask(wall=later) == expected
    if later < 0:
        assert misses.counted(str(node.root)) == {"tokens": {"future": 1}}


def test_one_that_has_ended_is_removed(node: Node) -> None:
    node.ask()
    ended = TokenStore(str(node.root), now=lambda: time.time() + 61)
    assert ended.get(Origin("http", "127.0.0.1", node.registry.port), "team/app") is None
    assert list((node.root / KIND.folder).iterdir()) == []


def test_one_that_is_renewed_is_kept_too(node: Node) -> None:
    clock = Clock()
    with node.client(clock=clock) as client:
        for _ in range(2):
            run(client.referrers(Repository(node.registry.host, "team/app"), node.image.digest, ()))
            clock.time += 50
    assert len(node.gate.asked) == 2
    assert json.loads(node.entry.read_bytes().partition(b"\n")[2])["token"].endswith("-2")


def test_basic_keeps_nothing(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    node = Node(tmp_path, registry, scheme="basic")
    assert node.ask() == ["referrers", "referrers"]
    assert not (tmp_path / "run").exists()


def test_a_folder_that_others_may_read_is_foreign(node: Node) -> None:
    node.ask()
    node.entry.parent.chmod(0o755)
    assert node.ask()[:2] == COLD[:2]
    assert misses.counted(str(node.root)) == {"tokens": {"foreign": 1}}


ALTERED: dict[str, dict[str, object]] = {
    "a header of its own": {"token": "x\r\nX-Injected: 1"},
    "no token": {"token": ""},
    "a number for a token": {"token": 5},
    "no realm": {"realm": "nowhere"},
    "a realm over plain http, for https": {"realm": "file:///etc/passwd"},
    "a token for longer than any": {"ends": time.time() + 10**6, "refreshAt": time.time() + 10**6},
    "refreshed after its end": {"refreshAt": time.time() + 10**5},
    "no time": {"at": "now"},
    "scopes that are none": {"scopes": "pull"},
    "many scopes": {"scopes": ["repository:x:pull"] * 6},
    "another of the credentials": {"credential": 1},
    "a credential that is none": {"credential": -2},
    "other credentials": {"credentials": "0" * 64},
    "another place": {"place": ["http://r.example", "team/app"]},
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_is_not_as_we_write_it_is_not_used(node: Node, what: str) -> None:
    node.ask()
    value = json.loads(node.entry.read_bytes().partition(b"\n")[2]) | ALTERED[what]
    node.entry.write_bytes(Entries(str(node.root), KIND).sealed(json.dumps(value).encode()))
    assert node.ask() == COLD
    assert not any("x-injected" in each.headers for each in node.registry.seen)


@pytest.mark.parametrize("value", ["x\r\nX-Injected: 1", "a b", "\u00e9", "", "x" * (MAX_TOKEN_LENGTH + 1)])
def test_what_no_header_may_have_is_no_token(tmp_path: pathlib.Path, value: str) -> None:
    store = TokenStore(str(tmp_path))
    store.put(origin(1), "shop/cart", token(1)._replace(value=Secret(value)))
    assert store.get(origin(1), "shop/cart") is None


def test_nothing_of_it_is_shown(tmp_path: pathlib.Path) -> None:
    begun = time.monotonic()
    store = TokenStore(str(tmp_path))
    store.put(origin(1), "shop/cart", token(1))
    kept = store.get(origin(1), "shop/cart")
    passed = time.monotonic() - begun + 0.01
    assert isinstance(kept, KeptToken)
    assert TOKEN not in repr(kept) + str(kept) + repr(store) + repr(vars(store))
    assert 60 - passed < kept.refresh_in <= 60
    assert 90 - passed < kept.ends_in <= 90


def test_what_cannot_be_kept_or_had_changes_nothing(node: Node) -> None:
    (node.root / "run").write_text("no folder")
    assert node.ask() == node.ask() == COLD


def test_a_token_under_a_user_of_another_is_not_used(node: Node) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    node.ask()
    os.chown(node.entry, 65534, 65534)
    assert node.ask()[:2] == COLD[:2]
