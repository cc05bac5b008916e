"""Keys that are fetched: by a person who puts a configuration in force, and anew by the daemon that follows it."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent.adapters.inline import run
from agent.adapters.keystore import KeyStore
from agent.adapters.nodestate import BOOTSTRAP, FETCHED, NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.verdicts import NoVerdicts
from agent.config.config import Config
from agent.config.keysources import KeySource
from agent.errors import Cause, Code, Malformed, Unavailable
from agent.judgement import Case, opened
from agent.model.answer import Answer
from agent.modes import keys, node
from agent.modes.keys import Keys
from agent.modes.publishing import Publisher
from agent.registry.urls import Url
from agent.rules.breakglass import Moment
from tests.formats.support import request
from tests.modes.fetching import Command, command, root
from tests.signing import usual_signer, write_config
from tests.simulators.certificates import Authority
from tests.simulators.keyserver import KeyServer
from tests.warm import Told

__all__ = ["command", "root"]

FIRST, SECOND = usual_signer(), usual_signer("second.example.com", number=9)
BOTH = FIRST.root_pem + SECOND.root_pem


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the server's certificate is from."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(ca: Authority) -> Iterator[KeyServer]:
    """A server of certificates."""
    with KeyServer(ca) as server:
        server.serve("/roots", FIRST.root_pem)
        yield server


def write(root: Path, server: KeyServer, ca: Authority, **provider: str) -> Path:
    """A configuration whose signers are fetched."""
    folder = write_config(root / "config", b"")
    (folder / "trusted.crt").unlink()
    (folder / "pki.pem").write_bytes(Path(ca.bundle).read_bytes())
    value = json.loads((folder / "config.json").read_text())
    (plugin,) = value["verifier"]["plugins"]
    del plugin["verificationCerts"]
    plugin["verificationCertStores"] = {"trusted": ["corp"]}
    plugin["trustPolicyDoc"]["trustPolicies"][0]["trustStores"] = ["ca:trusted"]
    given = {"name": "corp", "type": "url", "url": f"{server.url}/roots", "caBundle": "pki.pem", **provider}
    value["keyManagementProvider"] = {"plugins": [given]}
    (folder / "config.json").write_text(json.dumps(value))
    return folder


def in_force(root: Path) -> Config:
    """The configuration."""
    return SnapshotStore(str(root)).load()


def certificates(root: Path) -> int:
    """How many the snapshot trusts."""
    return len(in_force(root).certificates)


def opened_case(root: Path) -> Answer | Case:
    """What is said of an image before anybody is asked."""
    return run(opened(request(), node.opened(str(root)).standing, NoVerdicts()))


def age(root: Path, seconds: float) -> None:
    """Let the keys have been fetched so long ago."""
    state = NodeState(str(root))
    ago = Moment(moment().wall - timedelta(seconds=seconds), 0.0, "")
    state.note_fetched(dict.fromkeys(state.fetched(), ago))


def test_keys_are_fetched_when_a_configuration_is_put_in_force(
    root: Path, server: KeyServer, ca: Authority, command: Command
) -> None:
    folder = write(root, server, ca)
    code, said = command("config", "apply", str(folder))
    assert (code, server.asked) == (0, ["/roots"]), said
    config = in_force(root)
    assert certificates(root) == 1
    ((used,),) = {rule.keys for rule in config.rules}
    assert (used.name, used.keep_for) == ("corp", 36 * 3600)
    assert isinstance(opened_case(root), Case)
    command("config", "apply", str(folder))
    assert server.asked == ["/roots", "/roots"]
    assert in_force(root).generation == config.generation


def test_who_only_checks_is_told_that_they_are_fetched_later(
    root: Path, server: KeyServer, ca: Authority, command: Command
) -> None:
    folder = write(root, server, ca)
    code, said = command("config", "check", str(folder))
    assert (code, server.asked) == (0, [])
    assert f"got keys at {server.url}, which are fetched when this is put in force" in said
    assert "the configuration can be used once what it names is fetched" in said
    told = json.loads(command("config", "check", str(folder), "--format", "json")[1])
    assert (told["usable"], told["generation"]) == (True, None)
    code, said = command("verify", "registry.example.com/x:1", "--config", str(folder))
    assert (code, server.asked) == (3, [])
    assert "what it has fetched is there once it is put in force: nodeseal config apply" in said


@pytest.mark.parametrize("defect", ["away", "no certificates", "local"])
def test_without_keys_nothing_is_put_in_force(
    root: Path, server: KeyServer, ca: Authority, command: Command, defect: str
) -> None:
    folder = write(root, server, ca)
    if defect == "away":
        server.serve("/roots", b"", 404)
    if defect == "no certificates":
        server.serve("/roots", b"<html>")
    if defect == "local":
        (root / BOOTSTRAP).unlink()
    code, said = command("config", "apply", str(folder))
    assert code == 3
    assert "keys of corp: got " in said
    assert "Nothing was changed" in said
    with pytest.raises(Unavailable):
        in_force(root)


def test_a_person_may_put_fewer_keys_in_force(root: Path, server: KeyServer, ca: Authority, command: Command) -> None:
    server.serve("/roots", BOTH)
    folder = write(root, server, ca)
    command("config", "apply", str(folder))
    assert certificates(root) == 2
    server.serve("/roots", FIRST.root_pem)
    assert command("config", "apply", str(folder))[0] == 0
    assert certificates(root) == 1


def test_what_can_not_be_fetched_any_more_is_what_it_was_until_its_time_is_over(
    root: Path, server: KeyServer, ca: Authority, command: Command
) -> None:
    folder = write(root, server, ca, refreshInterval="1h", keepFor="2h")
    command("config", "apply", str(folder))
    server.serve("/roots", b"", 404)
    assert command("config", "apply", str(folder))[0] == 0
    age(root, 2 * 3600 - 60)
    assert isinstance(opened_case(root), Case)
    assert "(WARNING: more than half of their time is over)" in command("status")[1]
    age(root, 2 * 3600)
    answer = opened_case(root)
    assert isinstance(answer, Answer)
    assert (answer.code, answer.ground) == (Code.KEY_PROVIDER, None)
    assert answer.message.startswith("keyProvider: the keys of corp were last fetched at 20")
    code, said = command("status")
    assert "  corp: keyProvider: they count no more" in said
    (told,) = json.loads(command("status", "--format", "json")[1])["keys"]
    assert (told["provider"], told["counts"]) == ("corp", False)
    server.serve("/roots", FIRST.root_pem)
    command("config", "apply", str(folder))
    assert isinstance(opened_case(root), Case)


def test_no_answer_outlives_the_keys(root: Path, server: KeyServer, ca: Authority, command: Command) -> None:
    command("config", "apply", str(write(root, server, ca, refreshInterval="1h", keepFor="2h")))
    case = opened_case(root)
    assert isinstance(case, Case)
    now = case.standing.moment.wall
    from agent.rules import age as ages

    end = ages.bounded(now + timedelta(days=1), case.standing, case.terms.rule)
    assert 7100 < (end - now).total_seconds() <= 7200


def test_only_rules_that_need_them_can_not_tell(root: Path, server: KeyServer, ca: Authority, command: Command) -> None:
    command("config", "apply", str(write(root, server, ca)))
    age(root, 40 * 3600)
    standing = node.opened(str(root)).standing
    (rule,) = standing.ruleset.rules
    other = rule._replace(name="other", keys=(), match=("registry.example.com/**",))
    assert isinstance(run(opened(request(), standing, NoVerdicts())), Answer)
    both = standing._replace(ruleset=standing.ruleset._replace(rules=(rule, other)))
    assert isinstance(run(opened(request(), both, NoVerdicts())), Case)


@pytest.mark.parametrize("damage", ["missing", "torn", "foreign"])
def test_without_what_was_noted_the_publication_counts(
    root: Path, server: KeyServer, ca: Authority, command: Command, damage: str
) -> None:
    command("config", "apply", str(write(root, server, ca)))
    file = root / FETCHED
    if damage == "missing":
        file.unlink()
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:20])
    if damage == "foreign":
        file.chmod(0o666)
    assert isinstance(opened_case(root), Case)
    then = moment().wall.timestamp() - 40 * 3600
    os.utime(root / "var/lib/nodeseal/current", (then, then), follow_symlinks=False)
    assert isinstance(opened_case(root), Answer)


def test_a_key_provider_needs_a_name_of_its_own(root: Path, server: KeyServer, ca: Authority, command: Command) -> None:
    folder = write(root, server, ca)
    value = json.loads((folder / "config.json").read_text())
    value["keyManagementProvider"]["plugins"] *= 2
    (folder / "config.json").write_text(json.dumps(value))
    assert "which another key provider has too" in command("config", "apply", str(folder))[1]


# ---- fetched anew ---------------------------------------------------------------------------------------------------


class World:
    """A clock, and what is fetched."""

    def __init__(self, root: Path) -> None:
        """Nothing was fetched."""
        self.now = 1000.0
        self.content: bytes | Exception = FIRST.root_pem
        self.asked = 0
        self.log = Told()
        self.keys = Keys(str(root), {}, self.log, fetch=self.fetch, clock=lambda: self.now, random=lambda: 0.0)

    def fetch(self, source: KeySource, **_: object) -> bytes:
        """See `keyfetch.fetch`."""
        self.asked += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    def events(self) -> list[str]:
        """What was told."""
        return [event for _, event, _ in self.log.events]


SOURCE = KeySource("a" * 64, "corp", Url.parse("https://pki.example/x", "url"), 3600.0, 7200.0, (), "")


@pytest.fixture
def world(root: Path) -> World:
    """One source, followed."""
    world = World(root)
    world.keys.use([SOURCE], local=False)
    return world


def test_it_is_fetched_at_its_interval_and_only_another_content_is_a_change(world: World) -> None:
    assert world.keys.contents() == {SOURCE.source: "nothing fetched yet"}
    assert world.keys.refresh()
    assert world.keys.contents() == {SOURCE.source: FIRST.root_pem}
    world.now += 3599
    assert not world.keys.is_due()
    assert not world.keys.refresh()
    world.now += 1
    assert world.keys.is_due()
    assert not world.keys.refresh()
    assert world.asked == 2
    world.content, world.now = BOTH, world.now + 3600
    assert world.keys.refresh()
    assert world.keys.contents() == {SOURCE.source: BOTH}


def test_nodes_differ_in_when_they_come(root: Path) -> None:
    spread = [Keys(str(root), {}, random=lambda part=part: part)._spread(100.0) for part in (0.0, 0.5, 1.0)]  # type: ignore[misc]
    assert spread == [100.0, 90.0, 80.0]


@pytest.mark.parametrize(
    "failure",
    [Malformed("got junk"), Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE), b""],
)
def test_a_failure_keeps_the_last_keys_and_is_tried_again_more_and_more_rarely(
    world: World, failure: bytes | Exception
) -> None:
    world.content = BOTH
    world.keys.refresh()
    world.content = failure or FIRST.root_pem  # fewer than before
    waits = []
    world.now += 3600
    for _ in range(9):
        assert not world.keys.refresh()
        before = world.now
        while not world.keys.is_due():
            world.now += 1
        waits.append(world.now - before)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert world.keys.contents() == {SOURCE.source: BOTH}
    assert world.events() == ["keys not fetched"]
    world.content = BOTH
    assert not world.keys.refresh()
    assert world.events() == ["keys not fetched", "keys fetched again"]


def test_a_pin_says_that_fewer_are_meant(root: Path) -> None:
    world = World(root)
    pinned = SOURCE._replace(pin="x")
    world.keys.use([pinned], local=False)
    world.content = BOTH
    world.keys.refresh()
    world.content, world.now = FIRST.root_pem, world.now + 3600
    assert world.keys.refresh()


def test_their_end_is_told_once(world: World, root: Path) -> None:
    world.keys.refresh()
    world.content = Malformed("got junk")
    age(root, 7201)
    for _ in range(3):
        world.now += 3600
        world.keys.refresh()
    assert world.events() == ["keys not fetched", "keys count no more"]
    assert world.log.of("keys not fetched")[0]["meanwhile"] == "none count"


def test_a_process_that_begins_goes_on_where_another_was(world: World, root: Path) -> None:
    world.keys.refresh()
    again = World(root)
    again.keys.use([SOURCE], local=False)
    assert not again.keys.is_due()
    age(root, 1800)
    again = World(root)
    again.keys.use([SOURCE], local=False)
    again.now += 1700  # some of the time has passed already, for all others of this machine
    assert not again.keys.is_due()
    again.now += 101
    assert again.keys.is_due()


def test_who_is_followed_no_more_is_not_asked_and_forgotten_once_there_are_many(
    world: World, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.keys.refresh()
    other = SOURCE._replace(source="b" * 64)
    world.keys.use([other], local=False)
    world.keys.refresh()
    store = KeyStore(str(root))
    world.keys.forget()
    assert store.content(SOURCE.source) is not None
    monkeypatch.setattr("agent.adapters.keystore.MAX_KEPT", 1)
    world.keys.forget()
    assert store.content(SOURCE.source) is None
    assert store.content(other.source) is not None
    assert set(NodeState(str(root)).fetched()) == {other.source}


def test_the_daemon_forgets_what_nobody_follows_any_more(
    world: World, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.keystore.MAX_KEPT", 4)
    for i in range(9):  # somebody writes another address each time
        world.keys.use([SOURCE, SOURCE._replace(source=f"{i:064}")], local=False)
        world.keys.refresh()
    assert len(NodeState(str(root)).fetched()) == len(os.listdir(root / "var/lib/nodeseal/keys")) == 4
    assert SOURCE.source in NodeState(str(root)).fetched()


def test_addresses_that_hang_hold_up_the_others_for_a_while_only(root: Path) -> None:
    asked: list[str] = []
    hang, hanging = threading.Event(), 0

    def fetch(source: KeySource, **_: object) -> bytes:
        nonlocal hanging
        asked.append(source.name)
        if source.name == "hangs":
            hanging += 1
            hang.wait(5 if hanging < keys.AT_ONCE else 0.0)  # one after another, nobody would come
            hang.set()
            raise Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
        return FIRST.root_pem

    clock = iter(range(1000, 100_000))
    found = Keys(str(root), {}, Told(), fetch=fetch, clock=lambda: float(next(clock)), random=lambda: 0.0)
    many = [SOURCE._replace(source=f"{i:064}", name="hangs", interval=7200.0) for i in range(60)]
    found.use([*many, SOURCE], local=False)
    while SOURCE.name not in asked:
        found.refresh()
        assert len(asked) <= 8 * keys.AT_ONCE
    assert found.contents()[SOURCE.source] == FIRST.root_pem


def test_a_folder_that_is_followed_is_published_anew_once_its_keys_are_others(
    root: Path, server: KeyServer, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log, bugs = write(root, server, ca), Told(), list[Exception]()
    publisher = Publisher(str(folder), str(root), log, bugs.append, {})

    async def until(reached: Callable[[], bool]) -> None:
        with anyio.fail_after(60):
            while not reached():
                hurry()  # again and again: who has just fetched may plan the next time only now
                await anyio.sleep(0.05)

    def hurry() -> None:
        plans: Mapping[str, Any] = publisher._keys._plans
        publisher._keys._plans = {source: plan._replace(due=0.0) for source, plan in plans.items()}

    async def follow() -> None:
        await publisher.publish()
        assert certificates(root) == 1
        async with anyio.create_task_group() as group:
            group.start_soon(publisher.run)
            server.serve("/roots", BOTH)
            hurry()
            await until(lambda: certificates(root) == 2)
            server.serve("/roots", b"", 404)
            hurry()
            await until(lambda: bool(log.of("keys not fetched")))
            assert certificates(root) == 2
            group.cancel_scope.cancel()

    anyio.run(follow)
    assert bugs == []


def test_documents_that_can_not_be_read_name_no_sources() -> None:
    from agent.config.documentset import NamedDocuments

    assert keys.sources_of(NamedDocuments.of({"config.json": b"{"}, "x")) == []
