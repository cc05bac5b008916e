"""`nodeseal verify`: the question by hand, what is resolved, what is shown, how it ends."""

import errno
import json
import os
import pathlib
from typing import Iterator, NamedTuple, NoReturn

import pytest

from agent import cli
from agent.adapters import trustedcas
from agent.adapters.snapshots import SnapshotStore
from agent.model.descriptor import Descriptor
from agent.modes import asking
from agent.modes.config import load_for_person
from agent.rules.ruleset import Denied
from tests.commands import Said
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.registry import RegistrySimulator


class Setting(NamedTuple):
    """A registry with a signed and an unsigned image, a configuration as files, and the same one in force."""

    registry: RegistrySimulator
    signed: Descriptor
    unsigned: Descriptor
    config: pathlib.Path
    root: pathlib.Path

    def name(self, repository: str, reference: str = ":1") -> str:
        """An image on the registry."""
        return f"{self.registry.host}/{repository}{reference}"


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Iterator[Setting]:
    """A new one."""
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        signed = registry.push_image("team/signed", "1", salt="signed")
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        unsigned = registry.push_image("team/unsigned", "1", salt="unsigned")
        config = write_config(tmp_path / "config", trusted.root_pem)
        SnapshotStore(str(tmp_path / "root")).publish(load_for_person(str(config), "/"))
        yield Setting(registry, signed, unsigned, config, tmp_path / "root")


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> "Verify":
    """Runs the command."""
    return Verify(capsys)


class Verify:
    """The command, through the command line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What it prints is read from `capsys`."""
        self._capsys = capsys

    def __call__(self, *words: object) -> Said:
        """Run it."""
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "verify", *map(str, words)])
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, *self._capsys.readouterr())


def test_signed_image_is_allowed_under_the_configuration_in_force(setting: Setting, verify: Verify) -> None:
    told = verify("--root", setting.root, setting.name("team/signed"))
    assert told.code == 0
    assert told.err == ""
    assert told.out.splitlines()[0] == setting.name("team/signed", f"@{setting.signed.digest}")
    assert told.out.splitlines()[-1].startswith("allow NS-0001 rule=default ground=verified: ")


def test_unsigned_image_is_denied_with_the_next_step(setting: Setting, verify: Verify) -> None:
    told = verify("--config", setting.config, setting.name("team/unsigned"))
    assert told.code == 10
    assert "deny NS-2001 rule=default: no signature found" in told.out
    assert told.out.splitlines()[-1].startswith("next step: sign the image")


def test_tag_is_resolved_once_and_then_only_the_digest_counts(setting: Setting, verify: Verify) -> None:
    assert verify("--config", setting.config, setting.name("team/signed")).code == 0
    asked = [seen.target for seen in setting.registry.seen]
    assert sum(target.endswith("/manifests/1") for target in asked) == 1
    assert asked[0].endswith("/manifests/1")


def test_image_may_be_named_by_digest(setting: Setting, verify: Verify) -> None:
    told = verify("--config", setting.config, setting.name("team/signed", f"@{setting.signed.digest}"))
    assert told.code == 0
    assert str(setting.signed.digest) in told.out


def test_one_configuration_file_may_be_named_instead_of_its_folder(setting: Setting, verify: Verify) -> None:
    assert verify("--config", setting.config / "config.json", setting.name("team/unsigned")).code in (3, 10)


def test_explanation_shows_every_step_and_check(setting: Setting, verify: Verify) -> None:
    told = verify("--config", setting.config, "--explain", setting.name("team/signed"))
    steps = ("read configuration", "resolve", "referrers", "looked for:", "found:", " ms  ")
    checks = ("integrity (enforce)", "authenticity (enforce)", "expiry (enforce)", "revocation (enforce)")
    for expected in steps + checks:
        assert expected in told.out, expected


def test_json_is_one_document_with_the_failure_spelled_out(setting: Setting, verify: Verify) -> None:
    told = verify("--config", setting.config, "--format", "json", setting.name("team/unsigned"))
    report = json.loads(told.out)
    assert report["isSuccess"] is False
    assert report["nodeseal"]["exitCode"] == told.code == 10
    assert report["nodeseal"]["steps"] == []
    explained = verify("--config", setting.config, "--format", "json", "--explain", setting.name("team/unsigned"))
    assert [step["name"] for step in json.loads(explained.out)["nodeseal"]["steps"]][:2] == [
        "read configuration",
        "resolve",
    ]


def test_canary_by_hand_is_refused_without_configuration_or_network(tmp_path: pathlib.Path, verify: Verify) -> None:
    told = verify("--root", tmp_path, "127.0.0.1:1/nodeseal-canary:x")
    assert told.code == 10
    assert "deny NS-1001 rule=canary" in told.out


def test_without_a_configuration_it_cannot_tell_and_says_how_to_get_one(tmp_path: pathlib.Path, verify: Verify) -> None:
    told = verify("--root", tmp_path, "registry.example.com/a:1")
    assert told.code == 11
    assert told.err == ""
    assert "cannot tell NS-3006 rule=-: configurationMissing" in told.out
    assert "next step: publish a configuration: nodeseal config apply DIR" in told.out


def test_what_stands_in_the_way_is_told_whole_and_with_its_own_next_step(
    setting: Setting, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = tuple(f"/{'very-' * 12}long/{number}.pem" for number in range(6))

    async def unresolved(*_: object) -> NoReturn:
        trustedcas.find(search=searched)
        raise AssertionError

    monkeypatch.setattr(asking, "_resolve_and_judge", unresolved)
    told = verify("--config", setting.config, "registry.example.com/a:1")
    assert told.code == 11
    assert f"got none at {', '.join(searched)}; expected a bundle in PEM\n" in told.out
    assert "next step: install the ca-certificates package of this host, or name a bundle" in told.out


def test_snapshot_that_only_root_may_read_says_so(
    tmp_path: pathlib.Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> object:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{tmp_path}/var/lib/nodeseal")

    monkeypatch.setattr(SnapshotStore, "_load", refused)
    told = verify("--root", tmp_path, "registry.example.com/a:1")
    assert (told.code, told.out.splitlines()[-1]) == (11, "next step: run as root")


def test_configuration_that_cannot_be_used_is_told_problem_by_problem(setting: Setting, verify: Verify) -> None:
    document = json.loads((setting.config / "config.json").read_text())
    document["store"]["plugins"][0]["name"] = "dockerHub"
    del document["policy"]
    (setting.config / "config.json").write_text(json.dumps(document))
    told = verify("--config", setting.config, setting.name("team/signed"))
    assert told.code == 3
    assert "dockerHub" in told.err
    assert "policy" in told.err
    assert "next step: " in told.err


def test_registry_that_is_not_there_is_cannot_tell(setting: Setting, verify: Verify) -> None:
    told = verify("--config", setting.config, "127.0.0.1:1/team/a:1")
    assert told.code == 11
    assert "cannot tell NS-3001 rule=default: registryUnavailable" in told.out
    assert "next step: " in told.out


def test_cannot_tell_is_a_document_too_for_whoever_asks_for_one(setting: Setting, verify: Verify) -> None:
    told = verify("--config", setting.config, "--format", "json", "127.0.0.1:1/team/a:1")
    report = json.loads(told.out)
    assert report["isSuccess"] is False
    assert report["nodeseal"]["decision"] == "cannot tell"
    assert report["nodeseal"]["causes"] == ["registryUnavailable"]
    assert report["nodeseal"]["exitCode"] == told.code == 11


def test_tag_that_the_registry_does_not_have_is_said_plainly(setting: Setting, verify: Verify) -> None:
    told = verify("--config", setting.config, setting.name("team/signed", ":2"))
    assert told.code not in (0, 70)
    assert "team/signed: manifest 2: not found" in told.err


def test_time_limit_of_the_persons_choice_holds(setting: Setting, verify: Verify) -> None:
    setting.registry.misbehave("referrers", misbehaviour.silence)
    told = verify("--config", setting.config, "--timeout", "0.3", setting.name("team/signed"))
    assert told.code == 11
    assert "deadline" in told.out + told.err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_time_limit_that_is_none_is_a_usage_error(setting: Setting, verify: Verify, seconds: str) -> None:
    told = verify("--config", setting.config, "--timeout", seconds, setting.name("team/signed"))
    assert told.code == 2
    assert "seconds" in told.err


@pytest.mark.parametrize("image", ["", "UPPER/case", "a@sha256:12", "a b", "-", "registry.example.com/"])
def test_name_that_is_no_image_is_a_usage_error(setting: Setting, verify: Verify, image: str) -> None:
    assert verify("--config", setting.config, "--", image).code == 2


def test_short_name_means_docker_hub(setting: Setting, verify: Verify) -> None:
    told = verify("--root", setting.root / "none", "--format", "json", "busybox")
    assert json.loads(told.out)["nodeseal"]["subject"] == "docker.io/library/busybox:latest"


def test_digest_that_is_denied_is_refused_by_its_tag_too(setting: Setting, verify: Verify) -> None:
    store = SnapshotStore(str(setting.root))
    config = store.load()
    denied = Denied(f"{setting.registry.host}/team/signed", str(setting.signed.digest))
    store.publish(config._replace(ruleset=config.ruleset._replace(deny=(denied,))))
    told = verify("--root", setting.root, setting.name("team/signed"))
    assert told.code == 10
    assert "deny NS-2009 rule=-: on the deny list" in told.out
    assert [seen.kind for seen in setting.registry.seen] == ["tag"]
