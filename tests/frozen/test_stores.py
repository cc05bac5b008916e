"""The frozen program, one process after another: what a second one is spared by what the first one kept."""

import json
import pathlib
import shutil
from typing import Iterator

import pytest

from agent.adapters import answers, content_store, listing_store, token_store, verdicts
from tests.commands import Done
from tests.frozen.conftest import Setting
from tests.signing import usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.authentication import ISSUED, PASSWORD, USER, Gate, pair

pytestmark = pytest.mark.frozen


@pytest.fixture(autouse=True)
def quiet(setting: Setting) -> Iterator[None]:
    """A registry that behaves, and has seen nothing."""
    setting.registry.seen.clear()
    yield
    setting.registry.misbehave("*", misbehaviour.as_usual)


def signed(setting: Setting) -> Done:
    """Pull the signed image."""
    return setting.program.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size)


def asked(setting: Setting) -> list[str]:
    """What the registry was asked since the last time."""
    kinds = [each.kind for each in setting.registry.seen]
    setting.registry.seen.clear()
    return kinds


def lapse(setting: Setting) -> None:
    """Let what was said of images have ended."""
    for folder in (answers.FOLDER, verdicts.FOLDER):
        shutil.rmtree(setting.program.root / folder)


def test_the_second_verification_costs_the_list_alone(setting: Setting) -> None:
    first = signed(setting)
    assert asked(setting) == ["referrers", "manifest", "blob"]
    lapse(setting)
    assert signed(setting).out == first.out
    assert asked(setting) == ["referrers"]


def test_content_that_is_spoilt_is_fetched_again_and_counted(setting: Setting) -> None:
    first = signed(setting)
    for path in (setting.program.root / content_store.KIND.folder).iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b" ")
    lapse(setting)
    asked(setting)
    assert signed(setting).out == first.out
    assert asked(setting) == ["referrers", "manifest", "blob"]
    done = setting.program.person("cache", "stats", "--root", str(setting.program.root), "--format", "json")
    assert json.loads(done.out)["misses"]["content"]["corrupt"] >= 1


def test_what_is_kept_is_judged_anew(setting: Setting, tmp_path: pathlib.Path) -> None:
    assert signed(setting).code == 0
    setting.program.apply(write_config(tmp_path / "other", usual_signer("else.example.com", number=1).root_pem))
    try:
        asked(setting)
        assert signed(setting).code == 10
        assert asked(setting) == ["referrers"]
    finally:
        setting.program.apply(write_config(tmp_path / "first", setting.trusted.root_pem))


def test_a_second_process_needs_no_token_of_its_own(setting: Setting) -> None:
    path = setting.program.root / "etc" / "nodeseal" / "docker-config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {setting.registry.host: {"auth": pair(USER, PASSWORD)}}}))
    path.chmod(0o600)
    try:
        setting.registry.misbehave("*", Gate(setting.registry))
        assert signed(setting).code == 0
        assert asked(setting) == ["referrers", "token", "referrers", "manifest", "blob"]
        lapse(setting)
        assert signed(setting).code == 0
        assert asked(setting) == ["referrers"]
        lapse(setting)
        setting.registry.misbehave("*", Gate(setting.registry))  # which gave none of the tokens there are
        assert signed(setting).code == 0
        assert asked(setting) == ["referrers", "token", "referrers"]
    finally:
        path.unlink()
    kept = [each for each in setting.program.root.rglob("*") if each.is_file() and ISSUED.encode() in each.read_bytes()]
    assert {each.parent for each in kept} == {setting.program.root / token_store.KIND.folder}


def test_a_registry_that_asked_to_be_left_alone_is(setting: Setting) -> None:
    setting.registry.misbehave("*", misbehaviour.status(429, Retry_After="120"))
    first = signed(setting)
    assert (first.code, asked(setting)) == (11, ["referrers"])
    lapse(setting)
    second = signed(setting)
    assert (second.code, asked(setting)) == (11, [])
    assert "cannot tell NS-3003" in second.out
    assert "throttled: " in second.out
    assert "wants no requests until " in second.out
    assert not (setting.program.root / listing_store.KIND.folder).exists()
    setting.registry.misbehave("*", misbehaviour.as_usual)
    done = setting.program.person("cache", "forget", setting.signed_name, "--root", str(setting.program.root))
    assert done.code == 0
    assert signed(setting).code == 0
    assert asked(setting) == ["referrers", "manifest", "blob"]
