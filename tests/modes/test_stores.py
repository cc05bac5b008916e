"""What is kept between processes, through the commands: it spares requests, and changes no answer."""

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import pytest

from agent import cli
from agent.adapters import content_store, listing_store, throttling, verdicts
from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.adapters.snapshots import SnapshotStore
from agent.engine import Engine
from agent.model.descriptor import Descriptor
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.modes.config import load_for_person
from agent.modes.registry_access import open_registry
from tests.engines import OnTheSpot, judged
from tests.formats.support import Answers
from tests.signing import Signer, attach_signature, envelope, usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.registry import RegistrySimulator

Verify = Callable[..., int]


class Setting(NamedTuple):
    """A registry with a signed image, a node that trusts the signer, and the configuration's files."""

    registry: RegistrySimulator
    trusted: Signer
    image: Descriptor
    folder: pathlib.Path

    @property
    def root(self) -> pathlib.Path:
        """The node's root."""
        return self.folder / "root"

    @property
    def name(self) -> str:
        """The image."""
        return f"{self.registry.host}/team/signed:1"

    def asked(self) -> list[str]:
        """What the registry was asked since the last time."""
        kinds = [each.kind for each in self.registry.seen]
        self.registry.seen.clear()
        return kinds


@pytest.fixture
def setting(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """A new one."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        image = registry.push_image("team/signed", "1", salt="signed")
        attach_signature(registry, "team/signed", image, envelope(trusted, image))
        config = write_config(tmp_path / "config", trusted.root_pem)
        SnapshotStore(str(tmp_path / "root")).publish(load_for_person(str(config), "/"))
        yield Setting(registry, trusted, image, tmp_path)


@pytest.fixture
def verify(setting: Setting, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Asks about the node, by digest if nothing else is said; the exit code."""

    def verify_it(*words: str) -> int:
        name = f"{setting.registry.host}/team/signed@{setting.image.digest}"
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "verify", "--root", str(setting.root), *words, name])
        capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return verify_it


RESOLVED = ["manifest"]


def test_a_person_who_asks_again_costs_the_list_alone(setting: Setting, verify: Verify) -> None:
    assert verify() == 0
    assert setting.asked() == [*RESOLVED, "referrers", "manifest", "blob"]
    assert verify() == 0
    assert setting.asked() == [*RESOLVED, "referrers"]


def test_a_configuration_of_ones_own_uses_and_leaves_nothing(setting: Setting, verify: Verify) -> None:
    before = sorted(setting.root.rglob("*"))
    setting.registry.misbehave("referrers", misbehaviour.status(429, Retry_After="100"))
    assert verify("--config", str(setting.folder / "config")) == 11
    setting.registry.misbehave("referrers", misbehaviour.as_usual)
    for _ in range(2):
        setting.asked()
        assert verify("--config", str(setting.folder / "config")) == 0
        assert setting.asked() == [*RESOLVED, "referrers", "manifest", "blob"]
    assert sorted(setting.root.rglob("*")) == before


def test_a_list_that_is_kept_hides_no_signature_that_came_later(setting: Setting, verify: Verify) -> None:
    setting.registry.contents("team/signed").manifests.clear()
    late = setting.registry.push_image("team/signed", "1", salt="signed")
    assert late == setting.image
    assert verify() == 10
    attach_signature(setting.registry, "team/signed", late, envelope(setting.trusted, late))
    assert verify() == 0


def test_a_signature_that_was_removed_is_not_found_though_its_content_is_kept(setting: Setting, verify: Verify) -> None:
    assert verify() == 0
    setting.registry.contents("team/signed").manifests.clear()
    assert setting.registry.push_image("team/signed", "1", salt="signed") == setting.image
    assert verify() == 10


@pytest.mark.parametrize(
    "trouble", [misbehaviour.status(429, Retry_After="100"), misbehaviour.status(503), misbehaviour.hang_up]
)
def test_trouble_is_kept_neither_as_a_list_nor_as_a_denial(
    setting: Setting, verify: Verify, trouble: misbehaviour.Behaviour
) -> None:
    setting.registry.misbehave("referrers", trouble)
    assert verify() == 11
    setting.registry.misbehave("referrers", misbehaviour.as_usual)
    assert not (setting.root / listing_store.KIND.folder).exists()
    for path in (setting.root / throttling.KIND.folder).glob("*"):
        path.unlink()
    assert verify() == 0


class Late(SystemClock):
    """A clock that is ahead."""

    def __init__(self, days: float) -> None:
        """So many days."""
        self._ahead = timedelta(days=days)

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        return datetime.now(timezone.utc) + self._ahead


def test_what_is_kept_is_verified_at_the_time_that_it_is(setting: Setting) -> None:
    """A signature whose content is kept expires like any other."""
    config = load_for_person(str(setting.folder / "config"), "/")
    request = PullRequest(setting.name, Reference.parse(setting.name), setting.image)
    exits = []
    for days in (0, 5000):
        with open_registry(config, {}, time.monotonic() + 20, root=str(setting.root)) as registry:
            engine = Engine(
                config,
                registry=registry,
                revocation=Answers(),
                concurrent=OneByOne(),
                policies=OnTheSpot(),
                clock=Late(days),
                trace=NoTrace(),
            )
            exits.append(int(run(judged(request, engine)).answer.exit))
    assert exits == [0, 10]
    assert setting.asked() == ["referrers", "manifest", "blob", "referrers"]


def test_everything_is_shown_forgotten_and_cleared(
    setting: Setting, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    def cache(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "cache", *words, "--root", str(setting.root)])
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert verify() == 0
    setting.registry.misbehave("referrers", misbehaviour.status(429, Retry_After="100"))
    assert verify() == 0  # stale
    (entry,) = (setting.root / verdicts.FOLDER).iterdir()
    os.truncate(entry, 10)
    assert verify() == 11
    sizes = json.loads(cache("stats", "--format", "json"))
    assert {kind: size["files"] for kind, size in sizes["sizes"].items()} == {
        "answers": 0, "verdicts": 1, "doubts": 0, "revocation": 0, "content": 2, "listings": 1, "tokens": 0,
        "throttled": 1,
    }  # fmt: skip
    assert sizes["misses"]["verdicts"]["corrupt"] >= 1
    assert "\nnot believed: verdicts: " in cache("stats")
    assert "nothing was remembered" in cache("forget", "r.example/team/other")
    assert "forgotten" in cache("forget", setting.name)
    folders = [kind.folder for kind in (content_store.KIND, listing_store.KIND, throttling.KIND)]
    assert [list((setting.root / folder).iterdir()) for folder in folders] == [[], [], []]
    setting.registry.misbehave("referrers", misbehaviour.as_usual)
    assert verify() == 0
    cache("clear")
    assert not [path for path in (setting.root / "var/cache/nodeseal").rglob("*") if path.is_file()]
